//! Commands outside reserve and fill: invalidate, set, replace, touch.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::stream::iter;
use futures_util::{StreamExt, TryStreamExt};

use super::fresh::{Checked, Fresh, check_version};
use super::regions::{Regions, Target, in_region};
use super::retry::{Settled, token};
use super::serving::Table;
use super::{Cache, Error};
use crate::protocol::{Epoch, Time, Token};
use crate::store::{Change, Snapshot, Store, StoreError};

/// How many invalidates of a batch are under way at once: enough for whole messages to a few nodes.
const TOGETHER: usize = 1024;

/// What became of a [`Cache::set`].
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::SetOutcome;
///
/// assert_eq!(cache.set("k", "v").await?, SetOutcome::Stored);
/// let _writer = cache.reserve("k").await?;
/// assert_eq!(cache.set("k", "v").await?, SetOutcome::Busy);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a set may have met a writer"]
#[non_exhaustive]
pub enum SetOutcome {
    /// The value is in the cache.
    Stored,
    /// A writer holds the key. Nothing was stored.
    Busy,
    /// The value is larger than the option `max_value_bytes`. Nothing was sent.
    TooLarge,
    /// The store did not answer. The value may be in the cache.
    InDoubt,
}

/// What became of a [`Cache::replace`].
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::ReplaceOutcome;
///
/// let _ = cache.set("k", "1").await?;
/// let seen = cache.get("k").await?.expect("it was just set");
/// let _ = cache.set("k", "2").await?;
/// assert_eq!(cache.replace("k", seen.stamp, "3").await?, ReplaceOutcome::Conflict);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a replace may have lost a race"]
#[non_exhaustive]
pub enum ReplaceOutcome {
    /// The value is in the cache.
    Stored,
    /// The value is not the one that the caller saw any more. Nothing was stored.
    Conflict,
    /// The value is larger than the option `max_value_bytes`. Nothing was sent.
    TooLarge,
    /// The store did not answer. The value may be in the cache.
    InDoubt,
}

/// What became of a [`Cache::touch`].
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::TouchOutcome;
/// use std::time::Duration;
///
/// assert_eq!(cache.touch("k", Duration::from_secs(60)).await?, TouchOutcome::Missing);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TouchOutcome {
    /// The value lives on.
    Done,
    /// There is no value.
    Missing,
}

impl Cache {
    /// Says that the source of `key` was changed by somebody who did not reserve it: removes the
    /// value, and ends any fill under way.
    ///
    /// With the version that the source gave the change, older fills are refused from now on too,
    /// and a value that is at least that new stays.
    ///
    /// Where the option `fence` is `all`, in every region: whoever changed the source behind the cache's back told none. Where it is `home`,
    /// at the key's home.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key or a version out of bounds; [`Error::Store`] if the store did not answer:
    /// say it again; [`Error::ShutDown`].
    pub async fn invalidate(
        &self,
        key: impl AsRef<[u8]>,
        version: Option<u64>,
    ) -> Result<(), Error> {
        let key = key.as_ref();
        let Some(regions) = self.fenced() else {
            return self.invalidate_here(key, version, Epoch::NONE).await;
        };
        Box::pin(self.invalidate_everywhere(regions, key, version)).await
    }

    async fn invalidate_everywhere(
        &self,
        regions: &Regions,
        key: &[u8],
        version: Option<u64>,
    ) -> Result<(), Error> {
        let Some(serves) = &self.0.serves else {
            self.check_key(key)?;
            let targets = self.targets(regions, key)?;
            let telling = targets.iter().map(async |Target { region, cache, epoch }| {
                let told = cache.invalidate_here(key, version, *epoch).await;
                told.map_err(|error| regions.told_of(region, error))
            });
            return join_all(telling).await.into_iter().collect();
        };
        let Table { targets, waits } = self.table(regions, serves).await?;
        let telling = targets.iter().map(async |target| {
            match target.cache.invalidate_here(key, version, target.epoch).await {
                Err(Error::Store(_)) => self.wait_out(serves, target).await,
                told => told.map_err(|error| in_region(&target.region, error)),
            }
        });
        let (told, ()) = join(join_all(telling), tokio::time::sleep(waits)).await;
        told.into_iter().collect()
    }

    async fn invalidate_here(
        &self,
        key: &[u8],
        version: Option<u64>,
        epoch: Epoch,
    ) -> Result<(), Error> {
        self.check_key(key)?;
        let key = self.key_in(key, epoch);
        let version = version.map(check_version).transpose()?;
        let ttl = self.0.options.claim_ttl();
        // Refused means that there is no record, or a value that is new enough.
        match self.settle(&key, &Change::Invalidate { version, ttl }, None).await? {
            Settled::Applied | Settled::Refused(_) => Ok(()),
            Settled::InDoubt(error) => Err(self.unanswered("an invalidate", error)),
        }
    }

    /// The same for many changes, as a stream of the source's changes brings them: sent together, and each key once, with the
    /// newest of its versions. Their order does not matter, and to say them again does no harm.
    ///
    /// Once this has returned without an error every one was applied, and never before: so then the stream's position may be
    /// confirmed. After an error, or where this is dropped, some were, and all are to be said again.
    ///
    /// # Errors
    /// As [`invalidate`](Cache::invalidate); of keys and versions before anything is sent.
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// # let mut stream = std::iter::once((vec![("user:1", 7), ("user:2", 8), ("user:1", 9)], 9_u64));
    /// # fn confirm(_position: u64) {}
    /// while let Some((changes, position)) = stream.next() {
    ///     cache.invalidate_many(changes.into_iter().map(|(key, version)| (key, Some(version)))).await?;
    ///     confirm(position);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn invalidate_many<K: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<u64>)>,
    ) -> Result<(), Error> {
        let invalidate =
            |cache: Cache, key: Bytes, version| async move { cache.invalidate(key, version).await };
        self.for_newest(changes, invalidate).await
    }

    /// The same, in the own region alone.
    pub(crate) async fn invalidate_many_here<K: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<u64>)>,
    ) -> Result<(), Error> {
        let invalidate = |cache: Cache, key: Bytes, version| async move {
            // Another process may serve in an epoch that this one does not know: all that there are. A key is known at its home alone.
            if cache.0.serves.is_some() || cache.has_homes() {
                cache.invalidate(&key, version).await
            } else {
                cache.invalidate_here(&key, version, Epoch::NONE).await
            }
        };
        self.for_newest(changes, invalidate).await
    }

    /// Does it for each key once, with the newest of its versions.
    async fn for_newest<K: AsRef<[u8]>, F: Future<Output = Result<(), Error>>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<u64>)>,
        invalidate: impl Fn(Cache, Bytes, Option<u64>) -> F,
    ) -> Result<(), Error> {
        // What has no version is something else than what has one: it removes whatever there is.
        let mut newest: HashMap<(Bytes, bool), Option<u64>> = HashMap::new();
        for (key, version) in changes {
            self.check_key(key.as_ref())?;
            version.map(check_version).transpose()?;
            let key = Bytes::copy_from_slice(key.as_ref());
            let known = newest.entry((key, version.is_some())).or_default();
            *known = version.max(*known);
        }
        let invalidates =
            newest.into_iter().map(|((key, _), version)| invalidate(self.clone(), key, version));
        iter(invalidates).buffer_unordered(TOGETHER).try_collect().await
    }

    /// Stores a value without asking the source; the last one wins. **Outside the guarantee**: a
    /// value that was read before another's change can be stored after it. Where the source is at
    /// hand, [`get_or_fill`](Cache::get_or_fill) and [`update`](Cache::update) are the ways to
    /// store.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key or a time to live out of bounds, or for a version, which an
    /// unconditional write cannot have; [`Error::Store`] if the store gave no answer and the value
    /// was certainly not stored; [`Error::ShutDown`].
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        fresh: impl Into<Fresh>,
    ) -> Result<SetOutcome, Error> {
        let (cache, key) = self.key(key.as_ref())?;
        cache.may_store(key.epoch)?;
        let Some(Checked { value, ttl, .. }) = cache.unconditional(fresh.into())? else {
            return Ok(SetOutcome::TooLarge);
        };
        let token = token();
        Ok(match cache.settle(&key, &Change::Set { token, value, ttl }, Some(token)).await? {
            Settled::Applied => SetOutcome::Stored,
            Settled::Refused(_) => SetOutcome::Busy,
            Settled::InDoubt(_) => {
                cache.0.counters.in_doubt.add();
                SetOutcome::InDoubt
            }
        })
    }

    /// Stores a value if the cache still holds the one that a hit with this `stamp` returned.
    /// **Outside the guarantee**, as the source is not asked.
    ///
    /// # Errors
    /// As [`set`](Cache::set).
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, ReplaceOutcome};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let _ = cache.set("visits", "1").await?;
    /// let seen = cache.get("visits").await?.unwrap();
    /// assert_eq!(cache.replace("visits", seen.stamp, "2").await?, ReplaceOutcome::Stored);
    /// assert_eq!(cache.replace("visits", seen.stamp, "3").await?, ReplaceOutcome::Conflict);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        stamp: Token,
        fresh: impl Into<Fresh>,
    ) -> Result<ReplaceOutcome, Error> {
        let (cache, key) = self.key(key.as_ref())?;
        cache.may_store(key.epoch)?;
        let Some(Checked { value, ttl, .. }) = cache.unconditional(fresh.into())? else {
            return Ok(ReplaceOutcome::TooLarge);
        };
        let token = token();
        let change = Change::Replace { stamp, token, value, ttl, until: None };
        Ok(match cache.settle(&key, &change, Some(token)).await? {
            Settled::Applied => ReplaceOutcome::Stored,
            Settled::Refused(_) => ReplaceOutcome::Conflict,
            Settled::InDoubt(_) => {
                cache.0.counters.in_doubt.add();
                ReplaceOutcome::InDoubt
            }
        })
    }

    /// Where regions serve under leases: whether anybody would read what is stored in that epoch.
    fn may_store(&self, epoch: Epoch) -> Result<(), Error> {
        self.0.serves.as_ref().map_or(Ok(()), |serves| Ok(serves.serves(epoch)?))
    }

    /// Sets the time to live of a value anew, for sliding expiry. Such a value may outlive its first
    /// time to live.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key or a time to live out of bounds; [`Error::Store`] if nobody
    /// answered; [`Error::ShutDown`].
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Result<TouchOutcome, Error> {
        let (cache, key) = self.key(key.as_ref())?;
        cache.may_store(key.epoch)?;
        let ttl = cache.0.options.check_ttl("ttl", ttl)?;
        let Some(until) = cache.until_touched(&key).await? else {
            return Ok(TouchOutcome::Missing);
        };
        match cache.settle(&key, &Change::Touch { ttl, until }, None).await? {
            Settled::Applied => Ok(TouchOutcome::Done),
            Settled::Refused(_) => Ok(TouchOutcome::Missing),
            Settled::InDoubt(error) => Err(cache.unanswered("a touch", error)),
        }
    }

    /// Until when a touch may count; the outer `None` is that there is nothing to touch.
    ///
    /// Where a node may be cut off, a touch that comes late would make a forgotten copy of the record the newest. It
    /// has no claim, and so no time of the server's to count from: the record is looked at first.
    async fn until_touched(&self, key: &[u8]) -> Result<Option<Option<Time>>, Error> {
        let Some(guard) = self.0.store.guard().filter(|guard| guard.may_split()) else {
            return Ok(Some(None));
        };
        let standing = guard.standing();
        let Some(Snapshot { now, .. }) = self.0.store.inspect(key).await? else { return Ok(None) };
        match guard.left(standing) {
            Duration::ZERO => Err(guard.absence().into()),
            left => Ok(Some(Some(now.after(left)))),
        }
    }

    fn unconditional(&self, fresh: Fresh) -> Result<Option<Checked>, Error> {
        if fresh.version.is_some() {
            let problem = "an unconditional write has none; it comes from get_or_fill or update";
            return Err(Error::invalid("version", problem));
        }
        self.fit(fresh)
    }

    fn unanswered(&self, what: &str, error: StoreError) -> Error {
        self.0.counters.in_doubt.add();
        let told = format!("no answer to {what}; it may have been applied: {error}");
        StoreError::doubtful(told).because(error).into()
    }
}
