//! The ways to keep a cache in front of a source that race each other.

mod delete_after_commit;
mod genfence;
mod lease_only;
mod plain_generation;

use std::time::Duration;

use self::genfence::Genfence;
use super::records::Place;
use super::{Failure, Key, Version, ours, records};
use delete_after_commit::DeleteAfterCommit;
use lease_only::LeaseOnly;
use plain_generation::PlainGeneration;

/// One way to keep a cache.
pub trait Strategy: Sync {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Reads through the cache; `load` reads the source. It is a hit if `load` was not called.
    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure>;

    /// Changes the source by one call of `change`, and does to the cache what belongs before and
    /// after it.
    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure>;

    /// Memory pressure takes the record of a key.
    fn evict(&self, key: Key) -> Result<(), Failure>;
}

/// Reads the latest version from the source.
pub type Load<'a> = &'a mut dyn FnMut() -> Result<Version, Failure>;

/// Changes the source, if it can do so while some time remains of what it is given.
pub type Writer<'a> = &'a mut dyn FnMut(&dyn Fn() -> Duration) -> Result<Change, Failure>;

/// What became of a change of the source.
pub enum Change {
    /// It is done, and the row has this version.
    Committed(Version),
    /// It was rolled back, as no time remained.
    TooLate,
    /// It is done, but the writer is gone: nothing may follow.
    Crashed,
}

/// For strategies without a time limit.
fn unlimited() -> Duration {
    Duration::MAX
}

/// Opens a strategy whose cache is empty.
type Open = fn(&Place) -> Result<Box<dyn Strategy>, Failure>;

/// All of them, in the order of the table.
pub const ALL: [Open; 4] = [
    |place| Ok(Box::new(PlainGeneration::new(place))),
    |place| Ok(Box::new(DeleteAfterCommit::new(place))),
    |place| Ok(Box::new(LeaseOnly::new(place))),
    |place| Ok(Box::new(Genfence::open(place)?)),
];
