//! The embedded store, `memory://`: everything in this process, nothing to install.
//!
//! The pure transitions of [`crate::protocol`] run under the lock of the shard that the key falls
//! into. Eviction is S3-FIFO (`quick_cache`), bounded in bytes, and passes over every record with
//! a live reservation.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use quick_cache::unsync::Cache as EvictingMap;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::{Answer, Change, Hit, Record, Snapshot, Store, StoreError};
use crate::protocol::{self, Claim, Grant, Time};

/// An in-process store with a bound in bytes.
///
/// # Bound
/// Keys, values and bookkeeping count. Records with a live reservation are never evicted, so a
/// process that reserves more keys than fit goes over the bound by those records, which are small:
/// a reserved key holds no value. A value too large for its shard is evicted at once.
///
/// # Example
/// ```
/// use genfence::{Cache, store::MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::builder().build(MemoryStore::new(8 << 20))?;
/// cache.set("greeting", "hello").await?;
/// assert_eq!(cache.get("greeting").await?.unwrap().value.unwrap(), "hello");
/// # Ok::<(), genfence::Error>(()) }).unwrap();
/// ```
pub struct MemoryStore {
    shards: Box<[RwLock<Shard>]>,
    hasher: RandomState,
    clock: Clock,
}

type Shard = EvictingMap<Box<[u8]>, Record, Bytes, RandomState, Reserved>;

/// The most shards there are: enough that a few dozen threads rarely meet on one lock.
const MAX_SHARDS: u64 = 64;
/// The largest value that [`MemoryStore::new`] makes room for.
const LARGEST_VALUE: u64 = 1 << 20;

impl MemoryStore {
    /// A store that holds at most `max_bytes`, on the system's monotonic clock.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self::with_clock(max_bytes, Clock::default())
    }

    /// A store on the given clock: tests move it by hand.
    #[must_use]
    pub fn with_clock(max_bytes: u64, clock: Clock) -> Self {
        Self::sized(max_bytes, LARGEST_VALUE, clock)
    }

    /// A store with as many shards as leave each of them room for two of the largest values.
    pub(crate) fn sized(max_bytes: u64, largest_value: u64, clock: Clock) -> Self {
        let shards = (max_bytes / largest_value.max(Bytes::RECORD) / 2).clamp(1, MAX_SHARDS);
        let shards = 1 << shards.ilog2();
        let hasher = RandomState::default();
        let shard_bytes = max_bytes / shards;
        let items = usize::try_from(shard_bytes / Bytes::RECORD).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(shard_bytes)
            .estimated_items_capacity(items.clamp(16, 1024))
            .build()
            .expect("both sizes are given");
        let shard = || {
            let reserved = Reserved(clock.clone());
            Shard::with_options(options.clone(), Bytes, hasher.clone(), reserved)
        };
        MemoryStore { shards: (0..shards).map(|_| RwLock::new(shard())).collect(), hasher, clock }
    }

    /// Records that are there, expired ones that nothing has touched since included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are counted against the bound.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().weight()).sum()
    }

    /// Takes a record away as an eviction would: not while a reservation on it is live. Says
    /// whether a record went. This is how tests and the race force what memory pressure does.
    pub fn evict(&self, key: &[u8]) -> bool {
        let now = self.clock.now();
        self.shard(key).write().remove_if(key, |record| !record.is_reserved(now)).is_some()
    }

    /// **get**, without a future.
    #[inline]
    pub(crate) fn read(&self, key: &[u8]) -> Option<Hit> {
        let shard = self.shard(key).read();
        let record = shard.get(key)?;
        protocol::get(Some(record), self.clock.now())
    }

    #[inline]
    fn shard(&self, key: &[u8]) -> &RwLock<Shard> {
        // The map inside takes the low bits of the same hash, so the shard takes the high ones.
        let high = self.hasher.hash_one(key) >> 32;
        &self.shards[high as usize & (self.shards.len() - 1)]
    }

    /// Runs one transition on the record of `key`, in place where there is one.
    fn transition<T>(
        &self,
        key: &[u8],
        step: impl FnOnce(&mut Option<Record>, Time) -> Answer<T>,
    ) -> Answer<T> {
        let mut shard = self.shard(key).write();
        // Read under the lock, so that time never runs backwards for a key.
        let now = self.clock.now();
        let held = shard.get_mut(key).map(|mut record| std::mem::take(&mut *record));
        let existed = held.is_some();
        let mut slot = held;
        let answer = step(&mut slot, now);
        match slot {
            Some(record) if existed => {
                if let Some(mut place) = shard.peek_mut(key) {
                    *place = record;
                }
                if shard.weight() > shard.capacity() {
                    // Growing in place evicts nothing; coming in anew does.
                    if let Some((key, record)) = shard.remove(key) {
                        shard.insert(key, record);
                    }
                }
            }
            Some(record) => shard.insert(key.into(), record),
            None if existed => drop(shard.remove(key)),
            None => {}
        }
        answer
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Hit>, StoreError> {
        Ok(self.read(key))
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let shard = self.shard(key).read();
        let now = self.clock.now();
        let record = shard.peek(key).filter(|record| record.expires > now);
        Ok(record.map(|record| Snapshot { record: record.clone(), now }))
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        Ok(self.transition(key, |slot, now| protocol::claim(slot, now, claim)))
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        Ok(self.transition(key, |slot, now| protocol::change(slot, now, change)))
    }
}

/// The clock of an embedded store.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

/// Where every clock begins: not at zero, which is no instant.
const EPOCH: Duration = Duration::from_secs(1);

impl Default for Clock {
    fn default() -> Self {
        Clock(Source::System(Instant::now()))
    }
}

impl Clock {
    /// A clock that stands still until it is told to [`advance`](Clock::advance).
    #[must_use]
    pub fn manual() -> Self {
        Clock(Source::Manual(Arc::new(AtomicU64::new(0))))
    }

    /// Moves a manual clock, and every clone of it, forward. The system's clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(nanos) = &self.0 {
            nanos.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// The time now.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        let elapsed = match &self.0 {
            Source::System(start) => start.elapsed(),
            Source::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        };
        Time::ZERO.after(EPOCH + elapsed)
    }
}

/// Keeps records with a live reservation from eviction.
#[derive(Clone)]
struct Reserved(Clock);

impl Lifecycle<Box<[u8]>, Record> for Reserved {
    type RequestState = ();

    fn is_pinned(&self, _key: &Box<[u8]>, record: &Record) -> bool {
        !record.reservations.is_empty() && record.is_reserved(self.0.now())
    }
}

/// Weighs a record by the bytes it takes.
#[derive(Clone)]
struct Bytes;

impl Bytes {
    /// A record, its place in the map, and the boxes of key and value.
    const RECORD: u64 = size_of::<Record>() as u64 + 64;
    /// One reservation: a token and a deadline in a tree's node.
    const RESERVATION: u64 = 48;
}

impl Weighter<Box<[u8]>, Record> for Bytes {
    fn weight(&self, key: &Box<[u8]>, record: &Record) -> u64 {
        let value = record.stored.as_ref().and_then(|stored| stored.value.as_ref());
        let bytes = key.len() + value.map_or(0, bytes::Bytes::len);
        bytes as u64 + Self::RECORD + record.reservations.len() as u64 * Self::RESERVATION
    }
}
