//! What differs from system to system in this layer, and nothing else: clocks.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) use clocks::{noted, notes};

/// Where the clock below begins: what lasted since before it is then no time before zero, on a machine that was just
/// started, and where the clock is this process's own.
const EPOCH: Duration = Duration::from_secs(1 << 30);

/// A clock that goes on while the machine is suspended.
#[inline]
pub(crate) fn going_on() -> Duration {
    EPOCH + clocks::going_on() + suspended()
}

/// What a test has put the clock that goes on before the others by, in nanoseconds.
#[cfg(feature = "undone")]
static SUSPENDED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// As if the machine had been suspended for so long: the clocks that stop then have not moved.
#[cfg(feature = "undone")]
pub fn suspend(span: Duration) {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    SUSPENDED.fetch_add(nanos, std::sync::atomic::Ordering::SeqCst);
}

#[inline]
fn suspended() -> Duration {
    #[cfg(feature = "undone")]
    return Duration::from_nanos(SUSPENDED.load(std::sync::atomic::Ordering::SeqCst));
    #[cfg(not(feature = "undone"))]
    Duration::ZERO
}

/// Linux has the kernel's own notes of the time, which cost no reading of a counter.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod clocks {
    use std::time::Duration;

    use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

    /// `CLOCK_BOOTTIME` (clock_gettime(2)).
    #[inline]
    pub fn going_on() -> Duration {
        read(DynamicClockId::Boottime).map_or_else(super::running, Duration::from_nanos)
    }

    /// The clock that the notes are of, in nanoseconds.
    pub fn noted() -> Option<u64> {
        read(DynamicClockId::Known(ClockId::Monotonic))
    }

    /// What was noted last: a little behind, and never ahead.
    #[inline]
    pub fn notes() -> Option<u64> {
        read(DynamicClockId::Known(ClockId::MonotonicCoarse))
    }

    /// In nanoseconds since the machine was started, so that some 584 years fit.
    #[inline]
    fn read(clock: DynamicClockId<'_>) -> Option<u64> {
        let now = clock_gettime_dynamic(clock).ok()?;
        let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).ok());
        Some(seconds? * 1_000_000_000 + nanos?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod clocks {
    use std::time::Duration;

    /// Apple: `CLOCK_MONOTONIC`, which there "will continue to increment while the system is asleep" (its
    /// clock_gettime(3)); other Unix systems have no clock that does.
    #[cfg(unix)]
    pub fn going_on() -> Duration {
        use rustix::time::{ClockId, clock_gettime};

        Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_else(|_| super::running())
    }

    /// The runtime's own, by QueryPerformanceCounter, counts "the time when the machine was in a sleep state" (its
    /// documentation).
    #[cfg(windows)]
    pub fn going_on() -> Duration {
        super::running()
    }

    /// No notes are kept.
    pub fn noted() -> Option<u64> {
        None
    }

    pub fn notes() -> Option<u64> {
        None
    }
}

/// The runtime's own clock, since it was first asked.
fn running() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_goes_on_as_the_runtimes_own_does() {
        for clock in [going_on, running, || noted().map_or_else(running, Duration::from_nanos)] {
            let (before, start) = (clock(), Instant::now());
            std::thread::sleep(Duration::from_millis(30));
            let at_least = start.elapsed();
            let gone = clock().checked_sub(before).expect("it does not go back");
            let at_most = start.elapsed() + Duration::from_millis(30);
            assert!(gone + Duration::from_millis(1) >= at_least, "{gone:?} of {at_least:?}");
            assert!(gone <= at_most, "{gone:?} of {at_most:?}");
        }
    }

    #[test]
    fn no_time_that_lasted_for_years_began_before_zero() {
        assert!(going_on().checked_sub(Duration::from_secs(30 * 365 * 86400)).is_some());
    }

    #[test]
    fn notes_are_of_the_clock_that_they_are_compared_with() {
        if let Some(notes) = notes() {
            let behind = noted().and_then(|exact| exact.checked_sub(notes));
            assert!(behind.is_some_and(|behind| behind < 60_000_000_000), "{behind:?}");
        }
    }
}
