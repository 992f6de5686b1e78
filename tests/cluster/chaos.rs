//! A load on a cluster through pauses, splits, kills and restarts. Every state is held until it has had its reads.

use std::time::Duration;

use genfence::Cache;
use genfence_wire::{Action, Cluster, Gate, Kind, Rule};

use crate::load::Load;
use crate::nodes::{self, digest};

/// Reads in a state that may do harm.
const ENOUGH: u64 = 300;
/// Changes while a node is away: more than there are keys, so that what it has is old for most of them.
const CHANGES: u64 = 60;

struct Course {
    nodes: Cluster,
    load: Load,
}

async fn three_nodes(copies: u32, options: &str) -> (Cluster, Cache) {
    let nodes = nodes::three(copies).await;
    let cache = Cache::connect(&nodes::url(&nodes, 0..3, options)).await.unwrap();
    (nodes, cache)
}

impl Course {
    /// A load on three nodes, once there are hits.
    async fn start(options: &str) -> Self {
        let options = format!("timeout=200ms&cluster_guard_time=250ms&{options}");
        let (nodes, cache) = three_nodes(2, &options).await;
        let load = Load::start(&cache);
        load.hits(ENOUGH).await;
        Course { nodes, load }
    }

    /// The nodes find out who is there, and then the records move.
    async fn becomes_whole(&self) {
        self.nodes.notice();
        self.load.reads(ENOUGH).await;
        self.nodes.migrate();
        self.load.hits(ENOUGH).await;
    }

    /// The nodes that hear each other go on without the one that they do not: what it has grows old.
    async fn others_go_on(&self) {
        self.nodes.notice();
        self.load.hits(ENOUGH).await;
        self.load.changes(CHANGES).await;
    }

    /// Something befalls a node, and then is over; each is held until it had its reads.
    async fn befalls(&self, harm: impl AsyncFnOnce(&Cluster), over: impl AsyncFnOnce(&Cluster)) {
        harm(&self.nodes).await;
        self.load.reads(ENOUGH).await;
        self.others_go_on().await;
        over(&self.nodes).await;
        self.load.reads(ENOUGH).await;
        self.becomes_whole().await;
    }

    async fn pause(&self, node: usize) {
        self.befalls(async |nodes| nodes.pause(node), async |nodes| nodes.resume(node)).await;
    }

    async fn split(&self, node: usize) {
        self.befalls(async |nodes| nodes.cut(node), async |nodes| nodes.mend(node)).await;
    }

    async fn restart(&self, node: usize) {
        let start = async |nodes: &Cluster| nodes.revive(node).await.unwrap();
        self.befalls(async |nodes| nodes.kill(node).await, start).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hit_is_stale_through_pauses() {
    let course = Course::start("").await;
    for node in 0..3 {
        course.pause(node).await;
    }
    assert_eq!(course.load.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_through_splits() {
    let course = Course::start("").await;
    for node in 0..3 {
        course.split(node).await;
    }
    assert_eq!(course.load.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_while_one_node_after_the_other_is_restarted() {
    let course = Course::start("").await;
    for node in 0..3 {
        course.restart(node).await;
    }
    assert_eq!(course.load.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lease_on_the_cluster_hits_are_stale() {
    let course = Course::start("cluster_guard=off").await;
    // Which key is read in which moment is left to chance, so it is gone on with until it is seen.
    for node in (0..3).cycle().take(30) {
        course.pause(node).await;
        course.split(node).await;
        if course.load.is_stale() {
            break;
        }
    }
    assert!(course.load.stop().await > 0);
}

#[tokio::test]
async fn a_silent_node_is_waited_for_once() {
    // A question waits for its answer for a second.
    let (nodes, cache) = three_nodes(1, "cluster_guard_time=2s").await;
    nodes.pause(0);
    let others = (0..).map(|key| format!("key {key}"));
    let others = others.filter(|key| nodes.master(&digest(key), 0) != 0);
    let reserved = async {
        for key in others.take(100) {
            cache.reserve(key).await.unwrap().abort().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reserved).await.expect("no claim waits for it");
}

#[tokio::test]
async fn who_starts_on_a_part_of_the_cluster_knows_that_it_is_one() {
    let (nodes, _cache) = three_nodes(2, "").await;
    nodes.cut(2);
    nodes.notice();
    let url = |options| nodes::url(&nodes, 2..3, options);
    let told = Cache::connect(&url("connect_timeout=2s")).await.unwrap_err().to_string();
    assert!(told.contains("1 of 3 nodes agree, which is no majority"), "{told}");
    Cache::connect(&url("cluster_size=1")).await.expect("somebody says that it is all of it");
}

#[tokio::test]
async fn what_a_lone_node_answers_while_the_others_are_silent_does_not_count() {
    let options = "cluster_guard_time=4s&unreachable_read=error&timeout=200ms&attempts=1";
    let (nodes, cache) = three_nodes(1, options).await;
    let at = |node| {
        let keys = (0..1000).map(|key| format!("key {key}"));
        let of_node = keys.filter(|key| nodes.master(&digest(key), 0) == node);
        of_node.take(20).collect::<Vec<_>>()
    };
    let (there, here) = (&at(0)[0], at(2));
    let several = here.iter().map(|key| (key, None));
    // The others are silent, and known to be, while the lease lasts; then the one that is left is a cluster of its own.
    nodes.pause(0);
    nodes.pause(1);
    let gone = async {
        loop {
            let error = cache.get(there).await.unwrap_err().to_string();
            if error.contains("does not answer") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is found out");
    nodes.notice();
    // It knows one of three nodes.
    let (reserved, told, told_many) = tokio::join!(
        cache.reserve(&here[0]),
        cache.invalidate(&here[0], None),
        Box::pin(cache.invalidate_many(several)),
    );
    assert!(reserved.is_err());
    assert!(told.is_err() && told_many.is_err(), "{told:?}, {told_many:?}");
}

#[tokio::test]
async fn a_slow_node_holds_up_its_own_keys_only() {
    // Each node takes one message at a time, and what comes meanwhile waits for it.
    let (nodes, cache) = three_nodes(2, "timeout=20s&merge_messages=1").await;
    let keys: Vec<String> = (0..60).map(|key| format!("key {key}")).collect();
    let load = async || Ok::<_, std::convert::Infallible>("v");
    for key in &keys {
        cache.get_or_fill(key, load).await.unwrap();
    }
    let (slow, well): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| nodes.master(&digest(key), 0) == 0);
    let gate = Gate::new();
    for kind in [Kind::Read, Kind::Batch] {
        let held = Rule::new(Action::HoldBefore(gate.clone())).on(kind).always();
        nodes.node(0).faults().add(held);
    }
    let waiting: Vec<_> = slow
        .into_iter()
        .map(|key| {
            let (cache, key) = (cache.clone(), key.clone());
            tokio::spawn(async move { cache.get(key).await })
        })
        .collect();
    gate.reached(1).await;
    for key in well {
        assert!(cache.get(key).await.unwrap().is_some());
    }
    assert!(!waiting.is_empty() && waiting.iter().all(|read| !read.is_finished()));
    gate.open();
    for read in waiting {
        assert!(read.await.unwrap().unwrap().is_some());
    }
}
