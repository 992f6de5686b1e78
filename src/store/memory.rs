//! The embedded store, `memory://`: everything in this process, nothing to install.
//!
//! The pure transitions of [`crate::protocol`] run under the lock of the shard that the key falls
//! into. Eviction is S3-FIFO (`quick_cache`), bounded in bytes. A record with a live reservation
//! weighs nothing, which `quick_cache` takes to mean that it must not go; it gets its weight back
//! when the reservation is over.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::mem;

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use quick_cache::unsync::{Cache as EvictingMap, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::clock::Clock;
use super::{
    Answer, Change, Diagnosis, Finding, Level, Needs, Read, Record, Snapshot, Store, StoreError,
};
use crate::protocol::{self, Claim, Grant, Time};

/// An in-process store with a bound in bytes.
///
/// # Bound
/// Keys, values and bookkeeping count. Records with a live reservation do not: they are never
/// evicted, and they are small, as a reserved key holds no value. A value too large for its shard
/// is evicted at once.
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

struct Shard {
    map: Map,
    /// The keys of pinned records and when their last reservation is over, first things first.
    pinned: BTreeSet<(Time, Box<[u8]>)>,
}

type Map = EvictingMap<Box<[u8]>, Place, Bytes, RandomState, DefaultLifecycle<Box<[u8]>, Place>>;

/// A record in the map.
#[derive(Default)]
struct Place {
    record: Record,
    /// Until when the record must not go: the deadline of its last live reservation, or zero.
    pinned_until: Time,
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
            let map = Map::with_options(
                options.clone(),
                Bytes,
                hasher.clone(),
                DefaultLifecycle::default(),
            );
            RwLock::new(Shard { map, pinned: BTreeSet::new() })
        };
        MemoryStore { shards: (0..shards).map(|_| shard()).collect(), hasher, clock }
    }

    /// Records that are there, expired ones that nothing has touched since included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().map.len()).sum()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are counted against the bound.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().map.weight()).sum()
    }

    /// Takes a record away as an eviction would: not while a reservation on it is live. Says
    /// whether a record went. This is how tests and the race force what memory pressure does.
    pub fn evict(&self, key: &[u8]) -> bool {
        let now = self.clock.now();
        self.shard(key).write().map.remove_if(key, |place| !place.record.is_reserved(now)).is_some()
    }

    /// **get**, without a future.
    #[inline]
    pub(crate) fn read(&self, key: &[u8]) -> Read {
        let shard = self.shard(key).read();
        let Some(place) = shard.map.get(key) else { return Read::Free };
        let now = self.clock.now();
        match protocol::get(Some(&place.record), now) {
            Some(hit) => Read::Hit(hit),
            None if place.record.is_claimed() && place.record.expires > now => Read::Claimed,
            None => Read::Free,
        }
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
        shard.unpin_what_is_over(now);
        shard.transition(key, now, step)
    }
}

impl Shard {
    fn transition<T>(
        &mut self,
        key: &[u8],
        now: Time,
        step: impl FnOnce(&mut Option<Record>, Time) -> Answer<T>,
    ) -> Answer<T> {
        let held = self.map.get_mut(key).map(|mut place| mem::take(&mut *place));
        let existed = held.is_some();
        let pinned_until = held.as_ref().map_or(Time::ZERO, |place| place.pinned_until);
        let mut slot = held.map(|place| place.record);
        let answer = step(&mut slot, now);
        let record = slot.map(|record| Place { pinned_until: record.reserved_until(now), record });
        self.pin(key, pinned_until, record.as_ref().map_or(Time::ZERO, |place| place.pinned_until));
        match record {
            Some(record) if existed => {
                if let Some(mut place) = self.map.peek_mut(key) {
                    *place = record;
                }
                self.keep_to_the_bound(key);
            }
            Some(record) => self.map.insert(key.into(), record),
            None if existed => drop(self.map.remove(key)),
            None => {}
        }
        answer
    }

    fn pin(&mut self, key: &[u8], before: Time, after: Time) {
        if before == after {
            return;
        }
        if before != Time::ZERO {
            self.pinned.remove(&(before, key.into()));
        }
        if after != Time::ZERO {
            self.pinned.insert((after, key.into()));
        }
    }

    fn unpin_what_is_over(&mut self, now: Time) {
        while self.pinned.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, key)) = self.pinned.pop_first() else { return };
            if let Some(mut place) = self.map.peek_mut(&key) {
                place.pinned_until = Time::ZERO;
            }
            self.keep_to_the_bound(&key);
        }
    }

    /// A record that grows in place evicts nothing; one that comes in anew does.
    fn keep_to_the_bound(&mut self, key: &[u8]) {
        if self.map.weight() > self.map.capacity()
            && let Some((key, record)) = self.map.remove(key)
        {
            self.map.insert(key, record);
        }
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
        let record = shard.map.peek(key).map(|place| &place.record);
        let record = record.filter(|record| record.expires > now);
        Ok(record.map(|record| Snapshot { record: record.clone(), now }))
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        Ok(self.transition(key, |slot, now| protocol::claim(slot, now, claim)))
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        Ok(self.transition(key, |slot, now| protocol::change(slot, now, change)))
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

/// Weighs a record by the bytes it takes.
#[derive(Clone)]
struct Bytes;

impl Bytes {
    /// A record, its place in the map, and the boxes of key and value.
    const RECORD: u64 = size_of::<Place>() as u64 + 64;
    /// One reservation: a token and a deadline in a tree's node.
    const RESERVATION: u64 = 48;
}

impl Weighter<Box<[u8]>, Place> for Bytes {
    fn weight(&self, key: &Box<[u8]>, place: &Place) -> u64 {
        if place.pinned_until != Time::ZERO {
            return 0;
        }
        let value = place.record.stored.as_ref().and_then(|stored| stored.value.as_ref());
        let bytes = key.len() + value.map_or(0, bytes::Bytes::len);
        bytes as u64 + Self::RECORD + place.record.reservations.len() as u64 * Self::RESERVATION
    }
}
