//! Faults on demand.

mod support;

use std::time::{Duration, Instant};

use aerospike::{BatchOperation, BatchPolicy, BatchReadPolicy, Bins, Error, WritePolicy, as_bin};
use genfence_wire::{Action, Code, Gate, Kind, Rule, Server, Then};
use support::{Pair, code, connect, key, reads, writes};

/// Writes that are given up after 200 ms.
fn impatient() -> WritePolicy {
    let mut policy = writes();
    policy.base_policy.total_timeout = 200;
    policy.base_policy.socket_timeout = 200;
    policy
}

async fn put(pair: &Pair, policy: &WritePolicy, name: &str, n: i64) -> Result<(), Error> {
    pair.client.put(policy, &key(name), &[as_bin!("n", n)]).await
}

fn stored(pair: &Pair, name: &str) -> Option<genfence_wire::Value> {
    Some(pair.server.record(&key(name).digest())?.bins["n"].clone())
}

#[tokio::test]
async fn a_lost_answer_means_a_lost_write() {
    for then in [Then::Close, Then::Silence] {
        let pair = Pair::new().await;
        let fault = pair.server.faults().add(Rule::new(Action::DropReply(then)).on(Kind::Write));
        let error = put(&pair, &impatient(), "a", 1).await.unwrap_err();
        assert!(error.in_doubt(), "{then:?}: {error}");
        assert_eq!(fault.happened(), 1);
        assert_eq!(stored(&pair, "a"), Some(1.into()), "{then:?}");
        // It befalls one request.
        put(&pair, &writes(), "a", 2).await.unwrap();
        assert_eq!(pair.record(&key("a")).generation, 2);
    }
}

#[tokio::test]
async fn a_lost_request_is_applied() {
    for then in [Then::Close, Then::Silence] {
        let pair = Pair::new().await;
        pair.server.faults().add(Rule::new(Action::DropRequest(then)).on(Kind::Write).times(2));
        for _ in 0..2 {
            assert!(put(&pair, &impatient(), "a", 1).await.unwrap_err().in_doubt());
            assert_eq!(stored(&pair, "a"), None);
        }
        put(&pair, &writes(), "a", 2).await.unwrap();
    }
}

#[tokio::test]
async fn a_delay_is_not_one() {
    let pair = Pair::new().await;
    for action in
        [Action::Delay(Duration::from_millis(100)), Action::DelayReply(Duration::from_millis(100))]
    {
        pair.server.faults().add(Rule::new(action).on(Kind::Write));
        let start = Instant::now();
        put(&pair, &writes(), "a", 1).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}

#[tokio::test]
async fn a_late_packet_is_never_applied() {
    let pair = Pair::new().await;
    let gate = Gate::new();
    pair.server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(Kind::Write));
    assert!(put(&pair, &impatient(), "a", 1).await.unwrap_err().in_doubt());
    gate.reached(1).await;
    assert_eq!(stored(&pair, "a"), None);
    put(&pair, &writes(), "a", 2).await.unwrap();
    gate.open();
    // The first write comes last, long after its caller has gone.
    while stored(&pair, "a") != Some(1.into()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pair.record(&key("a")).generation, 2);
}

#[tokio::test]
async fn an_answer_overtakes_its_gate() {
    let pair = Pair::new().await;
    let gate = Gate::new();
    pair.server.faults().add(Rule::new(Action::HoldAfter(gate.clone())).on(Kind::Write));
    let policy = writes();
    let write = put(&pair, &policy, "a", 1);
    let release = async {
        gate.reached(1).await;
        assert_eq!(stored(&pair, "a"), Some(1.into()));
        gate.open();
    };
    tokio::join!(write, release).0.unwrap();
}

#[tokio::test]
async fn half_an_answer_is_taken_for_a_whole_one() {
    let pair = Pair::new().await;
    put(&pair, &writes(), "a", 1).await.unwrap();
    for bytes in [0, 7, 20, 35] {
        pair.server.faults().add(Rule::new(Action::CutReply(bytes)).on(Kind::Read));
        pair.get(&key("a")).await.unwrap_err();
        pair.get(&key("a")).await.unwrap();
    }
}

#[tokio::test]
async fn a_stalled_connection_stalls_the_others() {
    let pair = Pair::new().await;
    pair.server.faults().add(Rule::new(Action::Stall).on(Kind::Write));
    assert!(put(&pair, &impatient(), "a", 1).await.unwrap_err().in_doubt());
    assert_eq!(stored(&pair, "a"), None);
    put(&pair, &writes(), "a", 2).await.unwrap();
}

#[tokio::test]
async fn a_failure_on_demand_is_applied() {
    let pair = Pair::new().await;
    pair.server.faults().add(Rule::new(Action::Fail(Code::KEY_BUSY)).on(Kind::Write));
    assert_eq!(code(put(&pair, &writes(), "a", 1).await), 14);
    assert_eq!(stored(&pair, "a"), None);
    // A batch fails as a whole.
    pair.server.faults().add(Rule::new(Action::Fail(Code::TIMEOUT)).on(Kind::Batch));
    let read = |name| BatchOperation::read(&BatchReadPolicy::default(), key(name), Bins::All);
    let mut rows = [read("a"), read("b")];
    let mut policy = BatchPolicy::default();
    policy.base_policy.max_retries = 0;
    let _ = pair.client.batch(&policy, &mut rows).await;
    assert!(rows.iter().all(|row| row.result_code() != Some(aerospike::ResultCode::Ok)));
}

#[tokio::test]
async fn a_rule_befalls_others_than_it_names() {
    let pair = Pair::new().await;
    let faults = pair.server.faults();
    let busy = || Rule::new(Action::Fail(Code::KEY_BUSY)).always();
    let by_key = faults.add(busy().on(Kind::Write).key(key("a").digest()));
    let by_bin = faults.add(busy().when(|request| request.bins.iter().any(|bin| bin == "m")));
    let by_key_sent = faults.add(busy().when(|request| request.keys.contains(&b"\x03c".to_vec())));
    let elsewhere =
        faults.add(busy().when(|request| request.namespace == "other" || request.set == "other"));
    let nowhere = faults.add(busy().connection(u64::MAX));
    for _ in 0..3 {
        assert_eq!(code(put(&pair, &writes(), "a", 1).await), 14);
    }
    put(&pair, &writes(), "b", 1).await.unwrap();
    assert_eq!(code(pair.client.put(&writes(), &key("b"), &[as_bin!("m", 1)]).await), 14);
    let with_key = WritePolicy { send_key: true, ..writes() };
    assert_eq!(code(put(&pair, &with_key, "c", 1).await), 14);
    let happened = [by_key, by_bin, by_key_sent, elsewhere, nowhere].map(|fault| fault.happened());
    assert_eq!(happened, [3, 1, 1, 0, 0]);
    pair.server.faults().clear();
    put(&pair, &writes(), "a", 1).await.unwrap();
    assert_eq!(pair.server.requests(Kind::Write), 7);
}

#[tokio::test]
async fn a_rule_for_commands_befalls_the_tending() {
    let pair = Pair::new().await;
    let commands = pair.server.faults().add(Rule::new(Action::Fail(Code::KEY_BUSY)).always());
    let info =
        pair.server.faults().add(Rule::new(Action::DropReply(Then::Close)).on(Kind::Info).always());
    let asked = pair.server.requests(Kind::Info);
    while pair.server.requests(Kind::Info) == asked {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(commands.happened(), 0);
    assert!(info.happened() > 0);
}

#[tokio::test]
async fn a_connection_is_not_told_from_another() {
    let server = Server::start().await.unwrap();
    let first = Pair { client: connect(&server).await, server };
    put(&first, &writes(), "a", 1).await.unwrap();
    let before = first.server.connections();
    first.server.faults().add(
        Rule::new(Action::Fail(Code::KEY_BUSY))
            .on(Kind::Write)
            .when(move |request| request.connection > before)
            .always(),
    );
    let second = connect(&first.server).await;
    assert_eq!(code(second.put(&writes(), &key("a"), &[as_bin!("n", 1)]).await), 14);
    put(&first, &writes(), "a", 1).await.unwrap();
}

#[tokio::test]
async fn an_evicted_record_is_still_there() {
    let pair = Pair::new().await;
    for name in ["a", "b", "c"] {
        put(&pair, &writes(), name, 1).await.unwrap();
    }
    assert!(pair.server.evict(&key("a").digest()));
    assert!(!pair.server.evict(&key("a").digest()));
    assert_eq!(code(pair.get(&key("a")).await), 2);
    assert_eq!(pair.server.evict_all(), 2);
    assert_eq!(code(pair.get(&key("b")).await), 2);
}

/// Until the client has noticed that its connections are gone.
async fn once_reconnected(pair: &Pair) {
    while pair.client.exists(&reads(), &key("whatever")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_restart_keeps_connections_or_loses_the_wrong_data() {
    let pair = Pair::new().await;
    put(&pair, &writes(), "a", 1).await.unwrap();
    let connections = pair.server.connections();
    pair.server.restart();
    once_reconnected(&pair).await;
    assert!(pair.server.connections() > connections);
    assert_eq!(stored(&pair, "a"), Some(1.into()));
    let connections = pair.server.connections();
    pair.server.restart_empty();
    once_reconnected(&pair).await;
    assert!(pair.server.connections() > connections);
    assert_eq!(code(pair.get(&key("a")).await), 2);
}

#[tokio::test]
async fn what_a_restarted_server_held_is_applied() {
    let pair = Pair::new().await;
    let gate = Gate::new();
    pair.server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(Kind::Write));
    let policy = writes();
    let write = put(&pair, &policy, "a", 1);
    let restart = async {
        gate.reached(1).await;
        pair.server.restart();
    };
    tokio::join!(write, restart).0.unwrap_err();
    gate.open();
    once_reconnected(&pair).await;
    assert_eq!(stored(&pair, "a"), None);
}
