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
        let told = join_all(nodes.iter().map(|node| self.told_by(node))).await;
        let told: Vec<_> = nodes.iter().map(|node| node.address().to_owned()).zip(told).collect();
        for (node, (_, told)) in nodes.iter().zip(&told) {
            self.nodes.note(
                node.name(),
                match told {
                    Told::Absent => Some("refuses connections"),
                    Told::Nothing(_) => Some("does not answer"),
                    Told::Key(..) | Told::Unsettled(_) => None,
                },
            );
        }
        self.guard.hear(&Round { number, sent, told });
        self.nodes.look(self, &nodes).await;
    }

    async fn told_by(&self, node: &Node) -> Told {
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
            Either::Right(_) => Told::Absent,
            Either::Left((Ok(Ok(told)), _)) => told,
            // The connection was one of a process that is no more, perhaps.
            Either::Left((Ok(Err(_)), _)) if is_absent(node, within).await => Told::Absent,
            Either::Left((Ok(Err(why)), _)) => Told::Nothing(why),
            Either::Left((Err(_), _)) => Told::Nothing(format!("no answer within {within:?}")),
        }
    }

    async fn key_of_cluster(&self, node: &Node) -> Result<Told, String> {
        const STATISTICS: &str = "statistics";
        let migrations = self.mode == ClusterGuard::Strict;
        let stable = format!(
            "cluster-stable:ignore-migrations={};namespace={}",
            !migrations, self.namespace
        );
        // How long the cluster has been what it is matters for the first key alone.
        let asked: &[&str] =
            if self.guard.knows_key() { &[&stable] } else { &[&stable, STATISTICS] };
        let policy = AdminPolicy { timeout: millis(self.guard.patience()) };
        let mut told = node.info(&policy, asked).await.map_err(|error| error.to_string())?;
        let Some(said) = told.swap_remove(&*stable) else {
            return Err("it left out the key of its cluster".into());
        };
        let said = said.trim();
        if said.is_empty() || !said.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Told::Unsettled(said.to_owned()));
        }
        let statistics = told.get(STATISTICS).map_or("", String::as_str);
        let since = statistics
            .split(';')
            .find_map(|pair| pair.strip_prefix("time_since_rebalance=")?.parse().ok());
        // Whole seconds, of which the last may just have begun.
        let since = Duration::from_secs(since.unwrap_or(0_u64).saturating_sub(1));
        Ok(Told::Key(said.to_owned(), since))
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
