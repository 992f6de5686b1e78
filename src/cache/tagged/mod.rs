//! Tags: values that bear them, and groups of values that are purged, or changed, by one record each.
//!
//! A tag's record is like any other, in a key space of its own. Its *nonce* is the token that its fill or commit left; a value is
//! stored with those of all its tags, and is a hit only while they are the same.

mod header;
mod nonces;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::fresh::Checked;
use super::update::SourceResult;
use super::{Cache, CallError, Error, Reservation, Room, UpdateOutcome};
use crate::protocol::Epoch;
use crate::store::{Change, Snapshot, Value};
use header::Nonce;
pub(super) use header::{Stored, read as read_header};
pub(super) use nonces::Closed;

/// What a key begins with where tags are on: that of a value; of a tag; of what the library keeps for itself.
pub(super) const VALUE: u8 = 0;
const TAG: u8 = 1;
const OWN: u8 = 2;

/// The tag that every value bears.
const EVERYTHING: &[u8] = b"*";
/// The most tags of a value, beside that one.
const MAX_TAGS: usize = 32;
/// The longest tag, in bytes.
const MAX_TAG: usize = 256;
/// How many purges are sent and confirmed together.
const TOGETHER: usize = 4096;

/// What a cache keeps of tags, where they are on.
#[derive(Default)]
pub(super) struct Tagging {
    /// Whether it was said that a value is none.
    is_logged: AtomicBool,
}

/// Those of all tags of a value. A thin pointer, as leases and results hold it.
pub(super) type Nonces = Arc<Vec<Nonce>>;

/// A value as it is stored, with the nonces of its tags, where it bears some.
pub(super) fn stored(nonces: Option<&Nonces>, value: Value) -> Value {
    match nonces {
        Some(nonces) => Some(header::write(nonces, &value)),
        None => value,
    }
}

/// What is stored beside a value.
#[derive(Clone, Debug, Default)]
pub(super) enum Bears {
    /// Nothing: tags are off.
    #[default]
    Nothing,
    /// It is the record of a tag, in which nothing is stored.
    Tag,
    Nonces(Nonces),
    /// The nonces could not be had.
    Unknown,
}

impl Bears {
    /// What is stored. `None`: it cannot be.
    pub fn with(&self, value: Value) -> Option<Value> {
        match self {
            Bears::Nothing => Some(value),
            Bears::Tag => Some(None),
            Bears::Nonces(nonces) => Some(stored(Some(nonces), value)),
            Bears::Unknown => None,
        }
    }
}

impl Cache {
    /// This cache, for values that bear these tags, beside those that this handle's bear: all that is stored through it, by
    /// [`get_or_fill`](Cache::get_or_fill), [`lookup`](Cache::lookup), [`update`](Cache::update), [`reserve`](Cache::reserve),
    /// [`set`](Cache::set) and the others, [`typed`](Cache::typed) included. Cheap; it is the same cache, so closing it closes all.
    ///
    /// A value is found through any handle. [`purge_tag`](Cache::purge_tag) makes misses of all that bear a tag, at once and with
    /// one command, however many they are.
    ///
    /// # Errors
    /// [`Error::Invalid`] of `tags` where the option `tags` is off, for a tag that is not 1 to 256 bytes long, for more than 32
    /// (one that is there twice is one), or for `*`, which every value bears anyhow.
    ///
    /// # Example
    /// ```
    /// # use std::convert::Infallible;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let cache = genfence::Cache::connect("memory://?tags=true").await?;
    /// let load = async || Ok::<_, Infallible>("a page about hats");
    /// cache.tagged(["hats", "winter"])?.get_or_fill("page:1", load).await.unwrap();
    /// assert!(cache.get("page:1").await?.is_some());
    ///
    /// cache.purge_tag("hats").await?;
    /// assert!(cache.get("page:1").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn tagged<T: AsRef<[u8]>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<Cache, Error> {
        self.tags_are_on()?;
        let mut handle = self.1.as_deref().cloned().unwrap_or_default();
        let all = &mut handle.tags;
        for tag in tags {
            let tag = tag.as_ref();
            self.check_tag(tag)?;
            if tag == EVERYTHING {
                return Err(Error::invalid("tags", "`*` is borne by every value, leave it out"));
            }
            if !all.iter().any(|known| **known == *tag) {
                all.push(Bytes::copy_from_slice(tag));
            }
            if all.len() > MAX_TAGS {
                let problem = format!("there are more than {MAX_TAGS}, which is the most");
                return Err(Error::invalid("tags", problem));
            }
        }
        Ok(Cache(Arc::clone(&self.0), Some(Arc::new(handle))))
    }

    /// Says that the source of all values that bear this tag was changed, by somebody who did not reserve them: none of them is a
    /// hit any more, in any process, and none that is being loaded now is stored so that it would be one.
    ///
    /// It is one command, and waits until no copies of the tag are served any more (the option `near`). Values take room until
    /// they are replaced, or their time is over. In other regions nothing is purged.
    ///
    /// # Errors
    /// [`Error::Invalid`] of `tags` where the option `tags` is off, or for a tag out of bounds; [`Error::Store`] if the store did
    /// not answer, or its cluster changed again and again meanwhile: say it again; [`Error::ShutDown`].
    pub async fn purge_tag(&self, tag: impl AsRef<[u8]>) -> Result<(), Error> {
        self.purge_tags([tag]).await
    }

    /// The same of several, sent together. All are tried, also where one fails.
    ///
    /// # Errors
    /// As [`purge_tag`](Cache::purge_tag); of tags out of bounds before anything is sent.
    pub async fn purge_tags<T: AsRef<[u8]>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        self.open_or_shut_down()?;
        self.tags_are_on()?;
        let mut changes: Vec<(Bytes, Change)> = Vec::new();
        for tag in tags {
            self.check_tag(tag.as_ref())?;
            changes.push((self.tag_key(tag.as_ref()), self.invalidation(None)));
        }
        let mut first = None;
        for some in changes.chunks(TOGETHER) {
            let failed = Box::pin(self.invalidate_changes(some)).await;
            self.0.counters.tag_purges.add_many(some.len() - failed.len());
            first = first.or(failed.into_iter().next());
        }
        first.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Purges all values there are: those of every key with this cache's prefix.
    ///
    /// # Errors
    /// As [`purge_tag`](Cache::purge_tag).
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let cache = genfence::Cache::connect("memory://?tags=true").await?;
    /// let _ = cache.set("k", "v").await?;
    /// cache.purge_all().await?;
    /// assert!(cache.get("k").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn purge_all(&self) -> Result<(), Error> {
        self.purge_tag(EVERYTHING).await
    }

    /// Reserves all values that bear a tag, before their source is changed: as [`reserve`](Cache::reserve) does for one key, with one
    /// command. From here on none of them is a hit, and none is stored, until it is committed, released or aborted.
    ///
    /// There is nothing to store: what is committed is that the source was changed, and its value is not looked at.
    ///
    /// # Errors
    /// As [`reserve`](Cache::reserve), and [`Error::Invalid`] of `tags` where the option `tags` is off, or for a tag out of bounds.
    pub async fn reserve_tag(&self, tag: impl AsRef<[u8]>) -> Result<Reservation, Error> {
        self.check_tag(tag.as_ref())?;
        self.reserve_full_or_proceed(&self.tag_key(tag.as_ref())).await
    }

    /// The same, once no copies of the tag are served any more: see [`reserve_settled`](Cache::reserve_settled).
    ///
    /// # Errors
    /// As [`reserve_tag`](Cache::reserve_tag).
    pub async fn reserve_tag_settled(&self, tag: impl AsRef<[u8]>) -> Result<Reservation, Error> {
        self.check_tag(tag.as_ref())?;
        let key = self.tag_key(tag.as_ref());
        let hush = self.hush(&key).await;
        let reservation = self.reserve_full_or_proceed(&key).await?;
        reservation.settled_under(hush).await;
        Ok(reservation)
    }

    /// Changes the source of all values that bear a tag under a reservation: as [`update`](Cache::update) for one key.
    ///
    /// # Errors
    /// As [`update`](Cache::update) and [`reserve_tag`](Cache::reserve_tag).
    ///
    /// # Example
    /// ```
    /// use genfence::{Fresh, SourceResult, UpdateOutcome};
    /// # use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let cache = genfence::Cache::connect("memory://?tags=true").await?;
    /// let raise = async |_: &genfence::Reservation| {
    ///     // UPDATE prices SET price = price * 1.1 WHERE kind = 'hat'; COMMIT
    ///     Ok::<_, Infallible>(SourceResult::Committed(Fresh::nothing()))
    /// };
    /// assert_eq!(cache.update_tag("hats", raise).await.unwrap(), UpdateOutcome::Stored);
    /// # Ok(()) }
    /// ```
    pub async fn update_tag<E, F>(
        &self,
        tag: impl AsRef<[u8]>,
        change: F,
    ) -> Result<UpdateOutcome, CallError<E>>
    where
        F: AsyncFnOnce(&Reservation) -> Result<SourceResult, E>,
    {
        self.reserve_tag_settled(tag).await?.change(change).await
    }

    /// Whether the cache is open and has tags, and this is within the bounds of one.
    pub(crate) fn check_tag(&self, tag: &[u8]) -> Result<(), Error> {
        self.open_or_shut_down()?;
        self.tags_are_on()?;
        if (1..=MAX_TAG).contains(&tag.len()) {
            return Ok(());
        }
        let problem = format!("a tag of {} bytes, must be 1 to {MAX_TAG}", tag.len());
        Err(Error::invalid("tags", problem))
    }

    fn tags_are_on(&self) -> Result<(), Error> {
        if self.0.tagging.is_some() {
            return Ok(());
        }
        Err(Error::invalid("tags", "are off: set the option `tags`, in all programs alike"))
    }

    /// Whether the value of a full key bears tags.
    #[inline]
    pub(super) fn bears_tags(&self, key: &[u8]) -> bool {
        self.0.tagging.is_some() && key.first() == Some(&VALUE)
    }

    /// Whether a full key is that of a value, and not of a record which the library has for itself.
    #[inline]
    pub(super) fn is_a_value(&self, key: &[u8]) -> bool {
        self.0.tagging.is_none() || self.bears_tags(key)
    }

    /// The full key of a tag's record.
    pub(super) fn tag_key(&self, tag: &[u8]) -> Bytes {
        Bytes::copy_from_slice(self.joined(Some(TAG), tag, self.epoch(), &mut Room::default()))
    }

    /// The full key of a record that the library keeps for itself.
    pub(super) fn own_key(&self, key: &[u8]) -> Bytes {
        let space = self.0.tagging.is_some().then_some(OWN);
        Bytes::copy_from_slice(self.joined(space, key, Epoch::NONE, &mut Room::default()))
    }

    /// What is committed of a tag: nothing, for as long as tags live.
    pub(super) fn nothing_of_a_tag(&self) -> Checked {
        Checked { value: None, version: None, ttl: self.tag_ttl() }
    }

    /// As its caller stored it.
    pub(super) fn without_tags(&self, mut snapshot: Snapshot) -> Snapshot {
        if self.0.tagging.is_some()
            && let Some(stored) = &mut snapshot.record.stored
            && let Some(read) = header::read(&stored.value)
        {
            stored.value = read.value;
        }
        snapshot
    }
}
