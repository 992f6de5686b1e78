//! Nonces: had before a value is stored, and compared before one is served.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::{join_all, try_join_all};
use smallvec::SmallVec;

use super::header::{Nonce, Stored, read};
use super::{Bears, EVERYTHING, Nonces, stored};
use crate::cache::found::{Bypass, Gap, Seen};
use crate::cache::lookup::Lookup;
use crate::cache::near::Near;
use crate::cache::stale::Begun;
use crate::cache::{Cache, Error, FillOutcome};
use crate::protocol::{MAX_TTL, Token, Ttl};
use crate::store::{Backend, Change, Hit, Read, Store, StoreError, Value};

/// How often a tag is opened whose opening meets a purge.
const OPENINGS: usize = 3;

/// Why nonces are not to be had.
pub(in crate::cache) enum Closed {
    /// Somebody holds a tag.
    Held(Bypass),
    Failed(Error),
}

/// Boxed, as who opens a tag takes a lease, and who takes a lease has nonces.
type HavingNonces<'a> = Pin<Box<dyn Future<Output = Result<Nonces, Closed>> + Send + 'a>>;

/// What is known of tags, by their names: the nonce, where there is one.
type Known = HashMap<Bytes, Result<Option<Token>, StoreError>, RandomState>;

impl Cache {
    /// The nonces of all tags of this handle. A tag that has none gets one.
    ///
    /// They are asked of the store, and not of copies: what is stored with a nonce that is over is served to nobody.
    pub(in crate::cache) fn nonces(&self) -> HavingNonces<'_> {
        Box::pin(async {
            let own = self.1.iter().flat_map(|handle| handle.tags.iter().cloned());
            let tags: Vec<Bytes> = own.chain([Bytes::from_static(EVERYTHING)]).collect();
            let keys: Vec<Bytes> = tags.iter().map(|tag| self.tag_key(tag)).collect();
            let reads = self.send_reads(&keys).await;
            let having = reads.into_iter().zip(keys).map(async |(read, key)| match read {
                Ok(Read::Hit(hit)) => {
                    if hit.life.is_some_and(|life| life.share_over() >= 0.5) {
                        self.keep_tag(key);
                    }
                    Ok(hit.stamp)
                }
                Ok(Read::Claimed) => self.open_tag(key, Gap::CLAIMED).await,
                Ok(Read::Free) => self.open_tag(key, Gap::Free).await,
                Err(error) => Err(Closed::Failed(error.into())),
            });
            let nonces = try_join_all(having.collect::<Vec<_>>()).await?;
            Ok(Arc::new(tags.into_iter().zip(nonces).collect()))
        })
    }

    /// What is to be stored beside the value of a key, or instead of it.
    pub(in crate::cache) async fn bears(&self, key: &[u8]) -> Bears {
        if self.0.tagging.is_none() {
            return Bears::Nothing;
        }
        if !self.bears_tags(key) {
            return Bears::Tag;
        }
        match self.nonces().await {
            Ok(nonces) => Bears::Nonces(nonces),
            Err(closed) => {
                if let Closed::Failed(error) = closed {
                    tracing::warn!(%error, "the nonce of a tag cannot be had; nothing is stored");
                }
                Bears::Unknown
            }
        }
    }

    /// What is stored where no source is asked. `None`: a tag is held by somebody.
    ///
    /// # Errors
    /// The nonces are not to be had.
    pub(in crate::cache) async fn bearing(
        &self,
        key: &[u8],
        value: Value,
    ) -> Result<Option<Value>, Error> {
        if !self.bears_tags(key) {
            return Ok(Some(value));
        }
        match self.nonces().await {
            Ok(nonces) => Ok(Some(stored(Some(&nonces), value))),
            Err(Closed::Held(_)) => Ok(None),
            Err(Closed::Failed(error)) => Err(error),
        }
    }

    /// Stores nothing in the record of a tag: its token is the nonce.
    async fn open_tag(&self, key: Bytes, mut gap: Gap) -> Result<Token, Closed> {
        for _ in 0..OPENINGS {
            let lookup = self.look_up_missing(key.clone(), gap).await.map_err(Closed::Failed)?;
            let lease = match lookup {
                Lookup::Hit(hit) => return Ok(hit.stamp),
                Lookup::Bypass(Bypass::Unreachable) => break,
                Lookup::Bypass(why) => return Err(Closed::Held(why)),
                Lookup::Leased(lease) => lease,
            };
            let nonce = lease.token();
            match lease.fill_checked(self.nothing_of_a_tag()).await.map_err(Closed::Failed)? {
                FillOutcome::Stored => return Ok(nonce),
                FillOutcome::InDoubt => break,
                // It was purged, or reserved, meanwhile.
                FillOutcome::Rejected(_) | FillOutcome::TooLarge => gap = Gap::Free,
            }
        }
        Err(Closed::Failed(StoreError::unavailable("a tag could not be opened").into()))
    }

    /// So long that no value of a usual time to live outlives its tag, which is prolonged when half of that is over.
    pub(super) fn tag_ttl(&self) -> Ttl {
        let twice = (self.0.options.claim_ttl().span() * 2).min(MAX_TTL);
        Ttl::from_span(twice).unwrap_or(self.0.options.claim_ttl())
    }

    /// Lets the record of a tag live on, in the background.
    fn keep_tag(&self, key: Bytes) {
        let cache = self.clone();
        self.spawn(async move {
            let ttl = cache.tag_ttl();
            let standing = cache.may_serve();
            if let Ok(Some(until)) = cache.until_left_alone(&key, standing).await {
                let touched = cache.settle(&key, &Change::Touch { ttl, until }, None).await;
                tracing::debug!(?touched, "a tag that is in use lives on");
            }
        });
    }

    /// What is known of a key whose value bears tags, and is not [at hand](Cache::tagged_at_once).
    pub(in crate::cache) async fn see_tagged(&self, key: &[u8]) -> Result<Seen, StoreError> {
        let begun = self.begun();
        let Some(near) = self.copies() else {
            return self.seen_tagged(key, self.0.store.get(key).await?, begun).await;
        };
        if let Some(copy) = self.copied(near, key) {
            if let Some(hit) = self.unpurged(&copy).await? {
                return Ok(self.count(key, Read::Hit(hit), begun));
            }
            near.drop_copy(key);
        }
        self.seen_tagged(key, self.look_near(near, key).await?, begun).await
    }

    /// What was read, if it is still good. Counted.
    async fn seen_tagged(
        &self,
        key: &[u8],
        read: Read,
        begun: Option<Begun>,
    ) -> Result<Seen, StoreError> {
        let Read::Hit(stored) = read else { return Ok(self.count(key, read, begun)) };
        let good = self.unpurged(&stored).await?;
        Ok(self.judged(key, good, stored.stamp, begun))
    }

    fn judged(&self, key: &[u8], good: Option<Hit>, stamp: Token, begun: Option<Begun>) -> Seen {
        if let Some(hit) = good {
            return self.count(key, Read::Hit(hit), begun);
        }
        self.0.counters.misses.add();
        self.0.counters.purged_misses.add();
        Seen::Gap(Gap::Purged(stamp))
    }

    /// The same of many, each of which was read.
    pub(in crate::cache) async fn seen_tagged_many(
        &self,
        keys: &[Bytes],
        reads: Vec<Result<Read, StoreError>>,
        begun: Option<Begun>,
    ) -> Vec<Result<Seen, StoreError>> {
        let stored = |read: &Result<Read, StoreError>| match read {
            Ok(Read::Hit(hit)) => Some(hit.clone()),
            _ => None,
        };
        let stored: Vec<Hit> = reads.iter().filter_map(stored).collect();
        let mut good = self.unpurged_many(&stored).await.into_iter();
        let seen = reads.into_iter().zip(keys).map(|(read, key)| match read? {
            Read::Hit(hit) => {
                let unsaid = || Err(StoreError::unavailable("the store gave no answer"));
                let good = good.next().unwrap_or_else(unsaid)?;
                Ok(self.judged(key, good, hit.stamp, begun))
            }
            read => Ok(self.count(key, read, begun)),
        });
        seen.collect()
    }

    /// A hit that needs no waiting, with nonces that need none. `None` says nothing.
    pub(in crate::cache) fn tagged_at_once(&self, key: &[u8]) -> Option<Hit> {
        let begun = self.begun();
        let hit = match (self.copies(), &self.0.store) {
            (Some(near), _) => {
                let hit = self.copied_beside_tags(near, key)?;
                self.0.counters.near_hits.add();
                hit
            }
            (None, Backend::Memory(store)) => {
                let stored = store.read(key).hit()?;
                let Stored { nonces, value } = read(&stored.value)?;
                let is_same = |(tag, nonce): &Nonce| {
                    store.read(&self.tag_key(tag)).hit().is_some_and(|now| now.stamp == *nonce)
                };
                nonces.iter().all(is_same).then_some(Hit { value, ..stored })?
            }
            _ => return None,
        };
        self.count_hit(key, &hit, begun);
        Some(hit)
    }

    /// What was stored, if the nonces of its tags are now what they were then.
    pub(in crate::cache) async fn unpurged(&self, stored: &Hit) -> Result<Option<Hit>, StoreError> {
        let of_one = self.unpurged_many(std::slice::from_ref(stored)).await.pop();
        of_one.unwrap_or(Ok(None))
    }

    /// Of several, whose tags are asked for together.
    async fn unpurged_many(&self, stored: &[Hit]) -> Vec<Result<Option<Hit>, StoreError>> {
        let stored: Vec<(&Hit, Option<Stored>)> =
            stored.iter().map(|hit| (hit, self.read_header(hit))).collect();
        let borne = stored.iter().filter_map(|(_, stored)| stored.as_ref());
        let tags: HashSet<Bytes, RandomState> =
            borne.flat_map(|stored| stored.nonces.iter().map(|(tag, _)| tag.clone())).collect();
        let (mut known, copied) = self.nonces_now(tags).await;
        if !copied.is_empty() {
            // A copy is as good as the record where it is the same. Where not, the value may be the newer one.
            let borne = stored.iter().filter_map(|(_, stored)| stored.as_ref());
            let differs = |(tag, nonce): &&Nonce| {
                copied.contains(tag) && !matches!(known[tag], Ok(Some(now)) if now == *nonce)
            };
            let older: HashSet<Bytes, RandomState> = borne
                .flat_map(|stored| stored.nonces.iter().filter(differs))
                .map(|(tag, _)| tag.clone())
                .collect();
            known.extend(self.nonces_of_records(older).await);
        }
        let good = stored.into_iter().map(|(hit, stored)| {
            let Some(Stored { nonces, value }) = stored else { return Ok(None) };
            let is_same = are_same(&nonces, &known)?;
            Ok(is_same.then(|| Hit { value, ..hit.clone() }))
        });
        good.collect()
    }

    /// The records of the tags that a value was stored with, and their nonces then. `None`: it was not stored so.
    pub(in crate::cache) fn borne(&self, key: &[u8], stored: &Hit) -> Option<SmallVec<[Nonce; 4]>> {
        if !self.bears_tags(key) {
            return Some(SmallVec::new());
        }
        let stored = read(&stored.value)?;
        Some(stored.nonces.iter().map(|(tag, nonce)| (self.tag_key(tag), *nonce)).collect())
    }

    fn read_header(&self, hit: &Hit) -> Option<Stored> {
        let stored = read(&hit.value);
        if stored.is_none()
            && let Some(tagging) = &self.0.tagging
            && !tagging.is_logged.swap(true, Relaxed)
        {
            tracing::error!(
                "a value was not stored with tags, and counts as purged; does another program use these keys?"
            );
        }
        stored
    }

    /// The nonces of tags, and those of which it was a copy that told.
    async fn nonces_now(
        &self,
        tags: HashSet<Bytes, RandomState>,
    ) -> (Known, HashSet<Bytes, RandomState>) {
        let Some(near) = self.copies() else {
            return (self.nonces_of_records(tags).await, HashSet::default());
        };
        let (mut known, mut copied, mut asked) = (Known::default(), HashSet::default(), Vec::new());
        for tag in tags {
            match self.copied(near, &self.tag_key(&tag)) {
                Some(copy) => {
                    known.insert(tag.clone(), Ok(Some(copy.stamp)));
                    copied.insert(tag);
                }
                None => asked.push(tag),
            }
        }
        let looks = asked.into_iter().map(|tag| self.look_at_tag(near, tag));
        known.extend(join_all(looks.collect::<Vec<_>>()).await);
        (known, copied)
    }

    async fn look_at_tag(
        &self,
        near: &Near,
        tag: Bytes,
    ) -> (Bytes, Result<Option<Token>, StoreError>) {
        let read = self.look_near(near, &self.tag_key(&tag)).await;
        (tag, read.map(nonce_of))
    }

    /// As their records have them. Copies are dropped.
    async fn nonces_of_records(&self, tags: HashSet<Bytes, RandomState>) -> Known {
        if tags.is_empty() {
            return Known::default();
        }
        let keys: Vec<Bytes> = tags.iter().map(|tag| self.tag_key(tag)).collect();
        if let Some(near) = &self.0.near {
            for key in &keys {
                near.drop_copy(key);
            }
        }
        let reads = self.0.store.get_many(&keys).await;
        tags.into_iter().zip(reads).map(|(tag, read)| (tag, read.map(nonce_of))).collect()
    }
}

fn nonce_of(read: Read) -> Option<Token> {
    read.hit().map(|hit| hit.stamp)
}

/// Whether all of them are what they were. One that is not is enough; a tag that has none now is not.
///
/// # Errors
/// Of some it is not known.
fn are_same(nonces: &[Nonce], known: &Known) -> Result<bool, StoreError> {
    let mut unknown = None;
    for (tag, nonce) in nonces {
        match known.get(tag) {
            Some(Ok(Some(now))) if now == nonce => {}
            Some(Err(error)) => unknown = Some(error.clone()),
            _ => return Ok(false),
        }
    }
    unknown.map_or(Ok(true), Err)
}
