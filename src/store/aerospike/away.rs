//! Nodes that were silent when they were asked. Until one of them says something again, no round waits for it: a claim is
//! confirmed by a round, and would be as slow as they are.

use std::sync::{Arc, Weak};

use aerospike::Node;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Connected;
use super::watch::{AGAIN, Said};
use crate::store::guard::Told;

#[derive(Default)]
pub(super) struct Away {
    on: Weak<Connected>,
    silent: Vec<Silent>,
}

struct Silent {
    node: Arc<Node>,
    why: String,
    /// Ends when something is heard.
    waits: JoinHandle<()>,
}

impl Away {
    pub fn from(on: Weak<Connected>) -> Self {
        Away { on, ..Away::default() }
    }

    /// What is said of a node that need not be waited for.
    pub fn of(&self, node: &Arc<Node>) -> Option<Said> {
        let silent = self.silent.iter().find(|silent| Arc::ptr_eq(&silent.node, node))?;
        if silent.waits.is_finished() {
            return None;
        }
        Some(Said::from(Told::Nothing(silent.why.clone())))
    }

    /// Remembers which of the nodes that were asked are silent.
    pub fn note(&mut self, nodes: &[Arc<Node>], said: &[Said]) {
        let is_there = |silent: &Silent| nodes.iter().any(|node| Arc::ptr_eq(&silent.node, node));
        self.silent.retain(|silent| !silent.waits.is_finished() && is_there(silent));
        for (node, said) in nodes.iter().zip(said) {
            let Told::Nothing(why) = &said.told else { continue };
            if !said.busy && self.of(node).is_none() {
                let waits = tokio::spawn(until_heard(Weak::clone(&self.on), Arc::clone(node)));
                self.silent.push(Silent { node: Arc::clone(node), why: why.clone(), waits });
            }
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.waits.abort();
    }
}

async fn until_heard(on: Weak<Connected>, node: Arc<Node>) {
    while let Some(connected) = on.upgrade() {
        if !matches!(connected.told_by(&node).await.told, Told::Nothing(_)) {
            return;
        }
        drop(connected);
        sleep(AGAIN).await;
    }
}
