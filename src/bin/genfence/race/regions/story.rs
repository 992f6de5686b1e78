//! What happened to each key while both regions wrote it from nothing, and one of the stories that ended badly.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::sites::{Each, Region};
use super::{Key, Version};

#[derive(Default)]
pub struct Story {
    /// Nothing is told before it.
    start: OnceLock<Instant>,
    events: Mutex<Vec<(Key, Event)>>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: Duration,
    /// Who did it, or where what was shipped comes from.
    pub region: Region,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// `None`: there was no record.
    Touched(Option<u16>),
    Committed(Version),
    Put {
        version: Version,
        accepted: bool,
    },
    /// It arrived at the other region; `since` is when its record was changed.
    Shipped {
        since: Duration,
        version: Version,
        accepted: bool,
    },
}

/// How a lost update came about.
pub struct Lost {
    pub events: Vec<Event>,
    pub newest: Version,
    /// What the caches hold in the end.
    pub held: Each<Option<Version>>,
    /// How many keys are wrong in the end, and of how many.
    pub alike: (usize, usize),
}

impl Story {
    pub fn begin(&self) {
        self.start.get_or_init(Instant::now);
    }

    pub fn now(&self) -> Duration {
        self.start.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    fn tell(&self, key: Key, region: Region, what: What) {
        if self.start.get().is_some() {
            let mut events = self.events.lock();
            events.push((key, Event { at: self.now(), region, what }));
        }
    }

    pub fn touched(&self, key: Key, region: Region, generation: Option<u16>) {
        self.tell(key, region, What::Touched(generation));
    }

    pub fn committed(&self, key: Key, region: Region, version: Version) {
        self.tell(key, region, What::Committed(version));
    }

    pub fn put(&self, key: Key, region: Region, version: Version, accepted: bool) {
        self.tell(key, region, What::Put { version, accepted });
    }

    pub fn shipped(
        &self,
        key: Key,
        from: Region,
        since: Duration,
        version: Version,
        accepted: bool,
    ) {
        self.tell(key, from, What::Shipped { since, version, accepted });
    }

    /// The clearest story of a key that was left wrong: both writers found no record, and no write failed.
    pub fn lost(&self, ends: &[(Version, Each<Option<Version>>)]) -> Option<Lost> {
        let mut of_keys: HashMap<Key, Vec<Event>> = HashMap::new();
        for (key, event) in self.events.lock().iter() {
            of_keys.entry(*key).or_default().push(event.clone());
        }
        let lost: Vec<Lost> = ends
            .iter()
            .enumerate()
            .filter(|(_, (newest, held))| held.iter().flatten().any(|version| version != newest))
            .map(|(key, &(newest, held))| {
                let events = of_keys.remove(&key).unwrap_or_default();
                Lost { events, newest, held, alike: (0, 0) }
            })
            .filter(|lost| lost.count(|what| matches!(what, What::Put { .. })) == 2)
            .collect();
        let alike = (lost.len(), ends.len());
        lost.into_iter().max_by_key(Lost::clarity).map(|lost| Lost { alike, ..lost })
    }
}

impl Lost {
    pub fn is_from_nothing(&self) -> bool {
        self.count(|what| *what == What::Touched(None)) == 2
    }

    pub fn are_all_accepted(&self) -> bool {
        self.count(|what| matches!(what, What::Put { accepted: true, .. })) == 2
    }

    fn count(&self, is: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|event| is(&event.what)).count()
    }

    fn clarity(&self) -> (bool, usize) {
        let wrong = self.held.iter().flatten().filter(|version| **version != self.newest).count();
        (self.is_from_nothing() && self.are_all_accepted(), wrong)
    }
}
