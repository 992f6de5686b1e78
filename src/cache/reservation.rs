//! **reserve**, and what can be done with a reservation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::footing::Footing;
use super::fresh::{Checked, Fresh, check_version};
use super::retry::Settled;
use super::stopwatch::Stopwatch;
use super::{Cache, Error};
use crate::protocol::{Claim, Grant, Token, Version};
use crate::settings::UnreachableReserve;
use crate::store::{Answer, Change, StoreError};

/// What became of a commit.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::CommitOutcome;
///
/// let (first, second) = (cache.reserve("k").await?, cache.reserve("k").await?);
/// // Without versions nobody knows whose change came last.
/// assert_eq!(first.commit("one").await?, CommitOutcome::Purged);
/// assert_eq!(second.commit("other").await?, CommitOutcome::Purged);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a commit may have lost a race"]
#[non_exhaustive]
pub enum CommitOutcome {
    /// The value is in the cache.
    Stored,
    /// Another writer crossed this one: the key is empty, and the next reader fills it.
    Purged,
    /// The value is larger than the option `max_value_bytes`: the key was released, and is empty.
    TooLarge,
    /// The store did not answer. The key is bypassed until the reservation expires; a release is tried in
    /// the background until then.
    InDoubt,
}

/// What became of a release.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::ReleaseOutcome;
///
/// let reservation = cache.reserve("k").await?;
/// assert_eq!(reservation.release(None).await?, ReleaseOutcome::Purged);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseOutcome {
    /// The key is empty.
    Purged,
    /// The store did not answer. The key is bypassed until the reservation expires; the release goes on
    /// being tried in the background until then.
    InDoubt,
}

/// A writer's claim on one key, taken before it changes the source.
///
/// From reserve on the cache holds no value for the key, and readers bypass it. After the source was
/// changed, [`commit`](Reservation::commit) stores the new value, if no other writer crossed.
///
/// **Only the caller knows what became of the source.** So dropping a reservation leaves it to
/// expire: the key is bypassed for at most the option `reservation_time`, and nothing stale can be
/// served, whatever the source did. [`abort`](Reservation::abort) is for a transaction that was
/// certainly rolled back, or never sent.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// # async fn transaction() -> Result<bool, std::io::Error> { Ok(true) }
/// let reservation = cache.reserve("k").await?;
/// match transaction().await {
///     Ok(true) => drop(reservation.commit("the new value").await?),
///     Ok(false) => reservation.abort().await, // certainly rolled back
///     Err(_) => drop(reservation),            // who knows: let it expire
/// }
/// # Ok(()) }
/// ```
#[must_use = "a reservation that is dropped bypasses its key until it expires"]
pub struct Reservation {
    held: Arc<Held>,
    /// Earlier attempts whose answer never came.
    unanswered: Vec<Token>,
    finished: bool,
}

/// What can be asked of a reservation, and asked for, also while it is being used up.
pub(crate) struct Held {
    cache: Cache,
    key: Bytes,
    token: Token,
    granted: Mutex<Granted>,
    /// While a renew is under way, so that what uses the reservation up carries its answer.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Granted {
    /// `None` where the store gave no answer and the caller chose to proceed.
    grant: Option<Footing>,
    /// Started before the claim was sent; how long the source has from there on.
    since: Stopwatch,
    time: Duration,
}

impl Cache {
    /// Reserves `key`, before its source is changed. Always succeeds where the store answers; other
    /// writers may reserve the same key at the same time.
    ///
    /// [`update`](Cache::update) is the same with fewer ways to go wrong.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or oversized key; [`Error::Store`] if the store gave no
    /// answer: then do not change the source, or set the option `unreachable_reserve` to proceed;
    /// [`Error::ShutDown`].
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
        let key = Bytes::copy_from_slice(&self.key(key.as_ref())?);
        let (time, ttl) = (self.0.options.reservation_time, self.0.options.claim_ttl());
        let claim = |token, previous| Claim::Reserve { token, previous, time, ttl };
        // The embedded store has no queue that could be full.
        let turn = if self.is_embedded() { None } else { Some(self.0.turns.take(&key).await) };
        let mut sending = Sending { cache: self, key: &key, unanswered: Vec::new() };
        let (since, answer) = self.reserve_on_ground(&mut sending, claim).await;
        drop(turn);
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
            Err(error) if self.0.options.unreachable_reserve == UnreachableReserve::Proceed => {
                self.0.counters.failures.add();
                tracing::warn!(%error, "changing the source without a reservation");
                (super::retry::token(), None)
            }
            Err(error) => {
                self.0.counters.failures.add();
                return Err(error.into());
            }
        };
        let unanswered = sending.arrived();
        let granted = Mutex::new(Granted { grant, since, time: self.source_time() });
        let (cache, renewing) = (self.clone(), tokio::sync::Mutex::default());
        let held = Arc::new(Held { cache, key, token, granted, renewing });
        Ok(Reservation { held, unanswered, finished: false })
    }

    /// Reserves under a lease on the cluster, where the store has one, and makes sure that it was this cluster that
    /// granted it. Says when the present try began: its clock starts before the packet is sent, so it is never behind
    /// the server's.
    async fn reserve_on_ground(
        &self,
        sending: &mut Sending<'_>,
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
            let answer = self.claim_anew(sending.key, &mut sending.unanswered, &claim).await;
            let (token, grant) = match answer {
                Ok(Ok(granted)) => granted,
                Ok(Err(refusal)) => return (since, Ok(Err(refusal))),
                Err(error) => return (since, Err(error)),
            };
            let granted = Footing::of(self, grant, standing);
            // Until it is known whose it is, it is for the next try, or for an abort, to remove.
            sending.unanswered.push(token);
            if granted.is_confirmed_reserve(self).await {
                sending.unanswered.pop();
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
    fn source_time(&self) -> Duration {
        self.0.options.reservation_time.saturating_sub(self.0.options.reservation_margin)
    }
}

/// A reserve under way. Dropped before it arrived, it aborts what may have been reserved: the
/// caller has not got it, so it cannot have changed the source.
struct Sending<'c> {
    cache: &'c Cache,
    key: &'c Bytes,
    unanswered: Vec<Token>,
}

impl Sending<'_> {
    fn arrived(mut self) -> Vec<Token> {
        std::mem::take(&mut self.unanswered)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut tokens = std::mem::take(&mut self.unanswered);
        let Some(token) = tokens.pop() else { return };
        let (cache, key) = (self.cache.clone(), self.key.clone());
        self.cache.spawn(async move {
            let abort = Change::Abort { token, previous: tokens };
            let patience = cache.0.options.reservation_time;
            let _: Result<_, _> = timeout(patience, cache.settle(&key, &abort, None)).await;
        });
    }
}

impl Held {
    pub fn remaining(&self) -> Duration {
        let Granted { since, time, grant } = *self.granted.lock();
        let left = time.saturating_sub(since.elapsed());
        grant.map_or(left, |granted| left.min(granted.left(&self.cache)))
    }

    pub async fn renew(&self) -> Result<bool, Error> {
        let _renewing = self.renewing.lock().await;
        let Some(held) = self.granted.lock().grant else { return Ok(false) };
        let (time, ttl) = (self.cache.0.options.reservation_time, self.cache.0.options.claim_ttl());
        let Ok(until) = held.until(&self.cache, time) else { return Ok(false) };
        let since = Stopwatch::start();
        let deadline = held.grant.deadline;
        let renew = Claim::Renew { token: self.token, deadline, time, ttl, until };
        let renewed = self.cache.claim_again(&self.key, &renew).await?;
        let mut granted = self.granted.lock();
        match renewed {
            Ok(grant) => {
                self.cache.0.counters.renewals.add();
                let grant = Some(held.renewed(grant));
                *granted = Granted { grant, since, time: self.cache.source_time() };
            }
            Err(_) => granted.time = Duration::ZERO,
        }
        Ok(renewed.is_ok())
    }

    /// The command that may store. `None` where none can.
    fn commit(&self, fresh: Checked) -> Option<Change> {
        let Checked { value, version, ttl } = fresh;
        let token = self.token;
        let held = self.granted.lock().grant?;
        let time = self.cache.0.options.reservation_time;
        let until = held.until(&self.cache, time).ok()?;
        let Grant { generation, deadline, alone } = held.grant;
        match version {
            Some(version) => {
                Some(Change::CommitVersioned { token, deadline, value, version, ttl, until })
            }
            None if alone => {
                Some(Change::Commit { token, deadline, generation, value, ttl, until })
            }
            None => None,
        }
    }
}

impl Reservation {
    /// How long the source may still take: the reservation time less the margin, counted from
    /// before the reserve was sent, on a clock that goes on while the machine is suspended (where the
    /// system has one: Linux, Windows, Apple's). Zero means that it is too late to begin.
    ///
    /// On a cluster it is no more than what is left of the lease on it (the options `cluster_guard` and
    /// `cluster_guard_time`), which goes on being prolonged: so ask again just before COMMIT is sent. Zero then means
    /// that the cluster has changed, and may have forgotten this reservation: roll back.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.held.remaining()
    }

    /// Whether the key is held. Not so only where the store gave no answer and the option
    /// `unreachable_reserve` says to proceed.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.granted.lock().grant.is_some()
    }

    /// Asks for the whole reservation time anew. `false`: the reservation has expired; the source
    /// must not be changed any more, and if it was, only [`release`](Reservation::release) is left.
    ///
    /// # Errors
    /// [`Error::Store`] if the store gave no answer: [`remaining`](Reservation::remaining) stays as
    /// it was.
    pub async fn renew(&self) -> Result<bool, Error> {
        self.held.renew().await
    }

    /// What goes on to be asked while it is used up.
    #[cfg(feature = "capi")]
    pub(crate) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Says that the source was changed to this value, and committed. A version makes it
    /// [`commit_versioned`](Reservation::commit_versioned).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version or a time to live out of bounds. The source was changed all the same, so
    /// the key is released.
    pub async fn commit(self, fresh: impl Into<Fresh>) -> Result<CommitOutcome, Error> {
        let fresh: Fresh = fresh.into();
        let version = fresh.version;
        let unfit = match self.held.cache.fit(fresh) {
            Ok(Some(fresh)) => return Ok(self.commit_checked(fresh).await),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let released = self.release_checked(version.and_then(Version::new)).await;
        unfit.map(|()| match released {
            ReleaseOutcome::Purged => CommitOutcome::TooLarge,
            ReleaseOutcome::InDoubt => CommitOutcome::InDoubt,
        })
    }

    /// [`commit`](Reservation::commit) with the version that the source gave the change. Stores
    /// also beside other writers, if all of them have left with older versions.
    ///
    /// # Errors
    /// As [`commit`](Reservation::commit).
    pub async fn commit_versioned(
        self,
        fresh: impl Into<Fresh>,
        version: u64,
    ) -> Result<CommitOutcome, Error> {
        self.commit(fresh.into().version(version)).await
    }

    /// Says that the source was changed, and stores nothing: the next reader fills. With the
    /// version that the source gave the change, where it has versions.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version out of bounds; the key is released all the same.
    pub async fn release(self, version: Option<u64>) -> Result<ReleaseOutcome, Error> {
        let checked = version.map(check_version).transpose();
        let released = self.release_checked(checked.clone().unwrap_or_default()).await;
        checked.map(|_| released)
    }

    /// Says that the source was certainly not changed and will not be: rolled back, or never sent.
    /// Not for a COMMIT whose answer never came: drop the reservation then.
    ///
    /// Should the store not answer, the reservation expires.
    pub async fn abort(mut self) {
        self.finished = true;
        let previous = std::mem::take(&mut self.unanswered);
        if previous.is_empty() && !self.is_held() {
            return;
        }
        let Held { cache, key, token, renewing, .. } = &*self.held;
        let _renewed = renewing.lock().await;
        let abort = Change::Abort { token: *token, previous };
        if let Err(error) = cache.settle(key, &abort, None).await {
            tracing::debug!(%error, "an abort was not answered");
        }
    }

    async fn commit_checked(self, fresh: Checked) -> CommitOutcome {
        let version = fresh.version;
        let Held { cache, key, token, renewing, .. } = &*self.held;
        drop(renewing.lock().await);
        let stored = match self.held.commit(fresh) {
            Some(change) => cache.settle(key, &change, Some(*token)).await,
            None => Ok(Settled::Refused(crate::protocol::Refusal::Condition)),
        };
        if let Ok(Settled::Applied) = stored {
            cache.0.counters.commits_stored.add();
            self.finish();
            return CommitOutcome::Stored;
        }
        // The source did change, so the key must not stay as it is. Once the release is applied, no
        // packet of the commit can store any more, not even one that is still under way.
        match self.release_checked(version).await {
            ReleaseOutcome::Purged => CommitOutcome::Purged,
            ReleaseOutcome::InDoubt => CommitOutcome::InDoubt,
        }
    }

    async fn release_checked(self, version: Option<Version>) -> ReleaseOutcome {
        let Held { cache, key, token, renewing, .. } = &*self.held;
        drop(renewing.lock().await);
        let ttl = cache.0.options.claim_ttl();
        let change = Change::Release { token: *token, version, ttl };
        let released = cache.settle(key, &change, None).await;
        // Refused means that there is no record, so there is no value either.
        if let Ok(Settled::Applied | Settled::Refused(_)) = released {
            cache.0.counters.purges.add();
            self.finish();
            return ReleaseOutcome::Purged;
        }
        cache.0.counters.in_doubt.add();
        tracing::warn!("the store did not answer to a release; it goes on in the background");
        self.release_in_background(change);
        ReleaseOutcome::InDoubt
    }

    /// Until the reservation has expired there is nothing that this could come too late for.
    fn release_in_background(self, change: Change) {
        let (cache, key) = (self.held.cache.clone(), self.held.key.clone());
        self.finish();
        let patience = cache.0.options.reservation_time;
        cache.clone().spawn(async move {
            let persist = async {
                while !matches!(
                    cache.settle(&key, &change, None).await,
                    Ok(Settled::Applied | Settled::Refused(_))
                ) {
                    tokio::time::sleep(patience / 20).await;
                }
            };
            let _: Result<(), _> = timeout(patience, persist).await;
        });
    }

    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.finished && self.is_held() {
            self.held.cache.0.counters.reservations_left.add();
            tracing::info!(
                "a reservation was left to expire; commit, release or abort it to free its key"
            );
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}
