//! The embedded store, `memory://`: everything in this process, nothing to install.
//!
//! The pure transitions of [`crate::protocol`] run under the lock of the shard that the key falls
//! into.

mod shard;

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::clock::Clock;
use super::stripes::{Mark, Stripes};
use super::{
    Answer, Change, Diagnosis, Finding, Hit, Level, Look, Needs, Read, Record, Snapshot, Store,
    StoreError,
};
use crate::protocol::{self, Claim, Grant, Stamp, Terms, Time, Token};
use shard::{RECORD, Shard};

/// An in-process store with a bound in bytes.
///
/// # Bound
/// Keys, values and bookkeeping count. A value too large for its shard is evicted at once. Records with a live
/// reservation are never evicted, and count by themselves: they, and the floors that replicas which lag still
/// need, may take as much again. When they do, a further reserve (or an invalidate with a version) is an error.
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
    /// How long a floor must not be forgotten, in nanoseconds: replicas may lag so long.
    floor_life: AtomicU64,
    terms: Terms,
    /// Whether the values in it bear tags, as the first cache on it said.
    tags: OnceLock<bool>,
    /// Of what ends a value.
    stripes: Stripes,
}

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
        let shards = (max_bytes / largest_value.max(RECORD) / 2).clamp(1, MAX_SHARDS);
        let shards = 1 << shards.ilog2();
        let hasher = RandomState::default();
        let shard_bytes = max_bytes / shards;
        let shard = || RwLock::new(Shard::new(shard_bytes, &hasher, clock.clone()));
        let shards = (0..shards).map(|_| shard()).collect();
        let (floor_life, terms) = (AtomicU64::default(), Terms::default());
        let stripes = Stripes::new(hasher.clone());
        let tags = OnceLock::new();
        MemoryStore { shards, hasher, clock, floor_life, terms, tags, stripes }
    }

    /// The same store on these terms, as one that gives leave to keep copies has them. Caches on `memory://` need
    /// none: they know of each change at once.
    #[must_use]
    pub fn on_terms(self, terms: Terms) -> Self {
        MemoryStore { terms, ..self }
    }

    /// From now on no floor is forgotten before it is so old, as replicas that loaders read may lag so long.
    pub(crate) fn keep_floors(&self, lag: Duration) {
        self.floor_life.fetch_max(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether the caches on this store before had it so, too, or there were none.
    pub(crate) fn agree_on_tags(&self, tags: bool) -> bool {
        *self.tags.get_or_init(|| tags) == tags
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
        self.shards.iter().map(|shard| shard.read().bytes()).sum()
    }

    /// Takes a record away as an eviction would: not while a reservation on it is live. Says
    /// whether a record went. This is how tests and the race force what memory pressure does.
    pub fn evict(&self, key: &[u8]) -> bool {
        let now = self.clock.now();
        self.shard(key).write().evict(key, now)
    }

    /// What stands for the value of a key, if it is the one of this stamp: whoever keeps the value can ask of it, for so long.
    pub(crate) fn mark(&self, key: &[u8], stamp: Token, time: Duration) -> Option<(Mark, Time)> {
        // Before it is looked at, so that what ends it then is seen.
        let mark = self.stripes.mark(key);
        let shard = self.shard(key).read();
        let record = shard.peek(key)?;
        let is_it = record.stored.as_ref().is_some_and(|stored| stored.token == stamp);
        is_it.then(|| (mark, record.expires.min(self.clock.now().after(time))))
    }

    /// Whether what was marked is still what there is.
    #[inline]
    pub(crate) fn counts(&self, marks: &[Mark], until: Time) -> bool {
        let changed = |mark: &Mark| self.stripes.is_changed_since(*mark);
        !marks.iter().any(changed) && self.clock.now_against(until) < until
    }

    /// **get**, without a future.
    #[inline]
    pub(crate) fn read(&self, key: &[u8]) -> Read {
        let shard = self.shard(key).read();
        let Some(record) = shard.get(key) else { return Read::Free };
        let now = self.clock.now_against(record.expires);
        read_of(record, now)
    }

    /// **get**, of a value that is looked at where it stands: under a lock, so `tell` takes none.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn read_in_place<T>(
        &self,
        key: &[u8],
        tell: impl FnOnce(&protocol::Stored<super::Value>) -> T,
    ) -> Option<T> {
        let shard = self.shard(key).read();
        let record = shard.get(key)?;
        let now = self.clock.now_against(record.expires);
        protocol::served(record, now).map(tell)
    }

    #[inline]
    fn shard(&self, key: &[u8]) -> &RwLock<Shard> {
        // The map inside takes the low bits of the same hash, so the shard takes the high ones.
        let high = self.hasher.hash_one(key) >> 32;
        &self.shards[high as usize & (self.shards.len() - 1)]
    }

    fn changed(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        let pins = matches!(change, Change::Invalidate { version: Some(_), .. });
        let changed = self
            .transition(key, pins, |slot, now| protocol::change(slot, now, &self.terms, change));
        let stays =
            matches!(change, Change::Touch { .. } | Change::Unlease { .. } | Change::Abort { .. });
        if !stays {
            self.stripes.change(key);
        }
        changed
    }

    /// Runs one transition on the record of `key`, in place where there is one. `pins`: whether the record
    /// must not be evicted after it, for which there must be room.
    fn transition<T>(
        &self,
        key: &[u8],
        pins: bool,
        step: impl FnOnce(&mut Option<Record>, Time) -> Answer<T>,
    ) -> Result<Answer<T>, StoreError> {
        let mut shard = self.shard(key).write();
        // Read under the lock, so that time never runs backwards for a key.
        let now = self.clock.now();
        shard.unpin_what_is_over(now);
        if pins && shard.is_full_of_claims() {
            return Err(StoreError::unavailable(
                "memory:// is full of reservations and floors: raise `max_bytes`, or finish reservations",
            ));
        }
        let floor_life = Duration::from_nanos(self.floor_life.load(Relaxed));
        Ok(shard.transition(key, now, floor_life, step))
    }
}

/// What a plain read finds in a record.
#[inline]
fn read_of(record: &Record, now: Time) -> Read {
    match protocol::get(Some(record), now) {
        Some(hit) => Read::Hit(hit),
        None if record.is_claimed() && record.expires > now => Read::Claimed,
        None => Read::Free,
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        Ok(self.read(key))
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let shard = self.shard(key).read();
        let now = self.clock.now();
        let record = shard.peek(key).filter(|record| record.expires > now);
        Ok(record.map(|record| Snapshot { record: record.clone(), now }))
    }

    async fn look(&self, key: &[u8]) -> Result<Look, StoreError> {
        let shard = self.shard(key).read();
        let now = self.clock.now();
        let record = shard.peek(key).filter(|record| record.expires > now);
        let read = record.map_or(Read::Free, |record| read_of(record, now));
        Ok(Look { read, near: record.and_then(Record::near), now })
    }

    async fn stamp(&self, key: &[u8], stamp: &Stamp) -> Result<Answer<Hit>, StoreError> {
        let stamped =
            self.transition(key, false, |slot, now| protocol::stamp(slot, now, &self.terms, stamp));
        Ok(stamped?.map(|copied| copied.hit))
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        let pins = matches!(claim, Claim::Reserve { .. });
        let granted =
            self.transition(key, pins, |slot, now| protocol::claim(slot, now, &self.terms, claim));
        // Also of a record that was evicted: what was read of it before may be kept.
        if matches!(claim, Claim::Reserve { .. } | Claim::Lease { over: Some(_), .. }) {
            self.stripes.change(key);
        }
        granted
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        self.changed(key, change)
    }

    async fn change_many(
        &self,
        changes: &[(Bytes, Change)],
    ) -> Vec<Result<Answer<()>, StoreError>> {
        changes.iter().map(|(key, change)| self.changed(key, change)).collect()
    }

    async fn diagnose(&self, _needs: &Needs) -> Result<Diagnosis, StoreError> {
        let bytes = self.bytes();
        Ok(Diagnosis {
            findings: vec![Finding {
                check: "store",
                level: Level::Ok,
                found: format!("memory://, {bytes} bytes held in this process"),
                why: "it is shared with no other process, and gone when this one ends",
                advice: None,
            }],
        })
    }
}
