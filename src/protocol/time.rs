use std::time::Duration;

/// An instant on the clock of the server that runs the commands, in nanoseconds since an epoch
/// that is the server's own. Instants of two servers are not comparable.
///
/// # Example
/// ```
/// use genfence::protocol::Time;
/// use std::time::Duration;
///
/// let now = Time::from_nanos(5);
/// let deadline = now.after(Duration::from_nanos(7));
/// assert!(deadline > now);
/// assert_eq!(deadline.remaining(now), Duration::from_nanos(7));
/// assert_eq!(now.remaining(deadline), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// Before every other instant. As a deadline it marks a reservation that is over for good.
    pub const ZERO: Time = Time(0);

    /// The instant `nanos` nanoseconds after the server's epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Nanoseconds since the server's epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `now` until this instant, or zero if it has passed.
    #[must_use]
    pub const fn remaining(self, now: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }

    /// This instant and a span. The end of time is the furthest it goes (2⁶⁴ ns, some 584 years).
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Time(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
