use std::time::Duration;

use rand::RngExt;

use super::Error;
use crate::protocol::{MAX_TTL, Ttl};
use crate::settings::{Options, span};
use crate::store::Needs;

/// The longest a reservation may last. Records that hold one live at least this long, so that no
/// process shortens the life of another's reservation.
pub(crate) const MAX_RESERVATION_TIME: Duration = Duration::from_secs(3600);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Options {
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
    fn jitter_only_shortens_and_never_below_the_replicas_lag() {
        let options = Options { ttl: 100 * SECOND, ttl_jitter: 0.5, ..Options::default() };
        let drawn: Vec<u32> = (0..1000).map(|_| options.draw_ttl(options.ttl).as_secs()).collect();
        assert!(drawn.iter().all(|ttl| (50..=100).contains(ttl)));
        assert!(drawn.iter().any(|ttl| *ttl < 60) && drawn.iter().any(|ttl| *ttl > 90));
    }
}
