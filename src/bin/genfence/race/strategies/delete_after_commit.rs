use super::records::{Expect, Place, Records};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, unlimited};

/// What most programs do, also known as cache-aside: change the source, then delete the key.
pub struct DeleteAfterCommit(Box<dyn Records>);

impl DeleteAfterCommit {
    pub fn new(place: &Place) -> Self {
        DeleteAfterCommit(place.records("delete-after-commit"))
    }
}

impl Strategy for DeleteAfterCommit {
    fn name(&self) -> &'static str {
        "delete-after-commit"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        if let Some(version) = self.0.get(key)? {
            return Ok(version);
        }
        let version = load()?;
        self.0.put(key, version, Expect::Anything)?;
        Ok(version)
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        if let Change::Committed(_) = change(&unlimited)? {
            self.0.delete(key)?;
        }
        Ok(())
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        self.0.evict(key)
    }
}
