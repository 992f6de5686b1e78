//! **refresh** and **refill**: a value is loaded anew while it goes on being served.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::due::{Attempt, Dues};
use super::footing::Footing;
use super::fresh::Checked;
use super::load::{Loaded, ToLoad};
use super::retry::Settled;
use super::stale::Loading;
use super::tagged::{Closed, Nonces, stored};
use super::{Cache, CallError, Error, FillOutcome, Fresh, FullKey, Room};
use crate::protocol::{Claim, Epoch, Life, Refusal, Time, Token};
use crate::store::{Change, Hit, StoreError, Value};

/// The permission to put a new value in the place of one that goes on being served. One caller in all processes has
/// it.
///
/// **Read the source after it came**, as under a [`Lease`](super::Lease). It lasts for the option `load_time`. Who drops
/// it gives it back, and this process then waits a while before it asks for the same value again.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = genfence::Cache::connect("memory://?refresh_at=0.8").await?;
/// let _ = cache.set("k", "v").await?;
/// let hit = cache.get("k").await?.expect("it was just set");
/// // Due it is when four fifths of its life are over.
/// if let Some(refresh) = cache.refresh("k", &hit).await? {
///     let _ = refresh.fill("read from the source now").await?;
/// }
/// # Ok(()) }
/// ```
pub struct Refresh {
    asked: Asked,
    /// Of the value that it was granted beside.
    seen: Token,
    token: Token,
    granted: Footing,
    /// Of the tags that the new value is to bear.
    nonces: Option<Nonces>,
    loading: Option<Box<Loading>>,
    attempt: Attempt,
    /// Whether it is told what came of it.
    is_over: bool,
}

/// Tokens that may be on the key's record. Dropped, they are given back.
///
/// What is given back leaves the value where it is; so on a cluster that may split it counts only while the lease on the cluster
/// holds that the permission was asked for under, as late it would make a forgotten copy of the record the newest.
struct Asked {
    cache: Cache,
    key: Bytes,
    tokens: Vec<Token>,
    /// Until when the last that was sent counts, on the server's clock.
    until: Option<Time>,
    /// What was granted.
    granted: Option<Footing>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let until = match self.granted {
            None => Ok(self.until),
            Some(granted) => granted.until(&self.cache, self.cache.0.options.load_time),
        };
        if let Ok(until) = until {
            self.cache.unlease(self.key.clone(), std::mem::take(&mut self.tokens), until);
        }
    }
}

impl Asked {
    fn nothing(cache: &Cache, key: &Bytes) -> Self {
        let (cache, key) = (cache.clone(), key.clone());
        Asked { cache, key, tokens: Vec::new(), until: None, granted: None }
    }
}

impl Refresh {
    /// Stores what the source said after this permission came, in the place of the value that was seen. It is
    /// [`Rejected`](FillOutcome::Rejected) where that one is not there any more.
    ///
    /// # Errors
    /// As [`Lease::fill`](super::Lease::fill).
    pub async fn fill(mut self, fresh: impl Into<Fresh>) -> Result<FillOutcome, Error> {
        let cache = self.asked.cache.clone();
        let Some(Checked { value, version, ttl }) = cache.fit(fresh.into())? else {
            return Ok(FillOutcome::TooLarge);
        };
        cache.note_loaded(self.loading.as_deref(), &value, version);
        let Ok(until) = self.granted.may_store(&cache, cache.0.options.load_time).await else {
            tracing::debug!("a refill is not sent: the cluster has changed since it was granted");
            self.lost();
            return Ok(FillOutcome::Rejected(Refusal::Condition));
        };
        let value = stored(self.nonces.as_ref(), value);
        let (token, stamp, deadline) = (self.token, self.seen, self.granted.grant.deadline);
        let refill = Change::Refill { token, deadline, stamp, value, version, ttl, until };
        let settled = cache.settle(&self.asked.key, &refill, Some(token)).await;
        if let Ok(Settled::Applied | Settled::Refused(Refusal::Missing)) = settled {
            self.asked.tokens.clear();
        }
        let filled = cache.filled(settled);
        match filled {
            Ok(FillOutcome::Stored) => {
                cache.0.counters.refreshed.add();
                self.attempt.stored();
                self.is_over = true;
            }
            Ok(FillOutcome::Rejected(_)) => self.lost(),
            // Dropped, it counts as failed.
            _ => {}
        }
        filled
    }

    /// A lost race is no failure.
    fn lost(&mut self) {
        self.attempt.failed();
        self.is_over = true;
    }

    /// The load came to nothing, and why.
    pub(super) fn fail(self, problem: &dyn fmt::Display) {
        tracing::warn!(%problem, "a value was not loaded anew, and goes on being served");
        drop(self);
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        let cache = &self.asked.cache;
        if self.is_over || cache.open_or_shut_down().is_err() {
            return;
        }
        cache.0.counters.refreshes_failed.add();
        self.attempt.failed();
        if std::thread::panicking() {
            tracing::warn!("a loader panicked, and the value was not loaded anew");
        }
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}

impl Cache {
    /// As [`get_or_fill`](Cache::get_or_fill), for a loader that can go on by itself: where the value is due to be loaded
    /// anew (the option `refresh_at`), this returns it at once, and the loader runs in the background, in the
    /// runtime that the cache was opened in, if no other caller in all processes is at it. What it
    /// brings takes the value's place, unless the key was changed since.
    ///
    /// A loader that fails, panics, or takes longer than `load_time` leaves the value where it is. It is logged, and tried
    /// again by a later call, after 1 s at first and then twice as long each time.
    ///
    /// # Errors
    /// As [`get_or_fill`](Cache::get_or_fill); never of a loader in the background.
    ///
    /// # Example
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = genfence::Cache::connect("memory://?refresh_at=0.8").await?;
    /// let load = || async { std::fs::read("Cargo.toml") };
    /// let value = cache.get_or_fill_ahead("file", load).await.unwrap();
    /// assert!(value.is_some());
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn get_or_fill_ahead<T, E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Value, CallError<Arc<E>>>
    where
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
        T: Into<Fresh>,
    {
        let key = key.as_ref();
        let found = self.begin_load(key).await?;
        if let ToLoad::Hit(hit) = found {
            self.load_behind(key, &hit, async move || {
                loader().await.map(|fresh| Some(fresh.into()))
            });
            return Ok(hit.value);
        }
        let load = async || loader().await.map(Into::into);
        match self.load_found(found, load, |fresh: &Fresh| Some(fresh.clone())).await? {
            Loaded::Shared(value) => Ok(value),
            Loaded::Own(fresh) => Ok(fresh.value),
        }
    }

    /// Asks for the permission to load anew the value of a `hit`, where the option `refresh_at` says that it is due:
    /// for callers whose loader is not to run in the background of
    /// [`get_or_fill_ahead`](Cache::get_or_fill_ahead). `None` where it is not due, another
    /// caller is at it, or it is another value by now. Where it is not due it costs next to nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or oversized key; [`Error::Store`] if the store gave no answer;
    /// [`Error::ShutDown`].
    pub async fn refresh(
        &self,
        key: impl AsRef<[u8]>,
        hit: &Hit,
    ) -> Result<Option<Refresh>, Error> {
        let key = key.as_ref();
        match self.due(key, hit, &mut Room::default()) {
            Some(_) => self.begin_refresh(key, hit.stamp, hit.life).await,
            None => self.check_key(key).map(|()| None),
        }
    }

    /// Whether a hit's value should be loaded anew by its caller.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn is_due(&self, key: &[u8], hit: &Hit) -> bool {
        self.due(key, hit, &mut Room::default()).is_some()
    }

    /// Whether there are such hits.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn may_be_due(&self) -> bool {
        self.0.dues.is_some()
    }

    /// As [`refresh`](Cache::refresh), of a hit that was due.
    pub(crate) async fn begin_refresh(
        &self,
        key: &[u8],
        stamp: Token,
        life: Option<Life>,
    ) -> Result<Option<Refresh>, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room)?;
        let Some(dues) = &cache.0.dues else { return Ok(None) };
        let name = Bytes::copy_from_slice(&key);
        let Some(attempt) = dues.begin(&name, stamp, life) else { return Ok(None) };
        Box::pin(cache.claim_refresh(key.epoch, name, stamp, attempt)).await
    }

    /// Where a value is read that is due, and under which name.
    fn due<'k>(
        &self,
        key: &'k [u8],
        hit: &Hit,
        room: &'k mut Room,
    ) -> Option<(&Cache, &Dues, FullKey<'k>)> {
        self.0.dues.as_ref().filter(|dues| dues.is_old(hit))?;
        let (cache, key) = self.key(key, room).ok()?;
        let dues = cache.0.dues.as_ref()?;
        dues.may_begin(&key, hit).then_some((cache, dues, key))
    }

    /// Loads the value of a hit anew in the background, where it is due. What cannot be stored is nothing.
    pub(super) fn load_behind<E, F>(
        &self,
        key: &[u8],
        hit: &Hit,
        load: impl FnOnce() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<Option<Fresh>, E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let room = &mut Room::default();
        let Some((cache, dues, key)) = self.due(key, hit, room) else { return };
        let (epoch, name) = (key.epoch, Bytes::copy_from_slice(&key));
        let Some(attempt) = dues.begin(&name, hit.stamp, hit.life) else { return };
        let (behind, stamp) = (cache.clone(), hit.stamp);
        let refreshing = async move {
            match behind.claim_refresh(epoch, name, stamp, attempt).await {
                Ok(Some(refresh)) => refresh.run(load).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the store gave no answer, and a value was not loaded anew");
                }
            }
        };
        let cut = cache.0.cut.clone();
        cache.spawn(async move { _ = cut.run_until_cancelled(refreshing).await });
    }

    /// Asks for the permission, and then for the nonces that the new value is to bear. That it is refused, as another process is at
    /// it or the value is another one by now, or that a writer holds a tag, is no failure.
    async fn claim_refresh(
        &self,
        epoch: Epoch,
        key: Bytes,
        seen: Token,
        attempt: Attempt,
    ) -> Result<Option<Refresh>, Error> {
        self.open_or_shut_down()?;
        let mut asked = Asked::nothing(self, &key);
        match self.claim_and_bear(epoch, seen, &mut asked).await {
            Ok((token, granted, nonces)) => {
                self.0.counters.refreshes.add();
                let (loading, is_over) = (self.loading(&key), false);
                let refresh =
                    Refresh { asked, seen, token, granted, nonces, loading, attempt, is_over };
                Ok(Some(refresh))
            }
            Err(NotGranted::Lost(why)) => {
                tracing::debug!(%why, "a value is not loaded anew from here");
                attempt.failed();
                Ok(None)
            }
            Err(NotGranted::Failed(error)) => {
                self.0.counters.failures.add();
                self.0.counters.refreshes_failed.add();
                attempt.failed();
                Err(error)
            }
        }
    }

    /// What was granted is on the record, whatever becomes of the nonces.
    async fn claim_and_bear(
        &self,
        epoch: Epoch,
        stamp: Token,
        asked: &mut Asked,
    ) -> Result<(Token, Footing, Option<Nonces>), NotGranted> {
        let (key, time) = (asked.key.clone(), self.0.options.load_time);
        self.serves(epoch)?;
        let standing = self.may_lease().await?;
        let until = self.until_left_alone(&key, standing).await?.ok_or(Refusal::Missing)?;
        asked.until = until;
        let claim = |token, previous| Claim::Refresh { token, previous, stamp, time, until };
        let (token, grant) = self.claim_anew(&key, &mut asked.tokens, claim).await??;
        let granted = Footing::of(self, grant, standing);
        asked.tokens.push(token);
        asked.granted = Some(granted);
        if !self.bears_tags(&key) {
            return Ok((token, granted, None));
        }
        // Those of now, and not of the value that was seen: where they differ that one was purged, and this is what takes its
        // place.
        match self.nonces().await {
            Ok(nonces) => Ok((token, granted, Some(nonces))),
            Err(Closed::Held(_)) => Err(NotGranted::Lost("a writer holds a tag of it")),
            Err(Closed::Failed(error)) => Err(NotGranted::Failed(error)),
        }
    }
}

/// Why there is no permission.
enum NotGranted {
    Lost(&'static str),
    Failed(Error),
}

impl From<Refusal> for NotGranted {
    fn from(_: Refusal) -> Self {
        NotGranted::Lost("another caller is at it, or has changed it")
    }
}

impl From<StoreError> for NotGranted {
    fn from(error: StoreError) -> Self {
        NotGranted::Failed(error.into())
    }
}

impl Refresh {
    /// Loads, within `load_time`, and stores.
    async fn run<E, F>(self, load: impl FnOnce() -> F)
    where
        F: Future<Output = Result<Option<Fresh>, E>>,
        E: fmt::Display,
    {
        let cache = self.asked.cache.clone();
        if cache.open_or_shut_down().is_err() {
            return;
        }
        let longest = cache.0.options.hard_timeout.unwrap_or(Duration::MAX);
        let fresh = match timeout(cache.0.options.load_time.min(longest), load()).await {
            Ok(Ok(Some(fresh))) => fresh,
            Ok(Ok(None)) => return,
            Ok(Err(problem)) => return self.fail(&problem),
            Err(_) => return self.fail(&"it takes longer than `load_time`, or `hard_timeout`"),
        };
        self.fill_logged(fresh).await;
    }

    /// As [`fill`](Refresh::fill), for a caller who has no use for what came of it.
    pub(super) async fn fill_logged(self, fresh: Fresh) {
        if let Err(error) = self.fill(fresh).await {
            tracing::warn!(%error, "a value that was loaded anew could not be stored");
        }
    }
}
