//! Asks each node, again and again, who is in the cluster, and so learns which nodes are there.
//!
//! All are asked at once, four times in the time that a lease on the cluster lasts, and whenever somebody asks for it: a
//! writer whose reserve was granted, or a command whose connection failed. A node that refuses connections is no node,
//! and its word is not waited for; one that is silent may be back at any moment, with what it had.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aerospike::{AdminPolicy, Node};
use futures_util::future::{Either, join_all, select};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Connected;
use super::checks::{LAST_UPDATE, Pairs};
use super::connect::millis;
use super::merge::Heard;
use crate::settings::ClusterGuard;
use crate::store::StoreError;
use crate::store::guard::{Round, Told};

/// Between two rounds at least, however many ask.
const PAUSE: Duration = Duration::from_millis(1);
/// How soon nodes that do not agree are asked again, when connecting.
const AGAIN: Duration = Duration::from_millis(50);
/// So long the answer is awaited before it is tried whether the node takes connections.
const DOUBT: Duration = Duration::from_millis(20);

impl Connected {
    /// Watches the cluster for as long as it is connected to.
    pub(super) async fn watch(on: Weak<Connected>) {
        let Some(guard) = on.upgrade().map(|on| Arc::clone(&on.guard)) else { return };
        let looking = Arc::new(tokio::sync::Mutex::new(()));
        while let Some(connected) = on.upgrade() {
            let heard = connected.look_who_is_there().await;
            // Connecting to a node that is new takes its time, and the lease on the cluster must not wait for it.
            if let Ok(looking) = Arc::clone(&looking).try_lock_owned() {
                tokio::spawn(async move {
                    connected.nodes.look(&connected, &heard).await;
                    drop(looking);
                });
            }
            guard.next_round(PAUSE).await;
        }
    }

    /// Waits for the first lease on the cluster.
    ///
    /// # Errors
    /// There is none within the connect time-out.
    pub(super) async fn test_agreement(&self) -> Result<(), StoreError> {
        if !self.is_guarded() {
            return Ok(());
        }
        let agreed = async {
            loop {
                let heard = self.look_who_is_there().await;
                self.nodes.look(self, &heard).await;
                if self.guard.holds(self.guard.standing()) {
                    return;
                }
                sleep(AGAIN).await;
            }
        };
        let agreed = timeout(self.patience, agreed).await.map_err(|_| {
            let told = self.guard.absence();
            StoreError::unavailable(format!(
                "{told}; within {:?} the nodes did not come to agree: see `asinfo -v cluster-stable:` on each, and \
                 cluster_guard for what that is for",
                self.patience
            ))
        });
        if agreed.is_ok() && self.guard.may_split() {
            self.warn_of_conflicts().await;
        }
        agreed
    }

    /// Says so where the copy that was written more often would win after a split, and not the newest.
    async fn warn_of_conflicts(&self) {
        let asked = format!("get-config:context=namespace;namespace={}", self.namespace);
        let policy = AdminPolicy { timeout: millis(self.guard.patience()) };
        for node in self.client.nodes() {
            let told = timeout(self.guard.patience(), node.info(&policy, &[&asked])).await;
            let Ok(Ok(told)) = told else { continue };
            let config = Pairs::parse(told.get(&*asked).map_or("", String::as_str), ';');
            if config.get("conflict-resolution-policy") == Some("generation") {
                tracing::warn!(
                    node = node.address(),
                    "after a split a value may come back that was changed: its namespace has conflict-resolution-policy \
                     generation; {LAST_UPDATE}"
                );
            }
        }
    }

    /// One round.
    async fn look_who_is_there(&self) -> Vec<Heard> {
        let nodes = self.client.nodes();
        let answers: Vec<u64> = nodes.iter().map(|node| self.nodes.answers(node)).collect();
        let (number, sent) = self.guard.begin();
        let asked = join_all(nodes.iter().map(|node| self.told_by(node))).await;
        let (told, generations): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        // Silent to this question alone, as where it is this process that is too busy to hear the answer: what goes
        // there counts, and so its word is needed.
        let is_busy = |((node, told), answers): ((&Arc<Node>, &Told), u64)| {
            matches!(told, Told::Nothing(_)) && self.nodes.answers(node) > answers
        };
        let busy: Vec<bool> = nodes.iter().zip(&told).zip(answers).map(is_busy).collect();
        let all = self.policy.is_none() || busy.contains(&true);
        let named = nodes.iter().map(|node| node.address().to_owned());
        let round = Round { number, sent, all, told: named.zip(told).collect() };
        // Without a majority there is no lease, and what removes is still sent to all that are there.
        let key = round.key();
        let judged = self.is_guarded() && self.guard.agrees(&round);
        let problem = |told: &Told| match told {
            Told::Key(..) | Told::Unsettled(_) if !judged => None,
            told => Round::problem(told, key),
        };
        let heard: Vec<_> = nodes
            .iter()
            .zip(&round.told)
            .zip(generations)
            .zip(busy)
            .map(|(((node, (_, told)), generation), busy)| {
                let problem = if busy { None } else { problem(told) };
                Heard { node: Arc::clone(node), problem, generation }
            })
            .collect();
        // First who is not to be asked any more, then what the others have said.
        if self.nodes.note(&heard) {
            self.guard.break_off();
        }
        self.guard.hear(&round);
        heard
    }

    /// What a node says, and what its partitions are called.
    async fn told_by(&self, node: &Node) -> (Told, Option<String>) {
        let within = self.guard.patience();
        let mut why = format!("no answer within {within:?}");
        let asked = async {
            loop {
                match self.key_of_cluster(node).await {
                    Ok(told) => return told,
                    Err(failed) => why = failed,
                }
                // The connection may have been one of a process that is no more: of those there may be several.
                if is_absent(node, within).await {
                    return (Told::Absent, None);
                }
                sleep(PAUSE).await;
            }
        };
        let absent = async {
            sleep(DOUBT).await;
            // Only a refusal says something: what is accepted may be the work of the system alone.
            if !is_absent(node, within).await {
                std::future::pending::<()>().await;
            }
        };
        let told = timeout(within, select(Box::pin(asked), Box::pin(absent))).await;
        let told = told.ok().map(|first| match first {
            Either::Left((told, _)) => told,
            Either::Right(_) => (Told::Absent, None),
        });
        told.unwrap_or((Told::Nothing(why), None))
    }

    async fn key_of_cluster(&self, node: &Node) -> Result<(Told, Option<String>), String> {
        const STATISTICS: &str = "statistics";
        const PARTITIONS: &str = "partition-generation";
        let migrations = self.mode == ClusterGuard::Strict;
        let stable = format!(
            "cluster-stable:ignore-migrations={};namespace={}",
            !migrations, self.namespace
        );
        // How long the cluster has been what it is matters for the first key alone.
        let asked: &[&str] = if self.guard.knows_key() {
            &[&stable, PARTITIONS]
        } else {
            &[&stable, PARTITIONS, STATISTICS]
        };
        let policy = AdminPolicy { timeout: millis(self.guard.patience()) };
        let mut told = node.info(&policy, asked).await.map_err(|error| error.to_string())?;
        let Some(said) = told.swap_remove(&*stable) else {
            return Err("it left out the key of its cluster".into());
        };
        let said = said.trim();
        if said.is_empty() || !said.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok((Told::Unsettled(said.to_owned()), None));
        }
        let generation = told.swap_remove(PARTITIONS);
        let statistics = Pairs::parse(told.get(STATISTICS).map_or("", String::as_str), ';');
        let since = statistics.number("time_since_rebalance");
        // Whole seconds, of which the last may just have begun.
        let since = Duration::from_secs(since.unwrap_or_default().saturating_sub(1));
        Ok((Told::Key(said.to_owned(), since), generation))
    }
}

async fn is_absent(node: &Node, within: Duration) -> bool {
    let host = node.host();
    let tried = timeout(within, TcpStream::connect((host.name.as_str(), host.port))).await;
    tried.is_ok_and(|tried| {
        tried.is_err_and(|error| {
            matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
        })
    })
}
