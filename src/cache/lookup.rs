//! **lookup**: a hit, the permission to fill, or neither.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::flight::{Mark, Role, Verdict};
use super::footing::Footing;
use super::found::{Bypass, Found, Gap, Seen, Told};
use super::lease::Lease;
use super::retry::jittered;
use super::stale::Begun;
use super::tagged::Closed;
use super::{Cache, Error, FullKey, Leader, Room};
use crate::protocol::{self, Claim, Version};
use crate::settings::UnreachableRead;
use crate::store::{Hit, Read, Snapshot, Store, StoreError};

/// What a lookup found.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::Lookup;
///
/// match cache.lookup("k").await? {
///     Lookup::Hit(hit) => println!("{:?}", hit.value),
///     Lookup::Leased(lease) => drop(lease.fill("read now").await?),
///     Lookup::Bypass(why) => println!("reading the source, storing nothing: {why:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a lease that is dropped unused is given back"]
pub enum Lookup {
    /// A value that may be served.
    Hit(Hit),
    /// No value, and the caller, alone among all processes, should read the source **now** and
    /// fill. What it has read before does not count.
    Leased(Lease),
    /// No value, and nothing should be stored: read the source, and leave the cache alone.
    Bypass(Bypass),
}

impl Found {
    /// Tells those who wait, and the leader's own caller. A value that was read is good for those
    /// who had joined at `read`; that there is none to be had is good for all.
    pub(super) fn answer(self, leader: Leader, read: Mark) -> Result<Lookup, Error> {
        let mark = if let Found::Hit(_) = self { read } else { Mark::ALL };
        leader.finish(&Told::Found(self.clone()), mark);
        self.into_lookup()
    }

    pub(super) fn into_lookup(self) -> Result<Lookup, Error> {
        match self {
            Found::Hit(hit) => Ok(Lookup::Hit(hit)),
            Found::Bypass(why) => Ok(Lookup::Bypass(why)),
            Found::Failed(error) => Err(error),
        }
    }
}

/// Who waits for whose load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Waits for any, at most for the option `wait`; may go on to load by itself.
    Bounded,
    /// Waits for a load of its own process until it ends, and for another process's, or a lease that the program
    /// holds, at most for the option `wait`; then it loads for all who wait in this process.
    Shares,
}

/// What a miss comes to.
pub(super) enum Missed {
    /// It was somebody else's to find out.
    Told(Told),
    Leased(Lease),
    /// There is no lease to be had. The lead is the caller's, to tell the others, who joined before the mark.
    Led(Found, Leader, Mark),
    /// As `Led`, as the time is up for this caller; the others may wait longer.
    Slow(Leader),
}

impl Missed {
    /// To one who waits for nobody, and tells everybody.
    fn at_once(self) -> Result<Option<Lookup>, Error> {
        match self {
            Missed::Leased(lease) => Ok(Some(Lookup::Leased(lease))),
            Missed::Led(found, leader, mark) => found.answer(leader, mark).map(Some),
            Missed::Told(_) | Missed::Slow(_) => Ok(None),
        }
    }
}

/// What asking for a lease comes to.
enum Asked {
    Over(Missed),
    /// Somebody holds the key. The lead is given back.
    Refused(Leader),
}

/// The first pause of one who polls for another process's fill, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

impl Cache {
    /// Looks `key` up: a hit, a lease to fill it, or a bypass.
    ///
    /// A caller whose key is being filled waits for that fill, at most for the option `wait`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or oversized key; [`Error::Store`] if the store gave no
    /// answer and the option `unreachable_read` asks for the error; [`Error::ShutDown`].
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, FillOutcome, Lookup};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let value = match cache.lookup("user:1").await? {
    ///     Lookup::Hit(hit) => hit.value,
    ///     Lookup::Leased(lease) => {
    ///         let value = "read from the source, now";
    ///         assert_eq!(lease.fill(value).await?, FillOutcome::Stored);
    ///         Some(value.into())
    ///     }
    ///     Lookup::Bypass(_) => Some("read from the source".into()),
    /// };
    /// assert_eq!(cache.get("user:1").await?.unwrap().value, value);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Lookup, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key.as_ref(), room)?;
        let lookup = match cache.read(&key).await? {
            Seen::Found(Found::Hit(hit)) => return Ok(Lookup::Hit(hit)),
            Seen::Found(found) => found.into_lookup(),
            // Apart, so that a hit's future is not as large as a miss's.
            Seen::Gap(gap) => {
                Box::pin(cache.look_up_missing(Bytes::copy_from_slice(&key), gap)).await
            }
        };
        if let Ok(Lookup::Bypass(why)) = lookup {
            cache.0.counters.bypasses.add();
            tracing::debug!(?why, "bypass");
        }
        lookup
    }

    /// A plain read, and what to do if it fails.
    pub(super) async fn read(&self, key: &FullKey<'_>) -> Result<Seen, Error> {
        if let Err(error) = self.serves(key.epoch) {
            return self.without(error);
        }
        self.read_served(key).await
    }

    /// The same within a call that has asked before whether it may be served.
    pub(super) async fn read_served(&self, key: &[u8]) -> Result<Seen, Error> {
        match self.see(key).await {
            Ok(seen) => Ok(seen),
            Err(error) => {
                tracing::warn!(%error, "the store did not answer to a read");
                self.without(error)
            }
        }
    }

    /// What is known of a key: by a copy, or by the store.
    #[inline]
    pub(super) async fn see(&self, key: &[u8]) -> Result<Seen, StoreError> {
        if self.bears_tags(key) {
            return match self.tagged_at_once(key) {
                Some(hit) => Ok(Seen::Found(Found::Hit(hit))),
                None => Box::pin(self.see_tagged(key)).await,
            };
        }
        match self.copies() {
            None => {
                let begun = self.begun();
                Ok(self.count(key, self.0.store.get(key).await?, begun))
            }
            Some(near) => match self.near_hit(near, key) {
                Some(hit) => Ok(Seen::Found(Found::Hit(hit))),
                // Apart, so that a hit's future is not as large as that of one who asks.
                None => Box::pin(self.read_near(near, key)).await,
            },
        }
    }

    /// What a read of a key found that began then; of one that bears tags, what of it may be served.
    #[inline]
    pub(super) fn count(&self, key: &[u8], read: Read, begun: Option<Begun>) -> Seen {
        if let Read::Hit(hit) = read {
            self.count_hit(key, &hit, begun);
            return Seen::Found(Found::Hit(hit));
        }
        self.0.counters.misses.add();
        Seen::Gap(if read == Read::Claimed { Gap::CLAIMED } else { Gap::Free })
    }

    /// Also what is found of a copy is the latest that there was since then.
    #[inline]
    pub(super) fn count_hit(&self, key: &[u8], hit: &Hit, begun: Option<Begun>) {
        self.note_hit(key, hit, begun);
        self.0.counters.hits.add();
    }

    fn unreachable(&self, error: StoreError) -> Found {
        tracing::warn!(%error, "the store did not answer to a lookup");
        self.without(error).map_or_else(Found::Failed, |_| Found::Bypass(Bypass::Unreachable))
    }

    /// What a read comes to without an answer. It is for the caller to log: once for many.
    pub(super) fn without(&self, error: StoreError) -> Result<Seen, Error> {
        self.0.counters.failures.add();
        match self.0.options.unreachable_read {
            UnreachableRead::Bypass => Ok(Seen::Found(Found::Bypass(Bypass::Unreachable))),
            UnreachableRead::Error => Err(error.into()),
        }
    }

    pub(super) async fn look_up_missing(&self, key: Bytes, gap: Gap) -> Result<Lookup, Error> {
        match self.miss(key, gap, None, Patience::Bounded).await? {
            Missed::Leased(lease) => Ok(Lookup::Leased(lease.held())),
            Missed::Led(found, leader, mark) => found.answer(leader, mark),
            Missed::Told(Told::Found(found)) => found.into_lookup(),
            // Who is told of another's load, and not of the cache, looks again until its time is up.
            Missed::Slow(_) | Missed::Told(Told::Loaded(_) | Told::LoadFailed(_)) => {
                Ok(Lookup::Bypass(Bypass::Slow))
            }
        }
    }

    /// Leads the flight of a missing key, or waits for it. `gap`: what was seen of it. `bypass`: why there is no lease to be had,
    /// if that is known.
    pub(super) async fn miss(
        &self,
        key: Bytes,
        mut gap: Gap,
        mut bypass: Option<Bypass>,
        patience: Patience,
    ) -> Result<Missed, Error> {
        let wait = self.0.options.wait;
        let deadline = Instant::now() + wait;
        loop {
            let mut waiter = match self.0.flights.join(&key) {
                Role::Leader(leader) => {
                    return Ok(self.lead(leader, gap, bypass, deadline).await);
                }
                Role::Waiter(waiter) => waiter,
            };
            let mut until = deadline;
            let verdict = loop {
                match timeout_at(until, &mut waiter).await {
                    Ok(verdict) => break verdict,
                    // Whoever leads is a load of this process, and ends when its time is over.
                    Err(_) if patience == Patience::Shares && !self.0.flights.is_held(&key) => {
                        until = Instant::now() + wait.max(PAUSES.1);
                    }
                    Err(_) => return Ok(Missed::Told(Told::Found(Found::Bypass(Bypass::Slow)))),
                }
            };
            match (verdict, patience) {
                // The leader before may have left its own lease, which the next one replaces.
                (Verdict::Lead(leader), _) => {
                    let gap = if gap.is_claimed() { Gap::Free } else { gap };
                    return Ok(self.lead(leader, gap, bypass, deadline).await);
                }
                // Each would load by itself: one of them does, for all.
                (Verdict::Answer(Told::Found(Found::Bypass(why))), Patience::Shares) => {
                    bypass = Some(why);
                }
                (Verdict::Answer(Told::Loaded(_) | Told::LoadFailed(_)), Patience::Bounded) => {}
                (Verdict::Answer(told), _) => {
                    if let Told::Found(Found::Hit(_)) | Told::Loaded(_) = told {
                        self.0.counters.shared.add();
                    }
                    return Ok(Missed::Told(told));
                }
                // What that flight brought is older than this call.
                (Verdict::Again, _) => match self.read_served(&key).await? {
                    Seen::Found(Found::Bypass(why)) if patience == Patience::Shares => {
                        bypass = Some(why);
                    }
                    Seen::Found(found) => return Ok(Missed::Told(Told::Found(found))),
                    Seen::Gap(seen) => gap = seen,
                },
            }
        }
    }

    /// Takes the lease, or polls until there is a value or the time is up. Where a claim was seen on
    /// the key, a lease would most likely be refused, so the record is looked at first.
    async fn lead(
        &self,
        mut leader: Leader,
        mut gap: Gap,
        bypass: Option<Bypass>,
        deadline: Instant,
    ) -> Missed {
        if let Some(why) = bypass {
            return Missed::Led(Found::Bypass(why), leader, Mark::ALL);
        }
        let mut pause = PAUSES.0;
        loop {
            let was_claimed = gap.is_claimed();
            if !was_claimed {
                leader = match self.take_lease(leader, gap).await {
                    Asked::Over(missed) => return missed,
                    Asked::Refused(leader) => leader,
                };
            }
            loop {
                let mark = leader.mark();
                match self.look(leader.key()).await {
                    Seen::Found(found) => return Missed::Led(found, leader, mark),
                    Seen::Gap(Gap::Claimed(left)) => {
                        let now = Instant::now();
                        if now >= deadline {
                            return Missed::Slow(leader);
                        }
                        sleep(jittered(pause).min(left).min(deadline - now)).await;
                        pause = (pause * 2).min(PAUSES.1);
                    }
                    Seen::Gap(open) => {
                        gap = open;
                        break;
                    }
                }
            }
            if was_claimed {
                continue;
            }
            if Instant::now() >= deadline {
                return Missed::Slow(leader);
            }
            // Refused, and then free: others come and go. No reason to ask as fast as they do.
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Asks for the lease once. Gives the lead back where somebody holds the key.
    async fn take_lease(&self, mut leader: Leader, gap: Gap) -> Asked {
        let (time, ttl) = (self.0.options.lease_time, self.0.options.claim_ttl());
        let key = leader.key().clone();
        let standing = match self.may_lease().await {
            Ok(standing) => standing,
            Err(error) => {
                return Asked::Over(Missed::Led(self.unreachable(error), leader, Mark::ALL));
            }
        };
        let over = gap.over();
        let claim = |token, previous| Claim::Lease { token, previous, time, ttl, over };
        match self.claim_anew(&key, &mut leader.carried, claim).await {
            Ok(Ok((token, grant))) => {
                self.0.counters.leases.add();
                let bears_tags = self.bears_tags(&key);
                let granted = Footing::of(self, grant, standing);
                let lease = Lease::new(self.clone(), leader, token, granted);
                Asked::Over(if bears_tags { self.bear(lease).await } else { Missed::Leased(lease) })
            }
            Ok(Err(_)) => Asked::Refused(leader),
            Err(error) => Asked::Over(Missed::Led(self.unreachable(error), leader, Mark::ALL)),
        }
    }

    /// Has the nonces of the tags that the value is to bear, before its source is read. Where they are not to be had, nothing could be
    /// stored, and the lease is given back.
    async fn bear(&self, mut lease: Lease) -> Missed {
        let found = match self.nonces().await {
            Ok(nonces) => {
                lease.bear(nonces);
                return Missed::Leased(lease);
            }
            Err(Closed::Held(why)) => Found::Bypass(why),
            Err(Closed::Failed(Error::Store(error))) => self.unreachable(error),
            Err(Closed::Failed(error)) => Found::Failed(error),
        };
        match lease.let_go() {
            Some(leader) => Missed::Led(found, leader, Mark::ALL),
            None => Missed::Told(Told::Found(found)),
        }
    }

    /// Reads the record, to learn why a lease was refused.
    async fn look(&self, key: &[u8]) -> Seen {
        let mut tries = self.tries();
        let (standing, begun) = (self.may_serve(), self.begun());
        let snapshot = loop {
            match self.0.store.inspect(key).await {
                Ok(snapshot) => break snapshot,
                Err(error) => {
                    if let Err(error) = tries.again(error).await {
                        return Seen::Found(self.unreachable(error));
                    }
                }
            }
        };
        let Some(snapshot) = snapshot else { return Seen::Gap(Gap::Free) };
        let Snapshot { record, now } = &snapshot;
        if let Some(hit) = protocol::get(Some(record), *now) {
            if let Err(error) = self.stands_on(standing) {
                return Seen::Found(self.unreachable(error));
            }
            let good = if self.bears_tags(key) {
                self.unpurged(&hit).await
            } else {
                Ok(Some(hit.clone()))
            };
            return match good {
                Ok(Some(hit)) => {
                    self.note_hit(key, &hit, begun);
                    Seen::Found(Found::Hit(hit))
                }
                // Who loads it anew holds off a lease over it.
                Ok(None) => {
                    Seen::Gap(snapshot.leased_for().map_or(Gap::Purged(hit.stamp), Gap::Claimed))
                }
                Err(error) => Seen::Found(self.unreachable(error)),
            };
        }
        if record.is_reserved(*now) {
            return Seen::Found(Found::Bypass(Bypass::Reserved));
        }
        Seen::Gap(snapshot.leased_for().map_or(Gap::Free, Gap::Claimed))
    }

    /// Whether a value of this version is as new as anything the cache has heard of the key. `None`: the cache
    /// does not answer.
    pub(super) async fn is_at_floor(&self, key: &[u8], version: Version) -> Option<bool> {
        let known = self.0.store.inspect(key).await.ok()?;
        Some(known.is_none_or(|known| known.record.floor <= Some(version)))
    }

    /// What [`get_or_fill_many`](Cache::get_or_fill_many) does with each missing key: as
    /// [`lookup`](Cache::lookup), but `None` where it would wait.
    pub(super) async fn lookup_now(&self, key: &Bytes, gap: Gap) -> Result<Option<Lookup>, Error> {
        let Some(mut leader) = self.0.flights.try_lead(key) else { return Ok(None) };
        if !gap.is_claimed() {
            leader = match self.take_lease(leader, gap).await {
                Asked::Over(missed) => return missed.at_once(),
                Asked::Refused(leader) => leader,
            };
        }
        let mark = leader.mark();
        match self.look(leader.key()).await {
            Seen::Found(found) => found.answer(leader, mark).map(Some),
            Seen::Gap(open) if gap.is_claimed() && !open.is_claimed() => {
                match self.take_lease(leader, open).await {
                    Asked::Over(missed) => missed.at_once(),
                    Asked::Refused(_) => Ok(None),
                }
            }
            Seen::Gap(_) => Ok(None),
        }
    }
}
