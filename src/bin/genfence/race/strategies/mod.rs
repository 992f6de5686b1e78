//! The ways to keep a cache in front of a source that race each other.

mod delete_after_commit;
mod genfence;
mod lease_only;
mod map;
mod plain_generation;

use tokio::runtime::Handle;

use self::genfence::Genfence;
use super::{Failure, Key, Version, network};
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
    fn evict(&self, key: Key);
}

/// Reads the latest version from the source.
pub type Load<'a> = &'a mut dyn FnMut() -> Result<Version, Failure>;

/// Changes the source, if it can do so while the given condition still holds.
pub type Writer<'a> = &'a mut dyn FnMut(&dyn Fn() -> bool) -> Result<Change, Failure>;

/// What became of a change of the source.
pub enum Change {
    /// It is done, and the row has this version.
    Committed(Version),
    /// It was rolled back, as the condition did not hold any more.
    TooLate,
    /// It is done, but the writer is gone: nothing may follow.
    Crashed,
}

/// For strategies without a time limit.
fn always() -> bool {
    true
}

/// The name that the exit code depends on.
pub const OURS: &str = "genfence";

/// All of them, empty.
pub fn all(keys: usize, runtime: &Handle) -> Result<Vec<Box<dyn Strategy>>, Failure> {
    Ok(vec![
        Box::new(PlainGeneration::new(keys)),
        Box::new(DeleteAfterCommit::new(keys)),
        Box::new(LeaseOnly::new(keys)),
        Box::new(Genfence::new(runtime)?),
    ])
}
