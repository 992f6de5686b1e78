use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    System(Instant),
    Manual(Arc<AtomicU64>),
}

/// Where every clock begins: not at zero, which is no instant.
const EPOCH: Duration = Duration::from_secs(1);

impl Default for Clock {
    fn default() -> Self {
        Clock(Ticks::System(Instant::now()))
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
            Ticks::System(start) => start.elapsed(),
            Ticks::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        };
        Time::ZERO.after(EPOCH + elapsed)
    }
}
