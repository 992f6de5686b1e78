use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::records::{Found, Place, Records};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, unlimited};

/// Leases as in "Scaling Memcache at Facebook" (2013): a reader that misses gets a token and may
/// fill with it; the delete that follows a commit voids the value and the token. Writers take no
/// reservation. A reader that misses while another has the token reads the source and fills not.
pub struct LeaseOnly {
    records: Box<dyn Records>,
    tokens: AtomicU64,
}

impl LeaseOnly {
    pub fn new(place: &Place) -> Self {
        LeaseOnly { records: place.records("lease-only"), tokens: AtomicU64::new(0) }
    }
}

impl Strategy for LeaseOnly {
    fn name(&self) -> &'static str {
        "lease only"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        let token = self.tokens.fetch_add(1, Relaxed);
        match self.records.get_or_lease(key, token)? {
            Found::Value(version) => Ok(version),
            Found::Busy => load(),
            Found::Leased => {
                let version = load()?;
                self.records.fill(key, token, version)?;
                Ok(version)
            }
        }
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        if let Change::Committed(_) = change(&unlimited)? {
            self.records.delete(key)?;
        }
        Ok(())
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        self.records.evict(key)
    }
}
