//! What the C boundary adds to a hit of the embedded store: time and allocations over the Rust call.
//!
//!     cargo bench -p genfence-benches --features capi --bench c_boundary
//!
//! Every number is the median of rounds that take turns, so that a noisy machine is noisy to all.
#![allow(unsafe_code, reason = "these are calls of the C interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use genfence::ffi::{
    GF_DONE, GF_HIT, GF_OP_LOOKUP, GF_STORED, gf_cache, gf_entry, gf_free, gf_lookup, gf_op,
    gf_open, gf_queue, gf_queue_free, gf_queue_new, gf_queue_wait, gf_result, gf_result_free,
    gf_results_free, gf_set, gf_slice, gf_submit,
};
use genfence::store::MemoryStore;
use genfence::{Cache, Lookup, SetOutcome};

/// Counts only when it is told to: counting would cost what is measured.
struct Counting;

static COUNT: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNT.load(Relaxed) {
            ALLOCATIONS.fetch_add(1, Relaxed);
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: usize = 4096;
const ROUNDS: usize = 15;
/// Hits in one round of one way.
const HITS: usize = 4096 * 8;

/// The embedded store never waits, so its futures are ready when they are first polled.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the embedded store does not wait"),
    }
}

fn slice(bytes: &[u8]) -> gf_slice {
    gf_slice { data: bytes.as_ptr(), len: bytes.len() }
}

fn opened(keys: &[String], value: &[u8]) -> *mut gf_cache {
    let mut cache = null_mut();
    let url = c"memory://?max_bytes=1GiB&ttl=1h";
    // SAFETY: a text, and a place to write to.
    assert_eq!(unsafe { gf_open(url.as_ptr(), null(), &raw mut cache, null_mut()) }, GF_DONE);
    for key in keys {
        let entry = gf_entry { value: slice(value), version: 0, ttl_ms: 0, flags: 0, reserved: 0 };
        // SAFETY: all of it is alive.
        let status = unsafe { gf_set(cache, slice(key.as_bytes()), entry, null_mut()) };
        assert_eq!(status, GF_STORED);
    }
    cache
}

fn of_rust(keys: &[String], value: &[u8]) -> Cache {
    let cache = Cache::builder().ttl(Duration::from_secs(3600));
    let cache = cache.build(Arc::new(MemoryStore::new(1 << 30))).unwrap();
    for key in keys {
        assert_eq!(ready(cache.set(key, value)).unwrap(), SetOutcome::Stored);
    }
    cache
}

/// Keys in an order that the processor does not guess.
fn scattered(index: usize) -> usize {
    index.wrapping_mul(2_654_435_761) % KEYS
}

/// Submits `in_flight` lookups, `batch` at a time, takes them all, and so on.
fn submitted(
    cache: *const gf_cache,
    queue: *const gf_queue,
    keys: &[String],
    in_flight: usize,
    batch: usize,
) {
    let op = |index: usize| {
        // SAFETY: zero is right for every field, and NULL.
        let empty = unsafe { MaybeUninit::<gf_op>::zeroed().assume_init() };
        gf_op { op: GF_OP_LOOKUP, key: slice(keys[scattered(index)].as_bytes()), ..empty }
    };
    let mut results = Vec::<gf_result>::with_capacity(256);
    for first in (0..HITS).step_by(in_flight) {
        let ops: Vec<gf_op> = (first..first + in_flight).map(op).collect();
        for ops in ops.chunks(batch) {
            let size = size_of::<gf_op>();
            // SAFETY: all of it is alive.
            let status =
                unsafe { gf_submit(cache, queue, ops.as_ptr(), ops.len(), size, null_mut()) };
            assert_eq!(status, GF_DONE);
        }
        let mut taken = 0;
        while taken < in_flight {
            let (mut count, size) = (0, size_of::<gf_result>());
            // SAFETY: there is room for 256, and as many are freed as came.
            unsafe {
                let first = results.as_mut_ptr();
                let status = gf_queue_wait(queue, first, 256, size, -1, &raw mut count);
                assert_eq!((status, (*first).status), (GF_DONE, GF_HIT));
                gf_results_free(first, count);
            }
            taken += count;
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The caches of Rust are opened in a runtime; those of C are not called in one.
    let keys: Vec<String> = (0..KEYS).map(|number| format!("user:{number:06}")).collect();
    for size in [100, 16 * 1024] {
        let value = vec![7; size];
        let c = opened(&keys, &value);
        let queue = gf_queue_new();
        let rust = {
            let _inside = runtime.enter();
            of_rust(&keys, &value)
        };
        let by_rust = || {
            for index in 0..HITS {
                let hit = ready(rust.lookup(&keys[scattered(index)])).unwrap();
                assert!(matches!(black_box(hit), Lookup::Hit(_)));
            }
        };
        let by_call = || {
            for index in 0..HITS {
                let mut result = MaybeUninit::<gf_result>::uninit();
                let key = slice(keys[scattered(index)].as_bytes());
                // SAFETY: all of it is alive, and freed once.
                unsafe {
                    assert_eq!(gf_lookup(c, key, result.as_mut_ptr()), GF_HIT);
                    gf_result_free(black_box(result.as_mut_ptr()));
                }
            }
        };
        let queued = |in_flight, batch| {
            let keys = &keys;
            move || submitted(c, queue, keys, in_flight, batch)
        };
        let (one, some) = (queued(1, 1), queued(64, 64));
        let (many, singly) = (queued(4096, 4096), queued(4096, 1));
        let ways: [(&str, &dyn Fn()); 6] = [
            ("Rust, lookup", &by_rust),
            ("C, gf_lookup", &by_call),
            ("C, submitted, 1 in flight", &one),
            ("C, submitted, 64 in flight, 1 batch", &some),
            ("C, submitted, 4,096 in flight, 1 batch", &many),
            ("C, submitted, 4,096 in flight, singly", &singly),
        ];
        report(size, &ways);
        // SAFETY: freed once.
        unsafe {
            gf_free(c);
            gf_queue_free(queue);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "these are far below 2^52")]
fn report(size: usize, ways: &[(&str, &dyn Fn())]) {
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way), times) in ways.iter().zip(&mut times) {
            let start = Instant::now();
            way();
            times.push(start.elapsed().as_nanos() as f64 / HITS as f64);
        }
    }
    let mut rust = None;
    println!("a hit of {size} bytes                        ns   over Rust   allocations");
    for ((name, way), mut times) in ways.iter().zip(times) {
        COUNT.store(true, Relaxed);
        let before = ALLOCATIONS.load(Relaxed);
        way();
        let allocations = (ALLOCATIONS.load(Relaxed) - before) as f64 / HITS as f64;
        COUNT.store(false, Relaxed);
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let ratio = median / *rust.get_or_insert(median);
        println!("{name:<40}{median:>8.0}{ratio:>12.2}{allocations:>14.2}");
    }
    println!();
}
