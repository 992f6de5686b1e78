use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// The server's clock: the system's, or one that only a test moves. Either can be set forward or
/// back while the server runs, so deadlines pass without sleeping. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where a clock moved by hand stands, Unix milliseconds.
    frozen: Option<i64>,
    moved: AtomicI64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Clock(Arc::new(Inner { frozen: None, moved: AtomicI64::new(0) }))
    }

    /// A clock that stands still at the present until it is moved. It starts at the present because
    /// the client turns the expiry times of replies into TTLs with its own clock.
    pub fn manual() -> Self {
        Clock(Arc::new(Inner { frozen: Some(system_millis()), moved: AtomicI64::new(0) }))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.skew(millis(by));
    }

    /// Moves the clock by so many milliseconds, back where negative.
    pub fn skew(&self, by_millis: i64) {
        self.0.moved.fetch_add(by_millis, Ordering::SeqCst);
    }

    /// Unix milliseconds: the resolution that a real server stamps records with.
    pub fn now(&self) -> u64 {
        let base = self.0.frozen.unwrap_or_else(system_millis);
        base.saturating_add(self.0.moved.load(Ordering::SeqCst)).max(0).cast_unsigned()
    }
}

fn system_millis() -> i64 {
    millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
