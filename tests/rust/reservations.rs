//! Several keys of one transaction.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use genfence::{
    Bypass, Cache, CallError, Error, Fresh, Lookup, ReleaseOutcome, Reservations, SourceResult,
    SourceResults, UpdateOutcome,
};
use genfence_wire::{Kind, Server};

use crate::support::{self, Fault};

async fn memory() -> Cache {
    Cache::connect("memory://").await.unwrap()
}

async fn text(cache: &Cache, key: &str) -> Option<String> {
    let hit = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(hit.value.unwrap().to_vec()).unwrap())
}

async fn fill(cache: &Cache, key: &str) {
    cache.get_or_fill(key, async || Ok::<_, Infallible>("old")).await.unwrap();
}

async fn is_reserved(cache: &Cache, key: &str) -> bool {
    matches!(cache.lookup(key).await.unwrap(), Lookup::Bypass(Bypass::Reserved))
}

fn told(outcomes: &[(Bytes, UpdateOutcome)]) -> Vec<(&str, UpdateOutcome)> {
    outcomes.iter().map(|(key, outcome)| (std::str::from_utf8(key).unwrap(), *outcome)).collect()
}

#[tokio::test]
async fn all_are_held_until_the_source_was_changed_and_each_is_told_of() {
    let cache = memory().await;
    for key in ["a", "b", "c", "d"] {
        fill(&cache, key).await;
    }
    let change = async |reservations: &mut Reservations| {
        for key in ["a", "b", "c"] {
            assert_eq!(text(&cache, key).await, None, "{key}");
            assert!(is_reserved(&cache, key).await, "{key}");
        }
        assert_eq!(text(&cache, "d").await.as_deref(), Some("old"), "it is not known yet");
        reservations.add("d").await.unwrap();
        reservations.add("a").await.unwrap();
        assert!(is_reserved(&cache, "d").await);
        assert_eq!(reservations.keys().collect::<Vec<_>>(), [b"b", b"a", b"c", b"d"]);
        assert!(reservations.is_held());
        let results = SourceResults::changed().with("a", "new");
        Ok::<_, Infallible>(results.and("c", SourceResult::RolledBack))
    };
    let outcomes = cache.update_many(["b", "a", "b", "c"], change).await.unwrap();
    assert_eq!(
        told(&outcomes),
        [
            ("b", UpdateOutcome::Purged),
            ("a", UpdateOutcome::Stored),
            ("c", UpdateOutcome::RolledBack),
            ("d", UpdateOutcome::Purged)
        ]
    );
    assert_eq!(text(&cache, "a").await.as_deref(), Some("new"));
    for key in ["b", "c", "d"] {
        assert!(matches!(cache.lookup(key).await.unwrap(), Lookup::Leased(_)), "{key}");
    }
}

#[tokio::test]
async fn a_writer_that_crosses_one_key_loses_the_value_of_that_key_alone() {
    let cache = memory().await;
    let reservations = cache.reserve_many(["a", "b"]).await.unwrap();
    let other = cache.reserve("b").await.unwrap();
    let outcomes = reservations.commit([("a", "1"), ("b", "2")]).await.unwrap();
    assert_eq!(told(&outcomes), [("a", UpdateOutcome::Stored), ("b", UpdateOutcome::Purged)]);
    other.abort().await;
    assert_eq!(text(&cache, "b").await, None);
}

#[tokio::test]
async fn what_is_rolled_back_gives_all_back() {
    let cache = memory().await;
    let change = async |_: &mut Reservations| Ok::<_, Infallible>(SourceResults::RolledBack);
    let outcomes = cache.update_many(["a", "b"], change).await.unwrap();
    let rolled_back = UpdateOutcome::RolledBack;
    assert_eq!(told(&outcomes), [("a", rolled_back), ("b", rolled_back)]);
    assert!(!is_reserved(&cache, "a").await && !is_reserved(&cache, "b").await);
}

#[tokio::test]
async fn after_an_error_or_a_panic_all_are_left_as_nobody_knows() {
    let cache = memory().await;
    let failed = cache
        .update_many(["a", "b"], async |_: &mut Reservations| Err("no answer to COMMIT"))
        .await;
    assert!(matches!(failed, Err(CallError::Caller("no answer to COMMIT"))));
    let panics = tokio::spawn({
        let cache = cache.clone();
        async move {
            let change = async |_: &mut Reservations| -> Result<SourceResults, Infallible> {
                panic!("its program broke")
            };
            cache.update_many(["c", "d"], change).await
        }
    });
    assert!(panics.await.unwrap_err().is_panic());
    for key in ["a", "b", "c", "d"] {
        assert!(is_reserved(&cache, key).await, "{key}");
    }
    assert_eq!(cache.stats().reservations_left, 4);
}

#[tokio::test]
async fn where_one_is_not_reserved_none_is_and_the_error_names_it() {
    let (cache, store, _) = support::faulty_with(Cache::builder().attempts(1));
    fill(&cache, "d").await;
    store.next(support::Kind::Reserve, Fault::Lost);
    let failed = cache
        .update_many(["a", "b"], async |_: &mut Reservations| -> Result<_, Infallible> {
            unreachable!("not all are held")
        });
    let error = failed.await.unwrap_err().to_string();
    assert!(error.contains("key \"a\": the test lost it"), "{error}");
    assert!(!is_reserved(&cache, "b").await);

    // Of those that are added none is held; the others still are.
    let mut reservations = cache.reserve_many(["a"]).await.unwrap();
    store.next(support::Kind::Reserve, Fault::Lost);
    assert!(reservations.add_many(["c", "b"]).await.is_err());
    assert!(is_reserved(&cache, "a").await && !is_reserved(&cache, "b").await);
    assert_eq!(reservations.keys().collect::<Vec<_>>(), [b"a"]);
    let released = reservations.release().await;
    assert_eq!(released, [("a".into(), ReleaseOutcome::Purged)]);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_named_before_anything_is_sent() {
    let (cache, store, _) = support::faulty();
    let many = || (0..10_001).map(|key| key.to_string());
    let long = "k".repeat(1025);
    for (keys, problem) in [
        (vec![], "keys: 0 keys, must be 1 to 10000"),
        (many().collect(), "keys: more than 10000 keys, must be 1 to 10000"),
        (vec!["a".into(), String::new()], "key: key \"\": 0 bytes, must be 1 to 1024"),
        (
            vec![long.clone()],
            &format!("key: key \"{}…\": 1025 bytes, must be 1 to 1024", &long[..64]),
        ),
    ] {
        assert_eq!(cache.reserve_many(keys).await.unwrap_err().to_string(), problem);
    }
    assert_eq!(store.sent(), []);
    let mut reservations = cache.reserve_many(["more"]).await.unwrap();
    let added = reservations.add_many(many().take(10_000)).await;
    assert!(matches!(added, Err(Error::Invalid { field: "keys", .. })));
    reservations.abort().await;
}

#[tokio::test]
async fn of_what_the_closure_says_wrong_the_others_are_told_all_the_same() {
    let cache = memory().await;
    let reservations = cache.reserve_many(["a", "b", "c"]).await.unwrap();
    let values = [("b", Fresh::from("b").ttl(Duration::ZERO)), ("a", Fresh::from("a"))];
    let error = reservations.commit(values).await.unwrap_err().to_string();
    assert!(error.starts_with("ttl: key \"b\": "), "{error}");
    assert_eq!(text(&cache, "a").await.as_deref(), Some("a"));
    assert!(!is_reserved(&cache, "b").await && !is_reserved(&cache, "c").await);

    let reservations = cache.reserve_many(["a"]).await.unwrap();
    let error = reservations.commit([("z", "z"), ("a", "a")]).await.unwrap_err().to_string();
    assert_eq!(error, "key: key \"z\": is not among the reserved ones");
    assert_eq!(text(&cache, "a").await.as_deref(), Some("a"));
}

#[tokio::test]
async fn the_time_that_is_left_is_that_of_the_first_until_all_are_renewed() {
    let cache = memory().await;
    let mut reservations = cache.reservations();
    assert_eq!(reservations.remaining(), Duration::MAX);
    reservations.add("a").await.unwrap();
    let first = reservations.remaining();
    tokio::time::sleep(Duration::from_millis(20)).await;
    reservations.add("b").await.unwrap();
    let least = reservations.remaining();
    assert!(least + Duration::from_millis(20) <= first);
    assert!(reservations.renew().await.unwrap());
    assert!(reservations.remaining() > least);
    reservations.abort().await;
}

#[tokio::test]
async fn they_travel_together() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache?merge_messages=1", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let kinds = [Kind::Write, Kind::Operate, Kind::Batch];
    let sent = || kinds.map(|kind| server.requests(kind)).iter().sum::<u64>();
    let keys: Vec<String> = (0..64).map(|key| format!("key {key}")).collect();
    let before = sent();
    let reservations = cache.reserve_many(&keys).await.unwrap();
    let reserved = sent() - before;
    assert_eq!(reservations.release().await.len(), 64);
    let released = sent() - before - reserved;
    assert!(reserved <= 4 && released <= 4, "{reserved} and {released} messages");
}
