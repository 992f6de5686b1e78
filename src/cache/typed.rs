//! Values of the caller's own types, as JSON. A thin layer: all else is the cache's.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::load::{Loaded, ToLoad};
use super::{Cache, CallError, Error, Fresh, Reservation, SetOutcome, SourceResult, UpdateOutcome};
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
        Typed { cache: self.clone(), is_logged: Arc::default(), kind: PhantomData }
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
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        let is_logged = Arc::clone(&self.is_logged);
        Typed { cache: self.cache.clone(), is_logged, kind: PhantomData }
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
