//! Tags: what a hit of a value that bears some costs beside one that bears none, with copies and without, and a purge of few values
//! and of many beside an invalidation. On the cluster that `AEROSPIKE_HOSTS` names, else on the wire test server. Rounds are interleaved.
//!
//!     cargo bench -p genfence-benches --bench tags                # -- --million: also a purge of so many values, which takes a minute and 500 MB

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use genfence::Cache;

const ROUNDS: usize = 15;
const VALUE: [u8; 100] = [7; 100];
/// How many tags a value bears.
const TAGS: [usize; 4] = [0, 1, 3, 8];
/// How many values a tag has that is purged.
const GROUPS: [usize; 3] = [1, 100, 10_000];
/// How many are filled at a time.
const AT_ONCE: usize = 64;

async fn open(hosts: &str, options: &str, set: &str) -> Cache {
    let run = std::process::id();
    Cache::connect(&format!("aerospike://{hosts}/test/bench-{set}-{run}?ttl=1h&{options}"))
        .await
        .unwrap()
}

async fn read(cache: &Cache, key: &str) {
    let load = async || Ok::<_, Infallible>(Bytes::from_static(&VALUE));
    black_box(cache.get_or_fill(key, load).await.unwrap());
}

fn median(all: &mut [Duration]) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// The median, and the least and the most.
fn told(all: &mut [Duration]) -> String {
    let median = median(all);
    format!("{median:?} ({:?} to {:?})", all[0], all[all.len() - 1])
}

/// Hits of one key, one after the other: `plain` has no tags, the values of `tagged` bear some.
async fn hits(what: &str, plain: &Cache, tagged: &Cache, hits: u32) {
    let handles = TAGS.map(|count| match count {
        0 => plain.clone(),
        count => tagged.tagged((0..count).map(|tag| format!("tag {tag}"))).unwrap(),
    });
    let mut all = [const { Vec::new() }; TAGS.len()];
    for _ in 0..ROUNDS {
        for (count, (handle, all)) in TAGS.iter().zip(handles.iter().zip(&mut all)) {
            let key = format!("hit {count}");
            // So that what there are copies of has them.
            for _ in 0..20 {
                read(handle, &key).await;
            }
            let before = handle.stats().hits;
            let start = Instant::now();
            for _ in 0..hits {
                black_box(handle.get(&key).await.unwrap());
            }
            all.push(start.elapsed() / hits);
            assert_eq!(handle.stats().hits - before, u64::from(hits));
        }
    }
    let without = median(&mut all[0]).as_secs_f64();
    for (count, all) in TAGS.iter().zip(&mut all) {
        let over = median(all).as_secs_f64() / without;
        println!("a hit {what}, {count} tags: {}, {over:.2} of one without", told(all));
    }
}

/// Of a tag with so many values, which are filled before. How long it takes.
async fn purge(tagged: &Cache, count: usize) -> Duration {
    let tag = format!("group of {count}");
    let group = tagged.tagged([&tag]).unwrap();
    let keys: Vec<String> = (0..count).map(|key| format!("{tag} {key}")).collect();
    for some in keys.chunks(AT_ONCE) {
        join_all(some.iter().map(|key| read(&group, key))).await;
    }
    assert!(tagged.get(&keys[0]).await.unwrap().is_some(), "it was filled");
    let start = Instant::now();
    tagged.purge_tag(&tag).await.unwrap();
    let took = start.elapsed();
    for key in [&keys[0], &keys[count - 1]] {
        assert!(tagged.get(key).await.unwrap().is_none(), "it was purged");
    }
    took
}

/// Of few values and of many, beside invalidations.
async fn purges(plain: &Cache, tagged: &Cache) {
    let mut invalidations = Vec::new();
    let mut all = [const { Vec::new() }; GROUPS.len()];
    for _ in 0..ROUNDS {
        for (count, all) in GROUPS.iter().zip(&mut all) {
            all.push(purge(tagged, *count).await);
        }
        read(plain, "one").await;
        let start = Instant::now();
        plain.invalidate("one", None).await.unwrap();
        invalidations.push(start.elapsed());
    }
    println!("an invalidation: {}", told(&mut invalidations));
    for (count, all) in GROUPS.iter().zip(&mut all) {
        println!("a purge of a tag of {count} values: {}", told(all));
    }
    if std::env::args().any(|argument| argument == "--million") {
        println!("a purge of a tag of 1,000,000 values: {:?}", purge(tagged, 1_000_000).await);
    }
}

#[tokio::main]
async fn main() {
    let server = genfence_wire::Server::start().await.unwrap();
    let hosts = std::env::var("AEROSPIKE_HOSTS").unwrap_or_else(|_| server.address().to_string());
    let (plain, tagged) =
        (open(&hosts, "", "plain").await, open(&hosts, "tags=true", "tags").await);
    hits("without copies", &plain, &tagged, 2_000).await;
    purges(&plain, &tagged).await;
    let (near, both) = (
        open(&hosts, "near=1s", "near").await,
        open(&hosts, "near=1s&tags=true", "near-tags").await,
    );
    hits("with copies", &near, &both, 100_000).await;
}
