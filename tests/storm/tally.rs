//! What is counted of each way in each region, and when a hit counts as stale.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ways::{self, Promise};
use super::world::{EACH, NAMES};

/// As long a stretch of time in which there are reads and no hit counts as one in which the cache was bypassed.
const STRETCH: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
pub struct Counts {
    pub reads: u64,
    pub hits: u64,
    pub stale: u64,
    /// For how long the source had a newer version when the read of the stalest hit began.
    pub oldest: Duration,
    /// When the read of the last hit began.
    pub last_hit: Duration,
    /// The stretches with a read, and those with a hit.
    with_reads: BTreeSet<u128>,
    with_hits: BTreeSet<u128>,
    /// The keys that were hit with their latest version since the last change.
    pub fresh: BTreeSet<usize>,
}

/// What a read found in the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Latest,
    /// A version that was the latest no more when the read began, since so long.
    Replaced(Duration),
}

impl Counts {
    /// A read that began then.
    pub fn read(&mut self, began: Duration, found: Found) {
        let stretch = began.as_millis() / STRETCH.as_millis();
        self.reads += 1;
        self.with_reads.insert(stretch);
        if found == Found::Nothing {
            return;
        }
        self.hits += 1;
        self.with_hits.insert(stretch);
        self.last_hit = self.last_hit.max(began);
        if let Found::Replaced(age) = found {
            self.stale += 1;
            self.oldest = self.oldest.max(age);
        }
    }

    /// For how long the cache was bypassed.
    pub fn bypassed(&self) -> Duration {
        let stretches = self.with_reads.difference(&self.with_hits).count();
        STRETCH * u32::try_from(stretches).unwrap_or(u32::MAX)
    }
}

/// Of each way in each region.
pub type Tally = Vec<[Counts; EACH]>;

pub fn print(tally: &Tally) {
    println!(
        "{:10} {:6} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "way", "region", "reads", "hits", "stale", "oldest", "bypass"
    );
    for (way, regions) in ways::ALL.iter().zip(tally) {
        for (region, counts) in NAMES.iter().zip(regions) {
            let Counts { reads, hits, stale, oldest, .. } = counts;
            let bypassed = counts.bypassed().as_secs_f64();
            println!(
                "{:10} {region:6} {reads:>8} {hits:>8} {stale:>8} {:>6} ms {bypassed:>7.1} s",
                way.name,
                oldest.as_millis(),
            );
        }
    }
}

/// What is not as it should be.
pub fn broken(tally: &Tally) -> Vec<String> {
    let mut broken = Vec::new();
    for (way, regions) in ways::ALL.iter().zip(tally) {
        let stale: u64 = regions.iter().map(|counts| counts.stale).sum();
        let oldest = regions.iter().map(|counts| counts.oldest).max().unwrap_or_default();
        let held = match way.promise {
            Promise::Nothing => stale > 0,
            Promise::Bounded(bound) => oldest <= bound,
            Promise::NeverStale => stale == 0,
        };
        if !held {
            broken.push(format!(
                "{}: {stale} stale hits, the oldest of {oldest:?}; {:?}",
                way.name, way.promise
            ));
        }
        for (region, counts) in NAMES.iter().zip(regions) {
            if counts.hits == 0 {
                broken.push(format!("{} in {region}: no hit at all", way.name));
            }
            // Whoever serves through all of that has not noticed it.
            if way.promise != Promise::Nothing && counts.bypassed().is_zero() {
                broken.push(format!("{} in {region}: it never bypassed", way.name));
            }
        }
    }
    broken
}
