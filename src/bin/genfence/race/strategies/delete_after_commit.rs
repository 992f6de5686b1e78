use super::map::{Expect, Map};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, always};

/// What most programs do, also known as cache-aside: change the source, then delete the key.
pub struct DeleteAfterCommit(Map);

impl DeleteAfterCommit {
    pub fn new(keys: usize) -> Self {
        DeleteAfterCommit(Map::new(keys))
    }
}

impl Strategy for DeleteAfterCommit {
    fn name(&self) -> &'static str {
        "delete-after-commit"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        if let Some(version) = self.0.get(key) {
            return Ok(version);
        }
        let version = load()?;
        self.0.put(key, version, Expect::Anything);
        Ok(version)
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        if let Change::Committed(_) = change(&always)? {
            self.0.delete(key);
        }
        Ok(())
    }

    fn evict(&self, key: Key) {
        self.0.evict(key);
    }
}
