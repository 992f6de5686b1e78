//! Commands of concurrent callers that travel together, on the wire test server. Each race is forced: a message is
//! held at a gate, and what comes meanwhile is gathered.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use genfence::{Cache, Error, SetOutcome};
use genfence_wire::{Action, Code, Gate, Kind, Rule, Server, Then};

async fn connect(server: &Server, options: &str) -> Cache {
    let url = format!("aerospike://{}/test/cache?attempts=1&{options}", server.address());
    Cache::connect(&url).await.unwrap()
}

/// A server, and a cache that has one message under way at once.
async fn one_at_a_time(options: &str) -> (Server, Cache) {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, &format!("merge_messages=1&{options}")).await;
    (server, cache)
}

fn digest(key: &str) -> [u8; 20] {
    let key = aerospike::Value::Blob(key.into());
    aerospike::Key::new("test", "cache", key).unwrap().digest()
}

/// Holds the next message of a kind.
fn hold(server: &Server, kind: Kind) -> Gate {
    let gate = Gate::new();
    server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(kind));
    gate
}

/// Calls that have begun; they end within a bound.
type Calls<'c, T> = Pin<Box<dyn Future<Output = Vec<T>> + 'c>>;

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it ends within its bound")
}

/// Goes on with them until one is held at the gate.
async fn reach<T>(gate: &Gate, calls: &mut Calls<'_, T>) {
    tokio::select! {
        biased;
        () = gate.reached(1) => {}
        _ = calls => panic!("none was held"),
    }
}

/// Begins all of them, in their order.
fn begin<'c, T: 'c>(calls: impl IntoIterator<Item = impl Future<Output = T> + 'c>) -> Calls<'c, T> {
    let boxed =
        calls.into_iter().map(|call| Box::pin(call) as Pin<Box<dyn Future<Output = T> + 'c>>);
    let mut calls: Calls<'c, T> = Box::pin(within(join_all(boxed)));
    let begun = calls.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    calls
}

async fn set(cache: &Cache, key: &str, value: &'static str) -> Result<SetOutcome, Error> {
    cache.set(key, value).await
}

async fn put(cache: &Cache, key: &str, value: &'static str) {
    assert_eq!(set(cache, key, value).await.unwrap(), SetOutcome::Stored);
}

#[tokio::test]
async fn what_waits_for_a_message_leaves_in_one() {
    let (server, cache) = one_at_a_time("").await;
    for key in ["a", "b", "c"] {
        put(&cache, key, key).await;
    }
    let gate = hold(&server, Kind::Read);
    let mut first = begin([cache.get("first")]);
    reach(&gate, &mut first).await;
    let rest = begin(["a", "none", "b", "c"].map(|key| cache.get(key)));
    let writes = begin(["d", "e", "f"].map(|key| set(&cache, key, key)));
    // What writes waits for no read.
    assert!(writes.await.into_iter().all(|set| set.unwrap() == SetOutcome::Stored));
    assert!(poll!(&mut first).is_pending());
    let reads = server.requests(Kind::Read);
    assert_eq!(server.requests(Kind::Batch), 1);
    gate.open();
    let read: Vec<_> =
        rest.await.into_iter().map(|read| read.unwrap().and_then(|hit| hit.value)).collect();
    assert_eq!(read, [Some("a".into()), None, Some("b".into()), Some("c".into())]);
    first.await;
    assert_eq!((server.requests(Kind::Read), server.requests(Kind::Batch)), (reads, 2));
    let stats = cache.stats();
    // Of the three writes the first went at once, as each before it.
    assert_eq!((stats.merged, stats.batches, stats.joined), (6, 2, 0));
    assert!(stats.queued_micros > 0);
}

#[tokio::test]
async fn a_read_joins_none_that_was_sent_before_it_began() {
    let (server, cache) = one_at_a_time("").await;
    let other = connect(&server, "merge=false").await;
    put(&other, "k", "old").await;
    let reads = server.requests(Kind::Read);
    let gate = Gate::new();
    server.faults().add(Rule::new(Action::HoldAfter(gate.clone())).on(Kind::Read));
    let mut first = begin([cache.get("k")]);
    reach(&gate, &mut first).await;
    put(&other, "k", "new").await;
    // The first has its answer on the way, and it is old.
    let later = begin([cache.get("k"), cache.get("k"), cache.get("k")]);
    gate.open();
    let value =
        |read: Result<Option<genfence::store::Hit>, Error>| read.unwrap().unwrap().value.unwrap();
    assert_eq!(first.await.into_iter().map(value).collect::<Vec<_>>(), ["old"]);
    assert_eq!(later.await.into_iter().map(value).collect::<Vec<_>>(), ["new"; 3]);
    assert_eq!((server.requests(Kind::Read), cache.stats().joined), (reads + 2, 2));
}

#[tokio::test]
async fn a_read_joins_none_that_is_in_a_batch_under_way() {
    let (server, cache) = one_at_a_time("").await;
    let other = connect(&server, "merge=false").await;
    put(&other, "k", "old").await;
    let (first, batch) = (hold(&server, Kind::Read), Gate::new());
    server.faults().add(Rule::new(Action::HoldAfter(batch.clone())).on(Kind::Batch));
    let mut calls = begin([cache.get("first"), cache.get("k"), cache.get("beside")]);
    first.open();
    reach(&batch, &mut calls).await;
    put(&other, "k", "new").await;
    let later = begin([cache.get("k")]);
    batch.open();
    calls.await;
    let read = later.await.pop().unwrap().unwrap().unwrap();
    assert_eq!(read.value.unwrap(), "new");
}

#[tokio::test]
async fn a_row_that_fails_costs_no_other() {
    let (server, cache) = one_at_a_time("").await;
    let gate = hold(&server, Kind::Write);
    let busy = || Rule::new(Action::Fail(Code::KEY_BUSY)).on(Kind::Row).key(digest("b"));
    server.faults().add(busy());
    let mut calls = begin(["first", "a", "b", "c"].map(|key| set(&cache, key, key)));
    reach(&gate, &mut calls).await;
    gate.open();
    let mut answers = calls.await;
    let refused = answers.remove(2).unwrap_err();
    assert!(refused.to_string().contains("(14)"), "{refused}");
    assert!(answers.into_iter().all(|set| set.unwrap() == SetOutcome::Stored));

    // A read is sent once more, by itself, as it is where it went by itself to begin with.
    put(&cache, "b", "b").await;
    let gate = hold(&server, Kind::Read);
    server.faults().add(busy());
    let mut reads = begin(["first", "a", "b", "c"].map(|key| cache.get(key)));
    reach(&gate, &mut reads).await;
    gate.open();
    for (key, read) in ["first", "a", "b", "c"].into_iter().zip(reads.await) {
        assert_eq!(read.unwrap().unwrap().value.unwrap(), key);
    }
    assert_eq!(cache.stats().batches, 2);
}

#[tokio::test]
async fn each_write_of_a_batch_without_an_answer_is_in_doubt_and_each_read_is_read_again() {
    let (server, cache) = one_at_a_time("").await;
    let keys = ["first", "a", "b", "c"];
    let gate = hold(&server, Kind::Write);
    server.faults().add(Rule::new(Action::DropReply(Then::Close)).on(Kind::Batch));
    let mut calls = begin(keys.map(|key| set(&cache, key, key)));
    reach(&gate, &mut calls).await;
    gate.open();
    let answers: Vec<_> = calls.await.into_iter().map(Result::unwrap).collect();
    let doubt = SetOutcome::InDoubt;
    assert_eq!(answers, [SetOutcome::Stored, doubt, doubt, doubt]);

    let gate = hold(&server, Kind::Read);
    server.faults().add(Rule::new(Action::DropReply(Then::Close)).on(Kind::Batch));
    let mut reads = begin(keys.map(|key| cache.get(key)));
    reach(&gate, &mut reads).await;
    gate.open();
    assert!(reads.await.into_iter().all(|read| read.unwrap().is_some()));
}

#[tokio::test]
async fn a_server_that_takes_no_batch_is_asked_one_by_one() {
    let (server, cache) = one_at_a_time("").await;
    let keys = ["first", "a", "b", "c"];
    for key in keys {
        put(&cache, key, key).await;
    }
    let gate = hold(&server, Kind::Read);
    server.faults().add(Rule::new(Action::Fail(Code::BATCH_DISABLED)).on(Kind::Batch).always());
    let mut reads = begin(keys.map(|key| cache.get(key)));
    reach(&gate, &mut reads).await;
    gate.open();
    assert!(reads.await.into_iter().all(|read| read.unwrap().is_some()));

    // From now on they go by themselves, the writes, too.
    let batches = cache.stats().batches;
    let gate = hold(&server, Kind::Write);
    let mut writes = begin(keys.map(|key| set(&cache, key, "new")));
    reach(&gate, &mut writes).await;
    gate.open();
    assert!(writes.await.into_iter().all(|set| set.unwrap() == SetOutcome::Stored));
    assert_eq!(cache.stats().batches, batches);
}

#[tokio::test]
async fn of_writes_in_a_batch_that_was_refused_nothing_is_done_and_they_hear_it() {
    let (server, cache) = one_at_a_time("").await;
    let keys = ["first", "a", "b", "c"];
    server.faults().add(Rule::new(Action::Fail(Code::BATCH_DISABLED)).on(Kind::Batch).always());
    let gate = hold(&server, Kind::Write);
    let mut writes = begin(keys.map(|key| set(&cache, key, "new")));
    reach(&gate, &mut writes).await;
    gate.open();
    for refused in writes.await.drain(1..) {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("takes no batch now"), "{refused}");
    }
    assert_eq!(cache.stats().batches, 1);
    // The next ones are not sent so again.
    let again = begin(keys.map(|key| set(&cache, key, "new"))).await;
    assert!(again.into_iter().all(|set| set.unwrap() == SetOutcome::Stored));
    assert_eq!(cache.stats().batches, 1);
}

#[tokio::test]
async fn of_a_caller_that_is_gone_nothing_is_sent() {
    let (server, cache) = one_at_a_time("").await;
    let gate = hold(&server, Kind::Write);
    let mut first = begin([set(&cache, "first", "v")]);
    reach(&gate, &mut first).await;
    let gone = begin([set(&cache, "gone", "v")]);
    let rest = begin(["a", "b"].map(|key| set(&cache, key, key)));
    drop(gone);
    gate.open();
    first.await;
    assert!(rest.await.into_iter().all(|set| set.is_ok()));
    assert_eq!(cache.stats().merged, 2);
    assert!(cache.get("gone").await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_that_is_gone_when_its_turn_comes_keeps_no_other_waiting() {
    let (server, cache) = one_at_a_time("").await;
    let gate = hold(&server, Kind::Write);
    let mut first = begin([set(&cache, "first", "v")]);
    reach(&gate, &mut first).await;
    // It is sent while nobody looks after it, and its caller goes before the answer is there.
    let gone = begin([set(&cache, "gone", "v")]);
    gate.open();
    first.await;
    drop(gone);
    assert_eq!(set(&cache, "next", "v").await.unwrap(), SetOutcome::Stored);
}

#[tokio::test]
async fn a_large_value_goes_by_itself_and_keeps_none_waiting() {
    let (server, cache) = one_at_a_time("").await;
    let gate = hold(&server, Kind::Write);
    let mut first = begin([set(&cache, "first", "v")]);
    reach(&gate, &mut first).await;
    assert_eq!(cache.set("large", vec![7; 20_000]).await.unwrap(), SetOutcome::Stored);
    gate.open();
    first.await;
    assert_eq!(cache.stats().batches, 0);
}

#[tokio::test]
async fn a_command_that_waits_for_a_silent_node_ends_within_a_bound_and_was_not_sent() {
    let (server, cache) = one_at_a_time("timeout=200ms").await;
    server.faults().add(Rule::new(Action::Stall).on(Kind::Write).always());
    server.faults().add(Rule::new(Action::Stall).on(Kind::Batch).always());
    let calls = begin(["first", "a", "b", "c"].map(|key| set(&cache, key, key)));
    let answers = calls.await;
    assert_eq!(*answers[0].as_ref().unwrap(), SetOutcome::InDoubt);
    for answer in &answers[1..] {
        let error = answer.as_ref().unwrap_err().to_string();
        assert!(error.contains("took no more commands within the time-out"), "{error}");
    }
    assert_eq!(server.requests(Kind::Batch), 0);
}

#[tokio::test]
async fn every_command_of_a_flood_at_a_silent_node_ends_within_a_bound() {
    let (server, cache) = one_at_a_time("timeout=200ms").await;
    server.faults().add(Rule::new(Action::Stall).always());
    let keys: Vec<String> = (0..20_000).map(|number| format!("key {number}")).collect();
    let answers = begin(keys.iter().map(|key| set(&cache, key, "v"))).await;
    let is_stored = |answer: &Result<SetOutcome, _>| matches!(answer, Ok(SetOutcome::Stored));
    assert!(!answers.iter().any(is_stored));
}
