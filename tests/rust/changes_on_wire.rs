//! Many changes at once, on the wire test server: in batches, of which each row has an outcome of its own.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use genfence::protocol::{Refusal, Ttl, Version};
use genfence::store::{AerospikeSettings, AerospikeStore, Answer, Change, Store as _, StoreError};
use genfence::{Cache, ChangeBatch, ChangeStream, Changed, Error, Fresh};
use genfence_wire::{Action, Clock, Cluster, Code, Config, Kind, Rule, Server, Then};

const BOUND: Duration = Duration::from_secs(20);

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, wait).await.expect("it ends within its bound")
}

async fn connect(server: &Server, options: &str) -> Cache {
    let url = format!("aerospike://{}/test/cache?{options}", server.address());
    Cache::connect(&url).await.unwrap()
}

async fn store(server: &Server) -> AerospikeStore {
    let address = server.address();
    let settings =
        AerospikeSettings::new("test", "cache").host(address.ip().to_string(), address.port());
    AerospikeStore::connect(&settings).await.unwrap()
}

fn digest(key: &str) -> [u8; 20] {
    let key = aerospike::Value::Blob(key.into());
    aerospike::Key::new("test", "cache", key).unwrap().digest()
}

fn invalidate(key: &str, version: Option<u64>) -> (Bytes, Change) {
    let ttl = Ttl::from_secs(3600).unwrap();
    let version = version.map(|version| Version::new(version).unwrap());
    (Bytes::copy_from_slice(key.as_bytes()), Change::Invalidate { version, ttl })
}

/// So many keys, each to a version of its own.
fn many(count: u64) -> impl Iterator<Item = (String, Option<u64>)> {
    (1..=count).map(|number| (format!("key {number}"), Some(number)))
}

async fn floor(cache: &Cache, key: &str) -> Option<u64> {
    let known = cache.inspect(key).await.unwrap()?;
    known.record.floor.map(Version::get)
}

async fn fill(cache: &Cache, key: &str, version: u64) {
    let fresh = Fresh::from("v").version(version);
    cache.get_or_fill(key, async || Ok::<_, Infallible>(fresh)).await.unwrap();
    assert!(cache.get(key).await.unwrap().is_some(), "it was filled");
}

fn refuse(server: &Server, key: &str, code: Code) -> genfence_wire::Fault {
    server.faults().add(Rule::new(Action::Fail(code)).on(Kind::Row).key(digest(key)).times(1))
}

/// Writes, in messages of their own.
fn singles(server: &Server) -> u64 {
    server.requests(Kind::Write) + server.requests(Kind::Operate)
}

#[tokio::test]
async fn each_change_has_its_own_outcome_in_the_order_in_which_they_were_asked_for() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    fill(&cache, "newer", 9).await;
    fill(&cache, "older", 3).await;
    let store = store(&server).await;
    refuse(&server, "foreign", Code::NOT_APPLICABLE);
    refuse(&server, "busy", Code::KEY_BUSY);
    let changes = [
        invalidate("unknown", Some(1)),
        invalidate("foreign", Some(1)),
        invalidate("newer", Some(5)),
        invalidate("missing", None),
        invalidate("older", Some(5)),
        invalidate("busy", Some(1)),
        invalidate("last", Some(7)),
    ];
    let batches = server.requests(Kind::Batch);
    let mut answers = store.change_many(&changes).await;
    assert_eq!(server.requests(Kind::Batch), batches + 1);
    let done: [Result<Answer<()>, StoreError>; 7] = std::array::from_fn(|_| answers.remove(0));
    let [unknown, foreign, newer, missing, older, busy, last] = done;
    assert!(matches!((unknown, older, last), (Ok(Ok(())), Ok(Ok(())), Ok(Ok(())))));
    assert_eq!(newer.unwrap(), Err(Refusal::Condition));
    assert_eq!(missing.unwrap(), Err(Refusal::Missing));
    let (foreign, busy) = (foreign.unwrap_err(), busy.unwrap_err());
    assert_eq!(
        (foreign.server_code(), foreign.may_retry(), foreign.in_doubt()),
        (Some(26), false, false)
    );
    assert_eq!((busy.server_code(), busy.may_retry(), busy.in_doubt()), (Some(14), true, false));
    // What is said of them is so.
    assert_eq!((floor(&cache, "unknown").await, floor(&cache, "last").await), (Some(1), Some(7)));
    assert!(
        cache.get("newer").await.unwrap().is_some() && cache.get("older").await.unwrap().is_none()
    );
    assert_eq!((floor(&cache, "foreign").await, floor(&cache, "busy").await), (None, None));
    assert!(store.change_many(&[]).await.is_empty());
}

#[tokio::test]
async fn a_batch_has_no_more_rows_than_one_that_was_merged() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    let (batches, before) = (server.requests(Kind::Batch), singles(&server));
    cache.invalidate_many(many(64 * 3 + 1)).await.unwrap();
    // The last goes by itself.
    assert_eq!((server.requests(Kind::Batch) - batches, singles(&server) - before), (3, 1));
    let stats = cache.stats();
    assert_eq!((stats.merged, stats.batches), (64 * 3, 3));
    for (key, version) in many(64 * 3 + 1) {
        assert_eq!(floor(&cache, &key).await, version, "{key}");
    }
}

#[tokio::test]
async fn a_change_that_failed_is_told_again_alone() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    let busy = refuse(&server, "key 7", Code::KEY_BUSY);
    let (batches, before) = (server.requests(Kind::Batch), singles(&server));
    cache.invalidate_many(many(20)).await.unwrap();
    assert_eq!(busy.happened(), 1);
    assert_eq!((server.requests(Kind::Batch) - batches, singles(&server) - before), (1, 1));
    assert_eq!(floor(&cache, "key 7").await, Some(7));
}

/// One batch, and then the end.
struct Once(Option<Vec<Changed>>);

impl ChangeStream for Once {
    type Position = ();
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<ChangeBatch<()>>, Infallible> {
        let batch = |changes| ChangeBatch { changes, heartbeats: vec![], position: () };
        Ok(self.0.take().map(batch))
    }

    async fn confirm(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test]
async fn a_follower_tells_again_only_what_was_not_applied() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "attempts=1").await;
    refuse(&server, "key 7", Code::KEY_BUSY);
    // As a foreign record does, which somebody takes away: nobody else waits for that.
    refuse(&server, "key 9", Code::NOT_APPLICABLE);
    let (batches, before) = (server.requests(Kind::Batch), singles(&server));
    let told = |(key, version): (String, Option<u64>)| Changed { key: key.into(), version };
    within(cache.follow(Once(Some(many(20).map(told).collect()))).run()).await.unwrap();
    assert_eq!((server.requests(Kind::Batch) - batches, singles(&server) - before), (2, 0));
    for (key, version) in many(20) {
        assert_eq!(floor(&cache, &key).await, version, "{key}");
    }
    let stats = cache.stats();
    assert_eq!((stats.changes_heard, stats.merged), (20, 20 + 2));
}

#[tokio::test]
async fn one_that_can_never_be_applied_is_an_error_and_keeps_no_other_from_being_tried_again() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "").await;
    refuse(&server, "key 9", Code::NOT_APPLICABLE);
    refuse(&server, "key 7", Code::KEY_BUSY);
    let error = cache.invalidate_many(many(20)).await.unwrap_err();
    assert!(error.to_string().contains("somebody else's records"), "{error}");
    for (key, version) in many(20) {
        let expected = version.filter(|version| *version != 9);
        assert_eq!(floor(&cache, &key).await, expected, "{key}");
    }
}

#[tokio::test]
async fn changes_whose_answer_is_lost_are_in_doubt_and_are_told_again() {
    let server = Server::start().await.unwrap();
    let lost = || Rule::new(Action::DropReply(Then::Close)).on(Kind::Batch);
    server.faults().add(lost());
    for answer in
        store(&server).await.change_many(&[invalidate("a", None), invalidate("b", None)]).await
    {
        assert!(answer.unwrap_err().in_doubt());
    }
    let (cache, once) = (connect(&server, "").await, connect(&server, "attempts=1").await);
    server.faults().add(lost());
    cache.invalidate_many(many(20)).await.unwrap();
    server.faults().add(lost());
    let Err(Error::Store(error)) = once.invalidate_many(many(20)).await else {
        panic!("no answer")
    };
    assert!(
        error.in_doubt() && error.to_string().contains("no answer to an invalidate"),
        "{error}"
    );
    assert_eq!(once.stats().in_doubt, 20);
}

#[tokio::test]
async fn where_nothing_is_merged_each_goes_by_itself() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "merge=false").await;
    let (batches, before) = (server.requests(Kind::Batch), singles(&server));
    cache.invalidate_many(many(100)).await.unwrap();
    assert_eq!((server.requests(Kind::Batch) - batches, singles(&server) - before), (0, 100));
}

#[tokio::test]
async fn a_server_that_takes_no_batch_is_told_one_by_one() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "merge_messages=1").await;
    server.faults().add(Rule::new(Action::Fail(Code::BATCH_DISABLED)).on(Kind::Batch).always());
    let before = singles(&server);
    cache.invalidate_many(many(100)).await.unwrap();
    assert_eq!(singles(&server) - before, 100);
    let batches = server.requests(Kind::Batch);
    cache.invalidate_many(many(100)).await.unwrap();
    assert_eq!(server.requests(Kind::Batch), batches, "it is not asked again for a while");
}

#[tokio::test]
async fn changes_for_a_silent_node_end_within_a_bound_and_most_were_never_sent() {
    let server = Server::start().await.unwrap();
    let cache = connect(&server, "timeout=200ms&attempts=1&cluster_guard=off").await;
    let batches = server.requests(Kind::Batch);
    server.faults().add(Rule::new(Action::Stall).always());
    within(cache.invalidate_many(many(20_000))).await.unwrap_err();
    let sent = server.requests(Kind::Batch) - batches;
    assert!((1..=8).contains(&sent), "{sent} batches");
}

#[tokio::test]
async fn a_node_that_is_gone_fails_its_own_changes_and_no_others() {
    let nodes =
        Cluster::start(3, Config { replication_factor: 2, ..Config::default() }, Clock::system())
            .await
            .unwrap();
    let hosts: Vec<String> = nodes.addresses().iter().map(ToString::to_string).collect();
    let url = format!(
        "aerospike://{}/test/cache?cluster_guard=off&timeout=500ms&attempts=1",
        hosts.join(",")
    );
    let cache = Cache::connect(&url).await.unwrap();
    // Until it is known which node has which keys.
    within(async { while cache.invalidate_many(many(200)).await.is_err() {} }).await;
    let batches = |node: usize| nodes.node(node).requests(Kind::Batch);
    let before = [batches(0), batches(1), batches(2)];
    nodes
        .node(2)
        .faults()
        .add(Rule::new(Action::DropRequest(Then::Close)).on(Kind::Batch).always());
    let again = many(200).map(|(key, version)| (key, version.map(|version| version + 1000)));
    within(cache.invalidate_many(again)).await.unwrap_err();
    let told: Vec<u64> = (0..3).map(|node| batches(node) - before[node]).collect();
    assert!(told.iter().all(|told| *told > 0), "each node is told by itself: {told:?}");
    let mut applied = 0;
    for (key, version) in many(200) {
        let expected = version.map(|version| version + 1000);
        applied += usize::from(floor(&cache, &key).await == expected);
    }
    // A third is at the node that is silent, or about that.
    assert!((100..=170).contains(&applied), "{applied} of 200");
}
