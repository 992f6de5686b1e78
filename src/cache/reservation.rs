//! What can be done with a reservation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::everywhere::{Everywhere, Told, tell};
use super::footing::Footing;
use super::fresh::{Checked, Fresh, check_version};
use super::retry::Settled;
use super::stopwatch::{Stopwatch, with_drift};
use super::tagged::Bears;
use super::{Cache, Error};
use crate::protocol::{Claim, Grant, Token, Version};
use crate::store::Change;

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
    pub(super) held: Arc<Held>,
    finished: bool,
    /// What few have.
    beside: Option<Box<Beside>>,
}

#[derive(Default)]
struct Beside {
    /// Earlier attempts whose answer never came.
    unanswered: Vec<Token>,
    /// Of the same key, in the other regions, in the order of the cache's.
    elsewhere: Vec<Reservation>,
}

/// How a reservation stands in a region.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Cache, Fence, RegionOutcome};
///
/// let us = Cache::connect("memory://").await?;
/// let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us).connect("memory://").await?;
/// let reservation = eu.reserve("k").await?;
/// let regions: Vec<_> = reservation.regions().collect();
/// assert_eq!(regions, [("eu", RegionOutcome::Fenced), ("us", RegionOutcome::Fenced)]);
/// # reservation.abort().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionOutcome {
    /// The key is reserved there: no stale value is served.
    Fenced,
    /// The region did not answer, and the reserve went on without it (`unreachable_reserve` for the own one, `unreachable`
    /// for others): it may serve the old value until it hears of the change.
    LeftOut,
    /// The region serves nothing: its lease is over, and it takes a new epoch before it serves again (`unreachable=wait`).
    Out,
}

/// What can be asked of a reservation, and asked for, also while it is being used up.
pub(crate) struct Held {
    cache: Cache,
    key: Bytes,
    token: Token,
    granted: Mutex<Granted>,
    bears: Bears,
    /// While a renew is under way, so that what uses the reservation up carries its answer.
    renewing: tokio::sync::Mutex<()>,
    /// Where it is held in several regions.
    everywhere: Option<Box<Everywhere>>,
}

/// What a reserve came to.
#[derive(Clone, Copy)]
pub(super) struct Granted {
    /// `None` where the store gave no answer and the caller chose to proceed.
    pub grant: Option<Footing>,
    /// Started before the claim was sent; how long the source has from there on.
    pub since: Stopwatch,
    pub time: Duration,
    /// Started when it was answered; how long copies of the value may be served from there on.
    answered: Stopwatch,
    copies: Duration,
}

impl Granted {
    /// Granted just now.
    pub fn of(footing: Footing, since: Stopwatch, time: Duration) -> Self {
        let copies = footing.grant.wait;
        Granted { grant: Some(footing), ..Granted::none(since, time, copies) }
    }

    /// Not granted; copies may be served for so long from now on.
    pub fn none(since: Stopwatch, time: Duration, copies: Duration) -> Self {
        Granted { grant: None, since, time, answered: Stopwatch::start(), copies }
    }
}

impl Held {
    pub(super) fn new(
        cache: Cache,
        key: Bytes,
        token: Token,
        granted: Granted,
        bears: Bears,
    ) -> Self {
        let (granted, renewing) = (Mutex::new(granted), tokio::sync::Mutex::default());
        Held { cache, key, token, granted, bears, renewing, everywhere: None }
    }

    /// Whether it is of a tag: what is committed is not looked at.
    fn is_of_a_tag(&self) -> bool {
        matches!(self.bears, Bears::Tag)
    }

    /// The least of what is left in all regions.
    pub fn remaining(&self) -> Duration {
        let left = self.remaining_here();
        self.everywhere.as_ref().map_or(left, |everywhere| left.min(everywhere.remaining()))
    }

    /// The longest that copies may still be served in any region.
    pub fn unsettled(&self) -> Duration {
        let elsewhere = self.everywhere.iter().flat_map(|everywhere| &everywhere.elsewhere);
        let longest = elsewhere.map(|(_, held)| held.unsettled_here()).max();
        self.unsettled_here().max(longest.unwrap_or_default())
    }

    fn unsettled_here(&self) -> Duration {
        let Granted { answered, copies, .. } = *self.granted.lock();
        with_drift(copies).saturating_sub(answered.elapsed())
    }

    /// Waits until no copies can be served any more, where those that there were under this hush are over: nobody was given
    /// leave for another one, if it stood when the key was reserved.
    pub async fn settled_under(&self, hush: Option<Token>) {
        if hush.is_some() {
            let mut granted = self.granted.lock();
            if granted.grant.as_ref().is_some_and(|held| held.hush() == hush) {
                granted.copies = Duration::ZERO;
            }
        }
        self.settled().await;
    }

    /// Waits until no copies can be served any more.
    pub async fn settled(&self) {
        let left = self.unsettled();
        Stopwatch::start().wait_until(left).await;
    }

    pub(super) fn remaining_here(&self) -> Duration {
        let Granted { since, time, grant, .. } = *self.granted.lock();
        let left = time.saturating_sub(since.elapsed());
        grant.map_or(left, |granted| left.min(granted.left(&self.cache)))
    }

    pub fn is_held(&self) -> bool {
        self.granted.lock().grant.is_some()
            || self.everywhere.as_ref().is_some_and(|of| of.not_here)
    }

    /// How it stands in each region.
    pub fn regions(&self) -> impl Iterator<Item = (&str, RegionOutcome)> {
        let regions = self.everywhere.iter().flat_map(|everywhere| &everywhere.regions);
        regions.map(|(name, outcome)| (&**name, *outcome))
    }

    pub async fn renew(&self) -> Result<bool, Error> {
        match &self.everywhere {
            None => self.renew_here().await,
            Some(everywhere) => Box::pin(everywhere.renew(self)).await,
        }
    }

    /// As one that began then.
    pub(super) fn begins(&self, since: Stopwatch) {
        let time = self.cache.source_time();
        let mut granted = self.granted.lock();
        *granted = Granted { since, time, ..*granted };
    }

    pub(super) async fn renew_here(&self) -> Result<bool, Error> {
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
                *granted = Granted { grant, since, time: self.cache.source_time(), ..*granted };
            }
            Err(_) => granted.time = Duration::ZERO,
        }
        Ok(renewed.is_ok())
    }

    /// The command that may store. `None` where none can.
    fn commit(&self, fresh: Checked) -> Option<Change> {
        let Checked { value, version, ttl } =
            if self.is_of_a_tag() { self.cache.nothing_of_a_tag() } else { fresh };
        let value = self.bears.with(value)?;
        let token = self.token;
        let held = self.granted.lock().grant?;
        let time = self.cache.0.options.reservation_time;
        let until = held.until(&self.cache, time).ok()?;
        let Grant { generation, deadline, alone, .. } = held.grant;
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
    pub(super) fn new(held: Held, unanswered: Vec<Token>) -> Self {
        Reservation::beside(held, Beside { unanswered, ..Beside::default() })
    }

    /// In several regions: `elsewhere` are those of the others.
    pub(super) fn everywhere(
        held: Held,
        unanswered: Vec<Token>,
        elsewhere: Vec<(Arc<str>, Self)>,
        mut everywhere: Everywhere,
    ) -> Self {
        let (names, elsewhere): (Vec<_>, Vec<_>) = elsewhere.into_iter().unzip();
        let others = elsewhere.iter().map(|other| Arc::clone(&other.held));
        everywhere.elsewhere = names.into_iter().zip(others).collect();
        let held = Held { everywhere: Some(Box::new(everywhere)), ..held };
        Reservation::beside(held, Beside { unanswered, elsewhere })
    }

    fn beside(held: Held, beside: Beside) -> Self {
        let has_more = !beside.unanswered.is_empty() || !beside.elsewhere.is_empty();
        let beside = has_more.then(|| Box::new(beside));
        Reservation { held: Arc::new(held), finished: false, beside }
    }

    /// How long it is worth while to tell what became of it.
    pub(super) fn patience(&self) -> Duration {
        self.held.cache.0.options.reservation_time
    }

    fn elsewhere(&mut self) -> impl Iterator<Item = Reservation> {
        self.beside.iter_mut().flat_map(|beside| std::mem::take(&mut beside.elsewhere))
    }

    /// Whether the own region is to be told nothing, as it has nothing of this.
    fn is_elsewhere_alone(&self) -> bool {
        self.held.everywhere.as_ref().is_some_and(|everywhere| everywhere.not_here)
    }

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

    /// How long copies of the value may still be served, by this process or another, in any region (the option `near`):
    /// COMMIT must not be sent before. Zero where none are kept.
    #[must_use]
    pub fn unsettled(&self) -> Duration {
        self.held.unsettled()
    }

    /// Waits until no copy of the value is served any more, at most for the option `near_max`. To be called before COMMIT is
    /// *sent*; what comes before it in the transaction need not wait. It is part of the time that
    /// [`remaining`](Reservation::remaining) counts. [`Cache::update`] waits by itself.
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// let reservation = cache.reserve("user:1").await?;
    /// // BEGIN; UPDATE …
    /// reservation.settled().await;
    /// assert!(reservation.unsettled().is_zero());
    /// // COMMIT
    /// let _ = reservation.release(None).await?;
    /// # Ok(()) }
    /// ```
    pub async fn settled(&self) {
        self.held.settled().await;
    }

    /// The same, where copies were waited for under this hush.
    pub(super) async fn settled_under(&self, hush: Option<Token>) {
        self.held.settled_under(hush).await;
    }

    /// Whether the key is held, in the own region if that serves. Not so only where the store gave no answer and the option
    /// `unreachable_reserve` says to proceed.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// How it stands in each region that it is to be held in: where the key is read, or the own one, first; of none, where the option
    /// `fence` is `own`.
    pub fn regions(&self) -> impl Iterator<Item = (&str, RegionOutcome)> {
        self.held.regions()
    }

    /// Asks for the whole reservation time anew, in every region that holds the key. `false`: the reservation has expired; the source
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
    pub async fn commit(mut self, fresh: impl Into<Fresh>) -> Result<CommitOutcome, Error> {
        let mut fresh: Fresh = fresh.into();
        if self.held.is_of_a_tag() {
            fresh = Fresh::nothing();
        }
        let version = fresh.version.and_then(Version::new);
        let Held { cache, key, .. } = &*self.held;
        cache.note_value(key, &fresh.value, version, cache.begun());
        let unfit = match self.held.cache.fit(fresh) {
            Ok(Some(fresh)) => {
                self.tell_elsewhere(&Told::Changed(version, Some(&fresh)));
                return Ok(self.commit_checked(fresh).await);
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.tell_elsewhere(&Told::Changed(version, None));
        let released = self.release_checked(version).await;
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
    pub async fn release(mut self, version: Option<u64>) -> Result<ReleaseOutcome, Error> {
        let version = version.filter(|_| !self.held.is_of_a_tag());
        let checked = version.map(check_version).transpose();
        let version = checked.clone().unwrap_or_default();
        self.tell_elsewhere(&Told::Changed(version, None));
        let released = self.release_checked(version).await;
        checked.map(|_| released)
    }

    /// Says that the source was certainly not changed and will not be: rolled back, or never sent.
    /// Not for a COMMIT whose answer never came: drop the reservation then.
    ///
    /// Should the store not answer, the reservation expires.
    pub async fn abort(mut self) {
        self.tell_elsewhere(&Told::Unchanged);
        self.abort_here().await;
    }

    pub(super) async fn abort_here(mut self) {
        self.finished = true;
        let previous = self.beside.take().unwrap_or_default().unanswered;
        if previous.is_empty() && (!self.is_held() || self.is_elsewhere_alone()) {
            return;
        }
        let Held { cache, key, token, renewing, .. } = &*self.held;
        let _renewed = renewing.lock().await;
        let abort = Change::Abort { token: *token, previous };
        if let Err(error) = cache.settle(key, &abort, None).await {
            tracing::debug!(%error, "an abort was not answered");
        }
    }

    /// Begun before the own region is told, so that it goes on where that is not waited for.
    fn tell_elsewhere(&mut self, told: &Told<'_>) {
        let held = Arc::clone(&self.held);
        if let Some(everywhere) = &held.everywhere {
            tell(everywhere, self.elsewhere(), told);
        }
    }

    pub(super) async fn commit_checked(self, fresh: Checked) -> CommitOutcome {
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

    pub(super) async fn release_checked(self, version: Option<Version>) -> ReleaseOutcome {
        if self.is_elsewhere_alone() {
            self.finish();
            return ReleaseOutcome::Purged;
        }
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
        for reservation in self.beside.iter_mut().flat_map(|beside| &mut beside.elsewhere) {
            // It is said once.
            reservation.finished = true;
        }
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
