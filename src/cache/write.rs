//! Commands outside reserve and fill: set, replace, touch.

use std::time::Duration;

use super::fresh::{Checked, Fresh};
use super::reservation::CommitOutcome;
use super::retry::{Settled, token};
use super::{Cache, Error, FullKey, Room};
use crate::protocol::{Epoch, Time, Token};
use crate::store::{Change, Guard, Snapshot, Standing, Store, StoreError};

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
        let room = &mut Room::default();
        let (cache, key) = self.key(key.as_ref(), room)?;
        cache.may_store(key.epoch)?;
        let Some(fresh) = cache.unconditional(fresh.into())? else {
            return Ok(SetOutcome::TooLarge);
        };
        if cache.has_copies() {
            return Box::pin(cache.set_settled(&key, fresh)).await;
        }
        let Checked { value, ttl, .. } = fresh;
        let Some(stored) = cache.bearing(&key, value.clone()).await? else {
            return Ok(SetOutcome::Busy);
        };
        let (token, begun, kept) = (token(), cache.begun(), value);
        let value = stored;
        Ok(match cache.settle(&key, &Change::Set { token, value, ttl }, Some(token)).await? {
            Settled::Applied => {
                cache.note_value(&key, &kept, None, begun);
                SetOutcome::Stored
            }
            Settled::Refused(_) => SetOutcome::Busy,
            Settled::InDoubt(_) => {
                cache.0.counters.in_doubt.add();
                SetOutcome::InDoubt
            }
        })
    }

    /// Where copies may be served: they are waited for first, as before any change.
    async fn set_settled(&self, key: &FullKey<'_>, fresh: Checked) -> Result<SetOutcome, Error> {
        let hush = self.hush(key).await;
        let reservation = self.reserve_full(key).await?;
        reservation.settled_under(hush).await;
        Ok(match reservation.commit_checked(fresh).await {
            CommitOutcome::Stored => SetOutcome::Stored,
            CommitOutcome::Purged | CommitOutcome::TooLarge => SetOutcome::Busy,
            CommitOutcome::InDoubt => SetOutcome::InDoubt,
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
        let room = &mut Room::default();
        let (cache, key) = self.key(key.as_ref(), room)?;
        cache.may_store(key.epoch)?;
        let Some(Checked { value, ttl, .. }) = cache.unconditional(fresh.into())? else {
            return Ok(ReplaceOutcome::TooLarge);
        };
        let Some(stored) = cache.bearing(&key, value.clone()).await? else {
            return Ok(ReplaceOutcome::Conflict);
        };
        let (token, begun, kept) = (token(), cache.begun(), value);
        let value = stored;
        let change = Change::Replace { stamp, token, value, ttl, until: None };
        Ok(match cache.settle(&key, &change, Some(token)).await? {
            Settled::Applied => {
                cache.note_value(&key, &kept, None, begun);
                ReplaceOutcome::Stored
            }
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
        let room = &mut Room::default();
        let (cache, key) = self.key(key.as_ref(), room)?;
        cache.may_store(key.epoch)?;
        let ttl = cache.0.options.check_ttl("ttl", ttl)?;
        let standing = cache.may_serve();
        let Some(until) = cache.until_left_alone(&key, standing).await? else {
            return Ok(TouchOutcome::Missing);
        };
        match cache.settle(&key, &Change::Touch { ttl, until }, None).await? {
            Settled::Applied => Ok(TouchOutcome::Done),
            Settled::Refused(_) => Ok(TouchOutcome::Missing),
            Settled::InDoubt(error) => Err(cache.unanswered("a touch", error)),
        }
    }

    /// Until when a command may count that leaves the value where it is, on this ground; the outer `None` is that there is
    /// nothing.
    ///
    /// Where a node may be cut off, one that comes late would make a forgotten copy of the record the newest. It
    /// has no claim, and so no time of the server's to count from: the record is looked at first.
    pub(super) async fn until_left_alone(
        &self,
        key: &[u8],
        standing: Option<Standing>,
    ) -> Result<Option<Option<Time>>, StoreError> {
        if !self.0.store.guard().is_some_and(Guard::may_split) {
            return Ok(Some(None));
        }
        let Some(Snapshot { now, .. }) = self.0.store.inspect(key).await? else { return Ok(None) };
        self.until_on(now, standing).map(Some)
    }

    fn unconditional(&self, fresh: Fresh) -> Result<Option<Checked>, Error> {
        if fresh.version.is_some() {
            let problem = "an unconditional write has none; it comes from get_or_fill or update";
            return Err(Error::invalid("version", problem));
        }
        self.fit(fresh)
    }

    pub(super) fn unanswered(&self, what: &str, error: StoreError) -> Error {
        self.0.counters.in_doubt.add();
        let told = format!("no answer to {what}; it may have been applied: {error}");
        StoreError::doubtful(told).because(error).into()
    }
}
