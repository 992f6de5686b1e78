//! Keeps this process's lease: asks the grantors, joins what another process has founded, or founds an epoch.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::super::Cache;
use super::super::retry::jittered;
use super::super::stopwatch::{less_drift, with_drift};
use super::Serves;
use super::kept::{Founded, Look};
use crate::protocol::{Epoch, Refusal, Serving, Time};
use crate::store::going_on;

/// How often in a lease each process looks.
const TIMES: u32 = 8;
/// Each epoch that comes to nothing doubles the pause before the next, up to 2⁴ times a reservation's time.
const MOST_FRUITLESS: u32 = 4;

/// Epochs that were founded, and lost before they served: writers that do not reach this region are held up by each. So the next is
/// founded after a pause; one that is there is kept alive all the time.
#[derive(Default)]
struct Fruitless {
    count: u32,
    /// On the clock that goes on.
    until: Duration,
}

impl Fruitless {
    fn another(&mut self, reservation_time: Duration) {
        self.count = (self.count + 1).min(MOST_FRUITLESS);
        self.until = going_on() + jittered(reservation_time * (1 << self.count));
    }

    /// Whether another one may be founded.
    fn is_over(&self) -> Result<(), String> {
        let left = self.until.saturating_sub(going_on());
        if left.is_zero() {
            return Ok(());
        }
        let count = self.count;
        Err(format!(
            "its last epochs ({count}) were lost before it served, so the next is in {left:.1?}"
        ))
    }
}

/// What this process knows of the epoch that it serves in.
struct Served {
    epoch: Epoch,
    founders: Vec<String>,
    /// It serves nothing before that, on the clock that goes on.
    quiet_until: Duration,
}

/// A cluster that has a say, and its name.
struct Place<'c> {
    name: &'c str,
    cache: Cache,
}

impl Cache {
    /// Keeps the lease for as long as the cache is there.
    pub(in crate::cache) fn keep_serving(&self) {
        let Some(serves) = &self.0.serves else { return };
        let (pause, inner) = (serves.span / TIMES, std::sync::Arc::downgrade(&self.0));
        self.0.runtime.spawn(async move {
            let (mut served, mut fruitless) = (None, Fruitless::default());
            while let Some(cache) = Cache::still_open(&inner) {
                if let Some(serves) = &cache.0.serves {
                    match Box::pin(cache.keep(serves, &mut served, &mut fruitless)).await {
                        Ok(()) => fruitless = Fruitless::default(),
                        Err(why) => serves.lapse(&why),
                    }
                }
                drop(cache);
                sleep(jittered(pause)).await;
            }
        });
    }

    /// One round. Why there is no lease, where there is none.
    async fn keep(
        &self,
        serves: &Serves,
        served: &mut Option<Served>,
        fruitless: &mut Fruitless,
    ) -> Result<(), String> {
        let name = &*self.0.regions.as_ref().ok_or("there are no regions")?.own;
        let own =
            self.look_at_region(name).await.map_err(|error| format!("its own cluster: {error}"))?;
        let standing = own.standing();
        let is_live =
            standing.is_some_and(|standing| !standing.epoch.is_none() && standing.until > own.now);
        let kept = own.kept.as_ref().and_then(|kept| kept.founded.clone());
        let epoch = standing.filter(|_| is_live).map(|standing| standing.epoch);
        if let Some(lost) = served.take_if(|served| Some(served.epoch) != epoch)
            && serves.epoch() != lost.epoch
        {
            fruitless.another(self.0.options.reservation_time);
        }
        match (standing, kept) {
            // Another process has founded it, or this one.
            (Some(standing), Some(founded)) if is_live => {
                if served.is_none() {
                    *served = Some(self.learn(standing.epoch, founded, &own));
                }
            }
            (Some(_), None) if is_live => {
                return Err("another process is about to found an epoch".to_owned());
            }
            _ => {
                fruitless.is_over()?;
                *served = Some(self.found(serves, name, &own).await?);
            }
        }
        let served = served.as_ref().ok_or("there is no epoch")?;
        self.prolong(serves, name, served).await
    }

    /// What another process has founded. Its quarantine is waited for by the cluster's clock.
    fn learn(&self, epoch: Epoch, founded: Founded, look: &Look) -> Served {
        let Founded { quiet_until, founders } = founded;
        let quiet = quiet_until.remaining(look.now);
        let quiet = if quiet.is_zero() { quiet } else { quiet + self.0.options.reservation_margin };
        Served { epoch, founders, quiet_until: going_on() + with_drift(quiet) }
    }

    fn places<'c>(&'c self, serves: &'c Serves) -> Vec<Place<'c>> {
        let place = |name: &'c String| Some(Place { name, cache: self.of_region(name)? });
        serves.grantors.iter().filter_map(place).collect()
    }

    /// Asks the founders for more time, where less than half is left, and then the region's own cluster: so its lease there is over
    /// soon where a majority of the founders lets it serve no more, and a new epoch can be founded.
    async fn prolong(&self, serves: &Serves, own: &str, served: &Served) -> Result<(), String> {
        let places = self.places(serves);
        let (majority, of) = (serves.majority(), serves.grantors.len());
        let is_founder = |name: &str| served.founders.iter().any(|founder| founder == name);
        // The own cluster may be one of them: what it keeps is the same.
        let others = places.iter().filter(|place| place.name != own && is_founder(place.name));
        let grants =
            join_all(others.map(|place| place.cache.until_in_time(own, served.epoch, serves.span)))
                .await;
        let is_held = |until: &&Duration| **until > going_on();
        let others = grants.iter().flatten().filter(is_held).count();
        if others + usize::from(is_founder(own)) < majority {
            let why = grants.into_iter().find_map(Result::err).unwrap_or_default();
            return Err(format!("{others} of {of} grantors let it, {majority} must: {why}"));
        }
        let here = self.until_in_time(own, served.epoch, serves.span).await;
        let here = here.map_err(|why| format!("its own cluster: {why}"))?;
        let mut untils: Vec<Duration> = grants.into_iter().flatten().collect();
        untils.extend(is_founder(own).then_some(here));
        untils.sort_unstable_by(|one, other| other.cmp(one));
        let until = untils.get(majority - 1).map_or(Duration::ZERO, |until| here.min(*until));
        let now = going_on();
        if served.quiet_until > now {
            let left = served.quiet_until.saturating_sub(now);
            return Err(format!(
                "its epoch is new, and writers may not know of it for {left:.1?} more"
            ));
        }
        if until <= now {
            return Err("its lease lapsed".to_owned());
        }
        serves.lease(served.epoch, until);
        Ok(())
    }

    /// The same, at most for a small part of a lease: one that hangs must not cost the others'.
    async fn until_in_time(
        &self,
        region: &str,
        epoch: Epoch,
        span: Duration,
    ) -> Result<Duration, String> {
        let within = span / 4;
        let asked = timeout(within, self.until_at(region, epoch, span)).await;
        asked.unwrap_or_else(|_| Err(format!("it does not answer within {within:?}")))
    }

    /// Until when this cluster lets the region serve, on this machine's clock: counted from before it was asked.
    async fn until_at(
        &self,
        region: &str,
        epoch: Epoch,
        span: Duration,
    ) -> Result<Duration, String> {
        let mut look = self.look_at_region(region).await.map_err(|error| error.to_string())?;
        let left = |look: &Look| {
            let standing = look.standing().filter(|standing| standing.may_serve(epoch, look.now));
            standing.map_or(Duration::ZERO, |standing| standing.until.remaining(look.now))
        };
        if left(&look) < span * 3 / 4 {
            match self.ask_region(region, Serving::Renew { epoch }, span).await {
                Ok(Ok(renewed)) => look = renewed,
                Ok(Err(refusal)) => {
                    return Err(format!("a lapsed lease is not renewed ({refusal})"));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let left = left(&look).saturating_sub(self.0.options.reservation_margin);
        Ok(look.sent + less_drift(left))
    }

    /// Takes a new epoch: joins the region's own cluster, then a majority of the grantors, and notes that it is founded with those.
    async fn found(&self, serves: &Serves, own: &str, look: &Look) -> Result<Served, String> {
        let places = self.places(serves);
        let looks = join_all(places.iter().map(|place| place.cache.look_at_region(own))).await;
        let (majority, of) = (serves.majority(), serves.grantors.len());
        let there = looks.iter().flatten().count();
        if there < majority {
            let why = looks.into_iter().find_map(Result::err).map(|error| error.to_string());
            let why = why.unwrap_or_default();
            return Err(format!("{there} of {of} grantors answer, {majority} must: {why}"));
        }
        let epoch = next_epoch(look, looks.iter().flatten());
        // Who knows nothing waits until nobody serves that it has forgotten: all of them at once.
        let unknown = places
            .iter()
            .zip(&looks)
            .filter(|(_, look)| look.as_ref().is_ok_and(|look| look.kept.is_none()));
        join_all(unknown.map(|(place, _)| place.cache.join(own, epoch, serves.span))).await;
        self.join(own, epoch, serves.span)
            .await
            .map_err(|why| format!("its own cluster: {why}"))?;
        let joins =
            places.iter().map(|place| {
                let is_own = place.name == own;
                async move {
                    if is_own { Ok(()) } else { place.cache.join(own, epoch, serves.span).await }
                }
            });
        let joined = join_all(joins).await;
        let founders = places.iter().zip(&joined).filter(|(_, joined)| joined.is_ok());
        let founders: Vec<String> = founders.map(|(place, _)| place.name.to_owned()).collect();
        if founders.len() < majority {
            let why = joined.into_iter().find_map(Result::err).unwrap_or_default();
            return Err(format!(
                "{} of {of} grantors let it in, {majority} must: {why}",
                founders.len()
            ));
        }
        // A writer that has read the table before may be at work for as long as a reservation lasts.
        let margin = self.0.options.reservation_margin;
        let quiet = self.0.options.reservation_time + margin;
        let quiet_until = going_on() + with_drift(quiet);
        match self.found_region(own, epoch, &founders, quiet).await {
            Ok(true) => {}
            Ok(false) => return Err("its own cluster let it no longer".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        // Counted from after it was noted, as this is waited for.
        let quiet_until = quiet_until.max(going_on() + with_drift(quiet));
        serves.counts.founded.add();
        tracing::info!(%epoch, ?founders, "this region has taken a new epoch");
        Ok(Served { epoch, founders, quiet_until })
    }

    async fn join(&self, region: &str, epoch: Epoch, span: Duration) -> Result<(), String> {
        match self.ask_region(region, Serving::Join { epoch }, span).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Refusal::Missing)) => {
                Err("it does not know who served, and waits until they do no more".to_owned())
            }
            Ok(Err(_)) => Err("the lease before is not over".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Greater than any that the region had: by its cluster's clock, so also if everybody has forgotten the one before.
fn next_epoch<'l>(own: &'l Look, others: impl Iterator<Item = &'l Look>) -> Epoch {
    let clock = Epoch::new(Time::as_nanos(own.now));
    let known = others.chain([own]).filter_map(Look::standing);
    known.fold(clock, |most, standing| most.max(standing.epoch.next()).max(standing.bar))
}
