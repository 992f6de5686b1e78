//! What is counted rather than timed: bytes an entry takes beside moka's, allocations a hit makes,
//! loader calls a herd makes.
//!
//!     cargo test -p genfence-benches --test footprint

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use genfence::Cache;
use genfence::store::MemoryStore;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const ENTRIES: usize = 50_000;

/// Heap bytes that `fill` leaves behind, for each entry and beyond its key and value.
fn overhead<T>(size: usize, fill: impl FnOnce(&dyn Fn(usize) -> (String, Bytes)) -> T) -> f64 {
    let entry = |number| (format!("user:{number:06}"), Bytes::from(vec![7u8; size]));
    let payload = "user:000000".len() + size;
    let before = dhat::HeapStats::get().curr_bytes;
    let kept = fill(&entry);
    let after = dhat::HeapStats::get().curr_bytes;
    drop(kept);
    #[expect(clippy::cast_precision_loss, reason = "a heap is far below 2^52 bytes")]
    let each = (after - before) as f64 / ENTRIES as f64 - payload as f64;
    each
}

#[tokio::main]
async fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();

    for size in [100, 4096] {
        let moka = overhead(size, |entry| {
            let cache = moka::sync::Cache::builder()
                .max_capacity(1 << 30)
                .time_to_live(Duration::from_secs(3600))
                .build();
            for number in 0..ENTRIES {
                let (key, value) = entry(number);
                cache.insert(key, value);
            }
            cache.run_pending_tasks();
            cache
        });
        let store = Arc::new(MemoryStore::new(1 << 30));
        let cache = Cache::builder().build(store.clone()).unwrap();
        let genfence = overhead(size, |entry| {
            for number in 0..ENTRIES {
                let (key, value) = entry(number);
                let set = cache.set(key, value);
                let _ = futures_util::FutureExt::now_or_never(set).expect("it does not wait");
            }
            store.clone()
        });
        println!(
            "{size} B values: {genfence:.0} B an entry beyond key and value; moka {moka:.0} B; \
             ratio {:.2}",
            genfence / moka
        );
        assert!(genfence <= moka, "an entry takes more than one of moka's");
    }

    let cache = Cache::connect("memory://").await.unwrap();
    let _ = cache.set("k", "v").await.unwrap();
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..1000 {
        cache.lookup("k").await.map(drop).unwrap();
    }
    let allocated = dhat::HeapStats::get().total_blocks - before;
    println!("allocations in 1000 hits: {allocated}");
    assert_eq!(allocated, 0, "a hit allocates");

    let loads = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, loads) = (cache.clone(), loads.clone());
            tokio::spawn(async move {
                let load = || async move {
                    loads.fetch_add(1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok::<_, Infallible>("v")
                };
                cache.get_or_fill("herd", load).await.unwrap()
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let loads = loads.load(SeqCst);
    println!("loader calls of 1000 callers on one missing key: {loads}");
    assert_eq!(loads, 1, "a herd loads more than once");
}
