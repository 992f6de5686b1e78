//! The load: readers and writers in both regions, over the same keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::Args;
use super::sites::{Each, Region};
use super::ways::{Change, Loader, Way};
use super::world::World;
use super::{Failure, Key, Version};

/// What a reader rests between two reads, and a writer at most between two writes.
const READER_RESTS: Duration = Duration::from_millis(1);
const WRITER_RESTS: Duration = Duration::from_millis(20);
/// The share of writers that go away right after their source commit.
const CRASHES: f64 = 0.002;
/// How many keys both regions write from nothing at a time.
const AT_ONCE: usize = 8;

/// A way under load.
#[derive(Clone)]
pub struct Load {
    pub world: Arc<World>,
    pub way: Arc<dyn Way>,
}

/// What the caches of both regions hold in the end, beside the newest version.
pub type Ends = Vec<(Version, Each<Option<Version>>)>;

pub struct Running {
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Running {
    /// Each call has its bound.
    pub async fn stop(mut self) {
        self.over.store(true, SeqCst);
        while self.callers.join_next().await.is_some() {}
    }
}

impl Load {
    pub fn start(&self, args: &Args) -> Running {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..args.readers + args.writers {
            let (load, over, keys) = (self.clone(), Arc::clone(&over), self.world.keys);
            let reads = caller < args.readers;
            let region = Region::BOTH[(caller % 2) as usize];
            let mut dice = SmallRng::seed_from_u64(args.seed ^ (u64::from(caller) + 1) << 32);
            callers.spawn(async move {
                while !over.load(SeqCst) {
                    let key = dice.random_range(..keys);
                    if reads {
                        sleep(READER_RESTS).await;
                        load.read(region, key).await;
                    } else {
                        sleep(dice.random_range(Duration::ZERO..WRITER_RESTS)).await;
                        load.write(region, key, dice.random_bool(CRASHES)).await;
                    }
                }
            });
        }
        Running { over, callers }
    }

    async fn read(&self, region: Region, key: Key) {
        let World { measure, source, .. } = &*self.world;
        let load = Loader::new(&self.world, key);
        let before = measure.before(source, region, key);
        match self.way.read(region, key, &load).await {
            Ok(version) => measure.count(source, key, &before, version, load.is_done()),
            Err(error) => measure.failed(error),
        }
    }

    async fn write(&self, region: Region, key: Key, crashes: bool) {
        let change = Change { world: &self.world, way: &*self.way, region, key, crashes };
        if let Err(error) = self.way.write(region, key, &change).await {
            self.world.measure.failed(error);
        }
    }

    /// Neither region has a record of any key, and both write it at the same time: every write asks for generation 0.
    pub async fn write_from_nothing(&self) -> Result<(), Failure> {
        // Whoever is gone holds nothing any more.
        sleep(self.world.reservation).await;
        self.world.records.remove().await?;
        self.world.story.begin();
        let both = |key| async move {
            tokio::join!(self.write(Region::Eu, key, false), self.write(Region::Us, key, false));
        };
        stream::iter(0..self.world.keys).map(both).buffer_unordered(AT_ONCE).collect::<()>().await;
        Ok(())
    }

    pub async fn ends(&self) -> Result<Ends, Failure> {
        let end = |key| async move {
            let [eu, us] = Region::BOTH.map(|region| self.way.cached(region, key));
            let held = tokio::try_join!(eu, us)?;
            Ok((self.world.source.read(key), [held.0, held.1]))
        };
        stream::iter(0..self.world.keys).map(end).buffered(AT_ONCE).try_collect().await
    }
}

/// How many keys have a value in a cache that is not the newest.
pub fn wrong(ends: &Ends) -> usize {
    let is_wrong = |(newest, held): &&(Version, Each<Option<Version>>)| {
        held.iter().flatten().any(|version| version != newest)
    };
    ends.iter().filter(is_wrong).count()
}
