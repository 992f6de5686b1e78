//! Asks each node, again and again, who is in the cluster, and so learns which nodes are there.
//!
//! All are asked at once, four times in the time that a lease on the cluster lasts, and whenever somebody asks for it: a
//! writer whose reserve was granted, or a command whose connection failed. A node that refuses connections is no node,
//! and its word is not waited for; one that is silent may be back at any moment, with what it had (`away.rs`).

use std::future::ready;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aerospike::{AdminPolicy, Node};
use futures_util::future::{Either, join_all, select};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Connected;
use super::away::Away;
use super::checks::{LAST_UPDATE, Pairs};
use super::connect::millis;
use super::merge::Heard;
use crate::settings::ClusterGuard;
use crate::store::StoreError;
use crate::store::guard::{Round, Told};

/// Between two rounds at least, however many ask.
const PAUSE: Duration = Duration::from_millis(1);
/// How soon nodes that do not agree are asked again, when connecting.
pub(super) const AGAIN: Duration = Duration::from_millis(50);
/// So long the answer is awaited before it is tried whether the node takes connections.
const DOUBT: Duration = Duration::from_millis(20);

/// What was heard of a node in one round.
pub(super) struct Said {
    pub told: Told,
    /// What its partitions are called.
    generation: Option<String>,
    /// Silent to this question alone, as where it is this process that is too busy to hear the answer: to commands it
    /// answered all the while.
    pub busy: bool,
    /// How many nodes there are in its cluster, where it was asked for that.
    size: usize,
}

impl From<Told> for Said {
    fn from(told: Told) -> Self {
        Said { told, generation: None, busy: false, size: 0 }
    }
}

impl Connected {
    /// Watches the cluster for as long as it is connected to.
    pub(super) async fn watch(on: Weak<Connected>) {
        let Some(guard) = on.upgrade().map(|on| Arc::clone(&on.guard)) else { return };
        let looking = Arc::new(tokio::sync::Mutex::new(()));
        let mut away = Away::from(Weak::clone(&on));
        while let Some(connected) = on.upgrade() {
            let heard = connected.look_who_is_there(&mut away).await;
            if guard.for_claims().is_some() && guard.must_agree() {
                tokio::spawn(Arc::clone(&connected).agree_again());
            }
            // Connecting to a node that is new takes its time, and the lease on the cluster must not wait for it.
            if let Ok(looking) = Arc::clone(&looking).try_lock_owned() {
                tokio::spawn(async move {
                    if connected.nodes.look(&connected, &heard).await {
                        connected.guard.ask();
                    }
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
                let heard = self.look_who_is_there(&mut Away::default()).await;
                if self.nodes.look(self, &heard).await {
                    self.look_who_is_there(&mut Away::default()).await;
                }
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

    /// Says so where the copy that was written more often would win after a split, and not the newest.
    pub(super) async fn warn_of_conflicts(&self) {
        if !self.is_guarded() || !self.guard.may_split() {
            return;
        }
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
    async fn look_who_is_there(&self, away: &mut Away) -> Vec<Heard> {
        let nodes = self.client.nodes();
        let (number, sent) = self.guard.begin();
        let asked = nodes.iter().map(|node| match away.of(node) {
            Some(said) => Either::Left(ready(said)),
            None => Either::Right(self.told_by(node)),
        });
        let asked = join_all(asked).await;
        away.note(&nodes, &asked);
        // What goes to a node that is only busy counts, and so its word is needed.
        let all = self.policy.is_none() || asked.iter().any(|said| said.busy);
        let named = nodes.iter().map(|node| node.address().to_owned());
        let told = named.zip(asked.iter().map(|said| said.told.clone())).collect();
        let size = asked.iter().map(|said| said.size).max().unwrap_or_default();
        let round = Round { number, sent, all, told, size };
        // Without a majority there is no lease, and what removes is still sent to all that are there.
        let key = round.key();
        let judged = self.is_guarded() && self.guard.agrees(&round);
        let problem = |told: &Told| match told {
            Told::Key(..) | Told::Unsettled(_) if !judged => None,
            told => Round::problem(told, key),
        };
        let hear = |(node, said): (&Arc<Node>, Said)| {
            let problem = if said.busy { None } else { problem(&said.told) };
            Heard { node: Arc::clone(node), problem, generation: said.generation }
        };
        let heard: Vec<_> = nodes.iter().zip(asked).map(hear).collect();
        // First who is not to be asked any more, then what the others have said; where they do not agree, first that.
        if !judged {
            self.guard.hear(&round);
        }
        if self.nodes.note(&heard) {
            self.guard.break_off();
        }
        if judged {
            self.guard.hear(&round);
        }
        heard
    }

    /// What a node says within the patience that there is.
    pub(super) async fn told_by(&self, node: &Node) -> Said {
        let within = self.guard.patience();
        let why = Mutex::new(format!("no answer within {within:?}"));
        let mut pause = PAUSE;
        let asked = async {
            loop {
                match self.key_of_cluster(node).await {
                    Ok(said) => return said,
                    Err(failed) => *why.lock() = failed,
                }
                // The connection may have been one of a process that is no more: of those there may be several.
                if is_absent(node, within).await {
                    return Said::from(Told::Absent);
                }
                sleep(pause).await;
                pause = AGAIN.min(2 * pause);
            }
        };
        let absent = async {
            sleep(DOUBT).await;
            // Only a refusal says something: what is accepted may be the work of the system alone.
            if !is_absent(node, within).await {
                std::future::pending::<()>().await;
            }
            Said::from(Told::Absent)
        };
        let mut first = pin!(async {
            match select(pin!(asked), pin!(absent)).await {
                Either::Left((said, _)) | Either::Right((said, _)) => said,
            }
        });
        if let Ok(said) = timeout(within / 2, &mut first).await {
            return said;
        }
        let answers = self.nodes.answers(node);
        if let Ok(said) = timeout(within / 2, first).await {
            return said;
        }
        let busy = self.nodes.answers(node) > answers;
        let why = std::mem::take(&mut *why.lock());
        Said { busy, ..Said::from(Told::Nothing(why)) }
    }

    async fn key_of_cluster(&self, node: &Node) -> Result<Said, String> {
        const STATISTICS: &str = "statistics";
        const PARTITIONS: &str = "partition-generation";
        let migrations = self.mode == ClusterGuard::Strict;
        let stable = format!(
            "cluster-stable:ignore-migrations={};namespace={}",
            !migrations, self.namespace
        );
        let asked: &[&str] = if self.guard.knows_cluster() {
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
            return Ok(Told::Unsettled(said.to_owned()).into());
        }
        let generation = told.swap_remove(PARTITIONS);
        let statistics = Pairs::parse(told.get(STATISTICS).map_or("", String::as_str), ';');
        let since = statistics.number("time_since_rebalance");
        // Whole seconds, of which the last may just have begun.
        let since = Duration::from_secs(since.unwrap_or_default().saturating_sub(1));
        let size = statistics.number("cluster_size").unwrap_or_default();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(Said { generation, size, ..Told::Key(said.to_owned(), since).into() })
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
