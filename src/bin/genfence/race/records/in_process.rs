//! Generations are as Aerospike counts them: 1 when a record is created, one more for each write,
//! 65535 wraps to 1, and a record that went and came back begins at 1 again.

use parking_lot::Mutex;

use super::network::Trip;
use super::{Expect, Failure, Found, Key, Records, Version};

/// Records in this process. Every command is a network away, save for evictions.
pub struct InProcess(Box<[Mutex<Option<Record>>]>);

struct Record {
    held: Held,
    generation: u16,
}

#[derive(Clone, Copy, PartialEq)]
enum Held {
    Value(Version),
    Lease(u64),
}

impl InProcess {
    pub fn new(keys: usize) -> Self {
        InProcess((0..keys).map(|_| Mutex::default()).collect())
    }
}

impl Records for InProcess {
    fn get(&self, key: Key) -> Result<Option<Version>, Failure> {
        let _trip = Trip::begin();
        Ok(match *self.0[key].lock() {
            Some(Record { held: Held::Value(version), .. }) => Some(version),
            _ => None,
        })
    }

    fn touch(&self, key: Key) -> Result<Option<u16>, Failure> {
        let _trip = Trip::begin();
        Ok(self.0[key].lock().as_mut().map(|record| {
            record.generation = after(record.generation);
            record.generation
        }))
    }

    fn put(&self, key: Key, value: Version, expect: Expect) -> Result<(), Failure> {
        let _trip = Trip::begin();
        let mut slot = self.0[key].lock();
        let found = slot.as_ref().map_or(0, |record| record.generation);
        let expected = match expect {
            Expect::Anything => found,
            Expect::Missing => 0,
            Expect::Generation(generation) => generation,
        };
        if found == expected {
            *slot = Some(Record { held: Held::Value(value), generation: after(found) });
        }
        Ok(())
    }

    fn get_or_lease(&self, key: Key, token: u64) -> Result<Found, Failure> {
        let _trip = Trip::begin();
        let mut slot = self.0[key].lock();
        Ok(match slot.as_ref().map(|record| record.held) {
            Some(Held::Value(version)) => Found::Value(version),
            Some(Held::Lease(_)) => Found::Busy,
            None => {
                *slot = Some(Record { held: Held::Lease(token), generation: 1 });
                Found::Leased
            }
        })
    }

    fn fill(&self, key: Key, token: u64, value: Version) -> Result<(), Failure> {
        let _trip = Trip::begin();
        if let Some(record) = self.0[key].lock().as_mut()
            && record.held == Held::Lease(token)
        {
            *record = Record { held: Held::Value(value), generation: after(record.generation) };
        }
        Ok(())
    }

    fn delete(&self, key: Key) -> Result<(), Failure> {
        let _trip = Trip::begin();
        self.evict(key)
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        *self.0[key].lock() = None;
        Ok(())
    }
}

/// Zero is no generation: no record has it.
fn after(generation: u16) -> u16 {
    generation.checked_add(1).unwrap_or(1)
}
