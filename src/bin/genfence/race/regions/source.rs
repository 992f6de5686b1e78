//! The source of record of both regions, in this process: it counts a version for each row, and knows when each was
//! committed.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Key, Version};

pub struct Source(Box<[Row]>);

struct Row {
    version: AtomicU64,
    /// Whoever changes the row holds it.
    lock: tokio::sync::Mutex<()>,
    /// When each version was committed, the first at the front.
    commits: Mutex<Vec<Instant>>,
}

impl Source {
    pub fn new(keys: usize) -> Self {
        let row = |_| Row {
            version: AtomicU64::new(1),
            lock: tokio::sync::Mutex::default(),
            commits: Mutex::new(vec![Instant::now()]),
        };
        Source((0..keys).map(row).collect())
    }

    /// The latest committed version.
    pub fn read(&self, key: Key) -> Version {
        self.0[key].version.load(SeqCst)
    }

    /// Changes a row, unless it is too late once the row's lock is held.
    pub async fn change(&self, key: Key, is_late: impl Fn() -> bool) -> Option<Version> {
        let row = &self.0[key];
        let _held = row.lock.lock().await;
        if is_late() {
            return None;
        }
        // A reader that finds the new version finds when it was committed.
        let mut commits = row.commits.lock();
        let version = row.version.fetch_add(1, SeqCst) + 1;
        commits.push(Instant::now());
        Some(version)
    }

    /// When a newer version than this one was committed.
    pub fn superseded(&self, key: Key, version: Version) -> Option<Instant> {
        let commits = self.0[key].commits.lock();
        commits.get(usize::try_from(version).ok()?).copied()
    }
}
