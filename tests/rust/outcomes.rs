//! What each call answers, one caller at a time or two that cross in a forced order.

use std::convert::Infallible;
use std::time::Duration;

use crate::support::{embedded, embedded_with, faulty_with, settle};
use genfence::protocol::Refusal;
use genfence::store::Store as _;
use genfence::{
    Bypass, Cache, CallError, CommitOutcome, Error, FillOutcome, Fresh, Lease, Lookup,
    ReleaseOutcome, ReplaceOutcome, Reservation, SetOutcome, SourceResult, TouchOutcome,
    UpdateOutcome,
};

const SECOND: Duration = Duration::from_secs(1);

async fn lease(cache: &Cache, key: &str) -> Lease {
    match cache.lookup(key).await.unwrap() {
        Lookup::Leased(lease) => lease,
        other => panic!("expected a lease, got {other:?}"),
    }
}

async fn value(cache: &Cache, key: &str) -> Option<String> {
    let hit = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(hit.value.expect("a value, not nothing").to_vec()).unwrap())
}

async fn bypass(cache: &Cache, key: &str) -> Bypass {
    match cache.lookup(key).await.unwrap() {
        Lookup::Bypass(why) => why,
        other => panic!("expected a bypass, got {other:?}"),
    }
}

#[tokio::test]
async fn a_fill_is_what_the_next_lookup_hits() {
    let (cache, ..) = embedded();
    let filled = lease(&cache, "k").await.fill("new").await.unwrap();
    assert_eq!(filled, FillOutcome::Stored);
    assert!(
        matches!(cache.lookup("k").await.unwrap(), Lookup::Hit(hit) if hit.value.as_deref() == Some(b"new"))
    );
}

#[tokio::test]
async fn a_fill_after_a_reserve_is_rejected() {
    let (cache, ..) = embedded();
    let reader = lease(&cache, "k").await;
    let _writer = cache.reserve("k").await.unwrap();
    assert!(matches!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    assert_eq!(value(&cache, "k").await, None);
}

#[tokio::test]
async fn a_fill_after_a_whole_update_is_rejected_and_the_new_value_stays() {
    let (cache, ..) = embedded();
    let reader = lease(&cache, "k").await;
    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    assert!(matches!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    assert_eq!(value(&cache, "k").await.unwrap(), "new");
}

#[tokio::test]
async fn a_fill_after_an_invalidate_is_rejected() {
    for version in [None, Some(7)] {
        let (cache, ..) = embedded();
        let reader = lease(&cache, "k").await;
        cache.invalidate("k", version).await.unwrap();
        assert!(matches!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
        assert_eq!(value(&cache, "k").await, None);
    }
}

#[tokio::test]
async fn a_fill_after_an_eviction_is_rejected() {
    let (cache, store, _) = embedded();
    let reader = lease(&cache, "k").await;
    assert!(store.evict(b"k"));
    assert_eq!(reader.fill("old").await.unwrap(), FillOutcome::Rejected(Refusal::Missing));
}

#[tokio::test]
async fn a_fill_below_the_floor_is_rejected_and_one_at_the_floor_is_stored() {
    let (cache, ..) = embedded();
    cache.invalidate("k", Some(7)).await.unwrap();
    let lagging = lease(&cache, "k").await.fill(Fresh::from("old").version(6)).await.unwrap();
    assert!(matches!(lagging, FillOutcome::Rejected(_)));
    settle().await;
    let current = lease(&cache, "k").await.fill(Fresh::from("new").version(7)).await.unwrap();
    assert_eq!(current, FillOutcome::Stored);
    assert_eq!(cache.get("k").await.unwrap().unwrap().version.unwrap().get(), 7);
}

#[tokio::test]
async fn a_versioned_invalidate_keeps_what_is_new_enough_and_drops_the_rest() {
    let (cache, ..) = embedded();
    let _ = lease(&cache, "new").await.fill(Fresh::from("v9").version(9)).await.unwrap();
    let _ = lease(&cache, "old").await.fill(Fresh::from("v6").version(6)).await.unwrap();
    let _ = lease(&cache, "none").await.fill("no version").await.unwrap();
    for key in ["new", "old", "none"] {
        cache.invalidate(key, Some(7)).await.unwrap();
    }
    assert_eq!(value(&cache, "new").await.unwrap(), "v9");
    assert_eq!(value(&cache, "old").await, None);
    assert_eq!(value(&cache, "none").await, None);
}

#[tokio::test]
async fn a_reserve_removes_the_value_and_readers_bypass_at_once() {
    let (cache, ..) = embedded();
    let _ = cache.set("k", "old").await.unwrap();
    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(value(&cache, "k").await, None);
    assert_eq!(bypass(&cache, "k").await, Bypass::Reserved);
    assert_eq!(writer.release(None).await.unwrap(), ReleaseOutcome::Purged);
    let _ = lease(&cache, "k").await;
}

#[tokio::test]
async fn of_two_writers_that_cross_neither_stores() {
    let (cache, ..) = embedded();
    let first = cache.reserve("k").await.unwrap();
    let second = cache.reserve("k").await.unwrap();
    assert_eq!(second.commit("second").await.unwrap(), CommitOutcome::Purged);
    assert_eq!(first.commit("first").await.unwrap(), CommitOutcome::Purged);
    assert_eq!(value(&cache, "k").await, None);
    let _ = lease(&cache, "k").await;
}

#[tokio::test]
async fn of_two_versioned_writers_that_cross_the_last_with_the_newest_version_stores() {
    let (cache, ..) = embedded();
    let first = cache.reserve("k").await.unwrap();
    let second = cache.reserve("k").await.unwrap();
    assert_eq!(first.commit_versioned("v1", 1).await.unwrap(), CommitOutcome::Purged);
    assert_eq!(second.commit_versioned("v2", 2).await.unwrap(), CommitOutcome::Stored);
    assert_eq!(value(&cache, "k").await.unwrap(), "v2");

    let first = cache.reserve("k").await.unwrap();
    let second = cache.reserve("k").await.unwrap();
    assert_eq!(first.commit_versioned("v4", 4).await.unwrap(), CommitOutcome::Purged);
    assert_eq!(second.commit_versioned("v3", 3).await.unwrap(), CommitOutcome::Purged);
    assert_eq!(value(&cache, "k").await, None);
}

#[tokio::test]
async fn a_versioned_commit_beside_an_unversioned_release_is_purged() {
    let (cache, ..) = embedded();
    let versioned = cache.reserve("k").await.unwrap();
    let unversioned = cache.reserve("k").await.unwrap();
    unversioned.release(None).await.unwrap();
    assert_eq!(versioned.commit_versioned("v1", 1).await.unwrap(), CommitOutcome::Purged);
}

#[tokio::test]
async fn a_dropped_reservation_bypasses_its_key_until_it_expires_and_no_longer() {
    let (cache, _, clock) = embedded();
    drop(cache.reserve("k").await.unwrap());
    clock.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(bypass(&cache, "k").await, Bypass::Reserved);
    clock.advance(Duration::from_nanos(1));
    let _ = lease(&cache, "k").await;
    assert_eq!(cache.stats().reservations_left, 1);
}

#[tokio::test]
async fn an_abort_frees_the_key_at_once() {
    let (cache, store, _) = embedded();
    cache.reserve("k").await.unwrap().abort().await;
    let left = store.inspect(b"k").await.unwrap().expect("a record stays").record;
    assert!(left.is_empty(), "{left:?}");
    let _ = lease(&cache, "k").await;
    assert_eq!(cache.stats().reservations_left, 0);
}

#[tokio::test]
async fn a_writer_that_overran_can_still_end_the_harm() {
    let (cache, _, clock) = embedded();
    let writer = cache.reserve("k").await.unwrap();
    clock.advance(11 * SECOND);
    // A reader fills what it read before the late writer's change.
    assert_eq!(lease(&cache, "k").await.fill("old").await.unwrap(), FillOutcome::Stored);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Purged);
    assert_eq!(value(&cache, "k").await, None);
}

/// One of its clocks goes on by itself.
fn about(left: Duration, expected: Duration) {
    assert!(left <= expected && left + SECOND / 2 > expected, "{left:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn remaining_keeps_the_margin_back_and_renew_begins_anew() {
    let (cache, _, clock) = embedded();
    let writer = cache.reserve("k").await.unwrap();
    about(writer.remaining(), 9 * SECOND);
    tokio::time::advance(8 * SECOND).await;
    clock.advance(8 * SECOND);
    about(writer.remaining(), SECOND);
    assert!(writer.renew().await.unwrap());
    about(writer.remaining(), 9 * SECOND);
    clock.advance(9 * SECOND);
    assert_eq!(bypass(&cache, "k").await, Bypass::Reserved);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
}

#[tokio::test]
async fn an_expired_reservation_cannot_be_renewed() {
    let (cache, _, clock) = embedded();
    let writer = cache.reserve("k").await.unwrap();
    clock.advance(10 * SECOND);
    assert!(!writer.renew().await.unwrap());
    assert!(writer.remaining().is_zero(), "it is too late");
}

#[tokio::test]
async fn nothing_is_remembered_for_its_own_time() {
    let (cache, _, clock) =
        embedded_with(Cache::builder().negative_ttl(5 * SECOND).ttl_jitter(0.0));
    let loaded = cache.get_or_fill("k", async || Ok::<Option<&str>, Infallible>(None)).await;
    assert_eq!(loaded.unwrap(), None);
    let again = cache.get_or_fill("k", async || Err::<&str, _>("asked again")).await;
    assert_eq!(again.unwrap(), None);
    assert!(cache.get("k").await.unwrap().unwrap().value.is_none());
    clock.advance(5 * SECOND);
    assert!(cache.get("k").await.unwrap().is_none());
}

#[tokio::test]
async fn a_value_is_gone_after_its_time_and_touch_prolongs_it() {
    let (cache, _, clock) = embedded();
    let short = || Fresh::from("v").ttl(2 * SECOND);
    let _ = cache.set("gone", short()).await.unwrap();
    let _ = cache.set("touched", short()).await.unwrap();
    clock.advance(SECOND);
    assert_eq!(cache.touch("touched", 5 * SECOND).await.unwrap(), TouchOutcome::Done);
    clock.advance(SECOND);
    assert_eq!(value(&cache, "gone").await, None);
    assert_eq!(value(&cache, "touched").await.unwrap(), "v");
    assert_eq!(cache.touch("gone", SECOND).await.unwrap(), TouchOutcome::Missing);
}

#[tokio::test]
async fn a_blind_set_does_not_write_over_a_reservation() {
    let (cache, ..) = embedded();
    let _writer = cache.reserve("k").await.unwrap();
    assert_eq!(cache.set("k", "blind").await.unwrap(), SetOutcome::Busy);
    assert_eq!(value(&cache, "k").await, None);
}

#[tokio::test]
async fn a_replace_of_another_value_is_a_conflict() {
    let (cache, ..) = embedded();
    let _ = cache.set("k", "1").await.unwrap();
    let seen = cache.get("k").await.unwrap().unwrap().stamp;
    let _ = cache.set("k", "2").await.unwrap();
    assert_eq!(cache.replace("k", seen, "3").await.unwrap(), ReplaceOutcome::Conflict);
    let seen = cache.get("k").await.unwrap().unwrap().stamp;
    assert_eq!(cache.replace("k", seen, "3").await.unwrap(), ReplaceOutcome::Stored);
    assert_eq!(value(&cache, "k").await.unwrap(), "3");
}

#[tokio::test]
async fn update_does_what_the_source_says() {
    let (cache, ..) = embedded();
    let _ = cache.set("k", "old").await.unwrap();

    let committed = cache
        .update("k", async |_: &Reservation| {
            Ok::<_, Infallible>(SourceResult::Committed("new".into()))
        })
        .await;
    assert_eq!(committed.unwrap(), UpdateOutcome::Stored);
    assert_eq!(value(&cache, "k").await.unwrap(), "new");

    let changed = cache
        .update("k", async |_: &Reservation| Ok::<_, Infallible>(SourceResult::Changed(None)))
        .await;
    assert_eq!(changed.unwrap(), UpdateOutcome::Purged);
    assert_eq!(value(&cache, "k").await, None);

    let rolled_back = cache
        .update("k", async |_: &Reservation| Ok::<_, Infallible>(SourceResult::RolledBack))
        .await;
    assert_eq!(rolled_back.unwrap(), UpdateOutcome::RolledBack);
    let _ = lease(&cache, "k").await;
}

#[tokio::test]
async fn an_update_that_fails_or_panics_leaves_its_reservation_to_expire() {
    let (cache, ..) = embedded();
    let failed =
        cache.update("error", async |_: &Reservation| Err::<SourceResult, _>("no answer")).await;
    assert!(matches!(failed, Err(CallError::Caller("no answer"))));

    let panicking = cache.clone();
    let panicked = tokio::spawn(async move {
        let update =
            async |_: &Reservation| -> Result<SourceResult, Infallible> { panic!("on purpose") };
        panicking.update("panic", update).await
    });
    assert!(panicked.await.unwrap_err().is_panic());

    for key in ["error", "panic"] {
        assert_eq!(bypass(&cache, key).await, Bypass::Reserved);
    }
    assert_eq!(cache.stats().reservations_left, 2);
}

#[tokio::test]
async fn many_keys_are_loaded_by_one_call_and_come_in_order() {
    let (cache, ..) = embedded();
    let _ = cache.set("b", "cached").await.unwrap();
    let _writer = cache.reserve("d").await.unwrap();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let load = async |mut keys: Vec<bytes::Bytes>| {
        calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        keys.sort();
        assert_eq!(keys, ["a", "c", "d"]);
        Ok::<_, Infallible>([("a", "loaded a"), ("d", "loaded d")])
    };
    let values = cache.get_or_fill_many(["d", "c", "b", "a", "c"], load).await.unwrap();
    let text = |bytes: &str| Some(bytes::Bytes::copy_from_slice(bytes.as_bytes()));
    let expected = [text("loaded d"), None, text("cached"), text("loaded a"), None];
    assert_eq!(values, expected);
    assert_eq!(calls.into_inner(), 1);
    assert_eq!(value(&cache, "a").await.unwrap(), "loaded a");
    assert!(cache.get("c").await.unwrap().unwrap().value.is_none(), "nothing is remembered");
    assert!(cache.get("d").await.unwrap().is_none(), "a writer holds it");
}

#[tokio::test]
async fn a_batch_loader_that_answers_for_another_key_is_an_error_and_stores_nothing() {
    let (cache, ..) = embedded();
    let load = async |_: Vec<bytes::Bytes>| Ok::<_, Infallible>([("user:1", "v")]);
    let error = cache.get_or_fill_many(["1", "2"], load).await.unwrap_err();
    assert!(matches!(error, CallError::Cache(Error::UnexpectedKey)));
    assert!(cache.get("1").await.unwrap().is_none());
    let _ = lease(&cache, "1").await;
}

#[tokio::test]
async fn a_value_too_large_to_store_is_returned_and_its_lease_given_back() {
    let (cache, ..) = embedded_with(Cache::builder().max_value_bytes(10));
    let loaded = cache.get_or_fill("k", async || Ok::<_, Infallible>("eleven long")).await;
    assert_eq!(loaded.unwrap().unwrap(), "eleven long");
    assert_eq!(cache.stats().oversized, 1);
    settle().await;
    let _ = lease(&cache, "k").await;
}

#[tokio::test]
async fn what_is_too_large_is_an_outcome_of_every_call_that_stores_and_is_counted() {
    let (cache, store, _) = faulty_with(Cache::builder().max_value_bytes(10));
    let large = "eleven long";
    let filled = lease(&cache, "k").await.fill(large).await.unwrap();
    assert_eq!(filled, FillOutcome::TooLarge);
    settle().await;
    let _ = lease(&cache, "k").await;

    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(writer.commit(large).await.unwrap(), CommitOutcome::TooLarge);
    // The source was changed, so the key was released.
    let _ = lease(&cache, "k").await;
    settle().await;

    let _ = cache.set("k", "old").await.unwrap();
    let stamp = cache.get("k").await.unwrap().unwrap().stamp;
    store.sent();
    assert_eq!(cache.set("k", large).await.unwrap(), SetOutcome::TooLarge);
    assert_eq!(cache.replace("k", stamp, large).await.unwrap(), ReplaceOutcome::TooLarge);
    assert_eq!(store.sent(), []);
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "old");
    assert_eq!(cache.stats().oversized, 4);
}

#[tokio::test]
async fn a_batch_on_a_closed_cache_says_so_even_when_it_is_empty() {
    let (cache, ..) = embedded();
    cache.close(SECOND).await;
    let load = async |_: Vec<bytes::Bytes>| Ok::<_, Infallible>([("k", "v")]);
    let loaded = cache.get_or_fill_many(Vec::<&str>::new(), load).await;
    assert!(matches!(loaded, Err(CallError::Cache(Error::ShutDown))));
}

#[tokio::test]
async fn a_version_out_of_bounds_is_an_error_whether_or_not_the_key_is_held() {
    let (cache, ..) = embedded();
    let load = || async { Ok::<_, Infallible>(Fresh::from("v").version(u64::MAX)) };
    let _writer = cache.reserve("held").await.unwrap();
    for key in ["held", "free"] {
        let loaded = cache.get_or_fill(key, load).await;
        assert!(matches!(loaded, Err(CallError::Cache(Error::Invalid { field: "version", .. }))));
    }
}

#[tokio::test]
async fn caches_with_different_prefixes_do_not_see_each_other() {
    let (users, store, _) = embedded_with(Cache::builder().prefix("users:"));
    let orders = Cache::builder().prefix("orders:").build(store.clone()).unwrap();
    let all = Cache::builder().build(store).unwrap();
    let _ = users.set("1", "Ada").await.unwrap();
    assert_eq!(value(&users, "1").await.unwrap(), "Ada");
    assert_eq!(value(&orders, "1").await, None);
    assert_eq!(value(&all, "users:1").await.unwrap(), "Ada");
    let load = async |keys: Vec<bytes::Bytes>| {
        assert_eq!(keys, ["2"]);
        Ok::<_, Infallible>([("2", "Grace")])
    };
    let values = users.get_or_fill_many(["1", "2"], load).await.unwrap();
    assert_eq!(values, [Some("Ada".into()), Some("Grace".into())]);
}

#[tokio::test]
async fn a_closed_cache_says_so_and_gives_its_claims_back_first() {
    let (cache, store, _) = embedded();
    drop(lease(&cache, "k").await);
    assert!(cache.close(SECOND).await);
    let left = store.inspect(b"k").await.unwrap().expect("a record stays").record;
    assert!(left.is_empty(), "the lease was given back before close returned: {left:?}");
    assert!(matches!(cache.get("k").await, Err(Error::ShutDown)));
    assert!(matches!(cache.lookup("k").await, Err(Error::ShutDown)));
    assert!(matches!(cache.reserve("k").await, Err(Error::ShutDown)));
    assert!(matches!(cache.set("k", "v").await, Err(Error::ShutDown)));
}

#[tokio::test]
async fn the_futures_can_move_between_threads() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    fn share<T: Send + Sync>() {}
    share::<Reservation>();
    share::<Lease>();
    let (cache, ..) = embedded();
    let key = String::from("k");
    send(cache.lookup(&key)).await.map(drop).unwrap();
    send(cache.get_or_fill("a", || async { Ok::<_, Infallible>("v") })).await.unwrap();
    let update = async |_: &Reservation| Ok::<_, Infallible>(SourceResult::Committed("v".into()));
    assert_eq!(send(cache.update("b", update)).await.unwrap(), UpdateOutcome::Stored);
    let load = |keys: Vec<bytes::Bytes>| async move {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, "v")))
    };
    send(cache.get_or_fill_many(["c"], load)).await.unwrap();
}
