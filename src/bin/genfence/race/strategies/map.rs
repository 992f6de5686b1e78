//! A cache server's records as the simpler strategies see them, with generations as Aerospike
//! counts them: 1 when a record is created, one more for each write, 65535 wraps to 1, and a
//! record that went and came back begins at 1 again.

use parking_lot::Mutex;

use super::network::Trip;
use super::{Key, Version};

/// A record per key, or none. Every command is a network away, save for evictions.
pub struct Map(Box<[Mutex<Option<Record>>]>);

struct Record {
    value: Version,
    generation: u16,
}

/// What a put asks of the record.
#[derive(Clone, Copy)]
pub enum Expect {
    Anything,
    Missing,
    Generation(u16),
}

impl Map {
    pub fn new(keys: usize) -> Self {
        Map((0..keys).map(|_| Mutex::default()).collect())
    }

    pub fn get(&self, key: Key) -> Option<Version> {
        let _trip = Trip::begin();
        self.0[key].lock().as_ref().map(|record| record.value)
    }

    /// Changes nothing, which still counts as a write: the new generation. `None`: not found.
    pub fn touch(&self, key: Key) -> Option<u16> {
        let _trip = Trip::begin();
        let mut slot = self.0[key].lock();
        let record = slot.as_mut()?;
        record.generation = after(record.generation);
        Some(record.generation)
    }

    /// Stores the value if the record is as expected.
    pub fn put(&self, key: Key, value: Version, expect: Expect) {
        let _trip = Trip::begin();
        let mut slot = self.0[key].lock();
        let found = slot.as_ref().map_or(0, |record| record.generation);
        let expected = match expect {
            Expect::Anything => found,
            Expect::Missing => 0,
            Expect::Generation(generation) => generation,
        };
        if found == expected {
            *slot = Some(Record { value, generation: after(found) });
        }
    }

    pub fn delete(&self, key: Key) {
        let _trip = Trip::begin();
        self.evict(key);
    }

    pub fn evict(&self, key: Key) {
        *self.0[key].lock() = None;
    }
}

/// Zero is no generation: no record has it.
fn after(generation: u16) -> u16 {
    generation.checked_add(1).unwrap_or(1)
}
