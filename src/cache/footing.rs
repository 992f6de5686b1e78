//! What a claim stands on: the lease on the cluster that it was granted under, where the store has one.

use std::time::Duration;

use super::Cache;
use super::stopwatch::{Stopwatch, nanos};
use crate::protocol::{Grant, Time, Token};
use crate::store::{Guard, Standing, StoreError};

/// How long a reserve waits until a change of the cluster is old enough, beyond the store's own bounds.
const PATIENCE: Duration = Duration::from_secs(3);

/// A claim that was granted, and its ground: it counts only for as long as that holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footing {
    pub grant: Grant,
    standing: Option<Standing>,
    /// The round of questions that tells whether it was the same cluster that granted it.
    round: u64,
    granted: Stopwatch,
}

impl Cache {
    /// The ground to take a lease on, now.
    ///
    /// # Errors
    /// The cluster's nodes do not agree, or have only just begun to.
    pub(super) async fn may_lease(&self) -> Result<Option<Standing>, StoreError> {
        let Some(guard) = self.0.store.guard() else { return Ok(None) };
        guard.for_claims_soon().await.map(Some).ok_or_else(|| guard.absence())
    }

    /// The ground to reserve on, as soon as there is one.
    ///
    /// # Errors
    /// There is none for some seconds.
    pub(super) async fn may_reserve(&self) -> Result<Option<Standing>, StoreError> {
        let Some(guard) = self.0.store.guard() else { return Ok(None) };
        if let Some(standing) = guard.for_claims() {
            return Ok(Some(standing));
        }
        Box::pin(guard.settled(PATIENCE)).await.map(Some)
    }

    /// The ground to serve what is about to be read.
    #[inline]
    pub(super) fn may_serve(&self) -> Option<Standing> {
        self.0.store.guard().map(Guard::standing)
    }

    /// Until when what is asked for on that ground may count, on the server's clock, where it was `now` there since.
    ///
    /// # Errors
    /// It has fallen.
    pub(super) fn until_on(
        &self,
        now: Time,
        standing: Option<Standing>,
    ) -> Result<Option<Time>, StoreError> {
        let Some(guard) = self.0.store.guard().filter(|guard| guard.may_split()) else {
            return Ok(None);
        };
        match self.left_of(standing) {
            Duration::ZERO => Err(guard.absence()),
            left => Ok(Some(now.after(left))),
        }
    }

    /// Whether it still holds.
    pub(super) fn stands_on(&self, standing: Option<Standing>) -> Result<(), StoreError> {
        match self.0.store.guard() {
            Some(guard) if self.left_of(standing).is_zero() => Err(guard.absence()),
            _ => Ok(()),
        }
    }

    /// Whether what was answered just now was answered on that ground.
    pub(super) async fn is_still(&self, standing: Option<Standing>) -> bool {
        match (self.0.store.guard(), standing) {
            (None, _) => true,
            (Some(guard), Some(standing)) if !guard.may_split() => !guard.left(standing).is_zero(),
            (Some(guard), Some(standing)) => guard.confirm(standing, guard.ask(), PATIENCE).await,
            (Some(_), None) => false,
        }
    }

    /// How long a ground will still hold; for ever, where the store has none. One that was taken before there was a
    /// cluster is none.
    fn left_of(&self, standing: Option<Standing>) -> Duration {
        self.left_by(standing, Guard::left)
    }

    /// Whether it holds, by who has read the clock.
    #[inline]
    pub(super) fn stands_at(&self, standing: Option<Standing>, now: Duration) -> bool {
        !self.left_by(standing, |guard, standing| guard.left_at(standing, now)).is_zero()
    }

    #[inline]
    fn left_by(
        &self,
        standing: Option<Standing>,
        left: impl FnOnce(&Guard, Standing) -> Duration,
    ) -> Duration {
        match (self.0.store.guard(), standing) {
            (None, _) => Duration::MAX,
            (Some(guard), Some(standing)) => left(guard, standing),
            (Some(_), None) => Duration::ZERO,
        }
    }
}

impl Footing {
    /// Of a claim that was granted just now, and asked for on this ground.
    pub fn of(cache: &Cache, grant: Grant, standing: Option<Standing>) -> Self {
        let round = cache.0.store.guard().map_or(0, Guard::ask);
        Footing { grant, standing, round, granted: Stopwatch::start() }
    }

    /// The hush that stood when it was granted.
    pub fn hush(&self) -> Option<Token> {
        self.grant.hush
    }

    /// How long it will still hold.
    pub fn left(&self, cache: &Cache) -> Duration {
        cache.left_of(self.standing)
    }

    /// Whether it holds, and did when the claim was granted.
    pub async fn is_confirmed(&self, cache: &Cache) -> bool {
        match (cache.0.store.guard(), self.standing) {
            (None, _) => true,
            (Some(guard), Some(standing)) => guard.confirm(standing, self.round, PATIENCE).await,
            (Some(_), None) => false,
        }
    }

    /// As [`is_confirmed`](Footing::is_confirmed), for a reservation: where there is one node, it alone can have
    /// granted it.
    pub async fn is_confirmed_reserve(&self, cache: &Cache) -> bool {
        match cache.0.store.guard() {
            Some(guard) if !guard.may_split() => !self.left(cache).is_zero(),
            _ => self.is_confirmed(cache).await,
        }
    }

    /// The same ground, with a grant that came just now.
    pub fn renewed(self, grant: Grant) -> Self {
        Footing { grant, granted: Stopwatch::start(), ..self }
    }

    /// Until when a command under this grant may count, on the server's clock: to the end of the lease on the cluster.
    /// The grant was made `time` before its deadline, and came later than it was made.
    ///
    /// # Errors
    /// It has ended.
    pub fn until(&self, cache: &Cache, time: Duration) -> Result<Option<Time>, Fallen> {
        match self.left(cache) {
            Duration::MAX => Ok(None),
            Duration::ZERO => Err(Fallen),
            left => {
                let made = self.grant.deadline.as_nanos().saturating_sub(nanos(time));
                Ok(Some(Time::from_nanos(made).after(self.granted.elapsed() + left)))
            }
        }
    }
}

impl Footing {
    /// As [`until`](Footing::until), of a value that was loaded under this grant; once it is known that the ground
    /// held when it was granted. That was asked for then: most often it is known by now.
    ///
    /// # Errors
    /// It did not, or has ended: nothing may be stored under it.
    pub async fn may_store(&self, cache: &Cache, time: Duration) -> Result<Option<Time>, Fallen> {
        let confirmed = self.is_confirmed(cache).await;
        let until = self.until(cache, time);
        if confirmed { until } else { Err(Fallen) }
    }
}

/// The ground is gone.
#[derive(Debug)]
pub(super) struct Fallen;
