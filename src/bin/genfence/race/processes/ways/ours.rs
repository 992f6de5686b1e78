use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use genfence::{Builder, Cache, Fresh, Reservation, SourceResult, UnreachableRead, UpdateOutcome};

use super::super::super::{Failure, ours};
use super::super::talk::{Ask, Source, Task};
use super::super::{CLAIM, CLOSING, MARGIN};
use super::{Found, Key, Way, dawdles, goes_away, is_purged};

/// The library itself.
pub struct Ours {
    cache: Cache,
    /// For the values of each group. Empty where there are none.
    groups: Vec<Cache>,
    task: Task,
}

/// A writer that went away.
struct Gone;

fn is_changed(outcome: UpdateOutcome) -> bool {
    outcome != UpdateOutcome::RolledBack
}

/// The race's own options, under those of the URL. `near`: how long copies live, in those processes that keep some.
pub fn options(way: Way, near: Duration) -> Builder {
    let options = ours::options()
        .lease_time(CLAIM)
        .reservation_time(near + CLAIM)
        .reservation_margin(MARGIN)
        .near_max(near)
        .tags(way.has_tags())
        // Of one that was stopped, commands were too late: it reads the source, and goes on.
        .unreachable_read(UnreachableRead::Bypass);
    if way.has_copies() { options.near(near) } else { options }
}

impl Ours {
    pub async fn open(task: &Task) -> Result<Self, Failure> {
        let cache = options(task.way, task.near).connect(&task.url).await?;
        let groups = if task.way.has_tags() { task.rows } else { 0 };
        let groups = (0..groups).map(|row| cache.tagged([task.name(row)]));
        Ok(Ours { groups: groups.collect::<Result<_, _>>()?, cache, task: task.clone() })
    }

    pub async fn read(&self, key: Key, source: &Source) -> Option<Found> {
        let row = self.task.row(key);
        let loaded = Cell::new(false);
        let load = async || {
            loaded.set(true);
            Ok::<_, Infallible>(source.load(row).await.to_string())
        };
        let cache = self.groups.get(row).unwrap_or(&self.cache);
        let value = cache.get_or_fill(self.task.name(key), load).await.ok()??;
        // Whatever else it is, it is not what was stored.
        let version = std::str::from_utf8(&value).ok().and_then(|value| value.parse().ok());
        Some((version.unwrap_or(0), loaded.get()))
    }

    pub async fn write(&self, row: Key, source: &Source) -> bool {
        let name = self.task.name(row);
        if self.groups.is_empty() {
            let change = async |reservation: &Reservation| {
                self.change(row, source, reservation, |version| Fresh::from(version.to_string()))
                    .await
            };
            return self.cache.update(name, change).await.is_ok_and(is_changed);
        }
        if !is_purged(row) {
            let change = async |reservation: &Reservation| {
                self.change(row, source, reservation, |_| Fresh::nothing()).await
            };
            return self.cache.update_tag(name, change).await.is_ok_and(is_changed);
        }
        dawdles().await;
        let version = source.change_unsaid(row).await;
        if goes_away().await || self.cache.purge_tag(name).await.is_err() {
            return false;
        }
        source.tell(&Ask::Counts { row, version }).await;
        true
    }

    /// What a writer does between its reserve and its commit.
    async fn change(
        &self,
        row: Key,
        source: &Source,
        reservation: &Reservation,
        fresh: impl Fn(u64) -> Fresh,
    ) -> Result<SourceResult, Gone> {
        dawdles().await;
        // On the source's clock, as of before it is asked what remains: who is stopped from here on changes nothing later.
        let now = source.now();
        let remaining = u64::try_from(reservation.remaining().as_nanos()).unwrap_or(u64::MAX / 2);
        match source.change(row, Some(now + remaining)).await {
            None => Ok(SourceResult::RolledBack),
            Some(_) if goes_away().await => Err(Gone),
            Some(version) => Ok(SourceResult::Committed(fresh(version))),
        }
    }

    pub async fn close(&self) {
        self.cache.close(CLOSING).await;
    }
}
