//! The ways to keep a cache in each of two regions.

mod delete_after_commit;
mod genfence;
mod plain_generation;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::BoxFuture;

use self::genfence::Genfence;
use super::super::records::Expect;
use super::background::until_done;
use super::link::{Link, Logged};
use super::sites::{Region, Set};
use super::world::World;
use super::{Failure, Key, Version};
use delete_after_commit::DeleteAfterCommit;
use plain_generation::PlainGeneration;

pub type Doing<'a, T> = BoxFuture<'a, Result<T, Failure>>;

pub trait Way: Send + Sync {
    /// Reads through the region's cache.
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version>;

    /// Changes the source once, and does to the caches what belongs before and after it.
    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()>;

    /// What the region's cache holds. The source is not asked.
    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>>;

    /// The source's stream of changes: it tells of every COMMIT, also of a writer's that is gone.
    fn committed(&self, _key: Key, _version: Version) {}
}

/// Reads the source, and notes that it did.
pub struct Loader<'a> {
    world: &'a World,
    key: Key,
    done: AtomicBool,
}

impl<'a> Loader<'a> {
    pub fn new(world: &'a World, key: Key) -> Self {
        Loader { world, key, done: AtomicBool::new(false) }
    }

    fn run(&self) -> Version {
        self.done.store(true, SeqCst);
        self.world.source.read(self.key)
    }

    pub fn is_done(&self) -> bool {
        self.done.load(SeqCst)
    }
}

/// A change of the source, by a writer that may be slow, or go away after it.
pub struct Change<'a> {
    pub world: &'a World,
    pub way: &'a dyn Way,
    pub region: Region,
    pub key: Key,
    pub crashes: bool,
}

/// What became of it.
enum Changed {
    Committed(Version),
    /// It was rolled back, as no time remained.
    TooLate,
    /// It is committed, but the writer is gone: nothing may follow.
    Crashed,
}

/// The share of writers that are slow after their COMMIT.
const SLOW: f64 = 0.3;
/// How long a transaction takes until its COMMIT, and a slow writer after it, in milliseconds.
const DAWDLE: std::ops::Range<u64> = 1..5;

impl Change<'_> {
    /// `remaining` is how long it may still take.
    async fn commit(&self, remaining: impl Fn() -> Duration) -> Changed {
        let Change { world, region, key, .. } = *self;
        tokio::time::sleep(world.millis(DAWDLE)).await;
        let changed = world.source.change(key, || remaining().is_zero()).await;
        let Some(version) = changed else { return Changed::TooLate };
        world.measure.told(region, key, version);
        world.story.committed(key, region, version);
        self.way.committed(key, version);
        if self.crashes {
            return Changed::Crashed;
        }
        if world.chance(SLOW) {
            tokio::time::sleep(world.millis(DAWDLE)).await;
        }
        Changed::Committed(version)
    }

    /// For ways without a time limit.
    async fn commit_any_time(&self) -> Option<Version> {
        match self.commit(|| Duration::MAX).await {
            Changed::Committed(version) => Some(version),
            Changed::TooLate | Changed::Crashed => None,
        }
    }
}

/// A way, and what is asked of it.
pub struct Entry {
    pub name: &'static str,
    pub promise: Promise,
    pub set: Set,
    pub open: fn(&Arc<World>) -> Arc<dyn Way>,
}

/// What must not happen, or the run has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    Nothing,
    /// No hit is older than what its region was told, and no key is left wrong.
    NoOlderThanTold,
    /// No hit is stale, and no key is left wrong.
    NeverStale,
}

/// All of them, in the order of the table.
pub const ALL: [Entry; 6] = [
    Entry {
        name: "plain generation",
        promise: Promise::Nothing,
        set: Set::Apart,
        open: |world| Arc::new(PlainGeneration::new(world)),
    },
    Entry {
        name: "delete-after-commit",
        promise: Promise::Nothing,
        set: Set::Apart,
        open: |world| Arc::new(DeleteAfterCommit::new(world)),
    },
    Entry {
        name: "genfence own",
        promise: Promise::NoOlderThanTold,
        set: Set::Apart,
        open: |world| Arc::new(Genfence::own(world)),
    },
    Entry {
        name: "genfence all",
        promise: Promise::NeverStale,
        set: Set::Fenced,
        open: |world| Arc::new(Genfence::all(world)),
    },
    Entry {
        name: "genfence wait",
        promise: Promise::NeverStale,
        set: Set::Leased,
        open: |world| Arc::new(Genfence::all(world)),
    },
    Entry {
        name: "genfence home",
        promise: Promise::NeverStale,
        set: Set::Homed,
        open: |world| Arc::new(Genfence::all(world)),
    },
];
