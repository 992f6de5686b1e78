//! One shard: a map that evicts, and what it must not evict.
//!
//! Eviction is S3-FIFO (`quick_cache`), bounded in bytes. What must stay weighs nothing, which `quick_cache`
//! takes to mean that it must not go; it gets its weight back when that is over. A record with a live
//! reservation is such; of a record with a floor that is still needed only the floor stays, when the rest is
//! evicted.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use foldhash::fast::RandomState;
use quick_cache::unsync::Cache as EvictingMap;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::protocol::Time;
use crate::store::clock::Clock;
use crate::store::{Answer, Record};

pub(super) struct Shard {
    map: EvictingMap<Box<[u8]>, Place, Weigh, RandomState, Floors>,
    /// Until when a record must stay, its key, and the bytes it takes; first things first.
    pinned: BTreeMap<(Time, Box<[u8]>), u64>,
    pinned_bytes: u64,
}

/// A record in the map.
#[derive(Default)]
struct Place {
    record: Record,
    /// Until when the record must not go, or zero.
    pinned_until: Time,
    /// Until when its floor must not be forgotten, or zero.
    floor_until: Time,
}

impl Place {
    /// All but the floor goes, and that must stay.
    fn leave_floor(&mut self) {
        let Record { floor, generation, expires, ref mut near, .. } = self.record;
        let near = near.take();
        self.record = Record { floor, near, generation, expires, ..Record::default() };
        self.pinned_until = self.floor_until;
    }
}

impl Shard {
    pub fn new(bytes: u64, hasher: &RandomState, clock: Clock) -> Self {
        let items = usize::try_from(bytes / RECORD).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(items.clamp(16, 1024))
            .build()
            .expect("both sizes are given");
        let map = EvictingMap::with_options(options, Weigh, hasher.clone(), Floors(clock));
        Shard { map, pinned: BTreeMap::new(), pinned_bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Bytes that count against the bound of what may be evicted.
    pub fn bytes(&self) -> u64 {
        self.map.weight()
    }

    /// Whether what must stay takes as much as the rest may.
    pub fn is_full_of_claims(&self) -> bool {
        self.pinned_bytes >= self.map.capacity()
    }

    /// A read that counts for what is evicted next.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Record> {
        self.map.get(key).map(|place| &place.record)
    }

    /// A read that does not.
    pub fn peek(&self, key: &[u8]) -> Option<&Record> {
        self.map.peek(key).map(|place| &place.record)
    }

    /// Takes a record away as an eviction would, but for a floor that is needed. Says whether one went.
    pub fn evict(&mut self, key: &[u8], now: Time) -> bool {
        let Some(mut place) = self.map.peek_mut(key) else { return false };
        if place.record.is_reserved(now) {
            return false;
        }
        if place.floor_until <= now {
            drop(place);
            return self.map.remove(key).is_some();
        }
        let before = place.pinned_until;
        place.leave_floor();
        let pin = Place { record: Record::default(), ..*place };
        drop(place);
        self.unpin(key, before);
        self.pin(key, &pin);
        true
    }

    pub fn transition<T>(
        &mut self,
        key: &[u8],
        now: Time,
        floor_life: Duration,
        step: impl FnOnce(&mut Option<Record>, Time) -> Answer<T>,
    ) -> Answer<T> {
        let held = self.map.get_mut(key).map(|mut place| mem::take(&mut *place));
        let existed = held.is_some();
        let Place { record, pinned_until, mut floor_until } = held.unwrap_or_default();
        let floor = record.floor;
        let mut slot = existed.then_some(record);
        let answer = step(&mut slot, now);
        let after = slot.map(|record| {
            if record.floor > floor {
                floor_until = now.after(floor_life);
            }
            Place { pinned_until: record.reserved_until(now), floor_until, record }
        });
        self.unpin(key, pinned_until);
        if let Some(place) = &after {
            self.pin(key, place);
        }
        match after {
            Some(place) if existed => {
                if let Some(mut held) = self.map.peek_mut(key) {
                    *held = place;
                }
                self.keep_to_the_bound(key);
            }
            Some(place) => self.insert(key.into(), place),
            None if existed => drop(self.map.remove(key)),
            None => {}
        }
        answer
    }

    fn pin(&mut self, key: &[u8], place: &Place) {
        if place.pinned_until != Time::ZERO {
            let bytes = PIN + 2 * key.len() as u64 + taken_by(&place.record);
            self.pinned_bytes += bytes;
            self.pinned.insert((place.pinned_until, key.into()), bytes);
        }
    }

    fn unpin(&mut self, key: &[u8], until: Time) {
        if until != Time::ZERO {
            let bytes = self.pinned.remove(&(until, key.into()));
            self.pinned_bytes -= bytes.unwrap_or_default();
        }
    }

    pub fn unpin_what_is_over(&mut self, now: Time) {
        while self.pinned.first_key_value().is_some_and(|((until, _), _)| *until <= now) {
            let Some(((_, key), bytes)) = self.pinned.pop_first() else { return };
            self.pinned_bytes -= bytes;
            if let Some(mut place) = self.map.peek_mut(&key) {
                place.pinned_until = Time::ZERO;
            }
            self.keep_to_the_bound(&key);
        }
    }

    /// A record that grows in place evicts nothing; one that comes in anew does.
    fn keep_to_the_bound(&mut self, key: &[u8]) {
        if self.map.weight() > self.map.capacity()
            && let Some((key, place)) = self.map.remove(key)
        {
            self.insert(key, place);
        }
    }

    fn insert(&mut self, key: Box<[u8]>, place: Place) {
        let mut kept = Vec::new();
        self.map.insert_with_lifecycle(key, place, &mut kept);
        for key in kept {
            // Looked up without counting as a read; what was kept is in the map.
            let Some(place) = self.map.peek(&key) else { continue };
            let pin = Place { record: Record::default(), ..*place };
            self.pin(&key, &pin);
        }
    }
}

/// Of what is evicted, keeps the floors that are still needed.
#[derive(Clone)]
struct Floors(Clock);

impl Lifecycle<Box<[u8]>, Place> for Floors {
    /// The keys of floors that were kept.
    type RequestState = Vec<Box<[u8]>>;

    fn before_evict(&self, kept: &mut Self::RequestState, key: &Box<[u8]>, place: &mut Place) {
        if place.floor_until <= self.0.now() {
            return;
        }
        place.leave_floor();
        kept.push(key.clone());
    }
}

/// Weighs a record by the bytes it takes.
#[derive(Clone)]
struct Weigh;

/// A record, its place in the map, and the boxes of key and value.
pub(super) const RECORD: u64 = size_of::<Place>() as u64 + 64;
/// A node of a tree that holds reservations, each a token and a deadline, and how many it holds.
const NODE: (u64, u64) = (192, 11);
/// What a record that must stay takes among the others of its kind.
const PIN: u64 = 64;

fn taken_by(record: &Record) -> u64 {
    let value = record.stored.as_ref().and_then(|stored| stored.value.as_ref());
    let reservations = record.reservations.len() as u64;
    value.map_or(0, bytes::Bytes::len) as u64 + RECORD + reservations.div_ceil(NODE.1) * NODE.0
}

impl Weighter<Box<[u8]>, Place> for Weigh {
    fn weight(&self, key: &Box<[u8]>, place: &Place) -> u64 {
        if place.pinned_until != Time::ZERO {
            return 0;
        }
        key.len() as u64 + taken_by(&place.record)
    }
}
