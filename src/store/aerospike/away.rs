//! Nodes that were silent when they were asked. Until one of them says something again, no round waits for it: a claim is
//! confirmed by a round, and would be as slow as they are.

use std::collections::HashMap;
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
    silent: HashMap<String, Silent>,
}

struct Silent {
    why: String,
    /// Ends when something is heard.
    waits: JoinHandle<()>,
}

impl Away {
    pub fn from(on: Weak<Connected>) -> Self {
        Away { on, silent: HashMap::new() }
    }

    /// What is said of a node that need not be waited for.
    pub fn of(&mut self, node: &Node) -> Option<Said> {
        let silent = self.silent.get(node.address())?;
        if silent.waits.is_finished() {
            self.silent.remove(node.address());
            return None;
        }
        Some(Said::from(Told::Nothing(silent.why.clone())))
    }

    /// Remembers which of the nodes that were asked are silent.
    pub fn note(&mut self, nodes: &[Arc<Node>], said: &[Said]) {
        self.silent.retain(|address, _| nodes.iter().any(|node| node.address() == address));
        for (node, said) in nodes.iter().zip(said) {
            let Told::Nothing(why) = &said.told else { continue };
            if !said.busy && !self.silent.contains_key(node.address()) {
                let waits = tokio::spawn(until_heard(Weak::clone(&self.on), Arc::clone(node)));
                let silent = Silent { why: why.clone(), waits };
                self.silent.insert(node.address().to_owned(), silent);
            }
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.silent.values().for_each(|silent| silent.waits.abort());
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
