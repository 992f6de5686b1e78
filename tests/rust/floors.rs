//! Versions: what the newest one that the cache has heard of forbids, and how long it is remembered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genfence::store::Store;
use genfence::{Builder, Cache, CallError, CommitOutcome, FillOutcome, Fresh, Lease, Lookup};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::{Fault, Kind, embedded, embedded_with, faulty_with, settle};

async fn lease(cache: &Cache) -> Lease {
    match cache.lookup("k").await.unwrap() {
        Lookup::Leased(lease) => lease,
        other => panic!("expected a lease, got {other:?}"),
    }
}

/// A reader who has the lease, and a caller who joined before that, and reads version 2 where it has to read
/// for itself.
async fn crossed(
    builder: Builder,
) -> (Lease, JoinHandle<Result<Option<Bytes>, CallError<Arc<Infallible>>>>) {
    let (cache, store, _) = faulty_with(builder);
    cache.invalidate("k", Some(2)).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    store.next(Kind::Lease, Fault::Held(Arc::clone(&gate)));
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { lease(&cache).await }
    });
    settle().await;
    let waiter = tokio::spawn(async move {
        cache.get_or_fill("k", async || Ok(Fresh::from("new").version(2))).await
    });
    settle().await;
    gate.add_permits(1);
    (reader.await.unwrap(), waiter)
}

#[tokio::test(start_paused = true)]
async fn a_value_that_the_floor_has_rejected_is_served_to_nobody() {
    let (reader, waiter) = crossed(Cache::builder()).await;
    // Read from a replica that lags.
    let filled = reader.fill(Fresh::from("old").version(1)).await.unwrap();
    assert!(matches!(filled, FillOutcome::Rejected(_)));
    assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_too_large_is_shared_only_if_it_is_at_the_floor() {
    for (version, shared) in [(1, "new"), (2, "ten bytes!")] {
        let (reader, waiter) = crossed(Cache::builder().max_value_bytes(8)).await;
        let large = Fresh::from("ten bytes!").version(version);
        assert_eq!(reader.fill(large).await.unwrap(), FillOutcome::TooLarge);
        assert_eq!(waiter.await.unwrap().unwrap().unwrap(), shared);
    }
}

#[tokio::test]
async fn an_invalidate_without_a_version_fences_a_versioned_commit_under_way() {
    let (cache, ..) = embedded();
    let writer = cache.reserve("k").await.unwrap();
    // A change that the writer knows nothing of, and that may be newer than its own.
    cache.invalidate("k", None).await.unwrap();
    assert_eq!(writer.commit_versioned("older", 5).await.unwrap(), CommitOutcome::Purged);
    assert!(cache.get("k").await.unwrap().is_none());
}

#[tokio::test]
async fn a_floor_outlives_memory_pressure_while_replicas_may_lag() {
    let lag = Duration::from_secs(20);
    let (cache, store, clock) = embedded_with(Cache::builder().replica_lag(lag));
    cache.invalidate("k", Some(2)).await.unwrap();
    press(&cache).await;
    let filled = lease(&cache).await.fill(Fresh::from("old").version(1)).await.unwrap();
    assert!(matches!(filled, FillOutcome::Rejected(_)), "the floor was forgotten");
    assert!(!store.evict(b"nobody has this"));

    // A value goes under pressure, and leaves its floor.
    let filled = lease(&cache).await.fill(Fresh::from("new").version(3)).await.unwrap();
    assert_eq!(filled, FillOutcome::Stored);
    assert!(store.evict(b"k"));
    let filled = lease(&cache).await.fill(Fresh::from("old").version(2)).await.unwrap();
    assert!(matches!(filled, FillOutcome::Rejected(_)), "the floor went with the value");

    // Later no replica lags so far, and the floor is in nobody's way.
    clock.advance(2 * lag);
    press(&cache).await;
    assert!(store.inspect(b"k").await.unwrap().is_none(), "it is never evicted");
}

/// Stores more than there is room for, many times over, and reads it, so that it is worth keeping.
async fn press(cache: &Cache) {
    let value = vec![7u8; 20_000];
    for number in 0..6_000 {
        let _ = cache.set(format!("other {number}"), value.clone()).await.unwrap();
        for recent in number.max(50) - 50..=number {
            let _ = cache.get(format!("other {recent}")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lease_of_a_process_that_expects_less_lag_does_not_shorten_a_floors_life() {
    let lag = Duration::from_secs(200);
    let (cache, store, _) = embedded_with(Cache::builder().negative_ttl(2 * lag).replica_lag(lag));
    let other = Cache::builder().build(Arc::clone(&store)).unwrap();
    cache.invalidate("k", Some(2)).await.unwrap();
    drop(lease(&other).await);
    settle().await;
    let known = store.inspect(b"k").await.unwrap().unwrap();
    assert!(known.record.expires.remaining(known.now) >= lag, "{known:?}");
}
