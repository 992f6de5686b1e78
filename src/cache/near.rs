//! Near copies: values that this process may serve by itself for a while, as their records say until when.
//!
//! A key that is read now and then costs what it did. Of one that is read again within the near time a copy is kept: under
//! the stamp of another process, if enough of that is left, else under one of its own. While it is read it is
//! renewed before it ends, so that its readers wait for no command.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use quick_cache::sync::{Cache as EvictingMap, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rand::RngExt;
use smallvec::SmallVec;

use super::found::Seen;
use super::stopwatch::less_drift;
use super::tagged::{Stored, read_header};
use super::{Cache, Error};
use crate::protocol::{Stamp, Time, Token};
use crate::store::{Hit, Look, Mark, Read, Standing, Store, StoreError, Stripes, Value, going_on};

/// What a copy takes beside its key and value.
const COPY: u64 = 256;
/// The most shards of the map, each with a lock of its own.
const SHARDS: usize = 64;

pub(super) struct Near {
    copies: EvictingMap<Bytes, Arc<Kept>, Weigh, RandomState>,
    stripes: Stripes,
    /// The keys that stamps are under way for.
    stamping: Mutex<HashSet<Bytes, RandomState>>,
}

/// A stamp under way.
struct Stamping<'n>(&'n Near, &'n Bytes);

impl Drop for Stamping<'_> {
    fn drop(&mut self) {
        self.0.stamping.lock().remove(self.1);
    }
}

/// What is kept of a key.
pub(super) struct Kept {
    /// Nothing, where it is only known that somebody has read it.
    hit: Option<Hit>,
    /// When it was asked for, and until when it counts, on the clock that goes on.
    since: Duration,
    until: Duration,
    /// From when on more time is asked for, if it is read.
    renew: Duration,
    seen: Mark,
    /// The lease on the cluster that it was read under, where the store has one.
    standing: Option<Standing>,
    /// Whether somebody asks for more time, or for a copy.
    is_asked: AtomicBool,
    /// Of a value that bears tags, once it was served beside them.
    beside: Option<Beside>,
}

/// A value without what stands before it, and what is to be asked of the copies of its tags' records, which have the nonces it was
/// stored with. Where these count, nobody needs to look for them.
struct Beside {
    value: Value,
    /// Until all of them count, and none is to ask for more time.
    until: Duration,
    tags: SmallVec<[(Mark, Option<Standing>); 4]>,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Bytes, Arc<Kept>> for Weigh {
    fn weight(&self, key: &Bytes, kept: &Arc<Kept>) -> u64 {
        let value = kept.hit.as_ref().and_then(|hit| hit.value.as_ref());
        COPY + (key.len() + value.map_or(0, Bytes::len)) as u64
    }
}

impl Near {
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / (2 * COPY)).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(items.clamp(SHARDS, 1 << 20))
            .shards(SHARDS)
            .build()
            .expect("both sizes are given");
        let hasher = RandomState::default();
        let copies =
            EvictingMap::with_options(options, Weigh, hasher.clone(), DefaultLifecycle::default());
        let stamping = Mutex::new(HashSet::with_hasher(hasher.clone()));
        Near { copies, stripes: Stripes::new(hasher), stamping }
    }

    /// Nobody may serve it any more.
    pub fn drop_copy(&self, key: &[u8]) {
        self.copies.remove(key);
    }

    /// Nothing, where somebody is at it.
    fn stamping<'n>(&'n self, key: &'n Bytes) -> Option<Stamping<'n>> {
        self.stamping.lock().insert(key.clone()).then(|| Stamping(self, key))
    }

    /// Whether it was read within a near time before.
    fn is_wanted(&self, key: &[u8], now: Duration, time: Duration) -> bool {
        let lately = |kept: Arc<Kept>| now.saturating_sub(kept.since) < 2 * time;
        self.copies.get(key).is_some_and(lately)
    }
}

/// How long a copy lives under somebody's stamp, where more than half of a near time is left of that: one is enough for all.
fn lives_under(look: &Look, time: Duration) -> Option<Duration> {
    let lives = look.lives();
    (lives > time / 2).then(|| lives.min(time))
}

/// Whether a copy may be served.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    No,
    Yes,
    /// It may, and it is time to ask for more.
    Due,
}

/// What a look, or a stamp, is asked on.
struct Ground {
    since: Duration,
    seen: Mark,
    standing: Option<Standing>,
}

impl Ground {
    fn of(cache: &Cache, near: &Near, key: &[u8]) -> Self {
        let (seen, standing) = (near.stripes.mark(key), cache.may_serve());
        Ground { since: going_on(), seen, standing }
    }

    /// Keeps what was found, for so long from before it was asked for. More time is asked for when half of it is over, or
    /// some later, so that others find that it was.
    fn keep(self, near: &Near, key: Bytes, hit: Option<Hit>, lives: Duration) {
        let Ground { since, seen, standing } = self;
        let left = hit.as_ref().and_then(|hit| hit.life).map(|life| life.left.span());
        let lives = less_drift(lives.min(left.unwrap_or(lives)));
        let renew = since + lives.mul_f64(0.5 + 0.3 * rand::rng().random::<f64>());
        let (until, is_asked, beside) = (since + lives, AtomicBool::new(false), None);
        let kept = Kept { hit, since, until, renew, seen, standing, is_asked, beside };
        near.copies.insert(key, Arc::new(kept));
    }
}

impl Cache {
    /// This cache, with another near time than the option `near` says: so long copies are kept of what is read through this handle
    /// ([`get`](Cache::get), [`lookup`](Cache::lookup), [`get_or_fill`](Cache::get_or_fill), [`typed`](Cache::typed) and the others),
    /// of its tags too, and so long a writer waits for them. With zero none are kept, and none is served: each hit is read of the store.
    /// Cheap; it is the same cache, so closing it closes all.
    ///
    /// Copies are the process's own, whichever handle left them: one that serves copies serves also those which are kept for longer than its
    /// own time.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) of `near` for a time that is not zero and less than 10 ms, or more than the option `near_max`
    /// (`near`, where that is not set), or where there is neither; or where `fence` is `home`.
    ///
    /// # Example
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// // All programs reckon with copies of up to 1 s, and this one keeps none, but of settings.
    /// let cache = genfence::Cache::connect("memory://?near_max=1s").await?;
    /// let settings = cache.near(Duration::from_millis(500))?.typed::<Vec<u64>>();
    /// let error = cache.near(Duration::from_secs(2)).unwrap_err().to_string();
    /// assert_eq!(error, "near: 2s is out of bounds, must be 10ms to 1s; the most is `near_max`");
    /// # let _ = settings;
    /// # Ok(()) }
    /// ```
    pub fn near(&self, time: Duration) -> Result<Cache, Error> {
        self.0.options.check_near_of_a_handle(time)?;
        let mut handle = self.1.as_deref().cloned().unwrap_or_default();
        handle.near = Some(time);
        Ok(Cache(Arc::clone(&self.0), Some(Arc::new(handle))))
    }

    /// How long copies are kept of what is read through this handle.
    #[inline]
    pub(super) fn near_time(&self) -> Duration {
        let own = self.1.as_ref().and_then(|handle| handle.near);
        own.or(self.0.options.near).unwrap_or_default()
    }

    /// The copies that may be served through this handle, if any may.
    #[inline]
    pub(super) fn copies(&self) -> Option<&Near> {
        self.0.near.as_ref().filter(|_| !self.near_time().is_zero())
    }

    /// A copy of this process's own that may be served. Counted.
    #[inline]
    pub(super) fn near_hit(&self, near: &Near, key: &[u8]) -> Option<Hit> {
        let begun = self.begun();
        let hit = self.copied(near, key)?;
        self.count_hit(key, &hit, begun);
        self.0.counters.near_hits.add();
        Some(hit)
    }

    /// A hit by copies alone, of a value that may bear tags. Counted.
    #[inline]
    pub(super) fn served_at_once(&self, near: &Near, key: &[u8]) -> Option<Hit> {
        if self.bears_tags(key) { self.tagged_at_once(key) } else { self.near_hit(near, key) }
    }

    /// As [`near_hit`](Cache::near_hit), not counted, as something else may have to be as it was.
    #[inline]
    pub(super) fn copied(&self, near: &Near, key: &[u8]) -> Option<Hit> {
        let kept = near.copies.get(key)?;
        let hit = kept.hit.as_ref()?;
        self.may_serve_copy(near, key, &kept, going_on()).then(|| hit.clone())
    }

    /// As [`copied`](Cache::copied), of a value that bears tags, whose copies have the nonces it was stored with.
    #[inline]
    pub(super) fn copied_beside_tags(&self, near: &Near, key: &[u8]) -> Option<Hit> {
        let kept = near.copies.get(key)?;
        let stored = kept.hit.as_ref()?;
        let now = going_on();
        if !self.may_serve_copy(near, key, &kept, now) {
            return None;
        }
        let counts = |(seen, standing): &(Mark, Option<Standing>)| {
            !near.stripes.is_changed_since(*seen) && self.stands_at(*standing, now)
        };
        let value = match &kept.beside {
            Some(beside) if now < beside.until && beside.tags.iter().all(counts) => {
                beside.value.clone()
            }
            _ => self.brought_together(near, key, &kept, now)?,
        };
        Some(Hit { value, stamp: stored.stamp, version: stored.version, life: stored.life })
    }

    /// Looks for the copies of a value's tags, and keeps them beside it.
    fn brought_together(
        &self,
        near: &Near,
        key: &[u8],
        kept: &Kept,
        now: Duration,
    ) -> Option<Value> {
        let Stored { nonces, value } = read_header(&kept.hit.as_ref()?.value)?;
        let mut tags = SmallVec::with_capacity(nonces.len());
        let mut until = Duration::MAX;
        for (tag, nonce) in nonces {
            let key = self.tag_key(&tag);
            let tag = near.copies.get(&key)?;
            tag.hit.as_ref().filter(|hit| hit.stamp == nonce)?;
            if !self.may_serve_copy(near, &key, &tag, now) {
                return None;
            }
            let is_asked = tag.is_asked.load(Acquire);
            until = until.min(if is_asked { tag.until } else { tag.renew.min(tag.until) });
            tags.push((tag.seen, tag.standing));
        }
        let beside = Some(Beside { value: value.clone(), until, tags });
        let Kept { ref hit, since, until, renew, seen, standing, ref is_asked, .. } = *kept;
        let (hit, is_asked) = (hit.clone(), AtomicBool::new(is_asked.load(Acquire)));
        let kept = Kept { hit, since, until, renew, seen, standing, is_asked, beside };
        near.copies.insert(Bytes::copy_from_slice(key), Arc::new(kept));
        Some(value)
    }

    /// Whether a copy counts; more time is asked for where that is due.
    #[inline]
    fn may_serve_copy(&self, near: &Near, key: &[u8], kept: &Kept, now: Duration) -> bool {
        let counts = self.counts_at(near, kept, now);
        if counts == Counts::Due {
            self.renew(Bytes::copy_from_slice(key), kept);
        }
        counts != Counts::No
    }

    /// Whether a copy may be served now.
    #[inline]
    pub(super) fn counts(&self, near: &Near, kept: &Kept) -> Counts {
        self.counts_at(near, kept, going_on())
    }

    /// The same, by who has read the clock.
    #[inline]
    pub(super) fn counts_at(&self, near: &Near, kept: &Kept, now: Duration) -> Counts {
        if now >= kept.until
            || near.stripes.is_changed_since(kept.seen)
            || !self.stands_at(kept.standing, now)
        {
            Counts::No
        } else if now >= kept.renew && !kept.is_asked.load(Acquire) {
            Counts::Due
        } else {
            Counts::Yes
        }
    }

    /// The copy of a key that is of this value, as it was stored, if it may be served.
    pub(super) fn kept_of(
        &self,
        near: &Near,
        key: &[u8],
        stamp: Token,
    ) -> Option<(Arc<Kept>, Hit)> {
        let kept = near.copies.get(key)?;
        let hit = kept.hit.clone().filter(|hit| hit.stamp == stamp)?;
        (self.counts(near, &kept) != Counts::No).then_some((kept, hit))
    }

    /// Asks for more time, unless somebody does.
    pub(super) fn renew(&self, key: Bytes, kept: &Kept) {
        if !kept.is_asked.swap(true, AcqRel) {
            self.ask_for_more(key);
        }
    }

    /// A read that may leave a copy behind. Counted.
    pub(super) async fn read_near(&self, near: &Near, key: &[u8]) -> Result<Seen, StoreError> {
        let begun = self.begun();
        Ok(self.count(key, self.look_near(near, key).await?, begun))
    }

    /// The same, not counted.
    pub(super) async fn look_near(&self, near: &Near, key: &[u8]) -> Result<Read, StoreError> {
        let ground = Ground::of(self, near, key);
        let look = self.0.store.look(key).await?;
        Ok(self.looked(near, key, ground, look))
    }

    /// The same of several keys, which are asked for together.
    pub(super) async fn look_near_many(
        &self,
        near: &Near,
        keys: &[Bytes],
    ) -> Vec<Result<Read, StoreError>> {
        let grounds: Vec<Ground> = keys.iter().map(|key| Ground::of(self, near, key)).collect();
        let looks = self.0.store.look_many(keys).await.into_iter().zip(keys).zip(grounds);
        looks.map(|((look, key), ground)| Ok(self.looked(near, key, ground, look?))).collect()
    }

    /// What a look found, of which a copy may be left behind.
    fn looked(&self, near: &Near, key: &[u8], ground: Ground, look: Look) -> Read {
        if let Read::Hit(hit) = &look.read {
            self.keep_or_ask(near, key, ground, hit, &look);
        }
        look.read
    }

    fn keep_or_ask(&self, near: &Near, key: &[u8], ground: Ground, hit: &Hit, look: &Look) {
        let time = self.near_time();
        if let Some(lives) = lives_under(look, time) {
            return ground.keep(near, Bytes::copy_from_slice(key), Some(hit.clone()), lives);
        }
        let is_wanted = near.is_wanted(key, ground.since, time) && !look.is_hushed();
        let key = Bytes::copy_from_slice(key);
        let (since, until) = (ground.since, self.until_on(look.now, ground.standing));
        // Another caller may have got a copy meanwhile.
        let is_kept = |kept: Arc<Kept>| kept.hit.is_some() && kept.since > since;
        if near.copies.peek(&key).is_some_and(is_kept) {
            return;
        }
        ground.keep(near, key.clone(), None, Duration::ZERO);
        if is_wanted && let Ok(until) = until {
            // One at a time, of all who read it.
            let asked = near.copies.get(&key).filter(|kept| kept.since == since);
            if asked.is_some_and(|kept| !kept.is_asked.swap(true, AcqRel)) {
                self.stamp_in_background(key, until);
            }
        }
    }

    /// Looks whether another process has asked for more time by now, else asks for it.
    fn ask_for_more(&self, key: Bytes) {
        let cache = self.clone();
        self.spawn(async move {
            let Some(near) = &cache.0.near else { return };
            let ground = Ground::of(&cache, near, &key);
            match cache.0.store.look(&key).await {
                Ok(look) => {
                    let Read::Hit(hit) = &look.read else { return };
                    if let Some(lives) = lives_under(&look, cache.near_time()) {
                        ground.keep(near, key, Some(hit.clone()), lives);
                    } else if let Ok(until) = cache.until_on(look.now, ground.standing)
                        && !look.is_hushed()
                    {
                        cache.stamp(near, key, until).await;
                    }
                }
                Err(error) => tracing::debug!(%error, "a copy was not renewed"),
            }
        });
    }

    fn stamp_in_background(&self, key: Bytes, until: Option<Time>) {
        let cache = self.clone();
        self.spawn(async move {
            if let Some(near) = &cache.0.near {
                cache.stamp(near, key, until).await;
            }
        });
    }

    async fn stamp(&self, near: &Near, key: Bytes, until: Option<Time>) {
        let Some(_stamping) = near.stamping(&key) else { return };
        // Somebody may just have been.
        if near.copies.peek(&key).is_some_and(|kept| {
            kept.hit.is_some()
                && self.counts(near, &kept) == Counts::Yes
                && !kept.is_asked.load(Acquire)
        }) {
            return;
        }
        let (ground, time) = (Ground::of(self, near, &key), self.near_time());
        match self.0.store.stamp(&key, &Stamp { time, until }).await {
            Ok(Ok(hit)) => {
                self.0.counters.near_stamps.add();
                ground.keep(near, key.clone(), Some(hit), time);
            }
            // It is there no more: the next reader finds out.
            Ok(Err(why)) => tracing::debug!(%why, "no leave to keep a copy"),
            Err(error) => tracing::debug!(%error, "no answer to a stamp"),
        }
    }

    /// What this process knows of a key by itself is not served any more.
    #[inline]
    pub(super) fn forget(&self, key: &[u8]) {
        if let Some(near) = &self.0.near {
            near.stripes.change(key);
        }
    }
}
