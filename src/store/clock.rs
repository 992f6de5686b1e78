use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::system;
use crate::protocol::Time;

/// The clock of an embedded store.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Cache, Fresh, store::{Clock, MemoryStore}};
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let cache = Cache::builder().build(MemoryStore::with_clock(8 << 20, clock.clone()))?;
/// let _ = cache.set("k", Fresh::from("v").ttl(Duration::from_secs(60))).await?;
/// clock.advance(Duration::from_secs(60));
/// assert!(cache.get("k").await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Ticks);

#[derive(Clone, Debug)]
enum Ticks {
    System(System),
    Manual(Arc<AtomicU64>),
}

/// Where every clock begins: not at zero, which is no instant.
const EPOCH: Duration = Duration::from_secs(1);

impl Default for Clock {
    fn default() -> Self {
        Clock(Ticks::System(System::start()))
    }
}

impl Clock {
    /// A clock that stands still until it is told to [`advance`](Clock::advance).
    #[must_use]
    pub fn manual() -> Self {
        Clock(Ticks::Manual(Arc::new(AtomicU64::new(0))))
    }

    /// Moves a manual clock, and every clone of it, forward. The system's clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Ticks::Manual(nanos) = &self.0 {
            nanos.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// The time now.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        let elapsed = match &self.0 {
            Ticks::System(system) => system.start.elapsed(),
            Ticks::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        };
        Time::ZERO.after(EPOCH + elapsed)
    }

    /// A time that is before `limit` exactly if the time now is, and else may be a little behind it. To read the time
    /// is dearer than all else that a hit does.
    #[inline]
    pub(crate) fn now_against(&self, limit: Time) -> Time {
        if let Ticks::System(system) = &self.0
            && let Some(elapsed) = system.elapsed_roughly()
        {
            let roughly = Time::from_nanos(elapsed).after(EPOCH);
            if roughly.after(BEHIND) < limit {
                return roughly;
            }
        }
        self.now()
    }
}

/// More than the kernel's own notes of the time are ever behind: they are made at each tick, 100 to 1000 a second.
const BEHIND: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
struct System {
    start: Instant,
    /// The same on the clock that the system's notes are of, where it keeps any, in nanoseconds.
    noted: Option<u64>,
}

impl System {
    fn start() -> Self {
        System { noted: system::noted(), start: Instant::now() }
    }

    /// By the system's notes of the time, in nanoseconds: never ahead.
    #[inline]
    fn elapsed_roughly(&self) -> Option<u64> {
        let noted = self.noted?;
        system::notes()?.checked_sub(noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roughly_is_never_ahead_and_near_the_limit_it_is_exact() {
        let clock = Clock::default();
        let far = clock.now().after(Duration::from_secs(3600));
        for _ in 0..20_000 {
            let before = clock.now();
            let roughly = clock.now_against(far);
            assert!(roughly <= clock.now() && before <= roughly.after(BEHIND));
            for near in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(5)] {
                let limit = before.after(near);
                assert!(before <= clock.now_against(limit), "{near:?} before its end");
            }
        }
    }

    #[test]
    fn a_manual_clock_is_exact() {
        let clock = Clock::manual();
        let far = clock.now().after(Duration::from_secs(3600));
        clock.advance(Duration::from_nanos(7));
        assert_eq!(clock.now_against(far), clock.now());
    }
}
