//! **get_or_fill**: a thin loop over lookup and fill.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt as _};

use super::found::{Found, LoadError, Seen};
use super::load::{Load, Loaded};
use super::near::Near;
use super::{Cache, CallError, Error, Fresh, Lookup, Room};
use crate::protocol::Epoch;
use crate::store::{Hit, Store, StoreError, Value};

impl Cache {
    /// The value of `key`: from the cache, or else from `loader`, which reads the source.
    ///
    /// Of all callers in all processes one runs its loader and fills the cache. **In one process there is one
    /// load of a key at a time**, and it is for all who came before it began: its value, or its error. They wait
    /// until it ends, or the option `load_time` is over, as then another one loads. For another process's fill a
    /// process waits at most for the option `wait`; then, as in any bypass (a writer holds the key, the store
    /// gives no answer), one of its callers loads for all, and stores nothing. Who goes away, its future dropped
    /// or its loader panicked, hands over to the next at once.
    ///
    /// The loader must read the latest committed state: no surrounding snapshot, no replica that
    /// lags (see [`Fresh::version`]). `None` means that the source has nothing, which is
    /// remembered for the option `negative_ttl`. A loaded value that is larger than
    /// `max_value_bytes` is returned and not stored.
    ///
    /// # Errors
    /// [`CallError::Caller`] is the loader's own error, or that of a loader whose load this call waited for (if
    /// both have errors of one type; else this call loads as well): nothing was stored. [`CallError::Cache`] as
    /// [`lookup`](Cache::lookup), and for a version or a time to live out of bounds. That a fill
    /// fails is no error here, as the value is there.
    ///
    /// # Example
    /// ```
    /// use genfence::Cache;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let load = async || std::fs::read("Cargo.toml");
    /// let first = cache.get_or_fill("file", load).await.unwrap();
    /// let again = cache.get_or_fill("file", async || Err::<&str, _>("is not asked")).await.unwrap();
    /// assert_eq!(first, again);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn get_or_fill<T, E, L, F>(
        &self,
        key: impl AsRef<[u8]>,
        loader: L,
    ) -> Result<Value, CallError<Arc<E>>>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: Send + Sync + 'static,
        T: Into<Fresh>,
    {
        let load = async || loader().await.map(Into::into);
        match self.load(key.as_ref(), load, |fresh: &Fresh| Some(fresh.clone())).await? {
            Loaded::Shared(value) => Ok(value),
            Loaded::Own(fresh) => Ok(fresh.value),
        }
    }

    /// The values of several keys, in their order: from the cache, or else from one call of
    /// `loader` for all that are missing.
    ///
    /// The loader is given keys and returns pairs of key and value; for a key that it leaves out,
    /// the source has nothing. Of more than 1,000 keys so many are loaded by one call, and then the next.
    /// Keys that another caller is filling are waited for; should that caller fail, such a key is loaded by a
    /// further call of its own. Values that are there are not loaded anew before they end (the option `refresh_at`).
    ///
    /// # Errors
    /// As [`get_or_fill`](Cache::get_or_fill); [`Error::UnexpectedKey`] if the loader answers for a
    /// key it was not asked for, as then it would seem that the source has nothing for those it
    /// was.
    ///
    /// # Example
    /// ```
    /// # use std::convert::Infallible;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = genfence::Cache::connect("memory://").await?;
    /// // SELECT id, name FROM users WHERE id IN (…)
    /// let load = async |ids: Vec<bytes::Bytes>| {
    ///     Ok::<_, Infallible>(ids.into_iter().filter(|id| id != "3").map(|id| (id, "name")))
    /// };
    /// let names = cache.get_or_fill_many(["1", "2", "3"], load).await.unwrap();
    /// assert_eq!(names, [Some("name".into()), Some("name".into()), None]);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn get_or_fill_many<K, I, A, T, E, L, F>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: L,
    ) -> Result<Vec<Value>, CallError<Arc<E>>>
    where
        K: AsRef<[u8]>,
        L: Fn(Vec<Bytes>) -> F,
        F: Future<Output = Result<I, E>>,
        E: Send + Sync + 'static,
        I: IntoIterator<Item = (A, T)>,
        A: AsRef<[u8]>,
        T: Into<Fresh>,
    {
        self.open_or_shut_down()?;
        let asked: Vec<Bytes> =
            keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref())).collect();
        let mut keys = asked.clone();
        keys.sort_unstable();
        keys.dedup();
        let mut values = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            values.extend(self.get_or_fill_batch(keys, &loader).await?);
        }
        Ok(asked.iter().map(|key| values[key].clone()).collect())
    }

    /// The values of keys that differ.
    async fn get_or_fill_batch<I, A, T, E, L, F>(
        &self,
        keys: &[Bytes],
        loader: &L,
    ) -> Result<HashMap<Bytes, Value>, CallError<Arc<E>>>
    where
        L: Fn(Vec<Bytes>) -> F,
        F: Future<Output = Result<I, E>>,
        E: Send + Sync + 'static,
        I: IntoIterator<Item = (A, T)>,
        A: AsRef<[u8]>,
        T: Into<Fresh>,
    {
        let mut batch = Batch::default();
        self.look_up_batch(keys, &mut batch).await?;

        if !batch.to_load.is_empty() {
            let keys = batch.to_load.keys().cloned().collect();
            match self.bounded(loader(keys)).await {
                Ok(Ok(loaded)) => self.fill_batch(loaded, &mut batch).await?,
                Err(late) => {
                    batch.to_load.drain().for_each(|(_, load)| {
                        load.fail(Arc::clone(&late));
                    });
                    return Err(Error::LoadTimedOut.into());
                }
                Ok(Err(error)) => {
                    let error = Arc::new(error);
                    batch.to_load.drain().for_each(|(_, load)| {
                        load.fail(Arc::clone(&error) as LoadError);
                    });
                    return Err(CallError::Caller(error));
                }
            }
        }

        let held_by_others = batch.held_by_others.drain(..).map(|key| async move {
            let load = async || Ok(only(loader(vec![key.clone()]).await?, &key));
            let fresh = |loaded: &Result<Fresh, Error>| loaded.clone().ok();
            let value = match self.load(&key, load, fresh).await? {
                Loaded::Shared(value) => value,
                Loaded::Own(fresh) => fresh?.value,
            };
            Ok::<_, CallError<Arc<E>>>((key, value))
        });
        batch.values.extend(try_join_all(held_by_others).await?);
        Ok(batch.values)
    }

    /// Looks several keys up with one read for all of them, and waits for nobody: a call that waited
    /// while it holds leases could wait for one that waits for it. In the order of `keys`; `None` for
    /// a key that another caller is filling, in this process or elsewhere, and for the second place of
    /// a key that this call leases: fill what was leased, then look it up again.
    ///
    /// # Errors
    /// As [`lookup`](Cache::lookup), for any of the keys; leases that were taken are given back.
    ///
    /// # Example
    /// ```
    /// use genfence::Lookup;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let cache = genfence::Cache::connect("memory://").await?;
    /// for (key, lookup) in ["1", "2"].iter().zip(cache.lookup_many(&["1", "2"]).await?) {
    ///     if let Some(Lookup::Leased(lease)) = lookup {
    ///         lease.fill(format!("what the source has of {key}")).await?;
    ///     }
    /// }
    /// assert!(cache.get("2").await?.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn lookup_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<Lookup>>, Error> {
        let lookups = self.look_up_all(keys).await?.into_iter().map(|lookup| {
            lookup.map(|lookup| match lookup {
                Lookup::Leased(lease) => Lookup::Leased(lease.held()),
                found => found,
            })
        });
        Ok(lookups.collect())
    }

    async fn look_up_all<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Lookup>>, Error> {
        // Keys of one home are asked for together.
        let mut homes: Vec<(&Cache, Epoch, Vec<Bytes>, Vec<usize>)> = Vec::with_capacity(1);
        for (place, key) in keys.iter().enumerate() {
            let room = &mut Room::default();
            let (cache, key) = self.key(key.as_ref(), room)?;
            let (epoch, key) = (key.epoch, Bytes::copy_from_slice(&key));
            let known = homes.iter_mut().find(|home| Arc::ptr_eq(&home.0.0, &cache.0));
            match known {
                Some((.., keys, places)) => {
                    keys.push(key);
                    places.push(place);
                }
                None => homes.push((cache, epoch, vec![key], vec![place])),
            }
        }
        let looking = homes.into_iter().map(|(cache, epoch, keys, places)| async move {
            cache.look_up_here(keys, epoch).await.map(|found| (places, found))
        });
        let mut lookups: Vec<Option<Lookup>> = keys.iter().map(|_| None).collect();
        // All of them, also where one fails: each owns what it brings.
        for found in join_all(looking).await {
            let (places, found) = found?;
            for (place, lookup) in places.into_iter().zip(found) {
                lookups[place] = lookup;
            }
        }
        Ok(lookups)
    }

    /// The same in this cache, of keys of one epoch, by their names here.
    async fn look_up_here(
        &self,
        full: Vec<Bytes>,
        epoch: Epoch,
    ) -> Result<Vec<Option<Lookup>>, Error> {
        let read = self.read_many(&full, epoch).await?;
        // By value, as a stream of borrowed keys is not known to be `Send`.
        let lookups = read.into_iter().zip(full).map(|(seen, full)| async move {
            match seen {
                Seen::Found(found) => found.into_lookup().map(Some),
                Seen::Gap(gap) => self.lookup_now(&full, gap).await,
            }
        });
        // All of them, also where one fails: each owns what it brings.
        let lookups: Vec<_> = stream::iter(lookups).buffered(AT_ONCE).collect().await;
        let lookups = lookups.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let bypassed = |lookup: &&Option<Lookup>| matches!(lookup, Some(Lookup::Bypass(_)));
        lookups.iter().filter(bypassed).for_each(|_| self.0.counters.bypasses.add());
        Ok(lookups)
    }

    async fn look_up_batch(&self, keys: &[Bytes], batch: &mut Batch) -> Result<(), Error> {
        for (key, lookup) in keys.iter().zip(self.look_up_all(keys).await?) {
            let key = Bytes::clone(key);
            match lookup {
                Some(Lookup::Hit(hit)) => drop(batch.values.insert(key, hit.value)),
                Some(Lookup::Leased(lease)) => drop(batch.to_load.insert(key, Load::Leased(lease))),
                Some(Lookup::Bypass(_)) => drop(batch.to_load.insert(key, Load::alone(self))),
                None => batch.held_by_others.push(key),
            }
        }
        Ok(())
    }

    async fn fill_batch<A: AsRef<[u8]>, T: Into<Fresh>>(
        &self,
        loaded: impl IntoIterator<Item = (A, T)>,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let mut fresh: HashMap<Bytes, Fresh> = HashMap::with_capacity(batch.to_load.len());
        for (key, value) in loaded {
            let (key, _) = batch.to_load.get_key_value(key.as_ref()).ok_or(Error::UnexpectedKey)?;
            fresh.insert(key.clone(), value.into());
        }
        let fills = batch.to_load.drain().map(|(key, load)| {
            let fresh = fresh.remove(&key).unwrap_or_else(Fresh::nothing);
            let value = fresh.value.clone();
            async move { self.end_load(load, fresh).await.map(|()| (key, value)) }
        });
        // All of them, also where one is refused.
        let filled: Vec<_> = stream::iter(fills).buffered(AT_ONCE).collect().await;
        batch.values.extend(filled.into_iter().collect::<Result<Vec<_>, Error>>()?);
        Ok(())
    }

    /// Plain reads of several keys of an epoch, counted, and what to do where they fail.
    async fn read_many(&self, keys: &[Bytes], epoch: Epoch) -> Result<Vec<Seen>, Error> {
        let reads = match (self.serves(epoch), self.copies()) {
            (Ok(()), None) => self.see_many(keys).await,
            (Ok(()), Some(near)) => self.see_many_near(near, keys).await,
            (Err(error), _) => keys.iter().map(|_| Err(error.clone())).collect(),
        };
        if let Some(error) = reads.iter().find_map(|read| read.as_ref().err()) {
            tracing::warn!(%error, "the store did not answer to some reads");
        }
        reads.into_iter().map(|read| read.or_else(|error| self.without(error))).collect()
    }

    /// What the store knows of several keys.
    async fn see_many(&self, keys: &[Bytes]) -> Vec<Result<Seen, StoreError>> {
        let begun = self.begun();
        let reads = match self.copies() {
            None => self.0.store.get_many(keys).await,
            Some(near) => self.look_near_many(near, keys).await,
        };
        if self.0.tagging.is_some() {
            return self.seen_tagged_many(keys, reads, begun).await;
        }
        let seen = reads.into_iter().zip(keys);
        seen.map(|(read, key)| Ok(self.count(key, read?, begun))).collect()
    }

    /// Those of which there is no copy are asked for together.
    async fn see_many_near(&self, near: &Near, keys: &[Bytes]) -> Vec<Result<Seen, StoreError>> {
        let copies: Vec<Option<Hit>> =
            keys.iter().map(|key| self.served_at_once(near, key)).collect();
        let asked = keys.iter().zip(&copies).filter(|(_, copy)| copy.is_none());
        let asked: Vec<Bytes> = asked.map(|(key, _)| key.clone()).collect();
        let mut seen = self.see_many(&asked).await.into_iter();
        let unsaid = || Err(StoreError::unavailable("the store gave no answer"));
        let all = copies.into_iter().map(|copy| match copy {
            Some(hit) => Ok(Seen::Found(Found::Hit(hit))),
            None => seen.next().unwrap_or_else(unsaid),
        });
        all.collect()
    }
}

/// How many keys are looked up, loaded and filled together: their leases are kept alive meanwhile, each by itself.
const TOGETHER: usize = 1_000;

/// How many commands of one call are under way at once.
const AT_ONCE: usize = 256;

/// The state of one [`Cache::get_or_fill_many`].
#[derive(Default)]
struct Batch {
    values: HashMap<Bytes, Value>,
    /// What the loader is asked for.
    to_load: HashMap<Bytes, Load>,
    held_by_others: Vec<Bytes>,
}

/// What a loader said of the only key it was asked for.
fn only<A: AsRef<[u8]>, T: Into<Fresh>>(
    loaded: impl IntoIterator<Item = (A, T)>,
    key: &Bytes,
) -> Result<Fresh, Error> {
    let mut fresh = Fresh::nothing();
    for (answered, value) in loaded {
        if answered.as_ref() != key.as_ref() {
            return Err(Error::UnexpectedKey);
        }
        fresh = value.into();
    }
    Ok(fresh)
}
