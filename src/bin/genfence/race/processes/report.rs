//! What is said of each way.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;

use indicatif::HumanCount;
use serde::Serialize;

use super::super::Args;
use super::super::report::{Outcome as Reads, Row};
use super::host::Host;
use super::ways::Way;
use crate::system::STOPS;

/// What all ways ran on.
#[derive(Serialize)]
pub struct Course {
    pub store: String,
    pub processes: u32,
    pub near_ms: u64,
    pub keys: u32,
    #[serde(skip)]
    readers: u32,
    #[serde(skip)]
    writers: u32,
    /// In percent.
    pub lost: u8,
    #[serde(skip)]
    has_tags: bool,
}

/// What was measured of one way.
#[derive(Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub reads: Reads,
    pub oldest_stale_ms: u64,
    pub writes: u64,
    pub write_p50_us: u64,
}

impl Course {
    pub fn new(args: &Args, store: String) -> Self {
        let Args { processes, near_time, readers, writers, lost, tags, .. } = *args;
        let keys = args.keys();
        Course {
            store,
            processes,
            near_ms: near_time,
            keys,
            readers,
            writers,
            lost,
            has_tags: tags,
        }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Course { store, processes, near_ms, keys, readers, writers, lost, has_tags } = self;
        write!(f, "{store}; {processes} processes, copies live {near_ms} ms")?;
        if !has_tags {
            write!(f, ", the backplane loses {lost} %")?;
        }
        write!(f, "; {keys} keys, {readers} readers, {writers} writers")?;
        if STOPS { Ok(()) } else { write!(f, "; no process is stopped on this system") }
    }
}

impl Outcome {
    pub fn new(way: Way, host: &Host) -> Self {
        let writes = host.writes.lock();
        Outcome {
            reads: Reads::new(way.name(), &host.measure, &host.reads.lock()),
            oldest_stale_ms: host.oldest_ms.load(SeqCst),
            writes: writes.len(),
            write_p50_us: writes.value_at_quantile(0.5),
        }
    }

    pub fn is_broken(&self) -> bool {
        self.reads.is_ours() && self.reads.stale_hits > 0
    }
}

impl Row<10> for Outcome {
    const HEAD: [(&'static str, usize); 10] = [
        ("way", 14),
        ("reads", 11),
        ("hit rate", 9),
        ("source reads", 13),
        ("stale hits", 11),
        ("of reads", 9),
        ("oldest", 9),
        ("p99", 9),
        ("writes", 7),
        ("a write", 8),
    ];

    fn cells(&self) -> [String; 10] {
        let Outcome { reads, oldest_stale_ms, writes, write_p50_us } = self;
        [
            reads.strategy.into(),
            HumanCount(reads.reads).to_string(),
            format!("{:.1} %", reads.hit_rate()),
            HumanCount(reads.source_reads).to_string(),
            HumanCount(reads.stale_hits).to_string(),
            format!("{:.2} %", reads.stale_rate()),
            format!("{} ms", HumanCount(*oldest_stale_ms)),
            format!("{} µs", reads.p99_us),
            HumanCount(*writes).to_string(),
            format!("{} ms", write_p50_us / 1000),
        ]
    }
}
