use super::map::{Expect, Map};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, always};

/// The three lines that the project began with: touch the key and take its generation, change the
/// source, store if the generation is still the same.
pub struct PlainGeneration(Map);

impl PlainGeneration {
    pub fn new(keys: usize) -> Self {
        PlainGeneration(Map::new(keys))
    }
}

impl Strategy for PlainGeneration {
    fn name(&self) -> &'static str {
        "plain generation"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        if let Some(version) = self.0.get(key) {
            return Ok(version);
        }
        let version = load()?;
        self.0.put(key, version, Expect::Missing);
        Ok(version)
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        let expect = self.0.touch(key).map_or(Expect::Missing, Expect::Generation);
        if let Change::Committed(version) = change(&always)? {
            self.0.put(key, version, expect);
        }
        Ok(())
    }

    fn evict(&self, key: Key) {
        self.0.evict(key);
    }
}
