//! Several keys of one transaction.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genfence::{
    Bypass, Cache, CallError, Error, Fence, Fresh, Lookup, ReleaseOutcome, Reservations,
    SourceResult, SourceResults, UpdateOutcome,
};
use genfence_wire::{Action, Code, Kind, Rule, Server};
use tokio::sync::Semaphore;

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

async fn connect(server: &Server, options: &str) -> Cache {
    let url = format!("aerospike://{}/test/cache?{options}", server.address());
    Cache::connect(&url).await.unwrap()
}

/// Messages of all commands that write, and those of them that are batches.
fn messages(server: &Server) -> (u64, u64) {
    let kinds = [Kind::Write, Kind::Operate, Kind::Batch];
    (kinds.map(|kind| server.requests(kind)).iter().sum(), server.requests(Kind::Batch))
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|key| format!("key {key}")).collect()
}

#[tokio::test]
async fn they_travel_in_one_message_each_way() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    let keys = many(64);
    let (start, _) = messages(&server);
    let reservations = cache.reserve_many(&keys).await.unwrap();
    assert!(reservations.renew().await.unwrap());
    let told = reservations.commit(keys.iter().map(|key| (key, "new"))).await.unwrap();
    assert!(told.iter().all(|(_, outcome)| *outcome == UpdateOutcome::Stored), "{told:?}");
    cache.reserve_many(&keys).await.unwrap().release().await;
    cache.reserve_many(&keys).await.unwrap().abort().await;
    assert_eq!(messages(&server).0 - start, 7);
    // More than fit go in several.
    let (start, _) = messages(&server);
    cache.reserve_many(many(200)).await.unwrap().abort().await;
    assert_eq!(messages(&server).0 - start, 8);
}

#[tokio::test]
async fn whoever_says_that_nothing_is_to_travel_together_has_each_by_itself() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "merge=false").await;
    let before = messages(&server);
    let reservations = cache.reserve_many(many(64)).await.unwrap();
    assert_eq!(reservations.release().await.len(), 64);
    let after = messages(&server);
    assert_eq!((after.0 - before.0, after.1 - before.1), (128, 0));
}

#[tokio::test]
async fn a_row_that_is_refused_for_the_moment_goes_again_alone_and_one_that_fails_takes_all_back() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    let digest = |key: &str| {
        let key = aerospike::Value::Blob(key.into());
        aerospike::Key::new("test", "cache", key).unwrap().digest()
    };
    let refuse = |key: &str, code: Code| {
        let rule = Rule::new(Action::Fail(code)).on(Kind::Row).key(digest(key));
        server.faults().add(rule.times(1))
    };
    let busy = refuse("key 3", Code::KEY_BUSY);
    let (start, batches) = messages(&server);
    let reservations = cache.reserve_many(many(8)).await.unwrap();
    assert_eq!(busy.happened(), 1);
    let after = messages(&server);
    assert_eq!((after.0 - start, after.1 - batches), (2, 1));
    reservations.abort().await;

    refuse("key 5", Code::NOT_APPLICABLE);
    let failed = cache.reserve_many(many(8)).await.unwrap_err();
    assert!(failed.to_string().contains("key \"key 5\": "), "{failed}");
    for key in many(8) {
        assert!(!is_reserved(&cache, &key).await, "{key}");
    }
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_and_no_other() {
    let (cache, store, _) = support::faulty();
    store.next(support::Kind::Reserve, Fault::Lost);
    store.next(support::Kind::Reserve, Fault::ReplyLost);
    let reservations = cache.reserve_many(many(100)).await.unwrap();
    assert_eq!(store.sent(), [support::Kind::Reserve; 102]);
    store.next(support::Kind::Commit, Fault::ReplyLost);
    store.next(support::Kind::Commit, Fault::Lost);
    let told = reservations.commit(many(100).into_iter().map(|key| (key, "new"))).await.unwrap();
    assert!(told.iter().all(|(_, outcome)| *outcome == UpdateOutcome::Stored), "{told:?}");
    let of = |kind, sent: &[support::Kind]| sent.iter().filter(|sent| **sent == kind).count();
    let sent = store.sent();
    // Whether the refused retry had stored is looked at.
    let kinds = [support::Kind::Commit, support::Kind::Get, support::Kind::Release];
    assert_eq!(kinds.map(|kind| of(kind, &sent)), [102, 1, 0]);
}

#[tokio::test]
async fn a_key_whose_turn_has_not_come_keeps_none_of_the_others() {
    let (cache, store, _) = support::faulty();
    let gate = Arc::new(Semaphore::new(0));
    store.next_many(support::Kind::Reserve, &Fault::Held(Arc::clone(&gate)), 8);
    let others: Vec<_> = (0..8)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.reserve("crowded").await })
        })
        .collect();
    support::settle().await;
    assert_eq!(store.sent().len(), 8);
    let taking = tokio::spawn(async move { cache.reserve_many(["a", "crowded", "b"]).await });
    support::settle().await;
    assert_eq!(store.sent().len(), 2);
    gate.add_permits(8);
    for other in others {
        other.await.unwrap().unwrap().abort().await;
    }
    taking.await.unwrap().unwrap().abort().await;
}

#[tokio::test]
async fn the_nonces_of_their_tags_are_asked_for_once() {
    let (cache, store, _) = support::faulty_with(Cache::builder().tags(true));
    let cache = cache.tagged(["hats"]).unwrap();
    let _ = cache.set("first", "v").await.unwrap();
    store.sent();
    let reservations = cache.reserve_many(many(64)).await.unwrap();
    let sent = store.sent();
    assert_eq!(sent[..64], [support::Kind::Reserve; 64]);
    assert_eq!(sent[64..], [support::Kind::Get; 2]);
    let told = reservations.commit(many(64).into_iter().map(|key| (key, "new"))).await.unwrap();
    assert!(told.iter().all(|(_, outcome)| *outcome == UpdateOutcome::Stored), "{told:?}");
    assert!(cache.get("key 7").await.unwrap().is_some());
    cache.purge_tag("hats").await.unwrap();
    assert!(cache.get("key 7").await.unwrap().is_none());
}

#[tokio::test]
async fn they_are_reserved_and_released_in_every_region_in_one_message_each() {
    let (here, there) = (Server::start().await.unwrap(), Server::start().await.unwrap());
    let us = connect(&there, "").await;
    let url = format!("aerospike://{}/test/cache", here.address());
    let builder = Cache::builder().region("eu").fence(Fence::All).peer("us", us.clone());
    let eu = builder.connect(&url).await.unwrap();
    let before = [messages(&here).0, messages(&there).0];
    let reservations = eu.reserve_many(many(64)).await.unwrap();
    let held = async |key: &str| {
        let known = us.inspect(key).await.unwrap().unwrap();
        known.reserved_for().count() > 0
    };
    assert!(held("key 63").await);
    let sent = || [messages(&here).0 - before[0], messages(&there).0 - before[1]];
    assert_eq!(sent(), [1, 1]);
    reservations.release().await;
    let released = async {
        while held("key 63").await || held("key 0").await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), released).await.unwrap();
    assert_eq!(sent(), [2, 2]);
}
