//! Copies that a process serves by itself, on the wire test server: who may keep one, who waits for it, and when it is served no more.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use genfence::{
    Answer, Cache, CommitOutcome, Error, Fence, Fresh, Lookup, Reservations, SetOutcome,
    SourceResult, SourceResults, TransactionFence, UpdateOutcome,
};
use genfence_wire::{Action, Clock, Config, Kind, Rule, Server};

/// How long copies live here, if no test says otherwise.
const NEAR: Duration = Duration::from_secs(2);
/// More than it takes to do what is to be done while a copy lives.
const MOMENT: Duration = Duration::from_millis(500);

async fn connect(server: &Server, options: &str) -> Cache {
    let url = format!("aerospike://{}/test/cache?{options}", server.address());
    Cache::connect(&url).await.unwrap()
}

async fn one(options: &str) -> (Server, Cache) {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, options).await;
    (server, cache)
}

/// A server, and caches of two processes.
async fn two(options: &str) -> (Server, Cache, Cache) {
    let (server, first) = one(options).await;
    let second = connect(&server, options).await;
    (server, first, second)
}

async fn load(cache: &Cache, value: &'static str) {
    cache.get_or_fill("k", async || Ok::<_, Infallible>(value)).await.unwrap();
}

async fn text(cache: &Cache) -> Option<String> {
    let hit = cache.get("k").await.unwrap()?;
    Some(String::from_utf8(hit.value.unwrap().to_vec()).unwrap())
}

/// Reads until it has a copy.
async fn copied(cache: &Cache) {
    let before = cache.stats().near_hits;
    let reads = async {
        while cache.stats().near_hits == before {
            assert!(text(cache).await.is_some());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("a copy is kept");
}

/// All that was sent to it for keys.
fn sent(server: &Server) -> u64 {
    let kinds = [Kind::Read, Kind::Write, Kind::Delete, Kind::Operate, Kind::Batch];
    kinds.map(|kind| server.requests(kind)).iter().sum()
}

#[tokio::test]
async fn a_value_that_is_read_again_and_again_costs_no_command() {
    let (server, cache) = one("near=2s").await;
    load(&cache, "v").await;
    copied(&cache).await;
    let before = sent(&server);
    for _ in 0..1000 {
        assert_eq!(text(&cache).await.as_deref(), Some("v"));
        assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Hit(_)));
    }
    load(&cache, "is not asked for").await;
    // One may ask for more time meanwhile.
    assert!(sent(&server) - before <= 2, "{}", sent(&server) - before);
    assert!(cache.stats().near_hits >= 2001 && cache.stats().hits >= cache.stats().near_hits);
}

#[tokio::test]
async fn no_copy_is_kept_where_nobody_asked_for_any() {
    let (server, cache) = one("near_max=2s").await;
    load(&cache, "v").await;
    let before = sent(&server);
    for _ in 0..10 {
        assert_eq!(text(&cache).await.as_deref(), Some("v"));
    }
    assert_eq!((sent(&server) - before, cache.stats().near_hits), (10, 0));
}

#[tokio::test]
async fn a_handle_that_keeps_copies_for_less_is_waited_for_no_longer() {
    let (_server, cache, writer) = two("near_max=500ms&reservation_margin=1ms").await;
    load(&cache, "v").await;
    // What was said when it was made is over.
    tokio::time::sleep(Duration::from_millis(510)).await;
    copied(&cache.near(Duration::from_millis(50)).unwrap()).await;
    let reservation = writer.reserve("k").await.unwrap();
    assert!(reservation.unsettled() < Duration::from_millis(60), "{:?}", reservation.unsettled());
}

/// Also where others of its process are.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_handle_whose_near_time_is_zero_is_served_no_copy() {
    let (server, cache) = one("near=5s").await;
    let load = async || Ok::<_, Infallible>(Some(1_u64));
    let numbers = cache.typed::<u64>();
    numbers.get_or_fill("k", load).await.unwrap();
    copied(&cache).await;
    numbers.get_or_fill_shared("k", load).await.unwrap();
    let asks = cache.near(Duration::ZERO).unwrap();
    let shared = asks.typed::<u64>();
    let (before, near) = (sent(&server), cache.stats().near_hits);
    for _ in 0..2 {
        assert_eq!(text(&asks).await.as_deref(), Some("1"));
        assert!(matches!(asks.lookup("k").await.unwrap(), Lookup::Hit(_)));
        assert!(matches!(asks.lookup_many(&["k"]).await.unwrap()[0], Some(Lookup::Hit(_))));
        shared.get_or_fill_shared("k", load).await.unwrap();
    }
    assert_eq!((sent(&server) - before, cache.stats().near_hits - near), (8, 0));
    assert_eq!(text(&cache).await.as_deref(), Some("1"));
    assert_eq!(cache.stats().near_hits - near, 1);
}

#[tokio::test]
async fn the_near_time_of_a_handle_is_bounded_and_errors_say_how() {
    let told = async |options: &str, millis| {
        let cache = Cache::connect(&format!("memory://?{options}")).await.unwrap();
        let handle = cache.near(Duration::from_millis(millis));
        handle.map(drop).map_err(|error| error.to_string())
    };
    let bounds = |given| {
        Err(format!("near: {given} is out of bounds, must be 10ms to 2s; the most is `near_max`"))
    };
    for options in ["near_max=2s", "near=2s", "near=1s&near_max=2s"] {
        for fine in [0, 10, 2000] {
            assert_eq!(told(options, fine).await, Ok(()));
        }
        assert_eq!(told(options, 9).await, bounds("9ms"));
        assert_eq!(told(options, 2001).await, bounds("2s 1ms"));
    }
    assert_eq!(told("", 0).await, Ok(()));
    let problem = told("", 1000).await.unwrap_err();
    assert!(problem.starts_with("near: ") && problem.contains("`near_max`"), "{problem}");

    let peer = Cache::connect("memory://").await.unwrap();
    let builder = Cache::builder().region("eu").fence(Fence::Home).peer("us", peer);
    let eu = builder.connect("memory://?near=1s").await.unwrap();
    let problem = eu.near(Duration::ZERO).unwrap_err().to_string();
    assert!(problem.starts_with("near: cannot be of a handle where `fence`"), "{problem}");
}

#[tokio::test]
async fn a_writer_waits_for_the_copies_of_others_and_after_that_there_are_none() {
    let (_server, reader, writer) = two("near=2s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    let reservation = writer.reserve("k").await.unwrap();
    assert!(!reservation.unsettled().is_zero() && reservation.unsettled() <= NEAR + MOMENT);
    // It is the latest as long as the writer's COMMIT was not sent.
    assert_eq!(text(&reader).await.as_deref(), Some("old"));
    reservation.settled().await;
    assert!(reservation.unsettled().is_zero() && !reservation.remaining().is_zero());
    assert_eq!(text(&reader).await, None);
    assert_eq!(reservation.commit("new").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(text(&reader).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn an_update_runs_when_no_copy_is_served_any_more() {
    let (_server, reader, writer) = two("near=1s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    let update = writer.update("k", async |reservation| {
        assert!(reservation.unsettled().is_zero());
        assert_eq!(text(&reader).await, None);
        Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("new")))
    });
    let _ = update.await.unwrap();
    assert_eq!(text(&reader).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn of_a_key_that_is_added_in_a_transaction_no_copy_is_served_either() {
    let (_server, reader, writer) = two("near=1s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    let change = async |reservations: &mut Reservations| {
        reservations.add("k").await.unwrap();
        assert!(reservations.unsettled().is_zero());
        assert_eq!(text(&reader).await, None);
        Ok::<_, Infallible>(SourceResults::changed().with("k", "new"))
    };
    writer.update_many(["another"], change).await.unwrap();
    assert_eq!(text(&reader).await.as_deref(), Some("new"));

    copied(&reader).await;
    let change = async |fence: &mut TransactionFence| fence.add("k");
    let commit = async |()| {
        assert_eq!(text(&reader).await, None);
        Ok::<_, Error>(())
    };
    writer.transaction(change, commit).await.unwrap();
}

/// One that reads from the server has nearly always a hit; it has none only while the key is reserved.
#[tokio::test]
async fn while_an_update_waits_for_copies_the_value_is_served() {
    let (server, reader, writer) = two("near=2s").await;
    let other = connect(&server, "near_max=2s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    let update = tokio::spawn(async move {
        let change = async |_: &_| Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("new")));
        writer.update("k", change).await
    });
    let (mut hits, mut gaps) = (0, 0);
    while !update.is_finished() {
        match text(&other).await {
            Some(_) => hits += 1,
            None => gaps += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(hits > 10 * gaps, "{hits} hits, {gaps} gaps");
    assert_eq!(update.await.unwrap().unwrap(), UpdateOutcome::Stored);
    assert_eq!(text(&reader).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn of_a_key_that_is_written_again_and_again_no_copies_are_kept_and_nobody_waits() {
    let server = Server::start_with(Config::default(), Clock::manual(), 0).await.unwrap();
    let (options, near) = ("near=200ms&reservation_margin=20ms", Duration::from_millis(200));
    let (reader, writer) = (connect(&server, options).await, connect(&server, options).await);
    let update = async || {
        let change = async |_: &_| Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("new")));
        assert_eq!(writer.update("k", change).await.unwrap(), UpdateOutcome::Stored);
    };
    let nobody_has_a_copy = async || {
        for _ in 0..50 {
            assert!(text(&reader).await.is_some());
        }
        let reservation = writer.reserve("k").await.unwrap();
        assert!(reservation.unsettled().is_zero());
        assert_eq!(reservation.commit("new").await.unwrap(), CommitOutcome::Stored);
    };
    load(&reader, "old").await;
    server.clock().advance(10 * near);
    copied(&reader).await;
    update().await;
    server.clock().advance(near * 3 / 2);
    nobody_has_a_copy().await;
    // In the second half of that time.
    update().await;
    server.clock().advance(near);
    nobody_has_a_copy().await;
    server.clock().advance(2 * near);
    copied(&reader).await;
    assert!(!writer.reserve("k").await.unwrap().unsettled().is_zero());
}

#[tokio::test]
async fn a_program_that_keeps_no_copies_waits_for_those_of_others() {
    let server = Server::start().await.unwrap();
    let reader = connect(&server, "near=2s").await;
    let writer = connect(&server, "near_max=2s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    let reservation = writer.reserve("k").await.unwrap();
    assert!(!reservation.unsettled().is_zero());
    reservation.abort().await;
}

#[tokio::test]
async fn ones_own_changes_are_seen_at_once() {
    let (_server, cache) = one("near=2s").await;
    load(&cache, "old").await;
    copied(&cache).await;
    let reservation = cache.reserve("k").await.unwrap();
    assert_eq!(text(&cache).await, None, "it has reserved the key itself");
    reservation.release(None).await.unwrap();
    load(&cache, "other").await;
    copied(&cache).await;
    let invalidated = tokio::spawn({
        let cache = cache.clone();
        async move { cache.invalidate("k", None).await }
    });
    let gone = async {
        while text(&cache).await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MOMENT, gone).await.expect("it is seen before others' copies are over");
    invalidated.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_invalidate_returns_when_no_copy_is_served_any_more() {
    for many in [false, true] {
        let (_server, reader, other) = two("near=1s").await;
        load(&reader, "old").await;
        copied(&reader).await;
        if many {
            other.invalidate_many([("k", None), ("unknown", Some(7))]).await.unwrap();
        } else {
            other.invalidate("k", None).await.unwrap();
        }
        assert_eq!(text(&reader).await, None);
    }
}

/// Its value is new enough; but copies of what was before may live on.
#[tokio::test]
async fn an_invalidate_that_is_refused_waits_all_the_same() {
    let (_server, reader, other) = two("near=1s").await;
    let fresh = Fresh::from("v").version(7);
    reader.get_or_fill("k", async || Ok::<_, Infallible>(fresh)).await.unwrap();
    copied(&reader).await;
    let start = Instant::now();
    other.invalidate("k", Some(7)).await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_set_is_seen_by_all_when_it_returns() {
    let (_server, reader, other) = two("near=1s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    assert_eq!(other.set("k", "new").await.unwrap(), SetOutcome::Stored);
    assert_eq!(text(&reader).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_record_that_was_lost_is_waited_for_as_nobody_knows_of_copies() {
    let (server, reader, writer) = two("near=2s").await;
    load(&reader, "old").await;
    copied(&reader).await;
    server.evict_all();
    assert_eq!(text(&reader).await.as_deref(), Some("old"));
    let reservation = writer.reserve("k").await.unwrap();
    assert!(reservation.unsettled() + MOMENT >= NEAR, "{:?}", reservation.unsettled());
    reservation.settled().await;
    assert_eq!(text(&reader).await, None);
}

#[tokio::test]
async fn one_stamp_serves_all_processes() {
    let (server, first) = one("near=10s&reservation_time=30s").await;
    load(&first, "v").await;
    let others = [
        connect(&server, "near=10s&reservation_time=30s").await,
        connect(&server, "near=10s&reservation_time=30s").await,
    ];
    copied(&first).await;
    for other in &others {
        copied(other).await;
    }
    let stamps: u64 = others.iter().chain([&first]).map(|cache| cache.stats().near_stamps).sum();
    assert!(stamps <= 1, "{stamps}");
}

/// A server keeps a short queue for each key, and refuses whoever finds it full.
#[tokio::test]
async fn a_crowd_of_readers_asks_for_one_stamp() {
    let (_server, cache) = one("near=2s").await;
    load(&cache, "v").await;
    // What was said when it was made is over.
    tokio::time::sleep(2 * NEAR).await;
    let readers = (0..64).map(|_| async {
        for _ in 0..20 {
            assert_eq!(text(&cache).await.as_deref(), Some("v"));
        }
    });
    futures_util::future::join_all(readers).await;
    copied(&cache).await;
    assert_eq!(cache.stats().near_stamps, 1);
}

#[tokio::test]
async fn a_copy_that_is_read_is_renewed_before_it_ends() {
    let (_server, cache) = one("near=500ms").await;
    load(&cache, "v").await;
    copied(&cache).await;
    let start = Instant::now();
    let before = cache.stats();
    while start.elapsed() < 6 * Duration::from_millis(500) {
        assert_eq!(text(&cache).await.as_deref(), Some("v"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (after, reads) = (cache.stats(), cache.stats().hits - before.hits);
    let near = after.near_hits - before.near_hits;
    assert!(after.near_stamps > before.near_stamps + 2, "{after:?}");
    // Who comes when one has ended is told to come again.
    assert!(reads - near <= 6, "{near} of {reads}");
}

#[tokio::test]
async fn a_key_that_is_read_once_is_not_stamped() {
    let (_server, cache) = one("near=200ms").await;
    for key in ["a", "b", "c"] {
        cache.get_or_fill(key, async || Ok::<_, Infallible>("v")).await.unwrap();
    }
    // What was said when they were made is over.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for key in ["a", "b", "c"] {
        assert!(cache.get(key).await.unwrap().is_some());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(cache.stats().near_stamps, 0);
}

/// A copy counts from before the stamp was sent, and not from its answer.
#[tokio::test]
async fn a_stamp_whose_answer_comes_late_gives_no_more_time() {
    let (server, reader, writer) = two("near=1s").await;
    load(&reader, "old").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let late = Duration::from_millis(600);
    server.faults().add(Rule::new(Action::DelayReply(late)).on(Kind::Write).times(1));
    copied(&reader).await;
    let reservation = writer.reserve("k").await.unwrap();
    reservation.settled().await;
    assert_eq!(text(&reader).await, None);
}

/// Of those that are read together, too, one message asks of all, and one that is read again leaves a copy.
#[tokio::test]
async fn values_that_are_read_together_leave_copies() {
    let (server, cache, writer) = two("near=1s&merge=false").await;
    let keys: Vec<String> = (0..20).map(|key| key.to_string()).collect();
    let load = async |keys: Vec<bytes::Bytes>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
    };
    let all: Vec<_> = keys.iter().map(|key| Some(bytes::Bytes::from(key.clone()))).collect();
    assert_eq!(cache.get_or_fill_many(&keys, load).await.unwrap(), all);
    let before = server.requests(Kind::Batch);
    assert_eq!(cache.get_or_fill_many(&keys, load).await.unwrap(), all);
    assert_eq!(server.requests(Kind::Batch) - before, 1);
    let copied = async || {
        let before = cache.stats().near_hits;
        assert_eq!(cache.get_or_fill_many(&keys, load).await.unwrap(), all);
        cache.stats().near_hits - before == 20
    };
    let all_copied = async { while !copied().await {} };
    tokio::time::timeout(Duration::from_secs(20), all_copied).await.expect("all are kept");

    let reservation = writer.reserve("7").await.unwrap();
    reservation.settled().await;
    let found = cache.lookup_many(&keys).await.unwrap();
    let held = found.iter().filter(|found| !matches!(found, Some(Lookup::Hit(_)))).count();
    assert!(held == 1 && matches!(found[7], Some(Lookup::Bypass(_))), "{found:?}");
}

/// Its age is from the last hit on, though that was a copy's.
#[tokio::test]
async fn what_copies_served_is_last_known_from_then_on() {
    let (_server, cache) = one("near=3s&stale_for=5s").await;
    load(&cache, "v").await;
    copied(&cache).await;
    // Longer than it takes until it is noted once more.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (began, before) = (Instant::now(), cache.stats().near_hits);
    assert_eq!(text(&cache).await.as_deref(), Some("v"));
    assert_eq!(cache.stats().near_hits, before + 1);
    let _writer = cache.reserve("k").await.unwrap();
    let answer = cache.get_or_fill_or_stale("k", || async { Err::<&str, _>("it is down") }).await;
    let Answer::Stale { age, .. } = answer.unwrap() else { panic!("a writer holds it") };
    assert!(age <= began.elapsed(), "{age:?}");
}

#[tokio::test]
async fn programs_that_reckon_with_other_copies_are_refused_and_told_both() {
    let (server, _cache) = one("near=2s").await;
    for options in ["", "near=1s", "near=1s&near_max=3s", "near=2s&reservation_margin=2s"] {
        let url = format!("aerospike://{}/test/cache?{options}", server.address());
        let Err(Error::Store(error)) = Cache::connect(&url).await else { panic!("{options}") };
        let told = error.to_string();
        assert!(told.contains("near_max=2s") && told.contains("genfence contract"), "{told}");
    }
    connect(&server, "near=1s&near_max=2s").await;
}

#[tokio::test]
async fn a_near_time_out_of_bounds_is_refused_and_named() {
    for (options, told) in [
        ("near=1ms", "near: 1ms is out of bounds, must be 10ms"),
        ("near=10s", "near: 10s is out of bounds"),
        ("near_max=9s", "near_max: 9s is out of bounds"),
        (
            "near=2s&near_max=1s",
            "near: 2s is out of bounds, must be 10ms to 1s; the most is `near_max`",
        ),
    ] {
        let url = format!("memory://?{options}");
        let error = Cache::connect(&url).await.unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

/// There is nothing to wait for where every handle reads the same memory.
#[tokio::test]
async fn in_process_nobody_waits() {
    let cache = Cache::connect("memory://?near=2s").await.unwrap();
    load(&cache, "old").await;
    assert_eq!(text(&cache).await.as_deref(), Some("old"));
    let reservation = cache.reserve("k").await.unwrap();
    assert!(reservation.unsettled().is_zero());
    assert_eq!(text(&cache).await, None);
}
