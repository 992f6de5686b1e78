//! The load: readers and writers on one cache, over a source in this process that knows what is stale.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use genfence::Cache;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::super::measure::Measure;
use super::super::{Args, Key};

/// What a writer rests between two writes.
const REST: Duration = Duration::from_millis(3);
/// The share of writers that go away right after their source commit.
const CRASHES: f64 = 0.002;

pub struct Load {
    state: Arc<State>,
    callers: JoinSet<()>,
}

struct State {
    rows: Box<[Row]>,
    measure: Measure,
    /// So that what others keep in the same set is left alone.
    name: u64,
    over: AtomicBool,
}

/// A row of the source: its version, and the lock that whoever changes it holds.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    lock: Mutex<()>,
}

/// So far.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub reads: u64,
    pub hits: u64,
    pub stale: u64,
}

impl Load {
    pub fn start(args: &Args, cache: &Cache) -> Self {
        let keys = args.keys() as usize;
        let state = Arc::new(State {
            rows: (0..keys).map(|_| Row::default()).collect(),
            measure: Measure::new(keys),
            name: rand::rng().random(),
            over: AtomicBool::new(false),
        });
        let mut callers = JoinSet::new();
        for caller in 0..args.readers + args.writers {
            let (cache, state) = (cache.clone(), Arc::clone(&state));
            let mut dice = SmallRng::seed_from_u64(args.seed ^ (u64::from(caller) + 1) << 32);
            let reads = caller < args.readers;
            callers.spawn(async move {
                while !state.over.load(SeqCst) {
                    let key = dice.random_range(..keys);
                    if reads {
                        state.read(&cache, key).await;
                    } else {
                        tokio::time::sleep(REST).await;
                        state.write(&cache, key, dice.random_bool(CRASHES)).await;
                    }
                }
            });
        }
        Load { state, callers }
    }

    pub fn counts(&self) -> Counts {
        let Measure { reads, hits, stale_hits, .. } = &self.state.measure;
        Counts {
            reads: reads.load(SeqCst),
            hits: hits.load(SeqCst),
            stale: stale_hits.load(SeqCst),
        }
    }

    /// Ends it, and removes the values. Each call has its bound.
    pub async fn stop(mut self, cache: &Cache) {
        self.state.over.store(true, SeqCst);
        while self.callers.join_next().await.is_some() {}
        for key in 0..self.state.rows.len() {
            // Else they expire by themselves.
            if cache.invalidate(self.state.key(key), None).await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn key(&self, key: Key) -> String {
        format!("genfence-chaos-{:x}:{key}", self.name)
    }

    async fn read(&self, cache: &Cache, key: Key) {
        let latest = self.measure.latest(key);
        let own = AtomicBool::new(false);
        let load = async || {
            own.store(true, SeqCst);
            Ok::<_, Infallible>(self.rows[key].version.load(SeqCst).to_string())
        };
        let Ok(Some(value)) = cache.get_or_fill(self.key(key), load).await else { return };
        let version = std::str::from_utf8(&value).ok().and_then(|value| value.parse().ok());
        // Whatever it is, it is not what was stored.
        self.measure.count(version.unwrap_or(0), latest, own.load(SeqCst));
    }

    async fn write(&self, cache: &Cache, key: Key, crashes: bool) {
        let Ok(reservation) = cache.reserve(self.key(key)).await else { return };
        let row = &self.rows[key];
        let version = {
            let _held = row.lock.lock().await;
            if reservation.remaining().is_zero() {
                None
            } else {
                Some(row.version.fetch_add(1, SeqCst) + 1)
            }
        };
        let Some(version) = version else { return reservation.abort().await };
        self.measure.committed(key, version);
        if !crashes {
            let _: Result<_, _> = reservation.commit(version.to_string()).await;
        }
    }
}
