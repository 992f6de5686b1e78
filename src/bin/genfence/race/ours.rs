//! The library's own part in the race: its name, and how it is set up.

use std::time::Duration;

use genfence::{Builder, Cache, UnreachableRead};

/// The name that the exit code depends on.
pub const OURS: &str = "genfence";

/// How long a reservation or a lease lasts, so how long a crashed writer's key is bypassed.
const CLAIM_TIME: Duration = Duration::from_millis(250);
/// Longer than a busy machine keeps a thread waiting between its last look at the clock and the end
/// of its COMMIT. A writer that has not come so far 50 ms after its reserve rolls back.
const MARGIN: Duration = Duration::from_millis(200);
/// No value leaves by itself: a stale one would stay until somebody writes.
const TTL: Duration = Duration::from_secs(2 * 60 * 60);

/// The race's own, under those of the URL.
pub fn options() -> Builder {
    Cache::builder()
        .lease_time(CLAIM_TIME)
        .reservation_time(CLAIM_TIME)
        .reservation_margin(MARGIN)
        .ttl(TTL)
        .unreachable_read(UnreachableRead::Error)
}
