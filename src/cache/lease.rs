//! The permission to fill a key, kept alive while its holder reads the source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::flight::Mark;
use super::footing::Footing;
use super::found::{Found, LoadError, Told};
use super::fresh::{Checked, Fresh};
use super::retry::Settled;
use super::stale::Loading;
use super::tagged::{Nonces, stored};
use super::{Cache, Error, Leader};
use crate::protocol::{Claim, Refusal, Token, Version};
use crate::store::{Change, Hit, StoreError};

/// What became of a fill.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{FillOutcome, Lookup};
///
/// let Lookup::Leased(lease) = cache.lookup("k").await? else { panic!("nobody else is here") };
/// cache.invalidate("k", None).await?; // somebody changed the source meanwhile
/// assert!(matches!(lease.fill("old").await?, FillOutcome::Rejected(_)));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a fill may have lost a race"]
#[non_exhaustive]
pub enum FillOutcome {
    /// The value is in the cache.
    Stored,
    /// The race was lost: the key was written, invalidated, evicted, or leased by another since.
    /// Nothing was stored.
    Rejected(Refusal),
    /// The value is larger than the option `max_value_bytes`. Nothing was stored, and the lease is given back.
    TooLarge,
    /// The store did not answer. The value may be in the cache, and is right if it is.
    InDoubt,
}

/// The permission to fill one key. One caller in all processes has it.
///
/// **Read the source after the lease came**: what was read before may be older than a change that
/// the lease knows nothing of. The read must see the latest committed state: no surrounding
/// snapshot, no replica that lags (see [`Fresh::version`]).
///
/// The library keeps the lease alive in the background, at most for the option `load_time`.
/// Dropping it gives it back, or hands it to another caller of this process who waits for the key.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{FillOutcome, Lookup};
///
/// let Lookup::Leased(lease) = cache.lookup("k").await? else { panic!("nobody else is here") };
/// let value = "read from the source after the lease came";
/// assert_eq!(lease.fill(value).await?, FillOutcome::Stored);
/// # Ok(()) }
/// ```
pub struct Lease {
    cache: Cache,
    shared: Arc<Shared>,
    token: Token,
    /// Set before the holder could read the source: who joined earlier may take what it read.
    read: Mark,
    loading: Option<Box<Loading>>,
    keeper: AbortHandle,
    /// Of the tags that the value is to bear.
    nonces: Option<Nonces>,
}

/// What the holder and the keeper both work on.
struct Shared {
    /// The newest grant. Locked while an extend is under way, so that a fill carries its answer;
    /// taken by the fill, so that none is sent after it.
    grant: Mutex<Option<Footing>>,
    /// Gone when the keeper has given up.
    leader: SyncMutex<Option<Leader>>,
}

impl Lease {
    pub(super) fn new(cache: Cache, mut leader: Leader, token: Token, granted: Footing) -> Self {
        let key = leader.key().clone();
        let read = leader.mark();
        // Whoever takes over may replace this lease. Earlier attempts need no naming any more: this one
        // was granted, so none of them is in the record.
        leader.carried.clear();
        leader.carried.push(token);
        let shared = Arc::new(Shared {
            grant: Mutex::new(Some(granted)),
            leader: SyncMutex::new(Some(leader)),
        });
        let loading = cache.loading(&key);
        let keeper = cache.spawn(keep(cache.clone(), key, token, Arc::clone(&shared)));
        Lease { cache, shared, token, read, loading, keeper, nonces: None }
    }

    /// The token that what is filled is stored under.
    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// The nonces that are stored beside the value. Had before the source is read.
    pub(super) fn bear(&mut self, nonces: Nonces) {
        self.nonces = Some(nonces);
    }

    /// Gives the lease back, and the lead to the caller, unless that is gone.
    pub(super) fn let_go(self) -> Option<Leader> {
        self.keeper.abort();
        let mut leader = self.shared.leader.lock().take()?;
        self.cache.unlease(leader.key().clone(), std::mem::take(&mut leader.carried), None);
        Some(leader)
    }

    /// Stores what the source said after this lease came, unless the key was changed since.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version or a time to live out of bounds: nothing was sent, and the lease is given
    /// back. [`Error::Store`] if the store gave no answer and the value was certainly not stored.
    pub async fn fill(self, fresh: impl Into<Fresh>) -> Result<FillOutcome, Error> {
        let fresh = fresh.into();
        let Some(checked) = self.cache.fit(fresh.clone())? else {
            self.give_back(&fresh).await;
            return Ok(FillOutcome::TooLarge);
        };
        self.fill_checked(checked).await
    }

    pub(super) async fn fill_checked(self, fresh: Checked) -> Result<FillOutcome, Error> {
        let Checked { value, version, ttl } = fresh;
        self.cache.note_loaded(self.loading.as_deref(), &value, version);
        let granted = self.shared.grant.lock().await.take();
        self.keeper.abort();
        let leader = self.shared.leader.lock().take();
        let (Some(granted), Some(mut leader)) = (granted, leader) else {
            // The keeper gave up, and another caller may be filling.
            self.cache.0.counters.fills_rejected.add();
            return Ok(FillOutcome::Rejected(Refusal::Condition));
        };
        let stored = stored(self.nonces.as_ref(), value.clone());
        let hit = Hit { value, stamp: self.token, version, life: None };
        let told = Told::Found(Found::Hit(hit));
        if version.is_none() {
            // What becomes of the fill is nothing to those who came before the read.
            leader.tell(&told, self.read);
        }
        let until = granted.may_store(&self.cache, self.cache.0.options.lease_time).await;
        let Ok(until) = until else {
            tracing::debug!(
                "a fill is not sent: the cluster has changed since its lease was granted"
            );
            self.cache.0.counters.fills_rejected.add();
            return Ok(FillOutcome::Rejected(Refusal::Condition));
        };
        let sent = leader.mark();
        let change = Change::Fill {
            token: self.token,
            deadline: granted.grant.deadline,
            generation: granted.grant.generation,
            value: stored,
            version,
            ttl,
            until,
        };
        let settled = self.cache.settle(leader.key(), &change, Some(self.token)).await;
        if let Ok(Settled::Applied | Settled::Refused(Refusal::Missing)) = settled {
            // The lease is over. In every other case it may be live, and is given back.
            leader.carried.clear();
        }
        match &settled {
            // A change of a tag since the source was read is no matter of this record's: who came later looks at both.
            Ok(Settled::Applied) if self.nonces.is_some() => leader.finish(&told, self.read),
            // Only a value that was stored is known to have been the latest when the fill was sent.
            Ok(Settled::Applied) => leader.finish(&told, sent),
            // Those who came later look for themselves, one first. As must all where there is a version: it may
            // come from a replica that lags, and what the floor has rejected is too old for everybody.
            _ => drop(leader),
        }
        let filled = self.cache.filled(settled);
        let counters = &self.cache.0.counters;
        match filled {
            Ok(FillOutcome::Stored) => counters.fills_stored.add(),
            Ok(FillOutcome::Rejected(_)) => counters.fills_rejected.add(),
            _ => {}
        }
        filled
    }

    /// Gives a value that is not stored to those who came before it was read, and the lease to the next of the
    /// others, or back.
    pub(super) async fn give_back(self, fresh: &Fresh) {
        let version = fresh.version.and_then(Version::new);
        self.cache.note_loaded(self.loading.as_deref(), &fresh.value, version);
        self.keeper.abort();
        let leader = self.shared.leader.lock().take();
        let Some(leader) = leader else { return };
        let mark = match version {
            Some(version) if self.cache.is_at_floor(leader.key(), version).await != Some(true) => {
                Mark::NONE
            }
            _ => self.read,
        };
        let hit = Hit { value: fresh.value.clone(), stamp: self.token, version, life: None };
        leader.tell(&Told::Found(Found::Hit(hit)), mark);
    }

    /// To be given to the program, of which nobody knows what it does with it.
    pub(super) fn held(self) -> Self {
        if let Some(leader) = &*self.shared.leader.lock() {
            leader.hold();
        }
        self
    }

    #[cfg(feature = "capi")]
    pub(super) fn is_awaited(&self) -> bool {
        self.shared.leader.lock().as_ref().is_some_and(Leader::is_awaited)
    }

    /// Gives the lease up: those who had joined before the source was read share the failure, and the next of
    /// the others takes it over. Says how many were told.
    pub(super) fn fail(self, failure: LoadError) -> usize {
        self.keeper.abort();
        let leader = self.shared.leader.lock().take();
        leader.map_or(0, |leader| leader.tell(&Told::LoadFailed(failure), self.read))
    }
}

impl Cache {
    /// What became of a fill, or of a refill, with what of it both count alike.
    pub(super) fn filled(
        &self,
        settled: Result<Settled, StoreError>,
    ) -> Result<FillOutcome, Error> {
        match settled {
            Ok(Settled::Applied) => Ok(FillOutcome::Stored),
            Ok(Settled::Refused(why)) => {
                tracing::debug!(%why, "a fill lost its race");
                Ok(FillOutcome::Rejected(why))
            }
            Ok(Settled::InDoubt(error)) => {
                self.0.counters.in_doubt.add();
                tracing::warn!(%error, "the store did not answer to a fill");
                Ok(FillOutcome::InDoubt)
            }
            Err(error) => {
                self.0.counters.failures.add();
                Err(error.into())
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
        let leader = self.shared.leader.lock().take();
        // Dropped without the lock: it tells the next waiter.
        drop(leader);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

/// Extends a lease before it lapses, until its holder is done or has taken too long.
async fn keep(cache: Cache, key: bytes::Bytes, token: Token, shared: Arc<Shared>) {
    let time = cache.0.options.lease_time;
    let ttl = cache.0.options.claim_ttl();
    let end = Instant::now() + cache.0.options.load_time;
    let extending = async {
        loop {
            pause(time / 3, &shared).await;
            let mut held = shared.grant.lock().await;
            let Some(granted) = *held else { return Kept::Used };
            let Ok(until) = granted.until(&cache, time) else {
                tracing::debug!("a lease is let go: the cluster has changed since it was granted");
                *held = None;
                return Kept::Lost;
            };
            let extend =
                Claim::Extend { token, deadline: granted.grant.deadline, time, ttl, until };
            // Boxed, as most leases are over before: it would make a large task of every one.
            match Box::pin(cache.claim_again(&key, &extend)).await {
                Ok(Ok(extended)) => {
                    cache.0.counters.extensions.add();
                    *held = Some(granted.renewed(extended));
                }
                // Lost, to a writer, say: the fill will be told. Whoever waits need not wait for it.
                Ok(Err(_)) => {
                    tracing::debug!("a lease was lost; another caller may fill");
                    *held = None;
                    return Kept::Lost;
                }
                Err(error) => tracing::debug!(%error, "a lease could not be extended"),
            }
        }
    };
    let kept = match timeout_at(end, extending).await {
        Ok(kept) => kept,
        Err(_) if shared.grant.lock().await.take().is_some() => {
            tracing::debug!("a fill takes too long; another caller may fill");
            Kept::Lost
        }
        Err(_) => Kept::Used,
    };
    // A fill that has taken the grant takes the lead, too, in a moment: it is not there to be handed over.
    if let Kept::Lost = kept {
        let leader = shared.leader.lock().take();
        drop(leader);
    }
}

/// Why a lease is not kept alive any more.
enum Kept {
    /// A fill has taken it.
    Used,
    /// It was lost, or has taken too long.
    Lost,
}

/// Until it is time to extend: before the lease lapses, or soon where somebody waits for the fill, as a
/// lease that was lost is noticed so, and keeps nobody waiting.
async fn pause(longest: Duration, shared: &Shared) {
    let end = Instant::now() + longest;
    loop {
        let now = Instant::now();
        if now >= end {
            return;
        }
        sleep(SOON.min(end - now)).await;
        let leader = shared.leader.lock();
        if leader.as_ref().is_some_and(Leader::is_awaited) {
            return;
        }
    }
}

/// How soon a lease is looked after where somebody waits.
const SOON: Duration = Duration::from_millis(100);

/// How long giving back what is not needed any more may take.
pub(super) const RETURN_TIME: Duration = Duration::from_secs(2);
