//! What is said of each way.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use indicatif::HumanCount;
use serde::Serialize;
use tokio::time::sleep;

use super::super::Args;
use super::super::progress::Progress;
use super::super::report::{Row, percent};
use super::Conflict;
use super::measure::Measure;
use super::sites::Sites;
use super::ways::{Entry, Promise};

/// What all ways ran on.
#[derive(Clone, Serialize)]
pub struct Course {
    pub eu: String,
    pub us: String,
    pub lag_ms: u64,
    pub conflict: Conflict,
    pub keys: u32,
    #[serde(skip)]
    pub readers: u32,
    #[serde(skip)]
    pub writers: u32,
}

/// What was measured of one way.
#[derive(Serialize)]
pub struct Outcome {
    pub way: &'static str,
    #[serde(skip)]
    pub promise: Promise,
    pub reads: u64,
    pub hits: u64,
    pub stale_hits: u64,
    pub older_than_told: u64,
    pub oldest_stale_ms: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Keys whose cached value is not the newest, once the load is over and nothing is under way. None: it was
    /// interrupted before.
    pub left_wrong: Option<usize>,
    /// The same, after both regions wrote each key once, at the same time, when neither had a record.
    pub wrong_from_nothing: Option<usize>,
}

impl Course {
    pub fn new(args: &Args, sites: &Sites) -> Self {
        let [eu, us] = sites.names.clone();
        let Args { readers, writers, lag, conflict, .. } = *args;
        Course { eu, us, lag_ms: lag, conflict, keys: args.keys(), readers, writers }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Course { eu, us, lag_ms, conflict, keys, readers, writers } = self;
        if eu == us {
            write!(f, "both regions on a {eu}")?;
        } else {
            write!(f, "eu: {eu}, us: {us}")?;
        }
        write!(
            f,
            "; our link: up to {lag_ms} ms late, {conflict}; {keys} keys, {readers} readers, {writers} writers"
        )
    }
}

impl Outcome {
    pub fn new(entry: &Entry, measure: &Measure) -> Self {
        let count = |of: &AtomicU64| of.load(SeqCst);
        Outcome {
            way: entry.name,
            promise: entry.promise,
            reads: count(&measure.reads),
            hits: count(&measure.hits),
            stale_hits: count(&measure.stale_hits),
            older_than_told: count(&measure.older_than_told),
            oldest_stale_ms: count(&measure.oldest_ms),
            errors: count(&measure.errors),
            left_wrong: None,
            wrong_from_nothing: None,
        }
    }

    pub fn is_broken(&self) -> bool {
        let late = match self.promise {
            Promise::Nothing => return false,
            Promise::NoOlderThanTold => self.older_than_told,
            Promise::NeverStale => self.stale_hits,
        };
        late > 0 || self.left_wrong.unwrap_or(0) + self.wrong_from_nothing.unwrap_or(0) > 0
    }

    /// Of all reads, in percent.
    pub fn stale_rate(&self) -> f64 {
        percent(self.stale_hits, self.reads)
    }
}

/// Shows how it goes, for as long as the load is to run.
pub async fn watch(args: &Args, name: &'static str, measure: &Measure) {
    let progress = Progress::of(args, name);
    while let Some(pause) = progress.pause() {
        sleep(pause).await;
        let [reads, stale] =
            [&measure.reads, &measure.stale_hits].map(|of| HumanCount(of.load(SeqCst)));
        progress.show(format!("{reads} reads, {stale} stale hits"));
    }
}

impl Row<9> for Outcome {
    const HEAD: [(&'static str, usize); 9] = [
        ("way", 20),
        ("reads", 9),
        ("hit rate", 9),
        ("stale hits", 10),
        ("of reads", 9),
        ("oldest", 9),
        ("older than told", 15),
        ("keys left wrong", 15),
        ("from nothing", 12),
    ];

    fn cells(&self) -> [String; 9] {
        let keys = |wrong: Option<usize>| wrong.map_or("–".into(), |wrong| wrong.to_string());
        [
            self.way.into(),
            HumanCount(self.reads).to_string(),
            format!("{:.1} %", percent(self.hits, self.reads)),
            HumanCount(self.stale_hits).to_string(),
            format!("{:.2} %", self.stale_rate()),
            format!("{} ms", HumanCount(self.oldest_stale_ms)),
            HumanCount(self.older_than_told).to_string(),
            keys(self.left_wrong),
            keys(self.wrong_from_nothing),
        ]
    }
}
