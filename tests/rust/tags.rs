//! Tags: groups of values that are purged, or changed, by one record each.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "serde")]
use genfence::Typed;
use genfence::protocol::{Token, Ttl};
use genfence::store::{Change, MemoryStore, Store};
use genfence::{
    Builder, Bypass, Cache, CommitOutcome, Error, Fence, FillOutcome, Fresh, Lookup,
    ReplaceOutcome, Reservation, SetOutcome, SourceResult, UpdateOutcome,
};
use tokio::sync::Semaphore;

use crate::support::{Fault, Kind, ROOM, embedded_with, faulty_with, settle};

fn on() -> Builder {
    Cache::builder().tags(true)
}

/// Two caches on one store, as of two processes, and the store.
fn two() -> (Cache, Cache, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(ROOM));
    let cache = || on().build(Arc::clone(&store)).unwrap();
    (cache(), cache(), Arc::clone(&store))
}

/// Fills a key with its own name.
pub async fn fill(cache: &Cache, key: &str, tags: &[&str]) {
    load(cache, key, tags, key).await;
    assert_eq!(text(cache, key).await.as_deref(), Some(key));
}

/// What a key is, read by its source where it must be.
pub async fn load(cache: &Cache, key: &str, tags: &[&str], value: &str) -> String {
    let cache = cache.tagged(tags).unwrap();
    let loaded = cache.get_or_fill(key, async || Ok::<_, Infallible>(value)).await;
    String::from_utf8(loaded.unwrap().unwrap().to_vec()).unwrap()
}

pub async fn text(cache: &Cache, key: &str) -> Option<String> {
    let hit = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(hit.value.unwrap().to_vec()).unwrap())
}

pub async fn update_tag(cache: &Cache, tag: &str) {
    let change = async |_: &Reservation| {
        Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("is not looked at")))
    };
    assert_eq!(cache.update_tag(tag, change).await.unwrap(), UpdateOutcome::Stored);
}

#[tokio::test]
async fn a_purge_makes_misses_of_a_whole_group_and_of_nothing_else_in_every_process() {
    let (cache, other, _) = two();
    fill(&cache, "red hat", &["hat", "red"]).await;
    fill(&cache, "green hat", &["hat"]).await;
    fill(&other, "red car", &["red"]).await;
    fill(&cache, "tree", &[]).await;
    other.purge_tag("hat").await.unwrap();
    for cache in [&cache, &other] {
        assert_eq!(text(cache, "red hat").await, None);
        assert_eq!(text(cache, "green hat").await, None);
        assert_eq!(text(cache, "red car").await.as_deref(), Some("red car"));
        assert_eq!(text(cache, "tree").await.as_deref(), Some("tree"));
    }
    assert_eq!((other.stats().tag_purges, cache.stats().purged_misses), (1, 2));
    cache.purge_tags(["red", "unknown"]).await.unwrap();
    assert_eq!(text(&other, "red car").await, None);
    cache.purge_all().await.unwrap();
    assert_eq!(text(&other, "tree").await, None);
    fill(&other, "tree", &[]).await;
}

#[tokio::test]
async fn what_was_loaded_across_a_purge_is_served_to_nobody() {
    let (cache, other, _) = two();
    for tag in ["a", "b", "*"] {
        let bears = cache.tagged(["a", "b"]).unwrap();
        let read_before = async || {
            other.purge_tag(tag).await.unwrap();
            Ok::<_, Infallible>("old")
        };
        assert_eq!(bears.get_or_fill("k", read_before).await.unwrap().unwrap(), "old");
        assert_eq!(text(&cache, "k").await, None, "{tag}");
        assert_eq!(load(&other, "k", &["a", "b"], "new").await, "new");
        cache.invalidate("k", None).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_loaded_across_a_change_of_its_group_is_served_to_nobody() {
    let (cache, other, _) = two();
    let bears = cache.tagged(["a"]).unwrap();
    let read_before = async || {
        update_tag(&other, "a").await;
        Ok::<_, Infallible>("old")
    };
    bears.get_or_fill("k", read_before).await.unwrap();
    assert_eq!(text(&cache, "k").await, None);
}

/// The lease on the key itself is not concerned, so its fill is stored.
#[tokio::test]
async fn who_came_after_a_change_of_the_group_is_not_given_what_was_read_before() {
    let (cache, _, _) = embedded_with(on());
    let (gate, loads) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let caller = || {
        let (cache, gate, loads) = (cache.tagged(["a"]).unwrap(), gate.clone(), loads.clone());
        tokio::spawn(async move {
            let load = async || {
                let nth = loads.fetch_add(1, SeqCst);
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(["old", "new"][nth])
            };
            cache.get_or_fill("k", load).await.unwrap().unwrap()
        })
    };
    let first = caller();
    settle().await;
    update_tag(&cache, "a").await;
    let second = caller();
    settle().await;
    gate.add_permits(2);
    assert_eq!((&*first.await.unwrap(), &*second.await.unwrap()), (&b"old"[..], &b"new"[..]));
    assert_eq!(text(&cache, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn while_a_group_is_reserved_none_of_it_is_a_hit_and_nothing_is_stored() {
    let (cache, other, _) = two();
    for tag in ["a", "*"] {
        fill(&cache, "k", &["a"]).await;
        let reservation = other.reserve_tag(tag).await.unwrap();
        assert_eq!(text(&cache, "k").await, None);
        let bears = cache.tagged(["a"]).unwrap();
        assert!(matches!(bears.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
        // Its lease is given back in the background.
        settle().await;
        let found = bears.lookup_many(&["k", "other"]).await.unwrap();
        assert!(
            found.iter().all(|found| matches!(found, Some(Lookup::Bypass(Bypass::Reserved)))),
            "{found:?}"
        );
        assert_eq!(load(&cache, "k", &["a"], "1").await, "1");
        assert_eq!(bears.set("k", "set").await.unwrap(), SetOutcome::Busy);
        assert_eq!(load(&other, "k", &["a"], "2").await, "2");
        assert_eq!(reservation.commit("is not looked at").await.unwrap(), CommitOutcome::Stored);
        assert_eq!(load(&cache, "k", &["a"], "3").await, "3");
        assert_eq!(text(&other, "k").await.as_deref(), Some("3"));
        cache.invalidate("k", None).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_whose_change_was_rolled_back_or_has_no_value_can_be_filled_anew() {
    let (cache, other, _) = two();
    fill(&cache, "k", &["a"]).await;
    other.reserve_tag("a").await.unwrap().abort().await;
    assert_eq!(text(&cache, "k").await, None);
    fill(&cache, "k", &["a"]).await;
    other.reserve_tag("a").await.unwrap().release(Some(7)).await.unwrap();
    assert_eq!(text(&cache, "k").await, None);
    fill(&cache, "k", &["a"]).await;
    update_tag(&other, "a").await;
    assert_eq!(text(&cache, "k").await, None);
    fill(&cache, "k", &["a"]).await;
}

#[tokio::test]
async fn two_writers_of_a_group_that_cross_leave_nothing_that_is_a_hit() {
    let (cache, other, _) = two();
    let (first, second) =
        (cache.reserve_tag("a").await.unwrap(), other.reserve_tag("a").await.unwrap());
    assert_eq!(first.commit(Fresh::nothing()).await.unwrap(), CommitOutcome::Purged);
    assert_eq!(load(&cache, "k", &["a"], "beside the other").await, "beside the other");
    assert_eq!(text(&cache, "k").await, None);
    assert_eq!(second.commit(Fresh::nothing()).await.unwrap(), CommitOutcome::Purged);
    fill(&cache, "k", &["a"]).await;
}

#[tokio::test]
async fn a_writer_whose_group_is_changed_meanwhile_stores_what_is_no_hit() {
    let (cache, other, _) = two();
    let bears = cache.tagged(["a"]).unwrap();
    let committed = bears.reserve("k").await.unwrap();
    assert_eq!(committed.commit("v").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(text(&other, "k").await.as_deref(), Some("v"));

    let crossed = bears.reserve("k").await.unwrap();
    update_tag(&other, "a").await;
    assert_eq!(crossed.commit("older").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(text(&cache, "k").await, None);

    // Whose nonce is not to be had stores nothing.
    let group = other.reserve_tag("a").await.unwrap();
    let update = async |_: &Reservation| {
        Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("older, too")))
    };
    assert_eq!(bears.update("k", update).await.unwrap(), UpdateOutcome::Purged);
    group.abort().await;
    assert_eq!(text(&cache, "k").await, None);
    assert_eq!(bears.update("k", update).await.unwrap(), UpdateOutcome::Stored);
    assert_eq!(text(&cache, "k").await.as_deref(), Some("older, too"));
}

#[tokio::test]
async fn a_purged_value_is_loaded_anew_by_one_of_all_callers() {
    let (cache, other, _) = two();
    fill(&cache, "k", &["a"]).await;
    cache.purge_tag("a").await.unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..20)
        .map(|nth| {
            let cache = [&cache, &other][nth % 2].tagged(["a"]).unwrap();
            let loads = loads.clone();
            tokio::spawn(async move {
                let load = async || {
                    loads.fetch_add(1, SeqCst);
                    settle().await;
                    Ok::<_, Infallible>("new")
                };
                cache.get_or_fill("k", load).await.unwrap().unwrap()
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "new");
    }
    assert_eq!(loads.load(SeqCst), 1);
    assert_eq!(text(&other, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_purged_value_is_leased_by_a_lookup_of_one_key_or_of_many() {
    let (cache, other, _) = two();
    let bears = cache.tagged(["a"]).unwrap();
    for many in [false, true] {
        fill(&other, "k", &["a"]).await;
        other.purge_tag("a").await.unwrap();
        let found = if many {
            bears.lookup_many(&["k"]).await.unwrap().pop().flatten()
        } else {
            Some(bears.lookup("k").await.unwrap())
        };
        let Some(Lookup::Leased(lease)) = found else { panic!("{found:?}") };
        assert_eq!(lease.fill("v").await.unwrap(), FillOutcome::Stored);
        assert_eq!(text(&other, "k").await.as_deref(), Some("v"));
        other.invalidate("k", None).await.unwrap();
    }
}

/// It was refused the lease, and looks at the record: what it finds there is purged as well.
#[tokio::test]
async fn who_waited_for_anothers_fill_is_not_given_a_value_that_was_purged_by_then() {
    let (cache, other, _) = two();
    let Lookup::Leased(lease) = other.tagged(["a"]).unwrap().lookup("k").await.unwrap() else {
        panic!("nobody else is here")
    };
    let waits = tokio::spawn({
        let cache = cache.clone();
        async move { load(&cache, "k", &["a"], "new").await }
    });
    settle().await;
    other.purge_tag("a").await.unwrap();
    assert_eq!(lease.fill("old").await.unwrap(), FillOutcome::Stored);
    assert_eq!(waits.await.unwrap(), "new");
    assert_eq!(text(&other, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn many_keys_are_filled_with_tags_found_and_purged_together() {
    let (cache, other, _) = two();
    let bears = cache.tagged(["a"]).unwrap();
    let load = async |keys: Vec<Bytes>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
    };
    fill(&other, "alone", &[]).await;
    let keys = ["1", "2", "alone"];
    let all = keys.map(|key| Some(Bytes::from(key)));
    assert_eq!(bears.get_or_fill_many(keys, load).await.unwrap(), all);
    let found = other.lookup_many(&keys).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Some(Lookup::Hit(_)))), "{found:?}");
    other.purge_tag("a").await.unwrap();
    let found = cache.lookup_many(&keys).await.unwrap();
    let leased = found.iter().filter(|found| matches!(found, Some(Lookup::Leased(_)))).count();
    assert!(leased == 2 && matches!(found[2], Some(Lookup::Hit(_))), "{found:?}");
    drop(found);
    assert_eq!(bears.get_or_fill_many(keys, load).await.unwrap(), all);
}

#[tokio::test]
async fn a_set_and_a_replace_bear_tags() {
    let (cache, other, _) = two();
    let bears = cache.tagged(["a"]).unwrap();
    assert_eq!(bears.set("k", "1").await.unwrap(), SetOutcome::Stored);
    let seen = other.get("k").await.unwrap().unwrap();
    assert_eq!(bears.replace("k", seen.stamp, "2").await.unwrap(), ReplaceOutcome::Stored);
    assert_eq!(text(&other, "k").await.as_deref(), Some("2"));
    other.purge_tag("a").await.unwrap();
    assert_eq!(text(&cache, "k").await, None);
}

/// As a follower of the source's stream tells of them.
#[tokio::test]
async fn changes_that_are_told_of_together_reach_values_that_bear_tags() {
    let (cache, other, _) = two();
    fill(&cache, "k", &["a"]).await;
    other.invalidate_many([("k", None), ("unknown", Some(7))]).await.unwrap();
    assert_eq!(text(&cache, "k").await, None);
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn typed_values_bear_tags_and_shared_ones_are_purged() {
    let cache = Cache::connect("memory://?tags=true&near=8s").await.unwrap();
    let numbers = cache.tagged(["a"]).unwrap().typed::<Vec<u64>>();
    assert_eq!(*shared(&numbers, 1).await, [1]);
    assert_eq!(numbers.get("k").await.unwrap(), Some(Some(vec![1])));
    let first = shared(&numbers, 0).await;
    assert!(Arc::ptr_eq(&first, &shared(&numbers, 0).await));
    for (nth, tag) in [(2, "a"), (3, "*")] {
        cache.purge_tag("unknown").await.unwrap();
        assert!(*shared(&numbers, 0).await < vec![nth]);
        cache.purge_tag(tag).await.unwrap();
        assert_eq!(*shared(&numbers, nth).await, [nth]);
        assert_eq!(*shared(&numbers, 0).await, [nth]);
    }
    let group = cache.reserve_tag("a").await.unwrap();
    assert_eq!(*shared(&numbers, 4).await, [4]);
    group.abort().await;
    assert_eq!(*shared(&numbers, 5).await, [5]);
    cache.invalidate("k", None).await.unwrap();
    assert_eq!(*shared(&numbers, 6).await, [6]);
}

/// What all callers share of a key, or else a number from its source.
#[cfg(feature = "serde")]
pub async fn shared(numbers: &Typed<Vec<u64>>, source: u64) -> Arc<Vec<u64>> {
    let load = async || Ok::<_, Infallible>(Some(vec![source]));
    numbers.get_or_fill_shared("k", load).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_tag_whose_record_was_lost_takes_its_values_along() {
    let (cache, _, store) = two();
    for tag in [&b"\x01a"[..], b"\x01*"] {
        fill(&cache, "k", &["a"]).await;
        assert!(store.evict(tag));
        assert_eq!(text(&cache, "k").await, None);
        fill(&cache, "k", &["a"]).await;
        // What is filled with another nonce does not make the older one good.
        fill(&cache, "other", &["a"]).await;
        cache.invalidate("k", None).await.unwrap();
    }
}

#[tokio::test]
async fn a_tag_that_is_in_use_does_not_run_out() {
    let (cache, _, clock) = embedded_with(on());
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // Not for as long as "nothing" is remembered of a key.
    update_tag(&cache, "a").await;
    let bears = cache.tagged(["a"]).unwrap();
    let fresh = Fresh::from("v").ttl(hours(24));
    bears.get_or_fill("first", async || Ok::<_, Infallible>(fresh)).await.unwrap();
    clock.advance(Duration::from_secs(600));
    assert_eq!(text(&cache, "first").await.as_deref(), Some("v"));
    for nth in 0..4 {
        clock.advance(Duration::from_secs(4000));
        let key = nth.to_string();
        let bears = cache.tagged(["a"]).unwrap();
        let fresh = Fresh::from("v").ttl(hours(24));
        bears.get_or_fill(&key, async || Ok::<_, Infallible>(fresh)).await.unwrap();
        settle().await;
    }
    for nth in 0..4 {
        assert_eq!(text(&cache, &nth.to_string()).await.as_deref(), Some("v"), "{nth}");
    }
}

#[tokio::test]
async fn no_key_of_a_program_reaches_the_record_of_a_tag() {
    let (cache, _, _) = embedded_with(on().prefix("p:"));
    fill(&cache, "k", &["a"]).await;
    for key in ["\u{1}a", "\u{1}p:a", "a", "*", "\u{1}p:*"] {
        cache.invalidate(key, None).await.unwrap();
        assert_eq!(cache.set(key, "v").await.unwrap(), SetOutcome::Stored);
    }
    assert_eq!(text(&cache, "k").await.as_deref(), Some("k"));
}

#[tokio::test]
async fn caches_with_other_prefixes_have_other_tags() {
    let store = Arc::new(MemoryStore::new(ROOM));
    let cache = |prefix| on().prefix(prefix).build(Arc::clone(&store)).unwrap();
    let (one, other) = (cache("one:"), cache("other:"));
    fill(&one, "k", &["a"]).await;
    fill(&other, "k", &["a"]).await;
    one.purge_all().await.unwrap();
    other.purge_tag("unknown").await.unwrap();
    assert_eq!((text(&one, "k").await, text(&other, "k").await.as_deref()), (None, Some("k")));
}

#[tokio::test]
async fn what_is_stored_beside_a_value_is_not_part_of_it() {
    let (cache, _, _) = embedded_with(on().max_value_bytes(1024));
    let bears = cache.tagged(["a".repeat(256)]).unwrap();
    let load = async |value: Option<String>| {
        bears.invalidate("k", None).await.unwrap();
        bears.get_or_fill("k", async || Ok::<_, Infallible>(value.clone())).await.unwrap();
        cache.get("k").await.unwrap().map(|hit| hit.value)
    };
    let value = "v".repeat(1024);
    assert_eq!(load(Some(value.clone())).await, Some(Some(value.clone().into())));
    let known = cache.inspect("k").await.unwrap().unwrap().record.stored.unwrap();
    assert_eq!(known.value, Some(value.clone().into()));
    assert_eq!(load(Some(value + "v")).await, None);
    assert_eq!(load(Some(String::new())).await, Some(Some(Bytes::new())));
    assert_eq!(load(None).await, Some(None), "that the source has nothing is remembered, too");
    cache.purge_tag("a".repeat(256)).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn what_another_program_stored_is_a_miss_and_replaced() {
    let (cache, _, store) = two();
    let ttl = Ttl::from_secs(60).unwrap();
    for value in [None, Some("no header"), Some("")] {
        let (token, value) = (Token::new(1), value.map(Bytes::from));
        store.change(b"\0k", &Change::Set { token, value, ttl }).await.unwrap().unwrap();
        assert_eq!(text(&cache, "k").await, None);
        fill(&cache, "k", &[]).await;
    }
}

#[tokio::test]
async fn the_number_and_the_length_of_tags_are_bounded_and_errors_say_how() {
    let (cache, _, _) = embedded_with(on());
    let names: Vec<String> = (0..33).map(|nth| format!("tag {nth}")).collect();
    let most = cache.tagged(&names[..32]).unwrap();
    // One that is there twice is one.
    most.tagged([&names[0], &names[31]]).unwrap();
    fill(&most, "k", &[]).await;
    cache.purge_tag(&names[31]).await.unwrap();
    assert_eq!(text(&cache, "k").await, None);

    let told = |result: Result<(), Error>| {
        let Err(Error::Invalid { field, problem }) = result else { panic!("{result:?}") };
        assert_eq!(field, "tags");
        problem
    };
    let long = "t".repeat(257);
    assert!(told(cache.tagged(&names).map(drop)).contains("more than 32"));
    assert!(told(most.tagged(["more"]).map(drop)).contains("more than 32"));
    assert!(told(cache.tagged(["*"]).map(drop)).contains("every value"));
    for tag in ["", &long] {
        let bound = format!("a tag of {} bytes, must be 1 to 256", tag.len());
        assert_eq!(told(cache.tagged([tag]).map(drop)), bound);
        assert_eq!(told(cache.purge_tags(["fine", tag]).await), bound);
        assert_eq!(told(cache.reserve_tag(tag).await.map(drop)), bound);
    }
    assert_eq!(cache.stats().tag_purges, 1, "of several none is purged where one is wrong");
}

#[tokio::test]
async fn where_tags_are_off_every_use_of_one_says_which_option_is_to_be_set() {
    let (cache, _, _) = embedded_with(Cache::builder());
    let update = async |_: &Reservation| Ok::<_, Infallible>(SourceResult::RolledBack);
    let errors = [
        cache.tagged(["a"]).map(drop).unwrap_err().to_string(),
        cache.purge_tag("a").await.unwrap_err().to_string(),
        cache.purge_all().await.unwrap_err().to_string(),
        cache.reserve_tag("a").await.map(drop).unwrap_err().to_string(),
        cache.update_tag("a", update).await.unwrap_err().to_string(),
    ];
    for error in errors {
        assert!(error.starts_with("tags: ") && error.contains("option `tags`"), "{error}");
    }
}

#[tokio::test]
async fn a_cache_that_says_otherwise_than_the_first_on_its_store_is_refused() {
    for first in [false, true] {
        let store = Arc::new(MemoryStore::new(ROOM));
        let cache = |tags| Cache::builder().tags(tags).build(Arc::clone(&store));
        cache(first).unwrap();
        cache(first).unwrap();
        let error = cache(!first).unwrap_err().to_string();
        assert!(error.starts_with("tags: another cache on this store"), "{error}");
    }
}

#[tokio::test]
async fn tags_are_refused_where_another_region_would_not_hear_of_a_purge() {
    for fence in [Fence::All, Fence::Home] {
        let peer = Cache::connect("memory://").await.unwrap();
        let eu = on().region("eu").fence(fence).peer("us", peer);
        let error = eu.connect("memory://").await.unwrap_err().to_string();
        assert!(error.starts_with("tags: cannot be where `fence`"), "{error}");
    }
}

#[tokio::test]
async fn a_closed_cache_purges_and_reserves_nothing() {
    let (cache, _, _) = embedded_with(on());
    cache.close(Duration::ZERO).await;
    assert!(matches!(cache.purge_tag("a").await, Err(Error::ShutDown)));
    assert!(matches!(cache.reserve_tag("a").await, Err(Error::ShutDown)));
}

#[tokio::test]
async fn a_hit_whose_tags_nobody_answers_for_is_none() {
    let (cache, store, _) = faulty_with(on());
    fill(&cache, "k", &["a"]).await;
    // The value is read, and the first of its tags is not.
    let gate = Arc::new(Semaphore::new(1));
    store.next(Kind::Get, Fault::Held(gate.clone()));
    store.next(Kind::Get, Fault::Lost);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    assert_eq!((store.pending_faults(), text(&cache, "k").await.as_deref()), (0, Some("k")));
}

#[tokio::test]
async fn a_tag_is_opened_also_where_an_answer_is_lost() {
    for (kind, fault) in [
        (Kind::Fill, Fault::ReplyLost),
        (Kind::Fill, Fault::Lost),
        (Kind::Fill, Fault::Late),
        (Kind::Lease, Fault::ReplyLost),
    ] {
        let (cache, store, _) = faulty_with(on());
        if kind == Kind::Lease {
            // The first lease is that of the key.
            store.next(kind, Fault::Held(Arc::new(Semaphore::new(1))));
        }
        store.next(kind, fault);
        fill(&cache, "k", &[]).await;
        assert_eq!(store.pending_faults(), 0);
        // What comes late is refused, or was the same.
        store.deliver().await;
        assert_eq!(text(&cache, "k").await.as_deref(), Some("k"));
    }
}

/// The caller has its own read of the source, and gives its lease back.
#[tokio::test]
async fn a_value_whose_tags_cannot_be_opened_is_loaded_and_not_stored() {
    let (cache, store, _) = faulty_with(on().attempts(1));
    store.next(Kind::Fill, Fault::Lost);
    assert_eq!(load(&cache, "k", &[], "1").await, "1");
    assert_eq!(text(&cache, "k").await, None);
    settle().await;
    fill(&cache, "k", &[]).await;
}

#[tokio::test]
async fn a_tag_that_is_purged_while_it_is_opened_is_opened_again() {
    let (cache, store, _) = faulty_with(on());
    let gate = Arc::new(Semaphore::new(0));
    store.next(Kind::Fill, Fault::Held(gate.clone()));
    let loading = tokio::spawn({
        let cache = cache.clone();
        async move { load(&cache, "k", &[], "v").await }
    });
    settle().await;
    cache.purge_all().await.unwrap();
    gate.add_permits(1);
    assert_eq!(loading.await.unwrap(), "v");
    assert_eq!(text(&cache, "k").await.as_deref(), Some("v"));
}
