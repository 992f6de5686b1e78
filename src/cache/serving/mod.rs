//! Serving leases: a region serves only while the grantors let it, and so stops by itself where it is cut off from them. Then
//! writers elsewhere go on without it. The rules, and what each keeps from happening, are in docs/protocol.md.

mod agent;
mod kept;
mod status;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use super::stats::Counter;
use super::stopwatch::nanos;
use super::{Cache, Error};
use crate::protocol::Epoch;
use crate::store::{StoreError, going_on};
pub use status::{RegionGrant, RegionStatus};
pub(super) use table::Table;

/// Whether this process may serve what its region's cluster holds, and in which epoch.
#[derive(Debug)]
pub(super) struct Serves {
    /// Nanoseconds on the clock that goes on. 0 while another epoch is set.
    until: AtomicU64,
    epoch: AtomicU64,
    serving: AtomicBool,
    /// What keeps it from serving, and since when.
    why: Mutex<(String, Duration)>,
    pub counts: Counts,
    /// How long a lease lasts.
    pub span: Duration,
    /// The names of the regions whose clusters grant them.
    pub grantors: Vec<String>,
}

impl Serves {
    pub fn new(span: Duration, grantors: Vec<String>) -> Self {
        Serves {
            until: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            serving: AtomicBool::new(false),
            why: Mutex::new(("it has not asked the grantors yet".to_owned(), going_on())),
            counts: Counts::default(),
            span,
            grantors,
        }
    }

    /// More than half of the grantors.
    pub fn majority(&self) -> usize {
        self.grantors.len() / 2 + 1
    }

    /// The epoch that this process knows of.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch.load(SeqCst))
    }

    /// Whether what is found in that epoch may be served. Asked when a call begins: what it serves is no older than it may be then.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn serves(&self, epoch: Epoch) -> Result<(), StoreError> {
        let until = self.until.load(SeqCst);
        // The epoch changes only while `until` is 0.
        let same = || self.epoch() == epoch && self.until.load(SeqCst) == until;
        if nanos(going_on()) < until && same() { Ok(()) } else { Err(self.absence()) }
    }

    #[cold]
    fn absence(&self) -> StoreError {
        StoreError::unavailable(format!("this region may not serve now: {}", self.why.lock().0))
    }

    /// A lease on that epoch until then, on the clock that goes on.
    fn lease(&self, epoch: Epoch, until: Duration) {
        if self.epoch() != epoch {
            self.until.store(0, SeqCst);
            self.epoch.store(epoch.get(), SeqCst);
        }
        self.until.store(nanos(until), SeqCst);
        if until > going_on() && !self.serving.swap(true, SeqCst) {
            self.counts.unserved.add_span(self.unserved());
            tracing::info!(%epoch, "this region serves");
        }
    }

    /// For how long it has not served.
    fn unserved(&self) -> Duration {
        going_on().saturating_sub(self.why.lock().1)
    }

    /// No lease any more, and why.
    fn lapse(&self, why: &str) {
        if nanos(going_on()) < self.until.load(SeqCst) {
            return;
        }
        let mut told = self.why.lock();
        why.clone_into(&mut told.0);
        if self.serving.swap(false, SeqCst) {
            told.1 = going_on();
            self.counts.lapses.add();
            tracing::warn!(why, "this region serves nothing");
        }
    }
}

/// What is counted of it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub lapses: Counter,
    pub founded: Counter,
    pub barred: Counter,
    pub unserved: Counter,
}

impl Cache {
    /// The epoch that keys are of, where there are any.
    #[inline]
    pub(super) fn epoch(&self) -> Epoch {
        self.0.serves.as_ref().map_or(Epoch::NONE, Serves::epoch)
    }

    /// The same, also where this process has not asked yet.
    pub(super) async fn epoch_now(&self) -> Result<Epoch, Error> {
        let (Some(regions), Epoch::NONE) = (&self.0.regions, self.epoch()) else {
            return Ok(self.epoch());
        };
        if self.0.serves.is_none() {
            return Ok(Epoch::NONE);
        }
        let look = self.look_at_region(&regions.own).await?;
        Ok(look.standing().map_or(Epoch::NONE, |standing| standing.epoch))
    }
}
