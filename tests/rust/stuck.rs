//! What one caller, or one dead claim, must not do to all others: hold them back, or grow without bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use genfence::protocol::{Claim, Grant, Refusal};
use genfence::store::{Answer, Change, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{Cache, CallError, CommitOutcome, Error, Lease, Lookup};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{Fault, Kind, ROOM, embedded_with, faulty, faulty_with, settle};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn reservations_that_are_left_while_writers_overlap_fold_into_one_mark() {
    let time = 10 * SECOND;
    let (cache, store, clock) = embedded_with(Cache::builder().reservation_time(time));
    let mut newest = cache.reserve("k").await.unwrap();
    for _ in 0..200 {
        clock.advance(time / 2 + SECOND);
        // Left to expire, beside one that is live.
        drop(std::mem::replace(&mut newest, cache.reserve("k").await.unwrap()));
    }
    let known = store.inspect(b"k").await.unwrap().unwrap().record;
    assert!(known.reservations.len() <= 3, "{} reservations", known.reservations.len());
    // The mark says that somebody was there whose version nobody knows.
    clock.advance(time / 2);
    assert_eq!(newest.commit_versioned("v", 9).await.unwrap(), CommitOutcome::Purged);
}

#[tokio::test(start_paused = true)]
async fn a_lease_names_the_one_before_it_and_not_all_while_loaders_fail() {
    let (cache, store, _) = faulty();
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let load = || async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Err::<&str, _>("the source is down")
                };
                cache.get_or_fill("k", load).await
            })
        })
        .collect();
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(CallError::Caller(_))));
    }
    assert!(store.most_named() <= 1, "{} tokens", store.most_named());
}

/// A lease that is slow, who waits for it in the same process, and another process.
async fn slow_lease() -> (Cache, Lease, JoinHandle<Result<Lookup, Error>>, Cache) {
    let (cache, store, _) = faulty();
    let other = Cache::builder().build(store).unwrap();
    let Lookup::Leased(slow) = cache.lookup("k").await.unwrap() else { panic!("nobody is here") };
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.lookup("k").await }
    });
    settle().await;
    (cache, slow, waiting, other)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_lease_that_was_lost_waits_no_longer_than_another_process_would() {
    let (_cache, _slow, waiting, other) = slow_lease().await;
    let commit = other.reserve("k").await.unwrap().commit("new").await.unwrap();
    assert_eq!(commit, CommitOutcome::Stored);
    let start = Instant::now();
    assert!(matches!(waiting.await.unwrap().unwrap(), Lookup::Hit(_)));
    assert!(start.elapsed() < SECOND / 4, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_lease_that_an_invalidate_ended_gets_the_lead() {
    let (cache, slow, waiting, other) = slow_lease().await;
    other.invalidate("k", None).await.unwrap();
    let start = Instant::now();
    let Lookup::Leased(second) = waiting.await.unwrap().unwrap() else { panic!("no lease") };
    assert!(start.elapsed() < SECOND / 4, "{:?}", start.elapsed());
    let _ = second.fill("new").await.unwrap();
    let _ = slow.fill("old").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_loaded_value_does_not_wait_for_a_store_that_is_dead() {
    let (cache, store, _) = faulty();
    let gate = Arc::new(Semaphore::new(0));
    store.next(Kind::Fill, Fault::Held(Arc::clone(&gate)));
    let start = Instant::now();
    let loaded = cache.get_or_fill("k", async || Ok::<_, Infallible>("v")).await.unwrap();
    assert_eq!(loaded.unwrap(), "v");
    assert!(start.elapsed() < SECOND / 4, "{:?}", start.elapsed());
    // It is stored in the background, where closing waits for it.
    gate.add_permits(1);
    settle().await;
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
    assert!(cache.close(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_does_not_hold_back_a_loaded_value_while_a_lease_is_extended() {
    let (cache, store, _) = faulty_with(Cache::builder().lease_time(SECOND));
    let gate = Arc::new(Semaphore::new(0));
    store.next_many(Kind::Extend, &Fault::Held(gate), 9);
    let start = Instant::now();
    let load = async || {
        tokio::time::sleep(2 * SECOND).await;
        Ok::<_, Infallible>("v")
    };
    assert_eq!(cache.get_or_fill("k", load).await.unwrap().unwrap(), "v");
    assert!(start.elapsed() < 2 * SECOND + SECOND / 4, "{:?}", start.elapsed());
}

/// Counts how many claims are under way at once.
struct Crowded(MemoryStore, Arc<[AtomicUsize; 2]>);

impl Store for Crowded {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        self.0.get(key).await
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        self.0.inspect(key).await
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        let [now, most] = &*self.1;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        tokio::task::yield_now().await;
        now.fetch_sub(1, SeqCst);
        self.0.claim(key, claim).await
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        self.0.change(key, change).await
    }
}

#[tokio::test]
async fn very_many_keys_are_leased_and_loaded_in_bounded_parts() {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let store = Crowded(MemoryStore::new(ROOM), Arc::clone(&counts));
    let cache = Cache::builder().build(store).unwrap();
    let keys: Vec<String> = (0..5_500).map(|number| format!("{number:05}")).collect();
    let loads = AtomicUsize::new(0);
    let load = async |keys: Vec<Bytes>| {
        assert!(keys.len() <= 1_000, "{} keys in one call", keys.len());
        loads.fetch_add(1, SeqCst);
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
    };
    let values = cache.get_or_fill_many(&keys, load).await.unwrap();
    assert!(keys.iter().zip(&values).all(|(key, value)| value.as_deref() == Some(key.as_bytes())));
    let most = counts[1].load(SeqCst);
    assert!((1..=256).contains(&most), "{most} claims at once");
    assert_eq!(loads.into_inner(), 6);
}

/// Refuses what no record can refuse.
struct Odd(MemoryStore);

impl Store for Odd {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        self.0.get(key).await
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        self.0.inspect(key).await
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        match claim {
            Claim::Reserve { .. } => Ok(Err(Refusal::Generation)),
            claim => self.0.claim(key, claim).await,
        }
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        self.0.change(key, change).await
    }
}

#[tokio::test]
async fn a_store_that_refuses_a_reserve_is_an_error_and_no_panic() {
    let cache = Cache::builder().build(Odd(MemoryStore::new(ROOM))).unwrap();
    let error = cache.reserve("k").await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    assert!(error.to_string().contains("refused a reserve"), "{error}");
}

#[tokio::test]
async fn reservations_that_nobody_finishes_have_a_bound_in_bytes_too() {
    let cache = Cache::connect("memory://?max_bytes=8MiB").await.unwrap();
    let mut reserved = 0u64;
    let error = loop {
        // Left to expire.
        match cache.reserve(format!("key {reserved:08}")).await {
            Ok(reservation) => drop(reservation),
            Err(error) => break error,
        }
        reserved += 1;
        assert!(reserved * 100 < 16 << 20, "no bound");
    };
    assert!(reserved > 1_000, "{reserved}");
    assert!(error.to_string().contains("max_bytes"), "{error}");
    // Values have their own room, and readers go on.
    let loaded = cache.get_or_fill("other", async || Ok::<_, Infallible>("v")).await;
    assert_eq!(loaded.unwrap(), Some(Bytes::from("v")));
    assert!(cache.get("other").await.unwrap().is_some());
}

/// The keeper of a lease wakes up while the lease is filled, over and over. Nobody else is there, so each fill stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lease_that_is_looked_after_while_it_is_filled_is_not_lost() {
    let lease_time = Duration::from_millis(10);
    // Its clock stands still, so no lease lapses on a machine that is busy.
    let (cache, ..) = embedded_with(Cache::builder().lease_time(lease_time));
    let fillers = (0..64).map(|number| {
        let cache = cache.clone();
        tokio::spawn(async move {
            let key = number.to_string();
            for round in 0..50_u64 {
                let Lookup::Leased(lease) = cache.lookup(&key).await.unwrap() else { panic!() };
                // About a third of the lease's time, when the keeper wakes up.
                tokio::time::sleep(Duration::from_micros(3_133 + round * 37 % 400)).await;
                assert_eq!(lease.fill("v").await.unwrap(), genfence::FillOutcome::Stored);
                cache.invalidate(&key, None).await.unwrap();
            }
        })
    });
    for filler in fillers.collect::<Vec<_>>() {
        filler.await.unwrap();
    }
}
