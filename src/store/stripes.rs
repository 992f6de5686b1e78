//! Counters of changes, each for a share of all keys: who keeps something that was read before a change can tell, without a
//! lock and without a list of what is kept.

use std::hash::BuildHasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use foldhash::fast::RandomState;

/// Few enough to stay in the processor's cache, and enough that hardly a change meets what is kept of another key.
const STRIPES: usize = 4096;

pub(crate) struct Stripes {
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// How often a stripe had changed when something was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    stripe: usize,
    changes: u64,
}

impl Stripes {
    pub fn new(hasher: RandomState) -> Self {
        Stripes { counters: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(), hasher }
    }

    /// What was read of the key before is over.
    #[inline]
    pub fn change(&self, key: &[u8]) {
        self.counters[self.of(key)].fetch_add(1, AcqRel);
    }

    /// To be taken before what is kept is read.
    #[inline]
    pub fn mark(&self, key: &[u8]) -> Mark {
        let stripe = self.of(key);
        Mark { stripe, changes: self.counters[stripe].load(Acquire) }
    }

    #[inline]
    pub fn is_changed_since(&self, mark: Mark) -> bool {
        self.counters[mark.stripe].load(Acquire) != mark.changes
    }

    fn of(&self, key: &[u8]) -> usize {
        // A map takes the low bits of the same hash.
        (self.hasher.hash_one(key) >> 32) as usize % STRIPES
    }
}
