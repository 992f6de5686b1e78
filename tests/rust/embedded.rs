//! The embedded store: its bound, its eviction, its atomicity.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use genfence::protocol::{Claim, Token, Ttl};
use genfence::store::{Clock, MemoryStore, Store};
use genfence::{Bypass, Cache, CommitOutcome, Lookup};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn the_bound_in_bytes_holds_and_what_is_read_stays() {
    let store = Arc::new(MemoryStore::new(4 * MIB));
    let cache = Cache::builder().build(store.clone()).unwrap();
    let value = vec![7u8; 10_000];
    let _ = cache.set("hot", value.clone()).await.unwrap();
    for number in 0..5_000 {
        let _ = cache.set(format!("key {number}"), value.clone()).await.unwrap();
        assert!(cache.get("hot").await.unwrap().is_some(), "evicted though read all the time");
        assert!(store.bytes() <= 4 * MIB, "{} bytes", store.bytes());
    }
    assert!(store.bytes() > 3 * MIB, "the bound is used");
}

/// A record grows in place when its lease is filled: that too must push others out.
#[tokio::test]
async fn fills_that_grow_their_record_keep_to_the_bound() {
    let store = Arc::new(MemoryStore::new(4 * MIB));
    let cache = Cache::builder().build(store.clone()).unwrap();
    for number in 0..1_000 {
        let Lookup::Leased(lease) = cache.lookup(format!("key {number}")).await.unwrap() else {
            panic!("no lease")
        };
        let _ = lease.fill(vec![7u8; 20_000]).await.unwrap();
        assert!(store.bytes() <= 4 * MIB, "{} bytes", store.bytes());
    }
}

#[tokio::test]
async fn a_record_with_a_live_reservation_is_never_evicted() {
    let clock = Clock::manual();
    let store = Arc::new(MemoryStore::with_clock(2 * MIB, clock.clone()));
    let cache = Cache::builder().build(store.clone()).unwrap();
    let mut writers = Vec::new();
    for number in 0..100 {
        writers.push(cache.reserve(format!("reserved {number}")).await.unwrap());
    }
    for number in 0..2_000 {
        let _ = cache.set(format!("key {number}"), vec![7u8; 10_000]).await.unwrap();
    }
    for number in 0..100 {
        let lookup = cache.lookup(format!("reserved {number}")).await.unwrap();
        assert!(matches!(lookup, Lookup::Bypass(Bypass::Reserved)), "{number} was evicted");
        assert!(!store.evict(format!("reserved {number}").as_bytes()));
    }
    for (number, writer) in writers.into_iter().enumerate() {
        assert_eq!(writer.commit(format!("{number}")).await.unwrap(), CommitOutcome::Stored);
    }
    clock.advance(Duration::from_secs(10));
    assert!(store.evict(b"reserved 0"), "no longer reserved");
}

#[tokio::test]
async fn reservations_have_room_beside_the_values_and_what_they_leave_keeps_to_the_bound() {
    let clock = Clock::manual();
    let store = Arc::new(MemoryStore::with_clock(4 * MIB, clock.clone()));
    let cache = Cache::builder().build(store.clone()).unwrap();
    for round in 0..6 {
        let mut writers = Vec::new();
        for number in 0..5_000 {
            writers.push(cache.reserve(format!("{round} {number}")).await.unwrap());
        }
        for writer in writers.drain(..4_000) {
            assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Stored);
        }
        assert!(store.bytes() <= 4 * MIB);
        clock.advance(Duration::from_secs(10));
    }
    assert!(store.len() < 24_000, "what they leave keeps to the bound");
    for number in 0..20_000 {
        let _ = cache.set(format!("new {number}"), "v").await.unwrap();
        assert!(store.bytes() <= 4 * MIB);
    }
    assert!(store.len() < 20_000, "those that were left keep to the bound, too");
}

/// Threads race for the lease of one key over and over: each round has one winner.
#[test]
fn one_of_many_threads_gets_the_lease() {
    let store = MemoryStore::new(4 * MIB);
    let ttl = Ttl::from_secs(60).unwrap();
    for round in 0..2_000u64 {
        let granted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (store, granted) = (&store, &granted);
                scope.spawn(move || {
                    let claim = Claim::Lease {
                        token: Token::new(thread),
                        previous: vec![],
                        time: Duration::from_secs(60),
                        ttl,
                        over: None,
                    };
                    let key = round.to_be_bytes();
                    let mut lease = Box::pin(store.claim(&key, &claim));
                    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                    let std::task::Poll::Ready(answer) = lease.as_mut().poll(&mut context) else {
                        panic!("the embedded store does not wait")
                    };
                    granted.fetch_add(usize::from(answer.unwrap().is_ok()), SeqCst);
                });
            }
        });
        assert_eq!(granted.into_inner(), 1);
    }
}

#[tokio::test]
async fn the_size_of_the_store_is_one_of_the_urls_options() {
    let cache = Cache::connect("memory://?max_bytes=8MiB&max_value_bytes=64KiB").await.unwrap();
    for number in 0..1_000 {
        let _ = cache.set(format!("key {number}"), vec![7u8; 60_000]).await.unwrap();
    }
    let mut there = 0;
    for number in 0..1_000 {
        there += usize::from(cache.get(format!("key {number}")).await.unwrap().is_some());
    }
    assert!((60..=139).contains(&there), "{there} of 60 kB in 8 MiB");
}

#[tokio::test]
async fn a_value_is_held_without_the_spare_room_it_was_written_into() {
    let (cache, store, _) = crate::support::embedded();
    let mut roomy = Vec::with_capacity(1 << 20);
    roomy.extend_from_slice(b"small");
    let _ = cache.set("k", roomy).await.unwrap();
    let held = cache.get("k").await.unwrap().unwrap().value.unwrap();
    drop((cache, store));
    // Ours alone now, it becomes a vector as it is.
    let held = Vec::from(held);
    assert_eq!((&*held, held.capacity()), (&b"small"[..], 5));
}
