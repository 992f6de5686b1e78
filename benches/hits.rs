//! What a hit costs: the embedded store beside `moka` and a plain sharded map, and what the layers
//! above the store add.
//!
//!     cargo bench -p genfence-benches --bench hits
//!
//! Every entry has a time to live, in moka too, as a cache without one is no cache here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use genfence::store::{MemoryStore, Store};
use genfence::{Cache, Lookup};
use parking_lot::RwLock;

const KEYS: usize = 10_000;
const TTL: Duration = Duration::from_secs(3600);

/// One way to look a key up.
type Read = Arc<dyn Fn(&str) -> Option<Bytes> + Send + Sync>;

/// The embedded store never waits, so its futures are ready when they are first polled.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the embedded store does not wait"),
    }
}

fn readers(keys: &[String], size: usize) -> Vec<(&'static str, Read)> {
    let value = Bytes::from(vec![7u8; size]);

    let shards: Vec<RwLock<HashMap<String, Bytes>>> = (0..64).map(|_| RwLock::default()).collect();
    let hasher = RandomState::new();
    let shard = move |key: &str| usize::try_from(hasher.hash_one(key) % 64).unwrap_or_default();
    let moka = moka::sync::Cache::builder().max_capacity(1 << 30).time_to_live(TTL).build();
    let store = Arc::new(MemoryStore::new(1 << 30));
    let cache = Cache::builder().ttl(TTL).build(store.clone()).unwrap();
    for key in keys {
        shards[shard(key)].write().insert(key.clone(), value.clone());
        moka.insert(key.clone(), value.clone());
        let _ = ready(cache.set(key, value.clone())).unwrap();
    }
    moka.run_pending_tasks();

    let (lookup, get_or_fill) = (cache.clone(), cache.clone());
    vec![
        ("sharded map", Arc::new(move |key| shards[shard(key)].read().get(key).cloned())),
        ("moka get", Arc::new(move |key| moka.get(key))),
        (
            "store get",
            Arc::new(move |key| {
                ready(store.get(key.as_bytes())).unwrap().hit().and_then(|hit| hit.value)
            }),
        ),
        (
            "cache get",
            Arc::new(move |key| ready(cache.get(key)).unwrap().and_then(|hit| hit.value)),
        ),
        (
            "cache lookup",
            Arc::new(move |key| match ready(lookup.lookup(key)).unwrap() {
                Lookup::Hit(hit) => hit.value,
                _ => None,
            }),
        ),
        (
            "cache get_or_fill",
            Arc::new(move |key| {
                ready(get_or_fill.get_or_fill(key, async || Ok::<&str, Infallible>("v"))).unwrap()
            }),
        ),
    ]
}

/// All threads read their share of the keys at the same time; the slowest counts.
fn timed(threads: usize, rounds: u64, keys: &Arc<[String]>, read: &Read) -> Duration {
    let barrier = Arc::new(std::sync::Barrier::new(threads));
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let (keys, read, barrier) = (keys.clone(), read.clone(), barrier.clone());
            std::thread::spawn(move || {
                let mut at = thread * 7919;
                barrier.wait();
                let start = Instant::now();
                for _ in 0..rounds {
                    at = (at + 4_099) % KEYS;
                    black_box(read(&keys[at])).expect("every key is there");
                }
                start.elapsed()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
}

fn hits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let keys: Arc<[String]> = (0..KEYS).map(|number| format!("user:{number:06}")).collect();
    for size in [100, 4096] {
        for (name, read) in readers(&keys, size) {
            for threads in [1, 2] {
                let id = format!("{size} B/{threads} thread(s)/{name}");
                criterion.bench_function(&id, |bencher| {
                    bencher.iter_custom(|rounds| timed(threads, rounds, &keys, &read));
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = hits
}
criterion_main!(benches);
