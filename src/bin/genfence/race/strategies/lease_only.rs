use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::network::Trip;
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, always};

/// Leases as in "Scaling Memcache at Facebook" (2013): a reader that misses gets a token and may
/// fill with it; the delete that follows a commit voids the value and the token. Writers take no
/// reservation. A reader that misses while another has the token reads the source and fills not.
pub struct LeaseOnly {
    slots: Box<[Mutex<Slot>]>,
    tokens: AtomicU64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Slot {
    #[default]
    Empty,
    Leased(u64),
    Value(Version),
}

impl LeaseOnly {
    pub fn new(keys: usize) -> Self {
        let slots = (0..keys).map(|_| Mutex::default()).collect();
        LeaseOnly { slots, tokens: AtomicU64::new(0) }
    }

    /// What the slot held; if that was nothing, it is now leased under the token.
    fn get_or_lease(&self, key: Key, token: u64) -> Slot {
        let _trip = Trip::begin();
        let mut slot = self.slots[key].lock();
        match *slot {
            Slot::Empty => mem::replace(&mut *slot, Slot::Leased(token)),
            found => found,
        }
    }

    fn fill(&self, key: Key, token: u64, version: Version) {
        let _trip = Trip::begin();
        let mut slot = self.slots[key].lock();
        if *slot == Slot::Leased(token) {
            *slot = Slot::Value(version);
        }
    }

    fn delete(&self, key: Key) {
        let _trip = Trip::begin();
        self.evict(key);
    }
}

impl Strategy for LeaseOnly {
    fn name(&self) -> &'static str {
        "lease only"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        let token = self.tokens.fetch_add(1, Relaxed);
        match self.get_or_lease(key, token) {
            Slot::Value(version) => Ok(version),
            Slot::Leased(_) => load(),
            Slot::Empty => {
                let version = load()?;
                self.fill(key, token, version);
                Ok(version)
            }
        }
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        if let Change::Committed(_) = change(&always)? {
            self.delete(key);
        }
        Ok(())
    }

    fn evict(&self, key: Key) {
        *self.slots[key].lock() = Slot::Empty;
    }
}
