//! Each rule of a cluster, in the moment that it is there for: with it, and without it.
//!
//! A node has the older copy of a key, as it was paused while the others went on. What then happens would make that copy
//! the one that is served.

use std::convert::Infallible;
use std::time::Duration;

use genfence::store::{Rule, undo};
use genfence::{Cache, Lookup, Reservation, SourceResult, UpdateOutcome};
use genfence_wire::{Action, Cluster, Gate, Kind, Rule as Fault, Then};

use crate::nodes::{self, digest};

const KEY: &str = "k";
const BOUND: Duration = Duration::from_secs(30);

/// A cluster with a value, `old`, and the node that answers for it.
struct Scene {
    nodes: Cluster,
    cache: Cache,
    node: usize,
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, wait).await.expect("it ends within its bound")
}

async fn connect(nodes: &Cluster, known: impl Iterator<Item = usize>) -> Cache {
    let options = "cluster_guard_time=1s&timeout=300ms&attempts=1";
    Cache::connect(&nodes::url(nodes, known, options)).await.unwrap()
}

impl Scene {
    /// Rules are taken out of what this thread does.
    async fn without(rule: Option<Rule>) -> Self {
        undo(rule);
        let nodes = nodes::three(2).await;
        let cache = connect(&nodes, 0..3).await;
        let node = nodes.master(&digest(KEY), 0);
        Scene { nodes, cache, node }
    }

    async fn with_old_value(self) -> Self {
        let load = async || Ok::<_, Infallible>("old");
        within(async {
            while self.cache.get(KEY).await.unwrap().is_none() {
                self.cache.get_or_fill(KEY, load).await.unwrap();
            }
        })
        .await;
        self
    }

    /// The next of this kind never comes to the node.
    fn loses(&self, kind: Kind) {
        let lost = Fault::new(Action::DropRequest(Then::Silence)).on(kind);
        self.nodes.node(self.node).faults().add(lost);
    }

    /// What the node does next, when the gate opens.
    fn held(&self, kind: Kind) -> Gate {
        let gate = Gate::new();
        self.nodes
            .node(self.node)
            .faults()
            .add(Fault::new(Action::HoldBefore(gate.clone())).on(kind));
        gate
    }

    /// The others go on without the node, and somebody learns of the cluster that they are.
    async fn away(&self) -> Cache {
        self.nodes.pause(self.node);
        self.nodes.notice();
        connect(&self.nodes, (0..3).filter(|node| *node != self.node)).await
    }

    /// The node goes on with what it had, does what came meanwhile, and is one of the others again.
    async fn back(&self, late: Option<Gate>) {
        // Times of writes are reckoned in milliseconds.
        self.nodes.node(self.node).clock().advance(Duration::from_millis(2));
        self.nodes.resume(self.node);
        if let Some(late) = late {
            late.open();
            // What waited for the gate goes before a question that comes by the network.
            let _ = connect(&self.nodes, [self.node].into_iter()).await;
        }
        self.nodes.notice();
    }
}

async fn change(cache: &Cache) {
    let changed =
        async |_: &Reservation| Ok::<_, Infallible>(SourceResult::Committed("new".into()));
    assert_eq!(within(cache.update(KEY, changed)).await.unwrap(), UpdateOutcome::Stored);
}

/// Whether the cache serves the old value, once it serves what there is.
async fn is_stale(cache: &Cache) -> bool {
    within(async {
        loop {
            match cache.lookup(KEY).await.unwrap() {
                Lookup::Hit(hit) => return hit.value.as_deref() == Some(b"old"),
                Lookup::Leased(_) => return false,
                Lookup::Bypass(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await
}

async fn while_records_move(undone: Option<Rule>) -> bool {
    let scene = Scene::without(undone).await.with_old_value().await;
    let other = scene.away().await;
    change(&other).await;
    scene.back(None).await;
    is_stale(&other).await
}

async fn after_an_abort_of_what_never_came(undone: Option<Rule>) -> bool {
    let scene = Scene::without(undone).await.with_old_value().await;
    scene.loses(Kind::Operate);
    let abort = scene.held(Kind::Operate);
    assert!(within(scene.cache.reserve(KEY)).await.is_err(), "nobody answers");
    within(abort.reached(1)).await;
    let other = scene.away().await;
    change(&other).await;
    scene.back(Some(abort)).await;
    scene.nodes.migrate();
    is_stale(&other).await
}

async fn after_everything_was_removed(undone: Option<Rule>) -> bool {
    let scene = Scene::without(undone).await.with_old_value().await;
    let other = scene.away().await;
    within(other.invalidate(KEY, None)).await.unwrap();
    scene.back(None).await;
    scene.nodes.migrate();
    is_stale(&other).await
}

async fn after_a_fill_that_comes_late(undone: Option<Rule>) -> bool {
    let scene = Scene::without(undone).await;
    let lease = within(async {
        loop {
            match scene.cache.lookup(KEY).await.unwrap() {
                Lookup::Leased(lease) => return lease,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await;
    let held = scene.held(Kind::Write);
    // The loader gives its lease back when it hears nothing.
    scene.loses(Kind::Write);
    let fill = tokio::spawn(async move { lease.fill("old").await });
    within(held.reached(1)).await;
    let other = scene.away().await;
    change(&other).await;
    scene.back(Some(held)).await;
    scene.nodes.migrate();
    let _ = within(fill).await.unwrap();
    is_stale(&other).await
}

#[tokio::test]
async fn reads_ask_all_copies() {
    assert!(!while_records_move(None).await);
}

#[tokio::test]
async fn or_the_older_is_served_while_records_move() {
    assert!(while_records_move(Some(Rule::ReadsAskAllCopies)).await);
}

#[tokio::test]
async fn an_abort_proves_itself() {
    assert!(!after_an_abort_of_what_never_came(None).await);
}

#[tokio::test]
async fn or_it_makes_an_older_copy_the_newest() {
    assert!(after_an_abort_of_what_never_came(Some(Rule::AbortProvesItself)).await);
}

#[tokio::test]
async fn no_record_vanishes() {
    assert!(!after_everything_was_removed(None).await);
}

#[tokio::test]
async fn or_it_comes_back() {
    assert!(after_everything_was_removed(Some(Rule::RecordsStay)).await);
}

#[tokio::test]
async fn a_fill_that_comes_late_is_refused() {
    assert!(!after_a_fill_that_comes_late(None).await);
}

#[tokio::test]
async fn or_it_is_the_newest_where_nobody_knew_of_it() {
    assert!(after_a_fill_that_comes_late(Some(Rule::LateIsRefused)).await);
}
