//! What is counted, and when a hit counts as stale.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

use super::super::versions::Versions;
use super::sites::{Each, Region};
use super::{Failure, Key, Version};

#[derive(Default)]
pub struct Measure {
    pub reads: AtomicU64,
    pub hits: AtomicU64,
    /// Hits older than what the source had committed before the read began.
    pub stale_hits: AtomicU64,
    /// Those older than what the region had heard of by then.
    pub older_than_told: AtomicU64,
    /// For how long the stalest hit's value had been replaced at the source, in milliseconds.
    pub oldest_ms: AtomicU64,
    pub errors: AtomicU64,
    /// The first of them.
    pub error: Mutex<Option<Failure>>,
    /// The newest version of each key that a region heard of: what its own writers committed, and what it was told
    /// by then.
    told: Each<Box<[AtomicU64]>>,
}

/// What was known before a read began.
pub struct Before {
    latest: Version,
    told: Version,
    start: Instant,
}

impl Measure {
    pub fn new(keys: usize) -> Self {
        let versions = || (0..keys).map(|_| AtomicU64::new(0)).collect();
        Measure { told: [versions(), versions()], ..Measure::default() }
    }

    /// To be called once the region has heard of it, never before.
    pub fn told(&self, region: Region, key: Key, version: Version) {
        self.told[region as usize][key].fetch_max(version, SeqCst);
    }

    pub fn before(&self, source: &Versions, region: Region, key: Key) -> Before {
        let told = self.told[region as usize][key].load(SeqCst);
        Before { told, latest: source.read(key), start: Instant::now() }
    }

    /// Counts a read. What its reader loaded from the source itself is no hit.
    pub fn count(&self, source: &Versions, key: Key, before: &Before, version: Version, own: bool) {
        self.reads.fetch_add(1, SeqCst);
        if own {
            return;
        }
        self.hits.fetch_add(1, SeqCst);
        if version < before.told {
            self.older_than_told.fetch_add(1, SeqCst);
        }
        if version < before.latest {
            self.stale_hits.fetch_add(1, SeqCst);
            let since = source.superseded(key, version).unwrap_or(before.start);
            let age = before.start.saturating_duration_since(since).as_millis();
            self.oldest_ms.fetch_max(age.try_into().unwrap_or(u64::MAX), SeqCst);
        }
    }

    /// A call that failed is none that was measured; the caller goes on.
    pub fn failed(&self, error: Failure) {
        self.errors.fetch_add(1, SeqCst);
        self.error.lock().get_or_insert(error);
    }
}
