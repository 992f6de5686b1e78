//! Asks each node, again and again, who is in the cluster, and so learns which nodes are there.
//!
//! All are asked at once, four times in the time that a lease on the cluster lasts, and whenever somebody asks for it: a
//! writer whose reserve was granted, or a command that a connection failed. A node that refuses connections is no node,
//! and its word is not waited for; one that is silent may be back at any moment, with what it had.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aerospike::{AdminPolicy, Node};
use futures_util::future::{Either, join_all, select};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Connected;
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
        while let Some(connected) = on.upgrade() {
            connected.look_who_is_there().await;
            drop(connected);
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
                self.look_who_is_there().await;
                if self.guard.holds(self.guard.standing()) {
                    return;
                }
                sleep(AGAIN).await;
            }
        };
        timeout(self.patience, agreed).await.map_err(|_| {
            let told = self.guard.absence();
            StoreError::unavailable(format!(
                "{told}; within {:?} the nodes did not come to agree: see `asinfo -v cluster-stable:` on each, and \
                 cluster_guard for what that is for",
                self.patience
            ))
        })
    }

    /// One round.
    pub(super) async fn look_who_is_there(&self) {
        let nodes = self.client.nodes();
        let (number, sent) = self.guard.begin();
        let asked = join_all(nodes.iter().map(|node| self.told_by(node))).await;
        let (told, generations): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let named = nodes.iter().map(|node| node.address().to_owned());
        let round =
            Round { number, sent, all: self.policy.is_none(), told: named.zip(told).collect() };
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
            .map(|((node, (_, told)), generation)| Heard {
                node,
                problem: problem(told),
                generation,
            })
            .collect();
        // First who is not to be asked any more, then what the others have said.
        if self.nodes.note(&heard) {
            self.guard.break_off();
        }
        self.guard.hear(&round);
        self.nodes.look(self, &heard).await;
    }

    /// What a node says, and what its partitions are called.
    async fn told_by(&self, node: &Node) -> (Told, Option<String>) {
        let within = self.guard.patience();
        let asked = Box::pin(timeout(within, self.key_of_cluster(node)));
        let absent = Box::pin(async {
            sleep(DOUBT).await;
            // Only a refusal says something: what is accepted may be the work of the system alone.
            if !is_absent(node, within).await {
                std::future::pending::<()>().await;
            }
        });
        match select(asked, absent).await {
            Either::Right(_) => (Told::Absent, None),
            Either::Left((Ok(Ok(told)), _)) => told,
            // The connection was one of a process that is no more, perhaps.
            Either::Left((Ok(Err(_)), _)) if is_absent(node, within).await => (Told::Absent, None),
            Either::Left((Ok(Err(why)), _)) => (Told::Nothing(why), None),
            Either::Left((Err(_), _)) => {
                (Told::Nothing(format!("no answer within {within:?}")), None)
            }
        }
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
        let statistics = told.get(STATISTICS).map_or("", String::as_str);
        let since = statistics
            .split(';')
            .find_map(|pair| pair.strip_prefix("time_since_rebalance=")?.parse().ok());
        // Whole seconds, of which the last may just have begun.
        let since = Duration::from_secs(since.unwrap_or(0_u64).saturating_sub(1));
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
