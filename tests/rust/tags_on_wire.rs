//! Tags on the wire test server: groups that one process purges or changes for another, and copies.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use genfence::{
    Bypass, Cache, CommitOutcome, Error, Fresh, Lookup, Reservation, SourceResult, UpdateOutcome,
};
use genfence_wire::{Kind, Server};

#[cfg(feature = "serde")]
use crate::tags::shared;
use crate::tags::{fill, load, text, update_tag};

async fn connect(server: &Server, options: &str) -> Result<Cache, Error> {
    Cache::connect(&format!("aerospike://{}/test/cache?{options}", server.address())).await
}

async fn two(options: &str) -> (Server, Cache, Cache) {
    let server = Server::start().await.unwrap();
    let first = connect(&server, options).await.unwrap();
    let second = connect(&server, options).await.unwrap();
    (server, first, second)
}

fn sent(server: &Server) -> u64 {
    [Kind::Read, Kind::Write, Kind::Batch].map(|kind| server.requests(kind)).iter().sum()
}

#[tokio::test]
async fn processes_on_a_cluster_purge_and_change_groups_for_each_other() {
    let (server, cache, other) = two("tags=true").await;
    fill(&cache, "k", &["a"]).await;
    fill(&cache, "kept", &["b"]).await;
    assert_eq!(text(&other, "k").await.as_deref(), Some("k"));
    // A hit is one trip for the value, and one for its tags.
    let before = sent(&server);
    assert_eq!(text(&cache, "kept").await.as_deref(), Some("kept"));
    assert_eq!(sent(&server) - before, 2);
    other.purge_tag("a").await.unwrap();
    assert_eq!((text(&cache, "k").await, text(&cache, "kept").await.is_some()), (None, true));
    assert_eq!(load(&cache, "k", &["a"], "new").await, "new");
    assert_eq!(text(&other, "k").await.as_deref(), Some("new"));
    update_tag(&other, "a").await;
    assert_eq!(text(&cache, "k").await, None);
    let _reserved = other.reserve_tag("a").await.unwrap();
    let found = cache.tagged(["a"]).unwrap().lookup("k").await.unwrap();
    assert!(matches!(found, Lookup::Bypass(Bypass::Reserved)), "{found:?}");
}

#[tokio::test]
async fn a_purge_is_one_command_however_many_values_bear_the_tag() {
    let (server, cache, _other) = two("tags=true").await;
    for key in 0..20 {
        fill(&cache, &key.to_string(), &["a"]).await;
    }
    let all = || {
        let changes = [Kind::Delete, Kind::Operate].map(|kind| server.requests(kind));
        sent(&server) + changes.iter().sum::<u64>()
    };
    let before = all();
    cache.purge_tag("a").await.unwrap();
    assert_eq!(all() - before, 1);
}

#[tokio::test]
async fn a_program_that_says_otherwise_is_refused_and_told_both() {
    for (first, second) in [("tags=true", ""), ("", "tags=true")] {
        let server = Server::start().await.unwrap();
        connect(&server, first).await.unwrap();
        connect(&server, first).await.unwrap();
        let Err(Error::Store(error)) = connect(&server, second).await else { panic!("{first}") };
        let told = error.to_string();
        assert!(told.contains("tags=on") && told.contains("genfence contract"), "{told}");
    }
}

/// Reads until it has a copy of the value, and of its tags.
async fn copied(cache: &Cache) {
    let before = cache.stats().near_hits;
    let reads = async {
        while cache.stats().near_hits == before {
            assert!(text(cache, "k").await.is_some());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("copies are kept");
}

#[tokio::test]
async fn a_tagged_value_that_is_read_again_and_again_costs_no_command() {
    let (server, cache, _other) = two("tags=true&near=2s").await;
    fill(&cache, "k", &["a"]).await;
    copied(&cache).await;
    let before = sent(&server);
    for _ in 0..1000 {
        assert_eq!(text(&cache, "k").await.as_deref(), Some("k"));
    }
    // One of each may ask for more time meanwhile.
    assert!(sent(&server) - before <= 6, "{}", sent(&server) - before);

    // Who wants no copies has none of the tags, either, and is a handle of the same tags all the same.
    let asks = cache.tagged(["a"]).unwrap().near(Duration::ZERO).unwrap();
    let before = (sent(&server), cache.stats().near_hits);
    assert_eq!(text(&asks, "k").await.as_deref(), Some("k"));
    assert!(sent(&server) - before.0 >= 2 && cache.stats().near_hits == before.1);
    asks.get_or_fill("other", async || Ok::<_, Infallible>("v")).await.unwrap();
    cache.purge_tag("a").await.unwrap();
    assert_eq!(text(&asks, "other").await, None);
}

#[tokio::test]
async fn copies_of_a_value_and_of_its_tags_are_renewed_before_they_end() {
    const NEAR: Duration = Duration::from_millis(300);
    let (_server, cache, _other) = two("tags=true&near=300ms").await;
    fill(&cache, "k", &["a", "b"]).await;
    copied(&cache).await;
    let (start, before) = (Instant::now(), cache.stats());
    while start.elapsed() < 12 * NEAR {
        assert_eq!(text(&cache, "k").await.as_deref(), Some("k"));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let after = cache.stats();
    let asked = (after.hits - before.hits) - (after.near_hits - before.near_hits);
    assert!(asked <= 6, "{asked} reads of the store in the time of 12 copies");
}

#[tokio::test]
async fn a_purge_returns_and_a_group_is_changed_when_no_copy_is_served_any_more() {
    let (_server, reader, other) = two("tags=true&near=1s").await;
    for purges in [true, false] {
        fill(&reader, "k", &["a"]).await;
        copied(&reader).await;
        if purges {
            other.purge_tag("a").await.unwrap();
            assert_eq!(text(&reader, "k").await, None);
            continue;
        }
        let change = async |_: &Reservation| {
            assert_eq!(text(&reader, "k").await, None);
            Ok::<_, Infallible>(SourceResult::Committed(Fresh::nothing()))
        };
        assert_eq!(other.update_tag("a", change).await.unwrap(), UpdateOutcome::Stored);
    }
}

/// The copy of the value lives longer, as it was stored later.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_value_that_all_callers_share_ends_with_the_copies_of_its_tags() {
    for purges in [true, false] {
        let (server, reader, other) = two("tags=true&near=1s&reservation_margin=1ms").await;
        let numbers = reader.tagged(["a"]).unwrap().typed::<Vec<u64>>();
        fill(&reader, "first", &["a"]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        shared(&numbers, 1).await;
        copied(&reader).await;
        let (first, before) = (shared(&numbers, 0).await, sent(&server));
        for _ in 0..1000 {
            let again = shared(&numbers, 0).await;
            // Who has renewed it reads it once more.
            assert!(std::sync::Arc::ptr_eq(&first, &again) || again == first);
        }
        assert!(sent(&server) - before <= 20, "{}", sent(&server) - before);
        if purges {
            other.purge_tag("a").await.unwrap();
        } else {
            other.reserve_tag("a").await.unwrap().settled().await;
        }
        assert_eq!(*shared(&numbers, 2).await, [2]);
    }
}

/// It differs from the copy, as the copy is the older of both.
#[tokio::test]
async fn a_value_that_is_newer_than_the_copy_of_its_tag_is_a_hit() {
    let (_server, reader, other) = two("tags=true&near=3s&reservation_time=30s").await;
    fill(&reader, "k", &["a"]).await;
    copied(&reader).await;
    let reserved = other.reserve_tag("a").await.unwrap();
    assert_eq!(reserved.commit(Fresh::nothing()).await.unwrap(), CommitOutcome::Stored);
    assert_eq!(load(&other, "new", &["a"], "new").await, "new");
    assert_eq!(text(&reader, "k").await.as_deref(), Some("k"), "the copies are not over");
    let leases = reader.stats().leases;
    assert_eq!(load(&reader, "new", &["a"], "is not asked for").await, "new");
    assert_eq!(reader.stats().leases, leases);
}

/// Of the value there still is one.
#[tokio::test]
async fn a_copy_of_a_value_is_not_served_without_one_of_its_tag() {
    let (_server, cache, _other) = two("tags=true&near=3s&reservation_time=30s").await;
    fill(&cache, "k", &["a"]).await;
    copied(&cache).await;
    let reserved = cache.reserve_tag("a").await.unwrap();
    let found = cache.tagged(["a"]).unwrap().lookup_many(&["k"]).await.unwrap();
    assert!(matches!(found[0], Some(Lookup::Bypass(Bypass::Reserved))), "{found:?}");
    assert_eq!(text(&cache, "k").await, None);
    reserved.abort().await;
}
