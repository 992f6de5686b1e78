//! A lease on the cluster: what counts only while its nodes agree who is in it. On the wire test server, whose word
//! about that a test changes.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use genfence::{
    Bypass, Cache, CommitOutcome, Error, FillOutcome, Lookup, SourceResult, UpdateOutcome,
};
use genfence_wire::{Action, Clock, Config, Gate, Kind, Rule, Server};

const BOUND: Duration = Duration::from_secs(20);
const UNSTABLE: &str = "ERROR:24:unstable cluster";

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, wait).await.expect("it ends within its bound")
}

fn url(server: &Server, options: &str) -> String {
    format!("aerospike://{}/test/cache?{options}", server.address())
}

/// A server, and a cache in which a key has a value. Leases on the cluster are long, so that none ends by itself.
async fn stored(options: &str) -> (Server, Cache) {
    let server = Server::start().await.unwrap();
    let cache = Cache::connect(&url(&server, options)).await.unwrap();
    let load = async || Ok::<_, Infallible>("v");
    cache.get_or_fill("k", load).await.unwrap();
    assert!(cache.get("k").await.unwrap().is_some(), "it was filled");
    (server, cache)
}

fn says(server: &Server, key: &str) {
    server.configure(|config| key.clone_into(&mut config.cluster_key));
}

/// Until the cache has heard that the nodes do not agree, so often.
async fn lost(cache: &Cache, times: u64) {
    within(async {
        while cache.stats().leases_lost < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Until a key has a value that may be served.
async fn served(cache: &Cache) {
    within(async {
        while cache.get("k").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn while_the_nodes_do_not_agree_reads_bypass() {
    let (server, cache) = stored("cluster_guard_time=100ms").await;
    says(&server, UNSTABLE);
    lost(&cache, 1).await;
    assert!(cache.get("k").await.unwrap().is_none());
    let load = async |keys: Vec<Bytes>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, "the source's")))
    };
    let several = cache.get_or_fill_many(["k", "l"], load).await.unwrap();
    assert!(several.iter().all(|value| value.as_deref() == Some(b"the source's".as_slice())));
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    let loaded = cache.get_or_fill("k", async || Ok::<_, Infallible>("the source's")).await;
    assert_eq!(loaded.unwrap().unwrap(), "the source's");
    says(&server, "1");
    served(&cache).await;
    let stats = cache.stats();
    assert!(stats.leases_lost == 1 && stats.unleased_micros > 0, "{stats:?}");
}

#[tokio::test]
async fn the_error_says_who_does_not_agree() {
    let (server, cache) = stored("cluster_guard_time=100ms&unreachable_read=error").await;
    says(&server, UNSTABLE);
    lost(&cache, 1).await;
    let Err(Error::Store(error)) = cache.get("k").await else { panic!("there is no lease") };
    let told = error.to_string();
    let named = server.address().to_string();
    assert!(told.contains(&named) && told.contains("unstable cluster"), "{told}");
}

#[tokio::test]
async fn a_hit_that_was_read_while_the_cluster_changed_does_not_count() {
    let (server, cache) = stored("cluster_guard_time=100ms").await;
    let gate = Gate::new();
    server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(Kind::Read));
    let reader = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get("k").await })
    };
    within(gate.reached(1)).await;
    // Lost and held again, before the answer comes.
    says(&server, UNSTABLE);
    lost(&cache, 1).await;
    says(&server, "1");
    served(&cache).await;
    gate.open();
    assert!(within(reader).await.unwrap().unwrap().is_none(), "it was read before the gap");
}

#[tokio::test]
async fn nothing_is_stored_or_changed_after_the_cluster_has_changed() {
    let (server, cache) = stored("cluster_guard_time=100ms").await;
    let Lookup::Leased(lease) = cache.lookup("other").await.unwrap() else { panic!("it is free") };
    let reservation = cache.reserve("k").await.unwrap();
    let left = reservation.remaining();
    assert!(left > Duration::ZERO && left <= Duration::from_millis(100), "{left:?}");
    says(&server, UNSTABLE);
    lost(&cache, 1).await;
    says(&server, "1");
    assert!(matches!(lease.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    assert_eq!(reservation.remaining(), Duration::ZERO);
    assert!(!reservation.renew().await.unwrap());
    assert_eq!(reservation.commit("new").await.unwrap(), CommitOutcome::Purged);
}

#[tokio::test]
async fn hits_go_on_under_a_new_key_and_claims_wait() {
    let (server, cache) = stored("cluster_guard_time=1s").await;
    says(&server, "1");
    within(async {
        loop {
            // A lease that is dropped is given back.
            match cache.lookup("other").await.unwrap() {
                Lookup::Bypass(Bypass::Unreachable) => break,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await;
    assert!(cache.get("k").await.unwrap().is_some());
    // It ends when others can have no lease under the key before, and then so may all.
    let change = async |_: &genfence::Reservation| {
        Ok::<_, Infallible>(SourceResult::Committed("new".into()))
    };
    let updated = within(cache.update("k", change)).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Stored);
    assert!(matches!(cache.lookup("other").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test]
async fn a_lease_that_another_cluster_may_have_granted_does_not_count() {
    // The next question would come in seconds, but for the lease that is granted.
    let (server, cache) = stored("cluster_guard_time=10s").await;
    says(&server, "1");
    let Lookup::Leased(lease) = cache.lookup("other").await.unwrap() else { panic!("it is free") };
    assert!(matches!(lease.fill("old").await.unwrap(), FillOutcome::Rejected(_)));
    assert!(cache.get("other").await.unwrap().is_none());
}

/// A hit of which most of its life is over.
async fn old(cache: &Cache, key: &str) -> genfence::store::Hit {
    cache.get_or_fill(key, async || Ok::<_, Infallible>("old")).await.unwrap();
    cache.touch(key, Duration::from_secs(20)).await.unwrap();
    cache.get(key).await.unwrap().expect("it was filled")
}

#[tokio::test]
async fn a_refresh_that_another_cluster_may_have_granted_does_not_count() {
    let (server, cache) = stored("cluster_guard_time=10s&refresh_at=0.5").await;
    let seen = old(&cache, "k").await;
    says(&server, "1");
    let refresh = cache.refresh("k", &seen).await.unwrap().expect("it is due");
    assert!(matches!(refresh.fill("new").await.unwrap(), FillOutcome::Rejected(_)));
    assert_eq!((cache.stats().refreshes, cache.stats().refreshed), (1, 0));
}

#[tokio::test]
async fn a_refill_that_a_node_reads_after_the_lease_on_the_cluster_is_refused_there() {
    let clock = Clock::manual();
    let server = Server::start_with(Config::default(), clock.clone(), 0).await.unwrap();
    let options = "cluster_guard_time=10s&attempts=1&refresh_at=0.5";
    let cache = Cache::connect(&url(&server, options)).await.unwrap();
    for late in [false, true] {
        let key = format!("late {late}");
        let seen = old(&cache, &key).await;
        let refresh = cache.refresh(&key, &seen).await.unwrap().expect("it is due");
        let gate = Gate::new();
        server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(Kind::Write).times(1));
        let refill = tokio::spawn(async move { refresh.fill("new").await });
        within(gate.reached(1)).await;
        clock.advance(Duration::from_secs(if late { 11 } else { 1 }));
        gate.open();
        let refilled = within(refill).await.unwrap().unwrap();
        assert_eq!(matches!(refilled, FillOutcome::Rejected(_)), late, "{refilled:?}");
    }
}

#[tokio::test]
async fn what_a_node_reads_after_the_lease_on_the_cluster_is_refused_there() {
    let clock = Clock::manual();
    let server = Server::start_with(Config::default(), clock.clone(), 0).await.unwrap();
    // A lease on the key that is far longer than that on the cluster.
    let options = "cluster_guard_time=10s&lease_time=1m&attempts=1&unreachable_read=error";
    let cache = Cache::connect(&url(&server, options)).await.unwrap();
    for late in [false, true] {
        let key = format!("late {late}");
        let Lookup::Leased(lease) = cache.lookup(&key).await.unwrap() else { panic!("it is free") };
        let gate = Gate::new();
        server.faults().add(Rule::new(Action::HoldBefore(gate.clone())).on(Kind::Write));
        let fill = tokio::spawn(async move { lease.fill("old").await });
        within(gate.reached(1)).await;
        clock.advance(Duration::from_secs(if late { 11 } else { 1 }));
        gate.open();
        let filled = within(fill).await.unwrap().unwrap();
        assert_eq!(matches!(filled, FillOutcome::Rejected(_)), late, "{filled:?}");
        assert_eq!(cache.get(&key).await.unwrap().is_none(), late);
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_agree_is_not_connected_to() {
    let server = Server::start().await.unwrap();
    says(&server, UNSTABLE);
    let error = Cache::connect(&url(&server, "connect_timeout=300ms")).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("unstable cluster") && told.contains("cluster_guard"), "{told}");
    let options = "connect_timeout=300ms&background_connect=true";
    let cache = Cache::connect(&url(&server, options)).await.unwrap();
    assert!(cache.ready(Duration::from_millis(10)).await.is_err());
    says(&server, "1");
    within(cache.ready(BOUND)).await.unwrap();
    let off = Cache::connect(&url(&server, "cluster_guard=off")).await.unwrap();
    says(&server, UNSTABLE);
    assert!(matches!(off.lookup("other").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test]
async fn a_lease_that_lasts_longer_than_others_wait_for_it_is_refused() {
    let server = Server::start().await.unwrap();
    let connect = async |guard: &str| Cache::connect(&url(&server, guard)).await;
    connect("cluster_guard_time=1s").await.unwrap();
    let told = connect("cluster_guard_time=1001ms").await.unwrap_err().to_string();
    assert!(told.contains("cluster_guard_time must be at most 1s"), "{told}");
    for fits in ["cluster_guard_time=100ms", "cluster_guard_time=10s&cluster_guard=off"] {
        connect(fits).await.unwrap();
    }
    connect("cluster_guard_time=1s").await.expect("a shorter one changes nothing");
}

#[tokio::test]
async fn what_all_reckon_with_is_written_again_after_the_cluster_has_changed() {
    let (server, cache) = stored("cluster_guard_time=100ms").await;
    let written = server.evict_all();
    says(&server, "1");
    within(async {
        // Without the value.
        while server.records().len() < written - 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(cache);
}

#[tokio::test]
async fn one_of_three_is_no_majority() {
    let server = Server::start().await.unwrap();
    let options = "connect_timeout=300ms&cluster_size=3";
    let error = Cache::connect(&url(&server, options)).await.unwrap_err();
    assert!(error.to_string().contains("1 of 3 nodes agree, which is no majority"), "{error}");
}

#[tokio::test]
async fn a_node_that_is_gone_is_not_waited_for() {
    let (server, cache) = stored("timeout=1m&unreachable_read=error").await;
    drop(server);
    // Also the first, which is under way when that is found out.
    let error = within(cache.get("k")).await.unwrap_err().to_string();
    assert!(!error.contains("time-out"), "{error}");
    within(async {
        loop {
            let error = cache.get("k").await.unwrap_err().to_string();
            if error.contains("refuses connections") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(within(cache.reserve("k")).await.is_err());
}

/// What was told to a node that had been cut off is lost: it is told again.
#[tokio::test]
async fn an_invalidate_that_another_cluster_may_have_answered_is_told_again() {
    for many in [false, true] {
        let (server, cache) = stored("cluster_guard_time=100ms").await;
        let gate = Gate::new();
        let kind = if many { Kind::Batch } else { Kind::Operate };
        server.faults().add(Rule::new(Action::HoldAfter(gate.clone())).on(kind));
        let telling = {
            let cache = cache.clone();
            tokio::spawn(async move {
                if many {
                    cache.invalidate_many([("k", None), ("l", None)]).await
                } else {
                    cache.invalidate("k", None).await
                }
            })
        };
        within(gate.reached(1)).await;
        // The node that has applied it was cut off, and the others have the value still.
        says(&server, UNSTABLE);
        lost(&cache, 1).await;
        says(&server, "1");
        let refill = async {
            while cache.get("k").await.unwrap().is_none() {
                let load = async || Ok::<_, Infallible>("v");
                cache.get_or_fill("k", load).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(Box::pin(refill)).await;
        gate.open();
        within(telling).await.unwrap().unwrap();
        assert!(cache.get("k").await.unwrap().is_none(), "it was told to nobody; many: {many}");
    }
}

#[tokio::test]
async fn an_invalidate_without_a_cluster_that_agrees_is_an_error_and_a_new_cluster_is_waited_for() {
    let (server, cache) = stored("cluster_guard_time=100ms").await;
    says(&server, "1");
    // Others may still serve under the key before.
    within(cache.invalidate("k", None)).await.unwrap();
    assert!(cache.get("k").await.unwrap().is_none());
    says(&server, UNSTABLE);
    lost(&cache, 1).await;
    for told in [
        within(cache.invalidate("k", None)).await,
        within(cache.invalidate_many([("k", None), ("l", None)])).await,
    ] {
        let Err(Error::Store(error)) = told else { panic!("there is no lease") };
        assert!(error.to_string().contains("unstable cluster") && !error.in_doubt(), "{error}");
    }
}
