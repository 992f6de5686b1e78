//! A process of a region: for each way a cache, readers, a writer, and a follower where it has one.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genfence::{Cache, ChangeBatch, ChangeStream, Changed, Fresh, Heartbeat, HeartbeatWriter};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::plain::{self, Plain};
use super::talk::{Ask, Row, Said, Source, Task, Version};
use super::ways::{self, Kind, Way};

/// What a reader rests between two reads, and a writer between two writes.
const READER_RESTS: Duration = Duration::from_millis(5);
const WRITER_RESTS: Range<u64> = 5..40;
/// How long a step of a transaction takes, in milliseconds, and the share of those that take much longer.
const DAWDLES: Range<u64> = 0..10;
const LONG: Range<u64> = 50..500;
const SLOW: f64 = 0.1;
/// The share of writers that go away right after their COMMIT.
const CRASHES: f64 = 0.02;
const READERS: u64 = 2;

/// Runs until the source is gone.
pub async fn run(task: Task) {
    let mut callers = JoinSet::new();
    for (way, entry) in ways::ALL.iter().enumerate() {
        let cache = match entry.kind {
            Kind::Plain => None,
            Kind::Follows | Kind::Fences => {
                Some(Cache::connect(&task.urls[way]).await.expect("a cache of a region"))
            }
        };
        if let (Some(cache), Kind::Follows) = (&cache, entry.kind) {
            callers.spawn(follow(cache.clone(), task.clone()));
        }
        for caller in 0..=READERS {
            let plain = Plain(plain::connect(&task.own).await);
            let seed = task.seed << 16 | (way as u64) << 8 | caller;
            let caller_of = Caller {
                way,
                entry,
                cache: cache.clone(),
                plain,
                source: Source::connect(&task).await,
                dice: Mutex::new(SmallRng::seed_from_u64(seed)),
                keys: task.keys,
            };
            if caller == 0 {
                callers.spawn(caller_of.writes());
            } else {
                callers.spawn(caller_of.reads());
            }
        }
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("callers go on");
    }
}

struct Caller {
    way: usize,
    entry: &'static Way,
    cache: Option<Cache>,
    plain: Plain,
    source: Source,
    dice: Mutex<SmallRng>,
    keys: usize,
}

fn version(value: Option<&Bytes>) -> Version {
    let value = value.expect("each row has one");
    std::str::from_utf8(value).expect("it is text").parse().expect("it is a number")
}

impl Caller {
    fn any_row(&self) -> Row {
        Row { way: self.way, key: self.dice.lock().random_range(0..self.keys) }
    }

    async fn rests(&self, millis: Range<u64>) {
        let millis = self.dice.lock().random_range(millis);
        sleep(Duration::from_millis(millis)).await;
    }

    async fn dawdles(&self) {
        let is_slow = self.dice.lock().random_bool(SLOW);
        self.rests(if is_slow { LONG } else { DAWDLES }).await;
    }

    fn name(row: Row) -> String {
        format!("key-{}", row.key)
    }

    fn fresh(&self, row: Row, version: Version) -> Fresh {
        let fresh = Fresh::new(version.to_string());
        // Where a stream tells of versions, all changes of a key have them.
        let has_versions = self.entry.kind == Kind::Follows || self.entry.has_versions(row.key);
        // 0 is none.
        if has_versions { fresh.version(version + 1) } else { fresh }
    }

    async fn reads(self) {
        loop {
            sleep(READER_RESTS).await;
            let row = self.any_row();
            let (began, _) = self.source.now().await;
            let hit = match &self.cache {
                Some(cache) => self.reads_fenced(cache, row).await,
                None => self.reads_plain(row).await,
            };
            self.source.tell(&Ask::Read { row, began, hit }).await;
        }
    }

    async fn reads_plain(&self, row: Row) -> Option<Version> {
        let hit = self.plain.get(row.key).await;
        if hit.is_none() {
            let version = self.source.load(row, false).await;
            if self.plain.put(row.key, version, None).await {
                self.source.tell(&Ask::Written { row }).await;
            }
        }
        hit
    }

    /// What another caller of the process brings counts as a hit, but where it may come from a replica that lags: in a bypass
    /// it is no more than what each would have loaded.
    async fn reads_fenced(&self, cache: &Cache, row: Row) -> Option<Version> {
        let (name, from_replica) = (Self::name(row), self.entry.has_versions(row.key));
        if from_replica && let Ok(Some(hit)) = cache.get(&name).await {
            return Some(version(hit.value.as_ref()));
        }
        let loaded = Mutex::new(false);
        let load = async || {
            *loaded.lock() = true;
            let version = self.source.load(row, from_replica).await;
            Ok::<_, Infallible>(self.fresh(row, version))
        };
        let value = cache.get_or_fill(&name, load).await.ok()?;
        let is_hit = !*loaded.lock() && !from_replica;
        is_hit.then(|| version(value.as_ref()))
    }

    async fn writes(self) {
        loop {
            self.rests(WRITER_RESTS).await;
            let row = self.any_row();
            if !self.source.now().await.1 {
                continue;
            }
            match &self.cache {
                Some(cache) => self.writes_fenced(cache, row).await,
                None => self.writes_plain(row).await,
            }
        }
    }

    async fn writes_plain(&self, row: Row) {
        let generation = self.plain.touch(row.key).await;
        self.dawdles().await;
        let Some(version) = self.source.change(row, None).await else { return };
        self.dawdles().await;
        if self.plain.put(row.key, version, generation).await {
            self.source.tell(&Ask::Written { row }).await;
        }
    }

    async fn writes_fenced(&self, cache: &Cache, row: Row) {
        let Ok(reservation) = cache.reserve(Self::name(row)).await else { return };
        self.dawdles().await;
        // On the source's clock, as of before it is asked what remains: whoever is stopped from here on changes nothing later.
        let (now, _) = self.source.now().await;
        let remaining = u64::try_from(reservation.remaining().as_nanos()).unwrap_or(u64::MAX / 2);
        self.dawdles().await;
        let Some(version) = self.source.change(row, Some(now + remaining)).await else {
            return reservation.abort().await;
        };
        if self.dice.lock().random_bool(CRASHES) {
            return;
        }
        self.dawdles().await;
        // Stored or not: what is wrong with it a reader sees.
        let _ = reservation.commit(self.fresh(row, version)).await;
    }
}

/// What the region hears of the source's changes.
struct Stream {
    source: Source,
    after: Arc<Mutex<usize>>,
}

impl ChangeStream for Stream {
    type Position = usize;
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<ChangeBatch<usize>>, Infallible> {
        let after = *self.after.lock();
        let (said, position) = self.source.next(after).await;
        let (mut changes, mut heartbeats) = (Vec::new(), Vec::new());
        for said in said {
            match said {
                Said::Changed { row, version } => {
                    changes.push(Changed::new(Caller::name(row)).version(version + 1));
                }
                Said::Beat { follower, number } => heartbeats.push(Heartbeat { follower, number }),
            }
        }
        Ok(Some(ChangeBatch { changes, heartbeats, position }))
    }

    async fn confirm(&mut self, position: usize) -> Result<(), Infallible> {
        *self.after.lock() = position;
        Ok(())
    }
}

struct Beats(Source);

impl HeartbeatWriter<Infallible> for Beats {
    async fn write(&mut self, Heartbeat { follower, number }: Heartbeat) -> Result<(), Infallible> {
        self.0.beat(follower, number).await;
        Ok(())
    }
}

async fn follow(cache: Cache, task: Task) {
    let stream = Stream { source: Source::connect(&task).await, after: Arc::default() };
    let beats = Beats(Source::connect(&task).await);
    let ended = cache.follow(stream).heartbeats(beats).run().await;
    panic!("a stream that has no end: {ended:?}");
}
