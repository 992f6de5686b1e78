//! All that one way runs on: the source, the records, what is measured, and what is under way.

use std::sync::Arc;
use std::time::Duration;

use genfence::Cache;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::Args;
use super::super::versions::Versions;
use super::background::Background;
use super::measure::Measure;
use super::records::{Places, Records};
use super::sites::{Caches, Each, Set, Sites};
use super::story::Story;
use super::ways::Entry;
use super::{Conflict, Failure};

pub struct World {
    pub caches: Each<Cache>,
    /// How long a writer that is gone holds a key.
    pub reservation: Duration,
    pub records: Records,
    pub source: Versions,
    pub measure: Measure,
    pub background: Background,
    pub story: Story,
    pub keys: usize,
    pub conflict: Conflict,
    /// How late the one region hears of the other, at most.
    pub lag: Duration,
    dice: Mutex<SmallRng>,
}

impl World {
    /// As soon as both regions serve.
    pub async fn new(args: &Args, entry: &Entry, sites: &Sites) -> Result<Arc<Self>, Failure> {
        let (keys, name) = (args.keys() as usize, entry.name);
        let set = sites.of(entry.set);
        let Caches { each, below, times, .. } = set;
        let places = Places { below: below.clone(), epochs: set.serve().await? };
        let prefix = format!("regions-{:016x}-{}", rand::random::<u64>(), name.replace(' ', "-"));
        Ok(Arc::new(World {
            caches: each.clone(),
            reservation: times.reservation,
            records: Records::new(places, prefix, entry.set != Set::Apart, keys),
            source: Versions::new(keys),
            measure: Measure::new(keys),
            background: Background::default(),
            story: Story::default(),
            keys,
            conflict: args.conflict,
            lag: Duration::from_millis(args.lag),
            dice: Mutex::new(SmallRng::seed_from_u64(args.seed)),
        }))
    }

    /// How late it hears of one change.
    pub fn any_lag(&self) -> Duration {
        self.dice.lock().random_range(Duration::ZERO..=self.lag)
    }

    pub fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice.lock().random_range(range))
    }

    pub fn chance(&self, share: f64) -> bool {
        self.dice.lock().random_bool(share)
    }
}
