use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::counters::counters;
use super::serving::Counts;
use crate::store::Traffic;

macro_rules! define_stats {
    ($($(#[$doc:meta])* $name:ident: $counter:ident $metric:literal;)*) => {
        /// What a cache has done since it was opened: a snapshot of its counters.
        ///
        /// Counters only grow. They are read one by one, so sums may be off by calls under way.
        ///
        /// # Example
        /// ```
        /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
        /// let cache = genfence::Cache::connect("memory://").await?;
        /// cache.get("k").await?;
        /// assert_eq!(cache.stats().misses, 1);
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// The sums of both.
            pub(super) fn with(&self, other: &Stats) -> Stats {
                Stats { $($name: self.$name + other.$name,)* }
            }
        }

        /// The counters behind [`Stats`].
        #[derive(Default)]
        pub(super) struct Counters {
            $(pub $name: $counter,)*
        }

        impl Counters {
            /// With what the store counts.
            pub fn snapshot(&self, store: Traffic, serving: Option<&Counts>) -> Stats {
                let Traffic { merged, batches, joined, queued_micros, leases_lost, unleased_micros } = store;
                let counted = Stats { $($name: self.$name.sum(),)* };
                Stats {
                    merged,
                    batches,
                    joined,
                    queued_micros,
                    leases_lost,
                    unleased_micros,
                    regions_lapsed: serving.map_or(0, |counts| counts.lapses.sum()),
                    regions_founded: serving.map_or(0, |counts| counts.founded.sum()),
                    regions_barred: serving.map_or(0, |counts| counts.barred.sum()),
                    unserved_micros: serving.map_or(0, |counts| counts.unserved.sum()),
                    ..counted
                }
            }
        }
    };
}
counters!(define_stats);

/// What is counted elsewhere: by the store, or by who keeps the region's lease.
#[derive(Default)]
pub(super) struct Elsewhere;

type Store = Elsewhere;
type Serving = Elsewhere;

impl Elsewhere {
    #[expect(clippy::unused_self, reason = "as the others are asked")]
    fn sum(&self) -> u64 {
        0
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn add_many(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    /// In microseconds.
    pub fn add_span(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

const STRIPES: usize = 8;

/// A counter for what happens so often that threads would fight for one cache line.
#[derive(Default)]
pub(super) struct Striped([Line; STRIPES]);

/// As wide as the pair of cache lines that x86 fetches together.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Striped {
    #[inline]
    pub fn add(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        self.0[STRIPE.get()].0.fetch_add(1, Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).sum()
    }
}
