//! The ways to keep a cache in each region, and what is asked of each. All of them go through the same storm at the same time.

use std::time::Duration;

/// What must not happen, or the test has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing is promised, and stale hits must be seen: else the storm was none.
    Nothing,
    /// When a read begins, its hit was the latest no longer ago than that.
    Bounded(Duration),
    /// No hit is older than what was committed before the read began.
    NeverStale,
}

/// How the region's programs keep their cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Touch the key, take its generation, change the source, store if it is still the same; and a link ships the records.
    Plain,
    /// genfence; each process follows the source's stream of changes.
    Follows,
    /// genfence; nobody hears of anything but what the caches tell each other. Every other key has versions, and is loaded
    /// from a replica that lags.
    Fences,
}

pub struct Way {
    pub name: &'static str,
    pub kind: Kind,
    pub promise: Promise,
    /// What stands in the URL of its caches beside what all have, and the regions.
    options: &'static str,
}

/// Short, so that all of it comes to pass many times in a test; and so that who gets no answer has given up long before
/// a lease is over.
const ALL_HAVE: &str = "reservation_time=1s&reservation_margin=100ms&lease_time=400ms&wait=50ms&timeout=150ms&attempts=1";
/// No replica lags for longer: it is within `reservation_margin`, as the guarantee asks.
pub const REPLICA_LAG: Duration = Duration::from_millis(90);
/// `serving_lease`.
pub const LEASE: Duration = Duration::from_millis(600);

/// All of them, in the order of the report.
pub const ALL: &[Way] = &[
    Way { name: "plain", kind: Kind::Plain, promise: Promise::Nothing, options: "" },
    Way {
        name: "own",
        kind: Kind::Follows,
        promise: Promise::Bounded(Duration::from_millis(600)),
        options: "fence=own&stream_bound=600ms",
    },
    Way {
        name: "all-wait",
        kind: Kind::Fences,
        promise: Promise::NeverStale,
        options: "fence=all&unreachable=wait&serving_lease=600ms&grantors={grantors}",
    },
];

impl Way {
    /// The URL of its cache in a region: a set of its own, as programs of one set are alike.
    pub fn url(&self, own: &str, region: &str, peers: &str, grantors: &str, guard: &str) -> String {
        let name = self.name;
        let options = self.options.replace("{grantors}", grantors);
        format!(
            "aerospike://{own}/test/{name}?region={region}&peers={peers}&cluster_guard={guard}&{ALL_HAVE}&{options}"
        )
    }

    /// Whether the loads of a key go to a replica that lags: its values have versions then.
    pub fn has_versions(&self, key: usize) -> bool {
        self.kind == Kind::Fences && key.is_multiple_of(2)
    }
}
