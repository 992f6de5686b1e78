//! A reservation in several regions: what it knows of them, and what they are told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use tokio::time::timeout;

use super::fresh::Checked;
use super::regions::in_region;
use super::reservation::{CommitOutcome, Held, RegionOutcome, Reservation};
use super::stopwatch::Stopwatch;
use super::{Cache, Error};
use crate::protocol::{Epoch, Version};

/// What a reservation knows of the regions.
pub(super) struct Everywhere {
    /// The cache that was asked for it, which may be another than the key's home.
    pub asked: Cache,
    /// How it stands in each: where the key is read, or the own one, first.
    pub regions: Vec<(Arc<str>, RegionOutcome)>,
    /// What is held elsewhere, with the names of the regions.
    pub elsewhere: Vec<(Arc<str>, Arc<Held>)>,
    /// Where regions serve under leases: the epochs that it is held in, and those that are out.
    pub epochs: Vec<(Arc<str>, Epoch)>,
    /// Whether it is held in no epoch of the own region's, so that nothing can be stored there.
    pub not_here: bool,
}

/// What the other regions are told.
pub(super) enum Told<'f> {
    /// The source was changed, to this version, and to this value where that may be stored.
    Changed(Option<Version>, Option<&'f Checked>),
    Unchanged,
}

impl Everywhere {
    /// Of nothing yet.
    pub fn of(asked: &Cache) -> Self {
        Everywhere {
            asked: asked.clone(),
            regions: Vec::new(),
            elsewhere: Vec::new(),
            epochs: Vec::new(),
            not_here: false,
        }
    }

    /// The least that is left elsewhere.
    pub fn remaining(&self) -> Duration {
        let left = self.elsewhere.iter().map(|(_, held)| held.remaining_here());
        left.min().unwrap_or(Duration::MAX)
    }

    /// Here and in every region that has it. Where regions serve under leases, no region may have begun since that does not have it.
    pub async fn renew(&self, here: &Held) -> Result<bool, Error> {
        let since = Stopwatch::start();
        if !self.covers_all().await? {
            return Ok(false);
        }
        let elsewhere = self.elsewhere.iter().filter(|(_, held)| held.is_held());
        let elsewhere = elsewhere.map(async |(region, held)| {
            held.renew_here().await.map_err(|error| in_region(region, error))
        });
        let own = async { if self.not_here { Ok(true) } else { here.renew_here().await } };
        let (own, elsewhere) = Box::pin(join(own, join_all(elsewhere))).await;
        let renewed =
            elsewhere.into_iter().try_fold(own?, |all, renewed| Ok::<_, Error>(renewed? && all))?;
        if renewed {
            // Before anything was asked.
            here.begins(since);
        }
        Ok(renewed)
    }

    async fn covers_all(&self) -> Result<bool, Error> {
        let cache = &self.asked;
        let (Some(regions), Some(serves)) = (&cache.0.regions, &cache.0.serves) else {
            return Ok(true);
        };
        let table = cache.table(regions, serves).await?;
        let known = |region: &Arc<str>, epoch| {
            self.epochs.iter().any(|(name, of)| name == region && *of == epoch)
        };
        let covered = table.targets.iter().all(|target| known(&target.region, target.epoch));
        Ok(table.waits.is_zero() && covered)
    }
}

/// Tells other regions, in the background: what became of the change is known, and their readers go to the source until they hear of it.
pub(super) fn tell(
    everywhere: &Everywhere,
    elsewhere: impl Iterator<Item = Reservation>,
    told: &Told<'_>,
) {
    let push = everywhere.asked.fenced().is_some_and(|regions| regions.push);
    for reservation in elsewhere {
        let patience = reservation.patience();
        let telling: BoxFuture<'static, ()> = match told {
            Told::Unchanged => Box::pin(reservation.abort_here()),
            Told::Changed(_, Some(fresh)) if push => {
                let fresh = (*fresh).clone();
                Box::pin(async move {
                    // What it comes to is counted there.
                    let _: CommitOutcome = reservation.commit_checked(fresh).await;
                })
            }
            Told::Changed(version, _) => {
                let version = *version;
                Box::pin(async move {
                    reservation.release_checked(version).await;
                })
            }
        };
        everywhere.asked.spawn_aside(async move {
            let _: Result<(), _> = timeout(patience, telling).await;
        });
    }
}
