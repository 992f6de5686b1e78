//! What a process last knew to be right, for callers who rather have an old value than none. None of it is a hit, and
//! none of it goes back into the store.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::Weighter;
use tokio::time::timeout;

use super::found::LoadError;
use super::stopwatch::Stopwatch;
use super::{Cache, CallError, Error, Fresh, Room};
use crate::protocol::{Token, Version};
use crate::store::{Hit, Value};

/// What a call came to whose caller takes an old value where there is no other: bytes, or what a [`Typed`](crate::Typed) has made of
/// them.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Answer, Cache};
///
/// let cache = Cache::connect("memory://?stale_for=1h").await?;
/// let load = || async { Ok::<_, std::io::Error>("Ada") };
/// match cache.get_or_fill_or_stale("user:1", load).await? {
///     Answer::Value(value) => println!("{value:?}"),
///     Answer::Stale { value, age } => println!("{value:?}, as it was {age:?} ago"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it may be stale"]
pub enum Answer<T = Value> {
    /// The value, as [`Cache::get_or_fill`] returns it.
    Value(T),
    /// There was none to be had: what this process last knew to be right. It may be right still, and it may not.
    Stale {
        /// The value; `None` where the source had nothing.
        value: T,
        /// How long ago it was certainly right, at most the option `stale_for`: since before the read of the cache
        /// or of the source began that brought it, or the commit.
        age: Duration,
    },
}

/// Values by the names of their keys.
pub(super) struct LastKnown {
    /// The option `stale_for`.
    time: Duration,
    values: quick_cache::sync::Cache<Bytes, Known, Weigh>,
    begun: AtomicU64,
    /// Held while a value is put in the place of an older one.
    replacing: Mutex<()>,
    /// When it was last said that stale values are answered.
    told: Mutex<Option<Stopwatch>>,
}

#[derive(Clone)]
struct Known {
    value: Value,
    version: Option<Version>,
    stamp: Option<Token>,
    since: Begun,
}

/// When something began that may bring a value: a read, a load, a commit. What began later knows better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    number: u64,
    at: Stopwatch,
}

/// A load that is under way of a key.
pub(super) struct Loading {
    key: Bytes,
    begun: Begun,
}

/// A key and its place, beside the bytes of key and value.
const PLACE: usize = size_of::<(Bytes, Known)>() + 64;

/// What a value may weigh less than, on the average: for how many there is room at first.
const USUAL: u64 = 512;

/// A value that is hit all the time is noted once in this share of its time.
const NOTED: u32 = 64;

/// How often it is said that stale values are answered.
const TOLD: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Weigh;

impl Weighter<Bytes, Known> for Weigh {
    fn weight(&self, key: &Bytes, known: &Known) -> u64 {
        (key.len() + known.value.as_ref().map_or(0, Bytes::len) + PLACE) as u64
    }
}

impl LastKnown {
    pub fn new(time: Duration, bytes: usize) -> Self {
        let bytes = bytes as u64;
        let items = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX).max(16);
        LastKnown {
            time,
            values: quick_cache::sync::Cache::with_weighter(items, bytes, Weigh),
            begun: AtomicU64::default(),
            replacing: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub fn begin(&self) -> Begun {
        Begun { number: self.begun.fetch_add(1, Relaxed), at: Stopwatch::start() }
    }

    /// Keeps a value, unless one is known that knows better.
    fn note(&self, key: &[u8], known: Known) {
        let is_known = |old: &Known| {
            let same = old.stamp.is_some() && old.stamp == known.stamp;
            old.is_better(&known) || same && old.since.at.elapsed() < self.time / NOTED
        };
        if self.values.peek(key).as_ref().is_some_and(is_known) {
            return;
        }
        let _replacing = self.replacing.lock();
        if !self.values.peek(key).as_ref().is_some_and(is_known) {
            self.values.insert(Bytes::copy_from_slice(key), known);
        }
    }

    /// With how old it is.
    fn get(&self, key: &[u8]) -> Option<(Value, Duration)> {
        let Known { value, since, .. } = self.values.get(key)?;
        let age = since.at.elapsed();
        (age <= self.time).then_some((value, age))
    }

    /// Whether it is time to say so again.
    fn is_to_be_told(&self) -> bool {
        let mut told = self.told.lock();
        let due = told.is_none_or(|last| last.elapsed() >= TOLD);
        if due {
            *told = Some(Stopwatch::start());
        }
        due
    }
}

impl Known {
    /// Where both have versions those say it, as a replica may lag.
    fn is_better(&self, other: &Known) -> bool {
        match (self.version, other.version) {
            (Some(own), Some(other)) if own != other => own > other,
            _ => self.since.number > other.since.number,
        }
    }
}

/// What a load failed with that took longer than `hard_timeout`, to those who waited for it.
struct TimedOut;

/// The same, to its caller.
pub(super) fn timed_out(failure: &LoadError) -> bool {
    failure.is::<TimedOut>()
}

impl Cache {
    /// As [`get_or_fill_ahead`](Cache::get_or_fill_ahead), for a caller who rather has an old value than none, or than to wait. Where
    /// the loader fails, or the store gives no answer and the source neither, it is what this process last knew to
    /// be right, if that is no older than the option `stale_for`; so it is where it takes longer than `soft_timeout`, and then the load goes on in
    /// the background, and its value is stored if it can be.
    ///
    /// A stale answer is no hit, and is never stored. It is older than nothing that this cache has committed; but after a release or an
    /// invalidation it is what was there before. Without `stale_for` there is none.
    ///
    /// # Errors
    /// As [`get_or_fill`](Cache::get_or_fill), where nothing is known that is young enough.
    pub async fn get_or_fill_or_stale<T, E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Answer, CallError<Arc<E>>>
    where
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
        T: Into<Fresh> + Send + 'static,
    {
        let key = Bytes::copy_from_slice(key.as_ref());
        let loading = {
            let (cache, key) = (self.clone(), key.clone());
            async move { cache.get_or_fill_ahead(key, loader).await }
        };
        self.or_stale(&key, loading, Some).await
    }

    /// What `loading` brings in time, or what was last known of the key, as `read` makes it of that.
    pub(super) async fn or_stale<T, E>(
        &self,
        key: &[u8],
        loading: impl Future<Output = Result<T, CallError<E>>> + Send + 'static,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Answer<T>, CallError<E>>
    where
        T: Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let mut loading = Box::pin(loading);
        let soon = self.0.options.soft_timeout.filter(|_| self.0.last_known.is_some());
        let in_time = match soon {
            None => Ok(loading.as_mut().await),
            Some(soon) => timeout(soon, loading.as_mut()).await,
        };
        match in_time {
            Ok(Ok(value)) => Ok(Answer::Value(value)),
            Ok(Err(error)) if is_of_the_source(&error) => {
                self.last_known_as(key, &error, read).ok_or(error)
            }
            Ok(Err(error)) => Err(error),
            Err(slow) => {
                let Some(stale) = self.last_known_as(key, &slow, read) else {
                    return loading.await.map(Answer::Value);
                };
                self.go_on(async move { loading.await.err().map(|error| error.to_string()) });
                Ok(stale)
            }
        }
    }

    /// A load for which nobody waits any more.
    fn go_on(&self, loading: impl Future<Output = Option<String>> + Send + 'static) {
        let cut = self.0.cut.clone();
        self.spawn(async move {
            if let Some(Some(problem)) = cut.run_until_cancelled(loading).await {
                tracing::warn!(%problem, "a load failed, instead of which a stale value was answered");
            }
        });
    }

    /// What this process last knew of a key, if that is young enough. Counted, and now and then logged, with why it
    /// was asked for.
    #[cfg(feature = "capi")]
    pub(crate) fn last_known(&self, key: &[u8], why: &dyn fmt::Display) -> Option<Answer> {
        self.last_known_as(key, why, Some)
    }

    /// The same, as `read` makes it of the bytes, if it can.
    fn last_known_as<T>(
        &self,
        key: &[u8],
        why: &dyn fmt::Display,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<Answer<T>> {
        self.0.last_known.as_ref()?;
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room).ok()?;
        let known = cache.0.last_known.as_ref()?;
        let (value, age) = known.get(&key)?;
        let value = read(value)?;
        cache.0.counters.stale_served.add();
        if known.is_to_be_told() {
            tracing::warn!(%why, "stale values are answered, as the source is slow or fails");
        }
        Some(Answer::Stale { value, age })
    }

    /// The options `soft_timeout`, where there are stale answers, and `hard_timeout`.
    #[cfg(feature = "capi")]
    pub(crate) fn load_times(&self) -> (Option<Duration>, Option<Duration>) {
        let soft = self.0.options.soft_timeout.filter(|_| self.0.last_known.is_some());
        (soft, self.0.options.hard_timeout)
    }

    /// When a read, a load or a commit begins that may bring a value.
    #[inline]
    pub(super) fn begun(&self) -> Option<Begun> {
        self.0.last_known.as_ref().map(LastKnown::begin)
    }

    /// What a read of the cache found that began then, and may be served.
    #[inline]
    pub(super) fn note_hit(&self, key: &[u8], hit: &Hit, begun: Option<Begun>) {
        if let (Some(known), Some(since)) = (&self.0.last_known, begun)
            && self.is_a_value(key)
        {
            let Hit { ref value, version, stamp, .. } = *hit;
            known.note(key, Known { value: value.clone(), version, stamp: Some(stamp), since });
        }
    }

    /// What the source said to who began to ask it then, or was told.
    pub(super) fn note_value(
        &self,
        key: &[u8],
        value: &Value,
        version: Option<Version>,
        begun: Option<Begun>,
    ) {
        if let (Some(known), Some(since)) = (&self.0.last_known, begun)
            && self.is_a_value(key)
        {
            known.note(key, Known { value: value.clone(), version, stamp: None, since });
        }
    }

    /// A load that begins now.
    pub(super) fn loading(&self, key: &Bytes) -> Option<Box<Loading>> {
        self.begun().map(|begun| Box::new(Loading { key: key.clone(), begun }))
    }

    /// What it brought.
    pub(super) fn note_loaded(
        &self,
        loading: Option<&Loading>,
        value: &Value,
        version: Option<Version>,
    ) {
        if let Some(Loading { key, begun }) = loading {
            self.note_value(key, value, version, Some(*begun));
        }
    }

    /// A loader of the program's, which is given up after `hard_timeout`.
    pub(super) async fn bounded<T>(
        &self,
        loading: impl Future<Output = T>,
    ) -> Result<T, LoadError> {
        match self.0.options.hard_timeout {
            None => Ok(loading.await),
            Some(time) => timeout(time, loading).await.map_err(|_| Arc::new(TimedOut) as LoadError),
        }
    }
}

/// Whether it is the source that does not answer as it should, or the store.
fn is_of_the_source<E>(error: &CallError<E>) -> bool {
    matches!(error, CallError::Caller(_) | CallError::Cache(Error::Store(_) | Error::LoadTimedOut))
}
