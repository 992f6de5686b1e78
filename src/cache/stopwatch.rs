//! How long ago something was, also where the machine was suspended in between.
//!
//! A server's deadline goes on while this machine sleeps, and the clocks that programs use for spans do
//! not everywhere: on Linux and Apple's systems they stop. There the clock that goes on is asked, too.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::going_on;

/// The share of a span by which the clock of this machine may be slow or fast.
const DRIFT: u32 = 1000;

/// Of a span that was promised on another clock: what of it may be used by this one.
pub(super) fn less_drift(span: Duration) -> Duration {
    span.saturating_sub(span / DRIFT)
}

/// Of a span that must be over on another clock: how long to wait for it by this one.
pub(super) fn with_drift(span: Duration) -> Duration {
    span + span / DRIFT
}

pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Started once. Copies go on together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    /// The runtime's clock, which tests move by hand.
    start: Instant,
    /// On the clock that goes on.
    awake: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { start: Instant::now(), awake: going_on() }
    }

    /// The longer of what both clocks say.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed().max(going_on().saturating_sub(self.awake))
    }

    /// Waits until so much is over.
    pub async fn wait_until(&self, span: Duration) {
        loop {
            let left = span.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_in_which_the_machine_was_suspended_counts() {
        let started = Stopwatch::start();
        let hour = Duration::from_secs(3600);
        // As after an hour of sleep: the clock that goes on is an hour ahead of the other.
        let slept = Stopwatch { awake: started.awake.saturating_sub(hour), ..started };
        let expected = hour.min(started.awake);
        assert!(slept.elapsed() >= expected, "{:?}", slept.elapsed());
        assert!(started.elapsed() < hour);
    }
}
