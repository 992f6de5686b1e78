//! The ways for several processes to keep copies, as one of the processes has them.

mod local;
mod ours;
mod stamped;

use std::ops::Range;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::super::ours::OURS;
use super::super::{Failure, dice};
use super::talk::{Source, Task};
use super::{Key, Version};
use local::Local;
use ours::Ours;
pub use ours::options;
use stamped::Stamped;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Copies in each process, until their time is over.
    TimeToLive,
    /// Copies in each process, and messages that tell the others of changes.
    Backplane,
    /// genfence, with near copies.
    Near,
    /// Values in each process, and of each group the time since which they are out of date.
    TimeStamps,
    /// genfence, with tags.
    Tags,
    /// genfence, with tags and near copies of both.
    TagsNear,
}

impl Way {
    pub const NEAR: [Way; 3] = [Way::TimeToLive, Way::Backplane, Way::Near];
    pub const TAGS: [Way; 3] = [Way::TimeStamps, Way::Tags, Way::TagsNear];

    /// What reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Way::TimeToLive => "time to live",
            Way::Backplane => "backplane",
            Way::Near | Way::Tags => OURS,
            Way::TimeStamps => "time stamps",
            Way::TagsNear => "genfence near",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Way::Near | Way::Tags | Way::TagsNear)
    }

    pub fn has_tags(self) -> bool {
        matches!(self, Way::Tags | Way::TagsNear)
    }

    pub fn has_copies(self) -> bool {
        matches!(self, Way::Near | Way::TagsNear)
    }
}

/// What a read found, and whether its reader read the source.
pub type Found = (Version, bool);

/// How a process keeps them.
pub enum Keeper {
    Local(Rc<Local>),
    Ours(Ours),
    Stamped(Stamped),
}

impl Keeper {
    pub async fn open(task: &Task) -> Result<Self, Failure> {
        Ok(match task.way {
            Way::TimeToLive | Way::Backplane => Keeper::Local(Local::open(task).await?),
            Way::TimeStamps => Keeper::Stamped(Stamped::new(task)),
            Way::Near | Way::Tags | Way::TagsNear => Keeper::Ours(Ours::open(task).await?),
        })
    }

    /// Reads through the copies. `None`: it could not be done, and nothing is said of it.
    pub async fn read(&self, key: Key, source: &Source) -> Option<Found> {
        match self {
            Keeper::Local(copies) => Some(copies.read(key, source).await),
            Keeper::Ours(cache) => cache.read(key, source).await,
            Keeper::Stamped(copies) => Some(copies.read(key, source).await),
        }
    }

    /// Changes a row of the source, and does to the copies what belongs before and after it. Tells whether all of it
    /// was done.
    pub async fn write(&self, row: Key, source: &Source) -> bool {
        match self {
            Keeper::Local(copies) => copies.write(row, source).await,
            Keeper::Ours(cache) => cache.write(row, source).await,
            Keeper::Stamped(copies) => copies.write(row, source).await,
        }
    }

    pub async fn close(&self) {
        if let Keeper::Ours(cache) = self {
            cache.close().await;
        }
    }
}

/// Whether a group's values are purged after a change, by writers who reserve nothing. Of the other groups they are
/// changed under a reservation.
fn is_purged(row: Key) -> bool {
    row % 2 == 1
}

/// The share of writers that go away right after their source commit.
const CRASHES: f64 = 0.02;
/// The share of writers that are slow after it.
const SLOW: f64 = 0.3;
/// How long a transaction takes until its COMMIT, and a slow writer after it, in microseconds.
const DAWDLE: Range<u64> = 1_000..5_000;

async fn dawdles() {
    tokio::time::sleep(dice::micros(DAWDLE)).await;
}

/// What a writer does after its COMMIT: goes away, and nothing may follow, or comes to what does.
async fn goes_away() -> bool {
    if dice::chance(CRASHES) {
        return true;
    }
    if dice::chance(SLOW) {
        dawdles().await;
    }
    false
}
