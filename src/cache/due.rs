//! When a value that is still served is due to be loaded anew, and that a process does it once.

use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::protocol::{Life, Token};
use crate::store::Hit;

/// Of how many keys it is known when they were last loaded anew. Of one that was forgotten the store alone says
/// whether somebody is at it.
const KEYS: usize = 10_000;

/// How long a process waits after a load that came to nothing; then twice as long, and so on.
const PAUSE: Duration = Duration::from_secs(1);

/// What of a cache's values is due.
pub(super) struct Dues {
    /// The option `refresh_at`.
    share: f64,
    /// The longest that one load may take.
    time: Duration,
    hasher: RandomState,
    keys: quick_cache::sync::Cache<Bytes, Arc<Mutex<Known>>>,
}

/// What is known of a key, on this process's own clock: a server tells only an instant of its clock by which a value
/// ends, and a process whose own is wrong would think all of them due, for ever.
#[derive(Default)]
struct Known {
    /// Since when a load is under way.
    taken: Option<Instant>,
    /// When a new value was last stored from here.
    refreshed: Option<Instant>,
    failed: Option<Failed>,
}

/// The last value that could not be replaced.
struct Failed {
    stamp: Token,
    tries: u32,
    at: Instant,
}

impl Dues {
    pub fn new(share: f64, time: Duration) -> Self {
        let keys = quick_cache::sync::Cache::new(KEYS);
        Dues { share, time, hasher: RandomState::default(), keys }
    }

    /// Whether so much of a value's life is over that it should be loaded anew. From where on differs from process to
    /// process and from value to value, so that they do not all ask at once.
    #[inline]
    pub fn is_old(&self, hit: &Hit) -> bool {
        let over = hit.life.map_or(0.0, |life| life.share_over());
        over >= self.share && over >= self.drawn(hit.stamp)
    }

    /// Between the option's share, and half of what is left from there.
    fn drawn(&self, stamp: Token) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "any share will do")]
        let drawn = self.hasher.hash_one(stamp) as f64 / u64::MAX as f64;
        self.share + (1.0 - self.share) / 2.0 * drawn
    }

    /// Whether a load of an old value may begin here now. Waits for nobody.
    pub fn may_begin(&self, key: &[u8], hit: &Hit) -> bool {
        let Some(known) = self.keys.get(key) else { return true };
        known.try_lock().is_some_and(|known| self.may(&known, hit.stamp, hit.life))
    }

    /// Begins one, if it may. `life` is that of the value, where the caller knows it.
    pub fn begin(&self, key: &Bytes, stamp: Token, life: Option<Life>) -> Option<Attempt> {
        let new = || Ok::<_, Infallible>(Arc::default());
        let Ok(known) = self.keys.get_or_insert_with(key, new);
        {
            let mut held = known.lock();
            if !self.may(&held, stamp, life) {
                return None;
            }
            held.taken = Some(Instant::now());
        }
        Some(Attempt { known, stamp })
    }

    fn may(&self, known: &Known, stamp: Token, life: Option<Life>) -> bool {
        let Known { taken, refreshed, failed } = known;
        let is_over = |since: Instant, span: Duration| since.elapsed() >= span;
        let soonest = life.map_or(Duration::ZERO, |life| {
            Duration::from_secs(life.whole.as_secs().into()).mul_f64(self.share)
        });
        taken.is_none_or(|since| is_over(since, self.time))
            && refreshed.is_none_or(|at| is_over(at, soonest))
            && failed.as_ref().is_none_or(|failed| {
                failed.stamp != stamp || is_over(failed.at, pause_after(failed.tries))
            })
    }
}

/// It need not be bounded by what is left of the value: the next one has another stamp.
fn pause_after(tries: u32) -> Duration {
    PAUSE * (1 << (tries - 1).min(12))
}

/// A load that is under way, and the only one of its key here. Dropped, it says nothing but that it is over.
pub(super) struct Attempt {
    known: Arc<Mutex<Known>>,
    stamp: Token,
}

impl Attempt {
    /// The new value is there.
    pub fn stored(&self) {
        let mut known = self.known.lock();
        known.refreshed = Some(Instant::now());
        known.failed = None;
    }

    /// It came to nothing, or is somebody else's: not again at once.
    pub fn failed(&self) {
        let mut known = self.known.lock();
        let same = known.failed.take().filter(|failed| failed.stamp == self.stamp);
        let tries = same.map_or(1, |failed| failed.tries.saturating_add(1));
        known.failed = Some(Failed { stamp: self.stamp, tries, at: Instant::now() });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.known.lock().taken = None;
    }
}
