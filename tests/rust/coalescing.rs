//! Callers of one process that meet on a key, and callers of two processes that do. Each race is
//! forced: loaders and commands wait at gates that the test opens.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{Fault, Kind, embedded, embedded_with, faulty, faulty_with, settle};
use bytes::Bytes;
use genfence::{Bypass, Cache, CallError, FillOutcome, Lease, Lookup};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

type Loaded = Result<Option<Bytes>, CallError<Arc<&'static str>>>;

fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// A caller that loads `value` once its gate is open.
fn filler(cache: &Cache, gate: &Arc<Semaphore>, value: &'static str) -> JoinHandle<Loaded> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move {
        let load = || async move {
            gate.acquire().await.unwrap().forget();
            Ok(value)
        };
        cache.get_or_fill("k", load).await
    })
}

/// A caller whose loader must not run.
fn waiter(cache: &Cache) -> JoinHandle<Loaded> {
    let cache = cache.clone();
    tokio::spawn(async move {
        cache.get_or_fill("k", || async { Err::<&str, _>("the waiter's loader ran") }).await
    })
}

async fn lease(cache: &Cache) -> Lease {
    match cache.lookup("k").await.unwrap() {
        Lookup::Leased(lease) => lease,
        other => panic!("expected a lease, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_herd_on_one_missing_key_makes_one_loader_call() {
    for _ in 0..20 {
        let (cache, ..) = embedded();
        let loads = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let (cache, loads) = (cache.clone(), loads.clone());
                tokio::spawn(async move {
                    let load = || async move {
                        loads.fetch_add(1, SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>("v")
                    };
                    cache.get_or_fill("k", load).await.unwrap().unwrap()
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), "v");
        }
        assert_eq!(loads.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn waiters_take_a_stored_value_without_asking_the_store_again() {
    let (cache, store, _) = faulty();
    let open = gate();
    let filler = filler(&cache, &open, "v");
    settle().await;
    let waiters: Vec<_> = (0..10).map(|_| waiter(&cache)).collect();
    settle().await;
    store.sent();
    open.add_permits(1);
    assert_eq!(filler.await.unwrap().unwrap().unwrap(), "v");
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "v");
    }
    assert_eq!(store.sent(), [Kind::Fill]);
    assert_eq!(cache.stats().shared, 10);
}

/// The reader's source read is over when the waiter comes; then a writer changes the source. The
/// waiter must not get what was read before it came.
#[tokio::test]
async fn a_waiter_that_joined_after_the_read_began_does_not_take_a_rejected_value() {
    let (cache, ..) = embedded();
    let reader = lease(&cache).await;
    let waiter = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.lookup("k").await })
    };
    settle().await;
    let writer = cache.reserve("k").await.unwrap();
    assert!(matches!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    // It looks again, and meets the writer.
    assert!(matches!(waiter.await.unwrap().unwrap(), Lookup::Bypass(Bypass::Reserved)));
    writer.abort().await;
}

/// This one came before the lease was even granted, so the read began during its call.
#[tokio::test]
async fn a_waiter_that_joined_before_the_read_takes_a_rejected_value() {
    let (cache, store, _) = faulty();
    let granted = gate();
    store.next(Kind::Lease, Fault::Held(granted.clone()));
    let open = gate();
    let filler = filler(&cache, &open, "v");
    settle().await;
    let waiter = waiter(&cache);
    settle().await;
    granted.add_permits(1);
    settle().await;
    let _writer = cache.reserve("k").await.unwrap();
    open.add_permits(1);
    assert_eq!(filler.await.unwrap().unwrap().unwrap(), "v");
    assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "v");
    assert_eq!(cache.stats().fills_rejected, 1);
}

/// The fill is on its way, is applied, and a whole update passes before the waiter hears of it. One
/// that came after the fill was sent must look again.
#[tokio::test]
async fn a_waiter_that_joined_after_the_fill_was_sent_looks_again() {
    let (cache, store, _) = faulty();
    let arrives = gate();
    let reader = lease(&cache).await;
    store.next(Kind::Fill, Fault::Held(arrives.clone()));
    let filling = tokio::spawn(reader.fill("old"));
    settle().await;
    let waiter = waiter(&cache);
    settle().await;
    store.sent();
    arrives.add_permits(1);
    assert_eq!(filling.await.unwrap().unwrap(), FillOutcome::Stored);
    assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "old");
    assert_eq!(store.sent(), [Kind::Get], "the waiter asked the store, not the filler");
}

#[tokio::test]
async fn a_dropped_lease_goes_to_the_next_waiter_at_once() {
    let (cache, store, _) = embedded();
    let reader = lease(&cache).await;
    let open = gate();
    let next = filler(&cache, &open, "v");
    settle().await;
    drop(reader);
    // The embedded store's clock stands still, so no time-out can have helped.
    open.add_permits(1);
    assert_eq!(next.await.unwrap().unwrap().unwrap(), "v");
    assert_eq!(store.len(), 1);
    assert_eq!(cache.stats().leases_returned, 0, "it was handed over, not given back");
}

#[tokio::test]
async fn a_loader_that_fails_panics_or_is_cancelled_hands_over_to_the_next() {
    for how in ["fails", "panics", "is cancelled"] {
        let (cache, ..) = embedded();
        let ready = gate();
        let first = {
            let (cache, ready) = (cache.clone(), ready.clone());
            tokio::spawn(async move {
                let load = || async move {
                    ready.acquire().await.unwrap().forget();
                    match how {
                        "fails" => Err("on purpose"),
                        "panics" => panic!("on purpose"),
                        _ => std::future::pending::<Result<&str, _>>().await,
                    }
                };
                cache.get_or_fill("k", load).await
            })
        };
        settle().await;
        let open = gate();
        let next = filler(&cache, &open, "v");
        settle().await;
        ready.add_permits(1);
        settle().await;
        first.abort();
        open.add_permits(1);
        assert_eq!(next.await.unwrap().unwrap().unwrap(), "v", "the first {how}");
        assert!(!matches!(first.await, Ok(Ok(_))));
    }
}

#[tokio::test]
async fn a_waiter_that_was_given_the_lead_and_went_away_passes_it_on() {
    let (cache, ..) = embedded();
    let reader = lease(&cache).await;
    let mut gone = Box::pin(cache.lookup("k"));
    assert!(futures_util::poll!(&mut gone).is_pending());
    let open = gate();
    let next = filler(&cache, &open, "v");
    settle().await;
    // `gone` is told that it leads, and is dropped before it looks.
    drop(reader);
    drop(gone);
    open.add_permits(1);
    assert_eq!(next.await.unwrap().unwrap().unwrap(), "v");
}

#[tokio::test]
async fn a_leader_dropped_while_its_lease_is_under_way_leaves_the_key_free() {
    let (cache, store, _) = faulty();
    store.next(Kind::Lease, Fault::Held(gate()));
    let mut first = Box::pin(cache.lookup("k"));
    assert!(futures_util::poll!(&mut first).is_pending());
    let open = gate();
    let next = filler(&cache, &open, "v");
    settle().await;
    drop(first);
    open.add_permits(1);
    assert_eq!(next.await.unwrap().unwrap().unwrap(), "v");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_bypasses_when_its_bound_is_over() {
    let (cache, ..) = embedded_with(Cache::builder().wait(Duration::from_millis(300)));
    let _reader = lease(&cache).await;
    let start = tokio::time::Instant::now();
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Slow)));
    assert_eq!(start.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn another_process_polls_for_the_fill_and_hits_it() {
    let (cache, store, _) = embedded();
    let other = Cache::builder().build(store).unwrap();
    let reader = lease(&cache).await;
    let waiters: Vec<_> = (0..3).map(|_| waiter(&other)).collect();
    settle().await;
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::Stored);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "v");
    }
    assert_eq!(other.stats().leases, 0);
}

#[tokio::test(start_paused = true)]
async fn another_process_takes_over_when_the_lease_lapses() {
    let (cache, store, clock) = embedded();
    let other = Cache::builder().build(store).unwrap();
    // A process that died: its lease is not given back.
    std::mem::forget(lease(&cache).await);
    let waiting = tokio::spawn(async move { other.lookup("k").await });
    settle().await;
    clock.advance(Duration::from_secs(2));
    assert!(matches!(waiting.await.unwrap().unwrap(), Lookup::Leased(_)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_loader_keeps_its_lease_and_one_that_takes_too_long_loses_it() {
    let builder = Cache::builder().load_time(Duration::from_secs(10)).wait(Duration::ZERO);
    let (cache, store, clock) = faulty_with(builder.clone());
    let other = builder.build(store.clone()).unwrap();
    let reader = lease(&cache).await;
    for _ in 0..18 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        clock.advance(Duration::from_millis(500));
        assert!(matches!(other.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Slow)));
    }
    assert!(cache.stats().extensions >= 9, "{:?}", cache.stats());
    // Ten seconds after it was granted nobody extends it any more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let successor = lease(&cache).await;
    assert!(matches!(reader.fill("slow").await.unwrap(), FillOutcome::Rejected(_)));
    assert_eq!(successor.fill("v").await.unwrap(), FillOutcome::Stored);
}

#[tokio::test]
async fn a_fill_carries_the_newest_grant_of_its_lease() {
    tokio::time::pause();
    let (cache, _, clock) = embedded();
    let reader = lease(&cache).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.advance(Duration::from_secs(1));
    assert!(cache.stats().extensions > 0);
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::Stored);
}

#[tokio::test]
async fn a_batch_waits_for_keys_that_others_fill_and_loads_the_rest() {
    let (cache, ..) = embedded();
    let open = gate();
    let filler = filler(&cache, &open, "theirs");
    settle().await;
    let batch = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let load = |keys: Vec<Bytes>| async move {
                assert_eq!(keys, ["other"]);
                Ok::<_, Infallible>([("other", "ours")])
            };
            cache.get_or_fill_many(["k", "other"], load).await.unwrap()
        })
    };
    settle().await;
    open.add_permits(1);
    filler.await.unwrap().unwrap();
    assert_eq!(batch.await.unwrap(), [Some("theirs".into()), Some("ours".into())]);
}

#[tokio::test]
async fn a_batch_loads_a_key_alone_whose_filler_gave_up() {
    let (cache, ..) = embedded();
    let reader = lease(&cache).await;
    let batch = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let load = |keys: Vec<Bytes>| async move {
                assert_eq!(keys.len(), 1);
                Ok::<_, Infallible>(keys.into_iter().map(|key| (key, "ours")))
            };
            cache.get_or_fill_many(["k", "other"], load).await.unwrap()
        })
    };
    settle().await;
    drop(reader);
    assert_eq!(batch.await.unwrap(), [Some("ours".into()), Some("ours".into())]);
}

#[tokio::test(start_paused = true)]
async fn two_batches_that_want_each_others_keys_do_not_wait_in_a_circle() {
    let (cache, ..) = embedded();
    let start = tokio::time::Instant::now();
    let loads = Arc::new(AtomicUsize::new(0));
    let batch = |keys: [&'static str; 2]| {
        let (cache, loads) = (cache.clone(), loads.clone());
        tokio::spawn(async move {
            let load = |keys: Vec<Bytes>| {
                loads.fetch_add(keys.len(), SeqCst);
                async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    Ok::<_, Infallible>(keys.into_iter().map(|key| (key, "v")))
                }
            };
            cache.get_or_fill_many(keys, load).await.unwrap()
        })
    };
    let (one, two) = (batch(["a", "b"]), batch(["b", "a"]));
    assert!(one.await.unwrap().iter().chain(&two.await.unwrap()).all(Option::is_some));
    assert_eq!(loads.load(SeqCst), 2, "each key was loaded once");
    assert!(start.elapsed() < Duration::from_millis(100));
}
