use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
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
            /// Reads that found a value.
            pub hits: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters behind [`Stats`].
        #[derive(Default)]
        pub(super) struct Counters {
            pub hits: Striped,
            $(pub $name: Counter,)*
        }

        impl Counters {
            pub fn snapshot(&self) -> Stats {
                Stats {
                    hits: self.hits.sum(),
                    $($name: self.$name.0.load(Relaxed),)*
                }
            }
        }
    };
}

stats! {
    /// Reads that found none.
    misses,
    /// Misses that took the value from another caller's fill in this process.
    shared,
    /// Leases that were granted.
    leases,
    /// Leases that were prolonged for their holder.
    extensions,
    /// Leases that were given back unused.
    leases_returned,
    /// Lookups that ended in a bypass.
    bypasses,
    /// Fills that stored.
    fills_stored,
    /// Fills that lost a race and stored nothing.
    fills_rejected,
    /// Loaded values that were too large to store.
    oversized,
    /// Reservations that were taken.
    reservations,
    /// Reservations that were left to expire, neither committed nor released nor aborted.
    reservations_left,
    /// Commits that stored.
    commits_stored,
    /// Commits that could not store, and releases: they left their key empty.
    purges,
    /// Changes that nobody answered.
    in_doubt,
    /// Commands that failed after all tries.
    failures,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
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
