//! One load for all who wait in a process, stored or not.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::flight::{Mark, Role, Verdict};
use super::found::{Bypass, Found, Gap, LoadError, Seen, Told};
use super::lookup::{Missed, Patience};
use super::retry::token;
use super::stale::{Loading, timed_out};
use super::{Cache, CallError, Error, Fresh, Leader, Lease, Room};
#[cfg(feature = "capi")]
use super::{FillOutcome, Refresh};
#[cfg(feature = "capi")]
use crate::protocol::Refusal;
use crate::protocol::Version;
use crate::store::{Hit, StoreError, Value};

/// What a caller finds who loads, if it comes to that, for all who wait in this process.
pub(crate) enum ToLoad {
    Hit(Hit),
    /// It is this caller's to load; and why it is not stored, if so.
    Load(
        Load,
        #[cfg_attr(not(feature = "capi"), expect(dead_code, reason = "hosts are told"))]
        Option<Bypass>,
    ),
    /// Another caller's load failed.
    Failed(LoadError),
}

/// The permission to load. Dropped unused, it goes to the next who waits.
pub(crate) enum Load {
    /// What is loaded is stored.
    Leased(Lease),
    /// It is not, as in a bypass.
    Unleased(Unleased),
    /// It takes the place of a value that goes on being served; nobody waits for it.
    #[cfg(feature = "capi")]
    Refresh(Box<Refresh>),
}

/// The permission to load what is not stored.
pub(crate) struct Unleased {
    cache: Cache,
    /// Gone when the load takes too long.
    leader: Arc<Mutex<Option<Leader>>>,
    /// Set before the holder could read the source: who joined earlier may take what it read.
    read: Mark,
    loading: Option<Box<Loading>>,
    keeper: Option<AbortHandle>,
}

impl Unleased {
    /// Without a leader it is a load for its own caller alone.
    fn new(cache: &Cache, leader: Option<Leader>) -> Self {
        let read = leader.as_ref().map_or(Mark::NONE, Leader::mark);
        let loading = leader.as_ref().and_then(|leader| cache.loading(leader.key()));
        let leader = Arc::new(Mutex::new(leader));
        let keeper = leader.lock().is_some().then(|| {
            let (kept, load_time) = (Arc::clone(&leader), cache.0.options.load_time);
            cache.spawn(async move {
                sleep(load_time).await;
                tracing::debug!("a load takes too long; another caller may load");
                let leader = kept.lock().take();
                drop(leader);
            })
        });
        Unleased { cache: cache.clone(), leader, read, loading, keeper }
    }

    fn take(&self) -> Option<Leader> {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
        self.leader.lock().take()
    }

    /// Gives a value that is not stored to those who came before it was read; the next of the others leads.
    async fn share(self, fresh: &Fresh) {
        let version = fresh.version.and_then(Version::new);
        self.cache.note_loaded(self.loading.as_deref(), &fresh.value, version);
        let Some(leader) = self.take() else { return };
        let mark = match version {
            // It may come from a replica that lags.
            Some(version)
                if leader.is_awaited()
                    && self.cache.is_at_floor(leader.key(), version).await == Some(false) =>
            {
                Mark::NONE
            }
            _ => self.read,
        };
        let hit = Hit { value: fresh.value.clone(), stamp: token(), version, life: None };
        leader.tell(&Told::Loaded(hit), mark);
    }

    fn fail(self, failure: LoadError) -> usize {
        self.take().map_or(0, |leader| leader.tell(&Told::LoadFailed(failure), self.read))
    }
}

impl Drop for Unleased {
    fn drop(&mut self) {
        // Dropped without the lock: it tells the next waiter.
        let leader = self.take();
        drop(leader);
    }
}

impl Load {
    /// A load for its own caller, beside all others.
    pub(super) fn alone(cache: &Cache) -> Self {
        Load::Unleased(Unleased::new(cache, None))
    }

    /// The load failed: those who had joined before it began share that, and the next of the others loads.
    /// Says how many were told.
    pub(crate) fn fail(self, failure: LoadError) -> usize {
        match self {
            Load::Leased(lease) => lease.fail(failure),
            Load::Unleased(unleased) => unleased.fail(failure),
            #[cfg(feature = "capi")]
            Load::Refresh(refresh) => {
                drop(refresh);
                0
            }
        }
    }

    /// Whether somebody waits for it.
    #[cfg(feature = "capi")]
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Load::Leased(lease) => lease.is_awaited(),
            Load::Unleased(Unleased { leader, .. }) => {
                leader.lock().as_ref().is_some_and(Leader::is_awaited)
            }
            Load::Refresh(_) => false,
        }
    }

    /// As [`Lease::fill`]; without a lease the value only goes to those who wait.
    #[cfg(feature = "capi")]
    pub(crate) async fn fill(self, fresh: Fresh) -> Result<FillOutcome, Error> {
        match self {
            Load::Leased(lease) => lease.fill(fresh).await,
            Load::Refresh(refresh) => refresh.fill(fresh).await,
            Load::Unleased(unleased) => {
                let outcome = match unleased.cache.fit(fresh.clone())? {
                    Some(_) => FillOutcome::Rejected(Refusal::Condition),
                    None => FillOutcome::TooLarge,
                };
                unleased.share(&fresh).await;
                Ok(outcome)
            }
        }
    }

    /// It was loaded, and is not to be stored: those who wait get it.
    pub(crate) async fn share(self, fresh: &Fresh) {
        match self {
            Load::Leased(lease) => lease.give_back(fresh).await,
            Load::Unleased(unleased) => unleased.share(fresh).await,
            #[cfg(feature = "capi")]
            Load::Refresh(refresh) => drop(refresh),
        }
    }
}

/// Why there is nothing to share.
struct Unstorable;

/// What a call that loads came to.
pub(super) enum Loaded<T> {
    /// The bytes, from the cache or another caller.
    Shared(Value),
    /// What the caller's own loader said.
    Own(T),
}

impl Cache {
    /// Looks `key` up for a caller who loads for all.
    pub(crate) async fn begin_load(&self, key: &[u8]) -> Result<ToLoad, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room)?;
        if let Err(error) = cache.serves(key.epoch) {
            return cache.load_unserved(&key, error).await;
        }
        let (gap, bypass) = match cache.read_served(&key).await? {
            Seen::Found(Found::Hit(hit)) => return Ok(ToLoad::Hit(hit)),
            Seen::Found(Found::Bypass(why)) => (Gap::Free, Some(why)),
            Seen::Found(Found::Failed(error)) => return Err(error),
            Seen::Gap(gap) => (gap, None),
        };
        // Apart, so that a hit's future is not as large as a miss's.
        Box::pin(cache.load_missing(Bytes::copy_from_slice(&key), gap, bypass)).await
    }

    /// Where the cache may not serve. Whoever loads under a lease may have begun while it might: what he brings is good for those
    /// who came then, and too old for this one.
    #[cold]
    async fn load_unserved(&self, key: &[u8], error: StoreError) -> Result<ToLoad, Error> {
        self.without(error)?;
        let why = Bypass::Unreachable;
        self.count_bypass(why);
        Ok(Box::pin(self.load_beside(&Bytes::copy_from_slice(key), Some(why))).await)
    }

    async fn load_missing(
        &self,
        key: Bytes,
        gap: Gap,
        bypass: Option<Bypass>,
    ) -> Result<ToLoad, Error> {
        let (leader, why) = match self.miss(key.clone(), gap, bypass, Patience::Shares).await? {
            Missed::Leased(lease) => return Ok(ToLoad::Load(Load::Leased(lease), None)),
            Missed::Slow(leader) => (leader, Bypass::Slow),
            Missed::Led(Found::Bypass(why), leader, _) => (leader, why),
            Missed::Led(Found::Hit(hit), leader, mark) => {
                leader.finish(&Told::Found(Found::Hit(hit.clone())), mark);
                return Ok(ToLoad::Hit(hit));
            }
            Missed::Led(Found::Failed(error), leader, _) => {
                leader.finish(&Told::Found(Found::Failed(error.clone())), Mark::ALL);
                return Err(error);
            }
            Missed::Told(Told::Found(Found::Bypass(why))) => {
                self.count_bypass(why);
                return Ok(self.load_beside(&key, Some(why)).await);
            }
            Missed::Told(Told::Found(Found::Hit(hit)) | Told::Loaded(hit)) => {
                return Ok(ToLoad::Hit(hit));
            }
            Missed::Told(Told::Found(Found::Failed(error))) => return Err(error),
            Missed::Told(Told::LoadFailed(failure)) => return Ok(ToLoad::Failed(failure)),
        };
        self.count_bypass(why);
        Ok(ToLoad::Load(Load::Unleased(Unleased::new(self, Some(leader))), Some(why)))
    }

    fn count_bypass(&self, why: Bypass) {
        self.0.counters.bypasses.add();
        tracing::debug!(?why, "bypass");
    }

    /// As [`begin_load`](Cache::begin_load), for a caller who wants the source's own answer: the cache is not read.
    #[cfg(feature = "capi")]
    pub(crate) async fn begin_load_unread(&self, key: &[u8]) -> Result<ToLoad, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room)?;
        Ok(cache.load_beside(&Bytes::copy_from_slice(&key), None).await)
    }

    /// Leads the loads of a key that have nothing to do with its record, such as beside a lease which the program
    /// holds, or hears of one that began after this call.
    async fn load_beside(&self, key: &Bytes, why: Option<Bypass>) -> ToLoad {
        let leader = loop {
            let waiter = match self.0.beside.join(key) {
                Role::Leader(leader) => break Some(leader),
                Role::Waiter(waiter) => waiter,
            };
            match waiter.await {
                Verdict::Lead(leader) => break Some(leader),
                Verdict::Answer(Told::Loaded(hit)) => return ToLoad::Hit(hit),
                Verdict::Answer(Told::LoadFailed(failure)) => return ToLoad::Failed(failure),
                // Nobody tells that here: each for itself.
                Verdict::Answer(Told::Found(_)) => break None,
                Verdict::Again => {}
            }
        };
        ToLoad::Load(Load::Unleased(Unleased::new(self, leader)), why)
    }

    /// Loads for all who wait, unless there is a value. `fresh` says what of it is to be stored; nothing, if it
    /// cannot be.
    pub(super) async fn load<T, E, F>(
        &self,
        key: &[u8],
        loader: impl FnOnce() -> F,
        fresh: impl FnOnce(&T) -> Option<Fresh>,
    ) -> Result<Loaded<T>, CallError<Arc<E>>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let found = self.begin_load(key).await?;
        self.load_found(found, loader, fresh).await
    }

    /// The same, of what was found.
    pub(super) async fn load_found<T, E, F>(
        &self,
        found: ToLoad,
        loader: impl FnOnce() -> F,
        fresh: impl FnOnce(&T) -> Option<Fresh>,
    ) -> Result<Loaded<T>, CallError<Arc<E>>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let load = match found {
            ToLoad::Hit(hit) => return Ok(Loaded::Shared(hit.value)),
            ToLoad::Load(load, _) => load,
            ToLoad::Failed(failure) if timed_out(&failure) => {
                return Err(Error::LoadTimedOut.into());
            }
            ToLoad::Failed(failure) => match failure.downcast() {
                Ok(error) => return Err(CallError::Caller(error)),
                // Of a caller whose loader has another type of error, or whose value could not be written.
                Err(_) => Load::alone(self),
            },
        };
        let loaded = match self.bounded(loader()).await {
            Ok(Ok(loaded)) => loaded,
            Err(late) => {
                load.fail(late);
                return Err(Error::LoadTimedOut.into());
            }
            Ok(Err(error)) => {
                let error = Arc::new(error);
                load.fail(Arc::clone(&error) as LoadError);
                return Err(CallError::Caller(error));
            }
        };
        match fresh(&loaded) {
            Some(fresh) => self.end_load(load, fresh).await?,
            // Those who wait would meet the same, one after another: each goes on by itself.
            None => drop(load.fail(Arc::new(Unstorable))),
        }
        Ok(Loaded::Own(loaded))
    }

    /// Stores what was loaded, if there is a lease and it can be, and gives it to those who wait.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version or a time to live out of bounds. That a fill fails is no error here, as
    /// the value is there.
    pub(crate) async fn end_load(&self, load: Load, fresh: Fresh) -> Result<(), Error> {
        let Some(checked) = self.fit(fresh.clone())? else {
            load.share(&fresh).await;
            return Ok(());
        };
        let lease = match load {
            Load::Leased(lease) => lease,
            Load::Unleased(unleased) => {
                unleased.share(&fresh).await;
                return Ok(());
            }
            #[cfg(feature = "capi")]
            Load::Refresh(refresh) => {
                self.patiently(refresh.fill_logged(fresh)).await;
                return Ok(());
            }
        };
        self.patiently(async move {
            if let Err(error) = lease.fill_checked(checked).await {
                tracing::warn!(%error, "a loaded value could not be stored");
            }
        })
        .await;
        Ok(())
    }

    /// The value is there: a store that is slow to answer, or dead, does not hold it back.
    async fn patiently(&self, fill: impl Future<Output = ()> + Send + 'static) {
        let mut fill = Box::pin(fill);
        if timeout(FILL_PATIENCE, &mut fill).await.is_err() {
            self.spawn(fill);
        }
    }
}

/// How long a loaded value waits to be stored; after that it is returned, and stored in the background.
const FILL_PATIENCE: Duration = Duration::from_millis(100);
