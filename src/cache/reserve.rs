//! **reserve**: a key, here and in the other regions, before its source is changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::time::timeout;

use super::everywhere::Everywhere;
use super::footing::Footing;
use super::regions::{Regions, Target, in_region};
use super::reservation::{Granted, Held, RegionOutcome, Reservation};
use super::serving::{Serves, Table};
use super::stopwatch::Stopwatch;
use super::tagged::Bears;
use super::{Cache, Error, Room};
use crate::protocol::{Claim, Epoch, Token};
use crate::settings::UnreachableReserve;
use crate::store::{Answer, Change, Store as _, StoreError};

impl Cache {
    /// Reserves `key`, before its source is changed. Always succeeds where the store answers; other
    /// writers may reserve the same key at the same time.
    ///
    /// [`update`](Cache::update) is the same with fewer ways to go wrong.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or oversized key; [`Error::Store`] if the store gave no
    /// answer: then do not change the source, or set the option `unreachable_reserve` to proceed;
    /// [`Error::ShutDown`]. Where the option `fence` is `all` or `home`, also of another region, whose name it has.
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, CommitOutcome};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let reservation = cache.reserve("user:1").await?;
    /// // … change the source within `reservation.remaining()`, and commit there …
    /// assert_eq!(reservation.commit("new value").await?, CommitOutcome::Stored);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn reserve(&self, key: impl AsRef<[u8]>) -> Result<Reservation, Error> {
        let key = key.as_ref();
        match (self.fenced(), &self.0.serves) {
            (None, _) => Ok(self.take(key, Epoch::NONE, self.may_proceed()).await?.hand_over()),
            (Some(regions), None) => Box::pin(self.reserve_everywhere(regions, key)).await,
            (Some(regions), Some(serves)) => {
                Box::pin(self.reserve_where_served(regions, serves, key)).await
            }
        }
    }

    /// In all regions at once, or in those that are the key's home. Whatever was taken is given back, should one of them be an error.
    async fn reserve_everywhere(
        &self,
        regions: &Regions,
        key: &[u8],
    ) -> Result<Reservation, Error> {
        self.check_key(key)?;
        let targets = self.targets(regions, key)?;
        let taking = targets.iter().map(async |Target { region, cache, epoch }| {
            let proceeds = regions.may_proceed(region, self.may_proceed());
            let taken = cache.take(key, *epoch, proceeds).await;
            taken.map_err(|error| regions.told_of(region, error))
        });
        let taken = join_all(taking).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let names = targets.into_iter().map(|target| target.region);
        let mut taken: Vec<_> = names.zip(taken).collect();
        for (region, _) in
            taken.iter().filter(|(region, taken)| *region != regions.own && !taken.is_held())
        {
            self.0.counters.regions_left_out.add();
            tracing::warn!(%region, "changing the source without a reservation in another region");
        }
        let stands = taken.iter().map(|(name, taken)| (Arc::clone(name), taken.outcome()));
        let everywhere = Everywhere { regions: stands.collect(), ..Everywhere::of(self) };
        // There is a place where the key is read.
        let (_, here) = taken.remove(0);
        Ok(here.hand_over_with(taken, everywhere))
    }

    /// In every epoch that a region serves in. One that does not answer is waited for until it serves no more.
    async fn reserve_where_served(
        &self,
        regions: &Regions,
        serves: &Serves,
        key: &[u8],
    ) -> Result<Reservation, Error> {
        self.check_key(key)?;
        // Before it is known who serves: who takes a new epoch after that is quiet for as long as a reservation lasts.
        let since = Stopwatch::start();
        let Table { targets, waits } = self.table(regions, serves).await?;
        let taking = targets.iter().map(async |target| {
            // What a region in quarantine is told counts, and what is stored there does not.
            let stores = target.region == regions.own && serves.serves(target.epoch).is_ok();
            match target.cache.take(key, target.epoch, false).await {
                Ok(taken) => Ok((Some(taken), stores)),
                // What is refused would be again, and the region serves on: nothing is changed then.
                Err(Error::Store(error)) if error.may_retry() => {
                    let region = &target.region;
                    tracing::warn!(%region, %error, "a region does not answer to a reserve");
                    self.wait_out(serves, target).await.map(|()| (None, false))
                }
                Err(error) => Err(in_region(&target.region, error)),
            }
        });
        let (taken, ()) = join(join_all(taking), tokio::time::sleep(waits)).await;
        let taken = taken.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let mut stands: Vec<_> =
            regions.names().map(|name| (Arc::clone(name), RegionOutcome::Out)).collect();
        let (mut here, mut elsewhere) = (None, Vec::new());
        for (target, (taken, stores)) in targets.iter().zip(taken) {
            let Some(taken) = taken else { continue };
            for (_, outcome) in stands.iter_mut().filter(|(name, _)| *name == target.region) {
                *outcome = RegionOutcome::Fenced;
            }
            if stores && here.is_none() {
                here = Some(taken);
            } else {
                elsewhere.push((Arc::clone(&target.region), taken));
            }
        }
        let epochs = targets.iter().map(|target| (Arc::clone(&target.region), target.epoch));
        let everywhere = Everywhere {
            regions: stands,
            epochs: epochs.collect(),
            not_here: here.is_none(),
            ..Everywhere::of(self)
        };
        let mut here = here.unwrap_or_else(|| self.take_nothing(key));
        here.granted.since = since;
        Ok(here.hand_over_with(elsewhere, everywhere))
    }

    /// A reservation that holds nothing in the own region.
    fn take_nothing(&self, key: &[u8]) -> Taken {
        let key = Bytes::copy_from_slice(&self.key_in(key, Epoch::NONE, &mut Room::default()));
        let granted = Granted::none(Stopwatch::start(), self.source_time(), Duration::ZERO);
        let sent = Sent { cache: self.clone(), key, tokens: Vec::new() };
        Taken { token: super::retry::token(), granted, sent, bears: Bears::Nothing }
    }

    /// Whether the source may be changed where the store does not answer.
    fn may_proceed(&self) -> bool {
        self.0.options.unreachable_reserve == UnreachableReserve::Proceed
    }

    /// In this cache's own store.
    async fn take(&self, key: &[u8], epoch: Epoch, proceeds: bool) -> Result<Taken, Error> {
        self.check_key(key)?;
        let room = &mut Room::default();
        self.take_full(&self.key_in(key, epoch, room), proceeds).await
    }

    /// The same by its whole name, which was checked, and only where the store answers.
    pub(super) async fn reserve_full(&self, key: &[u8]) -> Result<Reservation, Error> {
        Ok(self.take_full(key, false).await?.hand_over())
    }

    /// As the program has said what to do where the store does not answer.
    pub(super) async fn reserve_full_or_proceed(&self, key: &[u8]) -> Result<Reservation, Error> {
        Ok(self.take_full(key, self.may_proceed()).await?.hand_over())
    }

    async fn take_full(&self, key: &[u8], proceeds: bool) -> Result<Taken, Error> {
        let key = Bytes::copy_from_slice(key);
        let (time, ttl) = (self.0.options.reservation_time, self.0.options.claim_ttl());
        let claim = |token, previous| Claim::Reserve { token, previous, time, ttl };
        // The embedded store has no queue that could be full.
        let turn = if self.is_embedded() { None } else { Some(self.0.turns.take(&key).await) };
        self.forget(&key);
        let mut sent = Sent { cache: self.clone(), key: key.clone(), tokens: Vec::new() };
        let (since, answer) = self.reserve_on_ground(&mut sent, claim).await;
        drop(turn);
        // What was read while it was under way.
        self.forget(&key);
        let (token, grant) = match answer {
            Ok(Ok((token, granted))) => {
                self.0.counters.reservations.add();
                (token, Some(granted))
            }
            Ok(Err(refusal)) => {
                self.0.counters.failures.add();
                let told = format!("it refused a reserve, which no record can refuse: {refusal}");
                return Err(StoreError::refused(told).into());
            }
            Err(error) if proceeds => {
                self.0.counters.failures.add();
                tracing::warn!(%error, "changing the source without a reservation");
                (super::retry::token(), None)
            }
            Err(error) => {
                self.0.counters.failures.add();
                return Err(error.into());
            }
        };
        let time = self.source_time();
        let granted = match grant {
            Some(footing) => Granted::of(footing, since, time),
            // What the record says of copies is not known.
            None => Granted::none(since, time, self.0.store.terms().unsaid),
        };
        // Before the source is changed. Where it was not reserved nothing is stored.
        let bears = match grant {
            None if self.bears_tags(&key) => Bears::Unknown,
            _ => self.bears(&key).await,
        };
        Ok(Taken { token, granted, sent, bears })
    }

    /// Reserves under a lease on the cluster, where the store has one, and makes sure that it was this cluster that
    /// granted it. Says when the present try began: its clock starts before the packet is sent, so it is never behind
    /// the server's.
    async fn reserve_on_ground(
        &self,
        sent: &mut Sent,
        claim: impl Fn(Token, Vec<Token>) -> Claim,
    ) -> (Stopwatch, Result<Answer<(Token, Footing)>, StoreError>) {
        let mut tries = self.tries();
        loop {
            let standing = self.may_reserve().await;
            let since = Stopwatch::start();
            let standing = match standing {
                Ok(standing) => standing,
                Err(error) => return (since, Err(error)),
            };
            let answer = self.claim_anew(&sent.key, &mut sent.tokens, &claim).await;
            let (token, grant) = match answer {
                Ok(Ok(granted)) => granted,
                Ok(Err(refusal)) => return (since, Ok(Err(refusal))),
                Err(error) => return (since, Err(error)),
            };
            let granted = Footing::of(self, grant, standing);
            // Until the caller has it, it is for the next try, or for an abort, to remove.
            sent.tokens.push(token);
            if granted.is_confirmed_reserve(self).await {
                return (since, Ok(Ok((token, granted))));
            }
            let changed =
                StoreError::doubtful("the cluster changed while it granted a reservation");
            if let Err(error) = tries.again(changed).await {
                return (since, Err(error));
            }
        }
    }

    /// How long a source may take under a reservation.
    pub(super) fn source_time(&self) -> Duration {
        self.0.options.reservation_time.saturating_sub(self.0.options.reservation_margin)
    }
}

/// A reservation that was granted, and has not come to the caller.
struct Taken {
    token: Token,
    granted: Granted,
    sent: Sent,
    bears: Bears,
}

impl Taken {
    fn is_held(&self) -> bool {
        self.granted.grant.is_some()
    }

    fn outcome(&self) -> RegionOutcome {
        if self.is_held() { RegionOutcome::Fenced } else { RegionOutcome::LeftOut }
    }

    fn hand_over(self) -> Reservation {
        let (held, unanswered) = self.parts();
        Reservation::new(held, unanswered)
    }

    fn hand_over_with(
        self,
        elsewhere: Vec<(Arc<str>, Taken)>,
        everywhere: Everywhere,
    ) -> Reservation {
        let elsewhere = elsewhere.into_iter().map(|(region, taken)| (region, taken.hand_over()));
        let (held, unanswered) = self.parts();
        Reservation::everywhere(held, unanswered, elsewhere.collect(), everywhere)
    }

    fn parts(self) -> (Held, Vec<Token>) {
        let Taken { token, granted, mut sent, bears } = self;
        let (key, mut tokens) = (sent.key.clone(), std::mem::take(&mut sent.tokens));
        tokens.retain(|sent| *sent != token);
        (Held::new(sent.cache.clone(), key, token, granted, bears), tokens)
    }
}

/// The tokens of a reserve under way. Dropped before it came to the caller, it aborts what may have been reserved: the
/// caller has not got it, so it cannot have changed the source.
struct Sent {
    cache: Cache,
    key: Bytes,
    tokens: Vec<Token>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut tokens = std::mem::take(&mut self.tokens);
        let Some(token) = tokens.pop() else { return };
        let (cache, key) = (self.cache.clone(), self.key.clone());
        self.cache.spawn(async move {
            let abort = Change::Abort { token, previous: tokens };
            let patience = cache.0.options.reservation_time;
            let _: Result<_, _> = timeout(patience, cache.settle(&key, &abort, None)).await;
        });
    }
}
