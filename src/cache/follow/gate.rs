//! The gate of a stream of changes: a cache that is told of changes serves only while it knows how old what it was told is.
//!
//! A follower writes a heartbeat into the source, and notes what its cluster's clock said *before*. When that heartbeat comes by in the
//! stream, in order, every change that was committed before it has been applied: until then, and a bound longer, the cache may
//! serve. That deadline, on the cluster's own clock, stands in a record of the set, and each process looks at it: a hit
//! costs a clock and a number in memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;

use super::super::retry::{Settled, token};
use super::super::stopwatch::{less_drift, nanos};
use super::super::{Cache, Error};
use crate::protocol::{Time, Ttl};
use crate::store::{Change, Snapshot, Store, StoreError, going_on};

/// What the key of its record ends with, after the cache's prefix.
const KEY: &[u8] = b"\0genfence stream gate";
/// How long the record lives that nobody writes any more.
const LIFE: u32 = 24 * 60 * 60;
/// How often in a bound a process looks at the record, and a follower writes a heartbeat.
pub(super) const TIMES: u32 = 8;

/// Until when this process may serve.
#[derive(Debug)]
pub(in crate::cache) struct Gate {
    pub bound: Duration,
    /// Nanoseconds on the clock that goes on.
    until: AtomicU64,
    was_open: AtomicBool,
}

impl Gate {
    pub fn new(bound: Duration) -> Self {
        Gate { bound, until: AtomicU64::new(0), was_open: AtomicBool::new(false) }
    }

    /// # Errors
    /// It is not known that the cache was told of all that is older than the bound.
    #[inline]
    pub fn serves(&self) -> Result<(), StoreError> {
        if nanos(going_on()) < self.until.load(Relaxed) { Ok(()) } else { Err(self.closed()) }
    }

    #[cold]
    fn closed(&self) -> StoreError {
        StoreError::unavailable(format!(
            "no heartbeat of the source's stream of changes came by within {:?}: does a follower run, and keep up?",
            self.bound
        ))
    }

    /// What was learned by a look that was sent at `sent`.
    fn learn(&self, left: Duration, sent: Duration) {
        let until = sent + less_drift(left);
        let is_open = !left.is_zero();
        if is_open {
            self.until.fetch_max(nanos(until), Relaxed);
        }
        if is_open != self.was_open.swap(is_open, Relaxed) {
            if is_open {
                tracing::info!("the stream of changes has caught up; the cache serves");
            } else {
                tracing::warn!("the stream of changes is behind; the cache serves nothing");
            }
        }
    }
}

impl Cache {
    fn gate_key(&self) -> Bytes {
        self.own_key(KEY)
    }

    /// Looks at the gate for as long as the cache is there.
    pub(in crate::cache) fn watch_gate(&self) {
        let Some(gate) = &self.0.gate else { return };
        let (pause, inner) = (gate.bound / TIMES, std::sync::Arc::downgrade(&self.0));
        let watching = async move {
            while let Some(cache) = Cache::still_open(&inner) {
                cache.look_at_gate().await;
                drop(cache);
                tokio::time::sleep(pause).await;
            }
        };
        // It ends by itself, and closing does not wait for it.
        self.0.runtime.spawn(watching);
    }

    async fn look_at_gate(&self) {
        let Some(gate) = &self.0.gate else { return };
        let sent = going_on();
        match self.gate_now().await {
            Ok(known) => {
                gate.learn(known.map_or(Duration::ZERO, |known| self.left_open(&known)), sent);
            }
            // Until the time is over that was learned before.
            Err(error) => tracing::debug!(%error, "the stream's gate cannot be looked at"),
        }
    }

    fn left_open(&self, known: &Snapshot) -> Duration {
        let stored = known.record.stored.as_ref().and_then(|stored| stored.value.as_deref());
        let until = stored.and_then(|value| value.try_into().ok()).map(u64::from_be_bytes);
        let until = Time::from_nanos(until.unwrap_or_default());
        // Another node's clock may be behind that one's.
        let differ =
            if self.is_embedded() { Duration::ZERO } else { self.0.options.reservation_margin };
        until.remaining(known.now).saturating_sub(differ)
    }

    async fn gate_now(&self) -> Result<Option<Snapshot>, Error> {
        Ok(self.0.store.inspect(&self.gate_key()).await?)
    }

    /// What the cluster's clock says, for a heartbeat that is written after this has returned; and the bound.
    ///
    /// # Errors
    /// [`Error::Store`]: nobody says. [`Error::Invalid`]: the cache has no gate.
    pub(crate) async fn beat(&self) -> Result<(u64, Duration), Error> {
        self.open_or_shut_down()?;
        let bound = self.gate_bound()?;
        if let Some(known) = self.gate_now().await? {
            return Ok((known.now.as_nanos(), bound));
        }
        self.write_gate(Time::ZERO).await?;
        let known = self.gate_now().await?;
        let known = known
            .ok_or_else(|| StoreError::unavailable("the stream's gate was written, and is gone"))?;
        Ok((known.now.as_nanos(), bound))
    }

    fn gate_bound(&self) -> Result<Duration, Error> {
        let unset = || Error::invalid("stream_bound", "is not set, so nobody waits for heartbeats");
        self.0.gate.as_ref().map(|gate| gate.bound).ok_or_else(unset)
    }

    /// The heartbeat came by that was written after the cluster's clock said `beaten`, and all that came before it was applied.
    ///
    /// # Errors
    /// [`Error::Store`]: it could not be noted. [`Error::Invalid`]: the cache has no gate.
    pub(crate) async fn heard(&self, beaten: u64) -> Result<(), Error> {
        self.open_or_shut_down()?;
        let bound = self.gate_bound()?;
        self.write_gate(Time::from_nanos(beaten).after(bound)).await?;
        self.look_at_gate().await;
        Ok(())
    }

    async fn write_gate(&self, until: Time) -> Result<(), Error> {
        let value = Some(Bytes::copy_from_slice(&until.as_nanos().to_be_bytes()));
        let ttl = Ttl::from_secs(LIFE).expect("a day is one");
        let (token, key) = (token(), self.gate_key());
        // The last one wins: what each says is true.
        match self.settle(&key, &Change::Set { token, value, ttl }, Some(token)).await? {
            Settled::Applied => Ok(()),
            Settled::Refused(refusal) => {
                Err(StoreError::refused(format!("the stream's gate was not written: {refusal}"))
                    .into())
            }
            Settled::InDoubt(error) => Err(error.into()),
        }
    }
}
