use super::records::{Expect, Place, Records};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer, unlimited};

/// The three lines that the project began with: touch the key and take its generation, change the
/// source, store if the generation is still the same.
pub struct PlainGeneration(Box<dyn Records>);

impl PlainGeneration {
    pub fn new(place: &Place) -> Self {
        PlainGeneration(place.records("plain-generation"))
    }
}

impl Strategy for PlainGeneration {
    fn name(&self) -> &'static str {
        "plain generation"
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        if let Some(version) = self.0.get(key)? {
            return Ok(version);
        }
        let version = load()?;
        self.0.put(key, version, Expect::Missing)?;
        Ok(version)
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        let expect = self.0.touch(key)?.map_or(Expect::Missing, Expect::Generation);
        if let Change::Committed(version) = change(&unlimited)? {
            self.0.put(key, version, expect)?;
        }
        Ok(())
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        self.0.evict(key)
    }
}
