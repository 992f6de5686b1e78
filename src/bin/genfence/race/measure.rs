//! What is counted, and when a hit counts as stale.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use indicatif::HumanCount;

use super::{Key, Version};

/// The strict measure, and counters that readers add to while the race goes on.
pub struct Measure {
    /// Per key, a version that was certainly committed.
    committed: Box<[AtomicU64]>,
    pub reads: AtomicU64,
    pub source_reads: AtomicU64,
    pub hits: AtomicU64,
    pub stale_hits: AtomicU64,
}

impl Measure {
    pub fn new(keys: usize) -> Self {
        let [reads, source_reads, hits, stale_hits] = Default::default();
        let committed = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Measure { committed, reads, source_reads, hits, stale_hits }
    }

    /// To be called right after the source's COMMIT returned, never before: a version that is not
    /// yet visible would make a good hit look stale.
    pub fn committed(&self, key: Key, version: Version) {
        self.committed[key].fetch_max(version, Release);
    }

    /// To be called before a read begins. A hit that is older than this is stale: the source had
    /// a newer value all through the read.
    pub fn latest(&self, key: Key) -> Version {
        self.committed[key].load(Acquire)
    }

    /// Counts a read. What its reader `loaded` from the source itself is no hit.
    pub fn count(&self, version: Version, latest: Version, loaded: bool) {
        self.reads.fetch_add(1, Relaxed);
        if loaded {
            self.source_reads.fetch_add(1, Relaxed);
            return;
        }
        self.hits.fetch_add(1, Relaxed);
        if version < latest {
            self.stale_hits.fetch_add(1, Relaxed);
        }
    }
}

/// So far.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [reads, stale] =
            [&self.reads, &self.stale_hits].map(|count| HumanCount(count.load(Relaxed)));
        write!(f, "{reads} reads, {stale} stale hits")
    }
}
