//! Copies: what a hit costs beside `moka`; how many reads a second there are beside the store's alone, with writers; and how much longer
//! an update takes. On the cluster that `AEROSPIKE_HOSTS` names, else on the wire test server. Rounds are interleaved.
//!
//!     cargo bench -p genfence-benches --bench near

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is measured is no larger"
)]

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genfence::Cache;
use rand::RngExt;
use rand_distr::{Distribution, Zipf};
use tokio::time::sleep;

const NEAR: Duration = Duration::from_secs(1);
const HITS: u32 = 200_000;
const ROUNDS: usize = 9;
const KEYS: u64 = 10_000;
const CALLERS: usize = 128;
/// Drawn beforehand, and gone through again and again, by each caller from a place of its own: to draw and to name a key takes longer than to
/// read a copy of it.
const DRAWS: usize = 1 << 15;
const SECONDS: Duration = Duration::from_secs(2);
/// Updates a second, of keys drawn as readers draw them.
const UPDATES: [u64; 3] = [0, 10, 100];
const VALUE: [u8; 100] = [7; 100];

async fn open(hosts: &str, options: &str, set: &str) -> Cache {
    let run = std::process::id();
    let url =
        format!("aerospike://{hosts}/test/bench-{set}-{run}?ttl=1h&max_connections=256&{options}");
    Cache::connect(&url).await.unwrap()
}

async fn read(cache: &Cache, key: &str) {
    let load = async || Ok::<_, Infallible>(Bytes::from_static(&VALUE));
    black_box(cache.get_or_fill(key, load).await.unwrap());
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Nanoseconds of a hit: a copy's bytes, an object's, and `moka`'s.
async fn hits(near: &Cache) {
    read(near, "hit").await;
    let moka = moka::sync::Cache::builder()
        .max_capacity(1 << 30)
        .time_to_live(Duration::from_secs(3600))
        .build();
    moka.insert("hit".to_owned(), Bytes::from_static(&VALUE));
    let shared = near.typed::<Vec<u64>>();
    let load = async || Ok::<_, Infallible>(Some(vec![7; 12]));
    let mut all = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        // What is measured is hits of copies that are there.
        for _ in 0..100 {
            read(near, "hit").await;
            shared.get_or_fill_shared("object", load).await.unwrap();
        }
        let start = Instant::now();
        for _ in 0..HITS {
            black_box(near.get("hit").await.unwrap());
        }
        all[0].push(start.elapsed().as_nanos() as f64 / f64::from(HITS));
        let start = Instant::now();
        for _ in 0..HITS {
            black_box(shared.get_or_fill_shared("object", load).await.unwrap());
        }
        all[1].push(start.elapsed().as_nanos() as f64 / f64::from(HITS));
        let start = Instant::now();
        for _ in 0..HITS {
            black_box(moka.get("hit"));
        }
        all[2].push(start.elapsed().as_nanos() as f64 / f64::from(HITS));
    }
    let [copy, object, moka] = all.map(median);
    println!(
        "a hit: copy {copy:.0} ns ({:.2} x), object {object:.0} ns ({:.2} x), moka {moka:.0} ns",
        copy / moka,
        object / moka
    );
}

/// Reads a second by so many callers, while others update; and what share of them needed no command.
async fn reads(cache: &Cache, updates: u64) -> (f64, f64) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let before = cache.stats();
    let draws = Zipf::new(KEYS as f64, 0.99).unwrap().sample_iter(rand::rng());
    let keys: Arc<[String]> = draws.take(DRAWS).map(|key| format!("k{}", key as u64)).collect();
    let readers = (0..CALLERS).map(|caller| {
        let (cache, stop, count) = (cache.clone(), Arc::clone(&stop), Arc::clone(&count));
        let keys = Arc::clone(&keys);
        tokio::spawn(async move {
            // In portions, as a counter that all share is one more thing to wait for.
            for some in keys.chunks(32).cycle().skip(caller * DRAWS / CALLERS / 32) {
                if stop.load(Relaxed) {
                    break;
                }
                for key in some {
                    read(&cache, key).await;
                }
                count.fetch_add(some.len() as u64, Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let writers = tokio::spawn({
        let (cache, stop) = (cache.clone(), Arc::clone(&stop));
        async move {
            let keys = Zipf::new(KEYS as f64, 0.99).unwrap();
            while updates > 0 && !stop.load(Relaxed) {
                let key = keys.sample(&mut rand::rng()) as u64;
                let cache = cache.clone();
                tokio::spawn(async move {
                    let reservation = cache.reserve_settled(format!("k{key}")).await.unwrap();
                    let _ = reservation.commit(Bytes::from_static(&VALUE)).await.unwrap();
                });
                sleep(Duration::from_secs(1) / u32::try_from(updates).unwrap()).await;
            }
        }
    });
    let (start, first) = (Instant::now(), count.load(Relaxed));
    sleep(SECONDS).await;
    let read = count.load(Relaxed) - first;
    let seconds = start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    writers.await.unwrap();
    let after = cache.stats();
    let near = (after.near_hits - before.near_hits) as f64
        / (after.hits + after.misses - before.hits - before.misses) as f64;
    (read as f64 / seconds, near)
}

async fn throughput(plain: &Cache, near: &Cache) {
    for updates in UPDATES {
        let (mut alone, mut copies, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        // The first warms up.
        for round in 0..=ROUNDS / 2 {
            let (per_second, _) = reads(plain, updates).await;
            let (with, share) = reads(near, updates).await;
            if round > 0 {
                alone.push(per_second);
                copies.push(with);
                shares.push(share);
            }
        }
        let (alone, copies, share) = (median(alone), median(copies), median(shares));
        println!(
            "{CALLERS} callers, Zipf 0.99 of {KEYS} keys, {updates} updates/s: store alone {alone:.0}/s, with copies {copies:.0}/s \
             ({:.1} x), {:.1} % of reads without a command",
            copies / alone,
            share * 100.0
        );
    }
}

/// An update whose transaction takes so long; the wait before it, or beside it.
async fn update(cache: &Cache, key: &str, transaction: Duration, is_before: bool) -> Duration {
    // Somebody has a copy.
    for _ in 0..3 {
        read(cache, key).await;
    }
    let start = Instant::now();
    let reservation = if is_before {
        cache.reserve_settled(key).await.unwrap()
    } else {
        cache.reserve(key).await.unwrap()
    };
    sleep(transaction).await;
    reservation.settled().await;
    let _ = reservation.commit(Bytes::from_static(&VALUE)).await.unwrap();
    start.elapsed()
}

async fn updates(plain: &Cache, near: &Cache) {
    for millis in [5, 50, 500] {
        let transaction = Duration::from_millis(millis);
        let (mut alone, mut before, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        for round in 0..20 {
            // So that a copy has any age.
            sleep(Duration::from_millis(rand::rng().random_range(0..1000))).await;
            let key = format!("update {millis} {}", round % 4);
            alone.push(milliseconds(update(plain, &key, transaction, true).await));
            let other = format!("{key} beside");
            before.push(milliseconds(update(near, &key, transaction, true).await));
            beside.push(milliseconds(update(near, &other, transaction, false).await));
        }
        let most = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
        let longest = [&alone, &before, &beside].map(|all| most(all));
        let [alone, before, beside] = [alone, before, beside].map(median);
        println!(
            "an update of {millis} ms: {alone:.0} ms, with copies of {NEAR:?} {before:.0} ms where it waits before, {beside:.0} beside; \
             the longest {longest:.0?}"
        );
    }
}

#[tokio::main]
async fn main() {
    let server = genfence_wire::Server::start().await.unwrap();
    let hosts = std::env::var("AEROSPIKE_HOSTS").unwrap_or_else(|_| server.address().to_string());
    let (plain, near) = (open(&hosts, "", "plain").await, open(&hosts, "near=1s", "near").await);
    hits(&near).await;
    throughput(&plain, &near).await;
    updates(&plain, &near).await;
}
