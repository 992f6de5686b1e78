//! A source of record in this process: it counts a version for each row, and knows since when each counts as its latest.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Key, Version};

pub struct Versions(Box<[Row]>);

struct Row {
    version: AtomicU64,
    /// Whoever changes the row holds it.
    lock: tokio::sync::Mutex<()>,
    /// Since when each version counts, the first at the front.
    since: Mutex<Vec<Instant>>,
}

impl Versions {
    pub fn new(rows: usize) -> Self {
        let row = |_| Row {
            version: AtomicU64::new(1),
            lock: tokio::sync::Mutex::default(),
            since: Mutex::new(vec![Instant::now()]),
        };
        Versions((0..rows).map(row).collect())
    }

    /// The latest committed version.
    pub fn read(&self, row: Key) -> Version {
        self.0[row].version.load(SeqCst)
    }

    /// Changes a row, unless it is too late once the row's lock is held. The new version counts from its COMMIT on.
    pub async fn change(&self, row: Key, is_late: impl Fn() -> bool) -> Option<Version> {
        let row = &self.0[row];
        let _held = row.lock.lock().await;
        if is_late() {
            return None;
        }
        // A reader that finds the new version finds when it was committed.
        let mut since = row.since.lock();
        let version = row.version.fetch_add(1, SeqCst) + 1;
        since.push(Instant::now());
        Some(version)
    }

    /// Changes a row of which nothing is promised yet: the new version counts once that was [said](Self::counts).
    pub fn change_unsaid(&self, row: Key) -> Version {
        self.0[row].version.fetch_add(1, SeqCst) + 1
    }

    /// From here on this version counts, and what was before it is no longer the latest.
    pub fn counts(&self, row: Key, version: Version) {
        let mut since = self.0[row].since.lock();
        while (since.len() as Version) < version {
            since.push(Instant::now());
        }
    }

    /// The newest version that counted then.
    pub fn latest_at(&self, row: Key, then: Instant) -> Version {
        self.0[row].since.lock().partition_point(|since| *since <= then) as Version
    }

    /// Since when a newer version than this one counts.
    pub fn superseded(&self, row: Key, version: Version) -> Option<Instant> {
        let since = self.0[row].since.lock();
        since.get(usize::try_from(version).ok()?).copied()
    }
}
