use std::time::Duration;

use rand::RngExt;

use super::Error;
use crate::protocol::{MAX_TTL, Ttl};
use crate::store::{Access, Needs, size, span};

/// What a read does when the store gives no answer.
///
/// # Example
/// ```
/// use genfence::{Cache, UnreachableRead};
///
/// let builder = Cache::builder().unreachable_read(UnreachableRead::Error);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnreachableRead {
    /// Goes on as if the key were held by somebody: the caller reads the source, stores nothing.
    #[default]
    Bypass,
    /// Returns the error.
    Error,
}

/// What a reserve does when the store gives no answer.
///
/// # Example
/// ```
/// use genfence::{Cache, UnreachableReserve};
///
/// let builder = Cache::builder().unreachable_reserve(UnreachableReserve::Proceed);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnreachableReserve {
    /// Returns the error, so that the source is not changed behind the cache's back.
    #[default]
    Error,
    /// Goes on without a reservation. The guarantee does not hold for this change: readers may see
    /// the old value until its time to live is over, or until the release that `commit` then sends
    /// arrives.
    Proceed,
}

/// The settings of a cache. Each can be given to the [`Builder`](super::Builder) or, under the same
/// name, in the URL.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub ttl: Duration,
    pub ttl_jitter: f64,
    pub negative_ttl: Duration,
    pub lease_time: Duration,
    pub reservation_time: Duration,
    pub reservation_margin: Duration,
    pub wait: Duration,
    pub load_time: Duration,
    pub replica_lag: Duration,
    pub prefix: Vec<u8>,
    pub max_key_bytes: usize,
    pub max_value_bytes: usize,
    pub attempts: u32,
    pub unreachable_read: UnreachableRead,
    pub unreachable_reserve: UnreachableReserve,
    /// Of the embedded store only.
    pub max_bytes: u64,
    /// Of the store on Aerospike only.
    pub access: Access,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ttl: Duration::from_secs(300),
            ttl_jitter: 0.1,
            negative_ttl: Duration::from_secs(30),
            lease_time: Duration::from_secs(2),
            reservation_time: Duration::from_secs(10),
            reservation_margin: Duration::from_secs(1),
            wait: Duration::from_secs(2),
            load_time: Duration::from_secs(60),
            replica_lag: Duration::from_secs(1),
            prefix: Vec::new(),
            max_key_bytes: 1024,
            max_value_bytes: (1 << 20) - (4 << 10),
            attempts: 3,
            unreachable_read: UnreachableRead::default(),
            unreachable_reserve: UnreachableReserve::default(),
            max_bytes: 64 << 20,
            access: Access::default(),
        }
    }
}

/// The longest a reservation may last. Records that hold one live at least this long, so that no
/// process shortens the life of another's reservation.
pub(crate) const MAX_RESERVATION_TIME: Duration = Duration::from_secs(3600);

/// The client of Aerospike sends no command above 120 MiB (its `MAX_BUFFER_SIZE`), key and all.
const MAX_VALUE_BYTES: usize = 119 << 20;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Options {
    /// Checks every setting.
    pub fn check(&self) -> Result<(), Error> {
        span("ttl", self.ttl, SECOND, MAX_TTL)?;
        span("negative_ttl", self.negative_ttl, SECOND, MAX_TTL)?;
        span("lease_time", self.lease_time, 10 * MILLISECOND, MINUTE)?;
        span("reservation_time", self.reservation_time, 100 * MILLISECOND, MAX_RESERVATION_TIME)?;
        let longest_margin = self.reservation_time.saturating_sub(MILLISECOND);
        span("reservation_margin", self.reservation_margin, Duration::ZERO, longest_margin)?;
        span("wait", self.wait, Duration::ZERO, MINUTE)?;
        span("load_time", self.load_time, self.lease_time, MAX_RESERVATION_TIME)?;
        if !(0.0..=0.5).contains(&self.ttl_jitter) {
            return Err(Error::invalid(
                "ttl_jitter",
                format!("{}, must be 0 to 0.5", self.ttl_jitter),
            ));
        }
        // A floor must outlive the replicas' lag, and every store sets the life of the record anew.
        let shortest = self.ttl.min(self.negative_ttl).mul_f64(1.0 - self.ttl_jitter).max(SECOND);
        span("replica_lag", self.replica_lag, Duration::ZERO, shortest)?;
        size("max_key_bytes", self.max_key_bytes, 1, 64 << 10)?;
        size("max_value_bytes", self.max_value_bytes, 1, MAX_VALUE_BYTES)?;
        size("attempts", self.attempts as usize, 1, 100)?;
        self.access.check()?;
        let prefix = self.max_key_bytes - 1;
        size("prefix", self.prefix.len(), 0, prefix)?;
        Ok(())
    }

    /// Checks the bound of the embedded store: a few of the largest values fit into it.
    pub fn check_max_bytes(&self) -> Result<(), Error> {
        let least = 4 * self.max_value_bytes as u64;
        if self.max_bytes < least {
            return Err(Error::invalid(
                "max_bytes",
                format!(
                    "{} bytes, must be at least {least}: four values of `max_value_bytes`",
                    self.max_bytes
                ),
            ));
        }
        Ok(())
    }

    /// What the store must be fit for.
    pub fn needs(&self) -> Needs {
        Needs { max_value_bytes: self.max_value_bytes, reservation_margin: self.reservation_margin }
    }

    /// A time to live that the caller gave.
    pub fn check_ttl(&self, field: &'static str, ttl: Duration) -> Result<Ttl, Error> {
        // Up to a second rounding does it; a longer lag is the bound.
        let least =
            if self.replica_lag > SECOND { self.replica_lag } else { Duration::from_nanos(1) };
        span(field, ttl, least, MAX_TTL)?;
        Ok(whole_seconds(ttl))
    }

    /// A time to live of the cache's own, shortened at random so that what was stored together
    /// does not expire together.
    pub fn draw_ttl(&self, ttl: Duration) -> Ttl {
        let share = 1.0 - self.ttl_jitter * rand::rng().random::<f64>();
        whole_seconds(ttl.mul_f64(share))
    }

    /// The life of a record that holds no value but a claim, a floor, or the mark that it was there: the
    /// longest there is. A server under memory pressure evicts first what expires first; a floor must
    /// outlive the lag of replicas, also of those that other processes read; and a record that vanished
    /// would be no news to a copy that was away with a value.
    pub fn claim_ttl(&self) -> Ttl {
        whole_seconds(
            self.ttl.max(self.negative_ttl).max(MAX_RESERVATION_TIME + MINUTE).min(MAX_TTL),
        )
    }
}

/// Spans come here checked; what is left to do is rounding.
fn whole_seconds(span: Duration) -> Ttl {
    Ttl::from_span(span.clamp(SECOND, MAX_TTL)).expect("a span from 1 s to the longest TTL is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        let options = Options::default();
        options.check().unwrap();
        options.check_max_bytes().unwrap();
    }

    #[test]
    fn jitter_only_shortens_and_never_below_the_replicas_lag() {
        let options = Options { ttl: 100 * SECOND, ttl_jitter: 0.5, ..Options::default() };
        let drawn: Vec<u32> = (0..1000).map(|_| options.draw_ttl(options.ttl).as_secs()).collect();
        assert!(drawn.iter().all(|ttl| (50..=100).contains(ttl)));
        assert!(drawn.iter().any(|ttl| *ttl < 60) && drawn.iter().any(|ttl| *ttl > 90));
    }
}
