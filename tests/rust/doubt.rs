//! Commands that are lost, whose answers are lost, or that arrive late.

use std::convert::Infallible;
use std::time::Duration;

use crate::support::{Fault, Faulty, Kind, faulty, faulty_with, settle};
use genfence::store::Store as _;
use genfence::{
    Bypass, Cache, CommitOutcome, Error, FillOutcome, Fresh, Lease, Lookup, ReleaseOutcome,
    Reservation, SourceResult, UnreachableRead, UnreachableReserve, UpdateOutcome,
};

async fn lease(cache: &Cache) -> Lease {
    match cache.lookup("k").await.unwrap() {
        Lookup::Leased(lease) => lease,
        other => panic!("expected a lease, got {other:?}"),
    }
}

async fn value(cache: &Cache) -> Option<Vec<u8>> {
    Some(cache.get("k").await.unwrap()?.value.unwrap().to_vec())
}

/// Nobody has a claim on the key.
async fn is_free(store: &Faulty) {
    let known = store.inner().inspect(b"k").await.unwrap().expect("a record stays");
    assert!(known.record.is_empty(), "{known:?}");
}

fn all_met(store: &Faulty) {
    assert_eq!(store.pending_faults(), 0, "every fault was met");
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_answer_is_lost_is_taken_again_and_fills() {
    for fault in [Fault::Lost, Fault::ReplyLost, Fault::Late] {
        let (cache, store, _) = faulty();
        store.next_many(Kind::Lease, &fault, 2);
        let reader = lease(&cache).await;
        // What arrives late finds the key taken by a packet sent after it.
        assert_eq!(store.deliver().await, 0);
        assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::Stored);
        assert_eq!(store.deliver().await, 0);
        all_met(&store);
    }
}

/// The early packet arrives after its successor was used and given back: it takes a claim that
/// nobody knows of. It lapses, and nothing can be filled under it.
#[tokio::test(start_paused = true)]
async fn a_lease_packet_that_arrives_after_its_successor_was_dropped_only_lapses() {
    let (cache, store, clock) = faulty_with(Cache::builder().wait(Duration::ZERO));
    store.next(Kind::Lease, Fault::Late);
    drop(lease(&cache).await);
    settle().await;
    assert_eq!(store.deliver().await, 1);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Slow)));
    clock.advance(Duration::from_secs(2));
    let _ = lease(&cache).await;
}

#[tokio::test(start_paused = true)]
async fn a_reserve_whose_answer_is_lost_is_taken_again_and_is_still_alone() {
    for fault in [Fault::Lost, Fault::ReplyLost] {
        let (cache, store, _) = faulty();
        store.next_many(Kind::Reserve, &fault, 2);
        let writer = cache.reserve("k").await.unwrap();
        assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Stored);
        all_met(&store);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reserve_packet_that_arrives_late_only_makes_its_own_writer_store_less() {
    let (cache, store, clock) = faulty();
    store.next(Kind::Reserve, Fault::Late);
    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(store.deliver().await, 1);
    assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Purged);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
    clock.advance(Duration::from_secs(10));
    let _ = lease(&cache).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_takes_every_attempt_of_its_reserve_along() {
    let (cache, store, _) = faulty();
    store.next(Kind::Reserve, Fault::Late);
    let writer = cache.reserve("k").await.unwrap();
    store.deliver().await;
    writer.abort().await;
    is_free(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_answer_was_lost_recognises_its_own_work() {
    let (cache, store, _) = faulty();
    let reader = lease(&cache).await;
    store.next(Kind::Fill, Fault::ReplyLost);
    assert_eq!(reader.fill("filled").await.unwrap(), FillOutcome::Stored);
    assert_eq!(value(&cache).await.unwrap(), b"filled");

    for version in [None, Some(1)] {
        let writer = cache.reserve("k").await.unwrap();
        store.next(Kind::Commit, Fault::ReplyLost);
        let mut fresh = Fresh::from("committed");
        fresh = version.map_or(fresh.clone(), |version| fresh.version(version));
        assert_eq!(writer.commit(fresh).await.unwrap(), CommitOutcome::Stored);
        assert_eq!(value(&cache).await.unwrap(), b"committed");
    }
    all_met(&store);
}

/// The fill was applied, then a writer removed the value: "not stored now" is the truth.
#[tokio::test(start_paused = true)]
async fn a_fill_that_was_applied_and_removed_is_rejected() {
    let (cache, store, _) = faulty();
    let reader = lease(&cache).await;
    store.next(Kind::Fill, Fault::ReplyLost);
    let filling = tokio::spawn(reader.fill("old"));
    settle().await;
    let _writer = cache.reserve("k").await.unwrap();
    assert!(matches!(filling.await.unwrap().unwrap(), FillOutcome::Rejected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_arrives_after_its_retry_changes_nothing() {
    let (cache, store, _) = faulty();
    let reader = lease(&cache).await;
    store.next(Kind::Fill, Fault::Late);
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::Stored);
    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(store.deliver().await, 0);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(value(&cache).await.unwrap(), b"new");
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_nobody_answers_is_in_doubt_and_the_caller_has_its_value() {
    let (cache, store, _) = faulty();
    let reader = lease(&cache).await;
    store.next_many(Kind::Fill, &Fault::ReplyLost, 3);
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::InDoubt);
    assert_eq!(value(&cache).await.unwrap(), b"v", "in doubt, and right");

    let (cache, store, _) = faulty();
    store.next_many(Kind::Fill, &Fault::Lost, 3);
    let loaded = cache.get_or_fill("k", async || Ok::<_, Infallible>("v")).await;
    assert_eq!(loaded.unwrap().unwrap(), "v");
    assert_eq!(value(&cache).await, None);
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn a_refused_retry_whose_look_is_lost_stays_in_doubt() {
    let (cache, store, _) = faulty();
    let reader = lease(&cache).await;
    store.next(Kind::Fill, Fault::ReplyLost);
    store.next_many(Kind::Get, &Fault::Lost, 3);
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::InDoubt);
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_answers_is_released_at_once() {
    let (cache, store, _) = faulty();
    let writer = cache.reserve("k").await.unwrap();
    store.next_many(Kind::Commit, &Fault::Late, 3);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Purged);
    // The commits come after the release: none of them may store.
    assert_eq!(store.deliver().await, 0);
    assert_eq!(value(&cache).await, None);
    let _ = lease(&cache).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_nobody_answers_goes_on_in_the_background() {
    let (cache, store, _) = faulty();
    let writer = cache.reserve("k").await.unwrap();
    store.next_many(Kind::Release, &Fault::Lost, 5);
    assert_eq!(writer.release(Some(3)).await.unwrap(), ReleaseOutcome::InDoubt);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    all_met(&store);
    // The background release has freed the key and left the floor.
    assert!(matches!(
        lease(&cache).await.fill(Fresh::from("lagging").version(2)).await.unwrap(),
        FillOutcome::Rejected(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_commit_and_a_release_that_nobody_answers_are_in_doubt() {
    let (cache, store, _) = faulty();
    let writer = cache.reserve("k").await.unwrap();
    store.next_many(Kind::Commit, &Fault::Lost, 3);
    store.next_many(Kind::Release, &Fault::Lost, 3);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::InDoubt);
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn a_reserve_that_was_cancelled_on_its_way_is_aborted() {
    let (cache, store, _) = faulty();
    store.next(Kind::Reserve, Fault::ReplyLost);
    let mut reserve = Box::pin(cache.reserve("k"));
    assert!(futures_util::poll!(&mut reserve).is_pending());
    assert!(!store.inner().is_empty(), "it was reserved");
    drop(reserve);
    settle().await;
    is_free(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_reserve_that_nobody_answers_is_an_error_and_frees_the_key() {
    let (cache, store, _) = faulty();
    store.next_many(Kind::Reserve, &Fault::ReplyLost, 3);
    assert!(matches!(cache.reserve("k").await, Err(Error::Store(_))));
    settle().await;
    is_free(&store).await;
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn who_proceeds_without_a_reservation_removes_the_value_afterwards() {
    let builder = Cache::builder().unreachable_reserve(UnreachableReserve::Proceed);
    let (cache, store, _) = faulty_with(builder);
    let _ = cache.set("k", "old").await.unwrap();
    store.next_many(Kind::Reserve, &Fault::Lost, 3);
    let update = async |reservation: &Reservation| {
        assert!(!reservation.is_held() && !reservation.remaining().is_zero());
        Ok::<_, Infallible>(SourceResult::Committed("new".into()))
    };
    assert_eq!(cache.update("k", update).await.unwrap(), UpdateOutcome::Purged);
    assert_eq!(value(&cache).await, None);
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn who_proceeds_without_a_reservation_and_aborts_frees_the_key() {
    let builder = Cache::builder().unreachable_reserve(UnreachableReserve::Proceed);
    let (cache, store, _) = faulty_with(builder);
    store.next_many(Kind::Reserve, &Fault::ReplyLost, 3);
    cache.reserve("k").await.unwrap().abort().await;
    is_free(&store).await;
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_store_that_does_not_answer_bypass_or_fail_as_told() {
    let (cache, store, _) = faulty();
    store.next(Kind::Get, Fault::Lost);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    store.next_many(Kind::Lease, &Fault::Lost, 3);
    let loaded = cache.get_or_fill("k", async || Ok::<_, Infallible>("v")).await;
    assert_eq!(loaded.unwrap().unwrap(), "v");
    store.next(Kind::Get, Fault::Lost);
    let load =
        async |keys: Vec<bytes::Bytes>| Ok::<_, Infallible>(keys.into_iter().map(|key| (key, "v")));
    let many = cache.get_or_fill_many(["k", "l"], load).await;
    assert_eq!(many.unwrap(), [Some("v".into()), Some("v".into())]);
    all_met(&store);

    let (cache, store, _) = faulty_with(Cache::builder().unreachable_read(UnreachableRead::Error));
    store.next(Kind::Get, Fault::Lost);
    assert!(matches!(cache.get("k").await, Err(Error::Store(_))));
    store.next_many(Kind::Lease, &Fault::Lost, 3);
    assert!(matches!(cache.lookup("k").await, Err(Error::Store(_))));
    all_met(&store);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_tried_as_often_as_the_option_says_and_no_more() {
    let (cache, store, _) = faulty_with(Cache::builder().attempts(5));
    store.next_many(Kind::Reserve, &Fault::Lost, 9);
    assert!(cache.reserve("k").await.is_err());
    settle().await;
    let reserves = store.sent().iter().filter(|kind| **kind == Kind::Reserve).count();
    assert_eq!(reserves, 5);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_extended_once_is_extended_later() {
    let (cache, store, clock) = faulty();
    let reader = lease(&cache).await;
    store.next_many(Kind::Extend, &Fault::Lost, 3);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        clock.advance(Duration::from_millis(400));
    }
    all_met(&store);
    assert!(cache.stats().extensions > 0);
    assert_eq!(reader.fill("v").await.unwrap(), FillOutcome::Stored);
}

/// The store applied the extend and its answer was lost: the retry is refused, as the deadline is
/// not the one it names any more. Nothing wrong may be stored; the value is still returned.
#[tokio::test(start_paused = true)]
async fn an_extend_whose_answer_is_lost_costs_the_lease_and_nothing_else() {
    let (cache, store, clock) = faulty();
    let reader = lease(&cache).await;
    store.next(Kind::Extend, Fault::ReplyLost);
    clock.advance(Duration::from_millis(100));
    tokio::time::sleep(Duration::from_secs(1)).await;
    all_met(&store);
    let begin = tokio::time::Instant::now();
    assert!(matches!(reader.fill("v").await.unwrap(), FillOutcome::Rejected(_)));
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    settle().await;
    let _ = lease(&cache).await;
}

/// The keeper has found out that the lease is lost. That must not hold up the fill.
#[tokio::test(start_paused = true)]
async fn a_fill_whose_lease_was_lost_long_ago_is_rejected_at_once() {
    let (cache, _, clock) = faulty();
    let reader = lease(&cache).await;
    cache.invalidate("k", None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.advance(Duration::from_secs(1));
    let begin = tokio::time::Instant::now();
    assert!(matches!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_came_to_nothing_is_given_back() {
    // Granted, and never answered.
    let (cache, store, _) = faulty_with(Cache::builder().wait(Duration::ZERO));
    store.next_many(Kind::Lease, &Fault::ReplyLost, 3);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    settle().await;
    // Never filled, as the fill got lost.
    let reader = lease(&cache).await;
    store.next_many(Kind::Fill, &Fault::Lost, 3);
    assert!(matches!(reader.fill("v").await, Err(Error::Store(_))));
    settle().await;
    let _ = lease(&cache).await;
    all_met(&store);
}
