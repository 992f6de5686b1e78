//! Values of the caller's own types, as JSON. A thin layer: all else is the cache's.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::load::{Loaded, ToLoad};
use super::objects::{Known, Objects};
use super::{
    Answer, Cache, CallError, Error, Fresh, Reservation, SetOutcome, SourceResult, UpdateOutcome,
};
use crate::store::Hit;

impl Fresh {
    /// A value as JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        serde_json::to_vec(value).map(Fresh::from).map_err(|problem| {
            Error::invalid("value", format!("cannot be written as JSON: {problem}"))
        })
    }
}

impl Cache {
    /// This cache, for values of one type, as JSON.
    pub fn typed<T: Serialize + DeserializeOwned>(&self) -> Typed<T> {
        let objects = Arc::new(Objects::new(self.0.options.near_bytes as u64));
        Typed { cache: self.clone(), is_logged: Arc::default(), objects, kind: PhantomData }
    }
}

/// A [`Cache`] whose values are of one type, as JSON.
///
/// A cached value that cannot be read as `T`, say because another version of the program wrote it,
/// is removed and loaded anew.
///
/// # Example
/// ```
/// use genfence::{Cache, Fresh};
/// use serde::{Deserialize, Serialize};
/// # use std::convert::Infallible;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct User { name: String }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let users = Cache::builder().prefix("users:").connect("memory://").await?.typed::<User>();
/// let ada = || User { name: "Ada".into() };
/// let user = users.get_or_fill("1", async || Ok::<_, Infallible>(Some(ada()))).await.unwrap();
/// assert_eq!(user, Some(ada()));
/// let nobody = users.get_or_fill("2", async || Ok::<_, Infallible>(None)).await.unwrap();
/// assert_eq!(nobody, None);
/// # Ok::<(), genfence::Error>(()) }).unwrap();
/// ```
pub struct Typed<T> {
    cache: Cache,
    /// That values of this type cannot be written or read.
    is_logged: Arc<AtomicBool>,
    objects: Arc<Objects>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        let (is_logged, objects) = (Arc::clone(&self.is_logged), Arc::clone(&self.objects));
        Typed { cache: self.cache.clone(), is_logged, objects, kind: PhantomData }
    }
}

impl<T> std::fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Typed").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> Typed<T> {
    /// The cache beneath, for bytes, versions and times to live.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// As [`Cache::get`]: `None` where the cache holds nothing, `Some(None)` where it remembers that
    /// the source has nothing.
    ///
    /// # Errors
    /// As [`Cache::get`], and [`Error::Invalid`] for a value that is no `T`.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Option<T>>, Error> {
        match self.cache.get(key).await? {
            Some(hit) => decode(hit.value.as_ref()).map(Some),
            None => Ok(None),
        }
    }

    /// As [`Cache::get_or_fill`]. A loaded value that cannot be written as JSON is returned and not stored. So is
    /// one whose key holds, also after it was removed, what cannot be read as `T`, as while two versions of a
    /// program run; either is logged once.
    ///
    /// # Errors
    /// As [`Cache::get_or_fill`].
    pub async fn get_or_fill<E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Option<T>, CallError<Arc<E>>>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<T>, E>>,
        E: Send + Sync + 'static,
    {
        self.load(key.as_ref(), &loader, |_| {}).await
    }

    /// As [`Cache::get_or_fill_ahead`], and as [`get_or_fill`](Typed::get_or_fill) in what is of this type.
    ///
    /// # Errors
    /// As [`Cache::get_or_fill_ahead`].
    pub async fn get_or_fill_ahead<E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Option<T>, CallError<Arc<E>>>
    where
        L: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: std::fmt::Display + Send + Sync + 'static,
        T: 'static,
    {
        let (key, loader) = (key.as_ref(), Arc::new(loader));
        let ahead = |hit: &Hit| {
            let (typed, loader) = (self.clone(), Arc::clone(&loader));
            self.cache.load_behind(key, hit, async move || {
                loader().await.map(|value| typed.write(value.as_ref()))
            });
        };
        self.load(key, &*loader, ahead).await
    }

    /// As [`Cache::get_or_fill_or_stale`], and as [`get_or_fill`](Typed::get_or_fill) in what is of this type. What was last known and cannot be read as
    /// `T` is not known.
    ///
    /// # Errors
    /// As [`Cache::get_or_fill_or_stale`].
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// use genfence::{Answer, Cache};
    ///
    /// let numbers = Cache::connect("memory://?stale_for=1h").await?.typed::<u64>();
    /// numbers.set("k", &7).await?;
    /// numbers.cache().invalidate("k", None).await?;
    /// let load = || async { Err("the source is down") };
    /// let answer = numbers.get_or_fill_or_stale("k", load).await.unwrap();
    /// assert!(matches!(answer, Answer::Stale { value: Some(7), .. }));
    /// # Ok(()) }
    /// ```
    pub async fn get_or_fill_or_stale<E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Answer<Option<T>>, CallError<Arc<E>>>
    where
        L: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: std::fmt::Display + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let key = Bytes::copy_from_slice(key.as_ref());
        let loading = {
            let (typed, key) = (self.clone(), key.clone());
            async move { typed.get_or_fill_ahead(key, loader).await }
        };
        self.cache.or_stale(&key, loading, |value| decode(value.as_ref()).ok()).await
    }

    async fn load<E, L, F>(
        &self,
        key: &[u8],
        loader: &L,
        seen: impl Fn(&Hit),
    ) -> Result<Option<T>, CallError<Arc<E>>>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<T>, E>>,
        E: Send + Sync + 'static,
    {
        for is_last in [false, true] {
            let found = self.cache.begin_load(key).await?;
            if let ToLoad::Hit(hit) = &found {
                seen(hit);
            }
            let written = |value: &Option<T>| self.write(value.as_ref());
            let shared = match self.cache.load_found(found, loader, written).await? {
                Loaded::Own(value) => return Ok(value),
                Loaded::Shared(value) => value,
            };
            match decode(shared.as_ref()) {
                Ok(value) => return Ok(value),
                Err(_) if is_last => break,
                Err(_) => self.cache.invalidate(key, None).await?,
            }
        }
        self.log_once("a cached value cannot be read, also after it was removed; is another version of this program at work?");
        loader().await.map_err(|error| CallError::Caller(Arc::new(error)))
    }

    /// As [`get_or_fill`](Typed::get_or_fill), for a value that all callers share: where the option `near` is set, it is read as JSON
    /// once, and served as it is without a command, as long as the cache may; also on `memory://`. Of one `Typed`, and its clones, at most
    /// `near_bytes` are so kept, reckoned by what they are as JSON.
    ///
    /// # Errors
    /// As [`get_or_fill`](Typed::get_or_fill).
    ///
    /// # Example
    /// ```
    /// # use std::{convert::Infallible, sync::Arc};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let numbers = genfence::Cache::connect("memory://?near=1s").await?.typed::<Vec<u64>>();
    /// let load = async || Ok::<_, Infallible>(Some(vec![1, 2, 3]));
    /// let _loaded = numbers.get_or_fill_shared("k", load).await.unwrap();
    /// let first = numbers.get_or_fill_shared("k", load).await.unwrap().unwrap();
    /// let again = numbers.get_or_fill_shared("k", load).await.unwrap().unwrap();
    /// assert!(Arc::ptr_eq(&first, &again));
    /// numbers.cache().invalidate("k", None).await?;
    /// let new = numbers.get_or_fill_shared("k", load).await.unwrap().unwrap();
    /// assert!(!Arc::ptr_eq(&first, &new));
    /// # Ok(()) }
    /// ```
    pub async fn get_or_fill_shared<E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Option<Arc<T>>, CallError<Arc<E>>>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<T>, E>>,
        E: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let key = key.as_ref();
        match self.objects.get(key).or_else(|| self.read_at_once(key)) {
            Some(Known(value)) => Ok(value),
            None => Ok(Box::pin(self.get_or_fill(key, loader)).await?.map(Arc::new)),
        }
    }

    /// What is at hand in bytes, which is kept as it is then.
    fn read_at_once(&self, key: &[u8]) -> Option<Known<T>>
    where
        T: Send + Sync + 'static,
    {
        let hit = self.cache.hit_at_once(key)?;
        let value = decode(hit.value.as_ref()).ok()?.map(Arc::new);
        if let Some(copy) = self.cache.copy(key, hit.stamp) {
            let bytes = hit.value.as_ref().map_or(0, Bytes::len);
            self.objects.keep(key, value.clone(), bytes, copy);
        }
        Some(Known(value))
    }

    /// Nothing, where it cannot be written.
    fn write(&self, value: Option<&T>) -> Option<Fresh> {
        let Some(value) = value else { return Some(Fresh::nothing()) };
        let fresh = Fresh::json(value).ok();
        if fresh.is_none() {
            self.log_once("a loaded value cannot be written as JSON, and is not stored");
        }
        fresh
    }

    fn log_once(&self, problem: &'static str) {
        if !self.is_logged.swap(true, Relaxed) {
            tracing::warn!(kind = std::any::type_name::<T>(), "{problem}");
        }
    }

    /// As [`Cache::update`], for a closure that returns the value the source now has, or `None` for
    /// a deleted row.
    ///
    /// # Errors
    /// As [`Cache::update`]. A value that cannot be written as JSON is [`Error::Invalid`]: the
    /// source was changed, and the key is released.
    pub async fn update<E, F>(
        &self,
        key: impl AsRef<[u8]>,
        change: F,
    ) -> Result<UpdateOutcome, CallError<E>>
    where
        F: AsyncFnOnce(&Reservation) -> Result<Option<T>, E>,
    {
        let mut unwritten = None;
        let updated = self.cache.update(key, async |reservation: &Reservation| {
            Ok(match change(reservation).await? {
                None => SourceResult::Committed(Fresh::nothing()),
                Some(value) => match Fresh::json(&value) {
                    Ok(fresh) => SourceResult::Committed(fresh),
                    Err(error) => {
                        unwritten = Some(error);
                        SourceResult::Changed(None)
                    }
                },
            })
        });
        let update = updated.await?;
        unwritten.map_or(Ok(update), |error| Err(error.into()))
    }

    /// As [`Cache::set`]: outside the guarantee.
    ///
    /// # Errors
    /// As [`Cache::set`], and [`Error::Invalid`] for a value that cannot be written as JSON.
    pub async fn set(&self, key: impl AsRef<[u8]>, value: &T) -> Result<SetOutcome, Error> {
        self.cache.set(key, Fresh::json(value)?).await
    }
}

fn decode<T: DeserializeOwned>(value: Option<&Bytes>) -> Result<Option<T>, Error> {
    let parse = |bytes: &Bytes| serde_json::from_slice(bytes);
    // The problem names a line and a type, and could quote the value: it stays out.
    value.map(parse).transpose().map_err(|_| {
        Error::invalid("value", "is not JSON of the expected type; invalidate the key")
    })
}
