//! Which node a key is at, and the way there.
//!
//! Where there are several nodes each has a client of its own, which knows no other node. So it is known which node a
//! command goes to, and only such are asked that agree with the others who is in the cluster; and a node that is slow, or
//! gone, keeps no client from looking after the others.

use std::sync::Arc;

use aerospike::{AdminPolicy, Client, Key, Node};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::time::timeout;

use super::super::Connected;
use super::super::connect::millis;
use super::super::owned::Owned;
use super::presence::Presence;
use super::{Lanes, Merger};

const PARTITIONS: usize = 4096;

/// The lanes of all nodes.
pub(in super::super) struct Nodes {
    map: RwLock<Arc<Map>>,
}

/// Which lanes a partition's commands take.
#[derive(Clone)]
struct Map {
    nodes: Vec<Known>,
    /// The place of each partition's node in `nodes`; empty where there is one node.
    partitions: Vec<u16>,
}

#[derive(Clone)]
struct Known {
    name: String,
    address: String,
    /// What its partitions were called when it was asked for them.
    generation: Option<String>,
    masters: Option<Arc<Vec<u8>>>,
    lanes: Arc<Lanes>,
}

/// What was heard of a node.
pub(in super::super) struct Heard {
    pub node: Arc<Node>,
    /// Why nothing is sent there.
    pub problem: Option<&'static str>,
    /// What its partitions are called now; another name whenever they change.
    pub generation: Option<String>,
}

impl Nodes {
    /// Not yet known.
    pub fn new(merger: &Merger, client: Client) -> Self {
        let one = Known {
            name: String::new(),
            address: String::new(),
            generation: None,
            masters: None,
            lanes: Arc::new(merger.lanes(client, None, Presence::default())),
        };
        Nodes { map: RwLock::new(Arc::new(Map { nodes: vec![one], partitions: Vec::new() })) }
    }

    /// The lanes of a key's node, as far as it is known.
    pub fn of(&self, key: &Key) -> Arc<Lanes> {
        let map = self.map.read();
        let at = map.partitions.get(key.partition_id()).copied().unwrap_or(0);
        Arc::clone(&map.nodes[usize::from(at)].lanes)
    }

    /// How often a node has answered commands.
    pub fn answers(&self, node: &Node) -> u64 {
        let map = self.map.read();
        let known = map.nodes.iter().find(|known| known.is(node));
        known.map_or(0, |known| known.lanes.presence.answers())
    }

    /// Notes which nodes are there. Says whether one has left to which commands may be under way.
    pub fn note(&self, heard: &[Heard]) -> bool {
        let map = Arc::clone(&self.map.read());
        let mut left = false;
        for known in map.nodes.iter().filter(|known| !known.name.is_empty()) {
            let problem = match heard.iter().find(|heard| known.is(&heard.node)) {
                Some(heard) => heard.problem,
                // One that nobody speaks of any more.
                None => Some("has left the cluster"),
            };
            left |= known.lanes.presence.note(problem);
        }
        left
    }

    /// Looks which node has which partitions, where that may have changed. Only those that are there are asked. Whether
    /// there are new ones, of which nothing is known until they are asked again who is in the cluster.
    pub async fn look(&self, on: &Connected, heard: &[Heard]) -> bool {
        let before = Arc::clone(&self.map.read());
        let is_as_before = |heard: &Heard| {
            before.nodes.iter().any(|known| known.is(&heard.node) && known.is_as(heard))
        };
        if heard.len() == before.nodes.len() && heard.iter().all(is_as_before) {
            return false;
        }
        let several = heard.len() > 1;
        let known = heard.iter().map(|heard| before.known(on, heard, several));
        let mut nodes: Vec<Known> = join_all(known).await.into_iter().flatten().collect();
        if nodes.is_empty() {
            return false;
        }
        // What those say who are there goes over what the others once had.
        nodes.sort_by_key(|known| known.lanes.presence.problem().is_none());
        let partitions = if several { places(&nodes) } else { Vec::new() };
        let is_new = |known: &Known| {
            !before.nodes.iter().any(|before| Arc::ptr_eq(&before.lanes, &known.lanes))
        };
        let news = nodes.iter().any(is_new);
        *self.map.write() = Arc::new(Map { nodes, partitions });
        news
    }
}

impl Known {
    fn is(&self, node: &Node) -> bool {
        self.name == node.name() && self.address == node.address()
    }

    /// Whether there is no news of its partitions.
    fn is_as(&self, heard: &Heard) -> bool {
        heard.problem.is_some() || self.generation == heard.generation
    }
}

impl Map {
    /// What is known of a node now; `None` if nothing can be sent there.
    async fn known(&self, on: &Connected, heard: &Heard, several: bool) -> Option<Known> {
        let node = &*heard.node;
        let before = self.nodes.iter().find(|known| known.is(node));
        if let Some(known) = before.filter(|known| known.is_as(heard)) {
            return Some(known.clone());
        }
        if heard.problem.is_some() {
            return None;
        }
        let lanes = match before {
            Some(known) => Arc::clone(&known.lanes),
            None => Arc::new(on.way_to(node, several).await?),
        };
        let masters = if several { masters(on, node).await } else { None };
        Some(Known {
            name: node.name().to_owned(),
            address: node.address().to_owned(),
            // One that did not answer is asked again.
            generation: heard.generation.clone().filter(|_| !several || masters.is_some()),
            masters: masters.map(Arc::new),
            lanes,
        })
    }
}

impl Connected {
    /// A client for this node alone, where there are several.
    async fn way_to(&self, node: &Node, several: bool) -> Option<Lanes> {
        let Some(policy) = self.policy.as_ref().filter(|_| several) else {
            return Some(self.merger.lanes(self.client.clone(), None, Presence::default()));
        };
        let hosts = vec![node.host()];
        match timeout(self.patience, Client::new(policy, &hosts)).await {
            Ok(Ok(client)) => {
                let own = Owned::new(client.clone());
                let presence =
                    if self.is_guarded() { Presence::unknown() } else { Presence::default() };
                Some(self.merger.lanes(client, Some(own), presence))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "no connection to {}, a node of the cluster", node.address());
                None
            }
            Err(_) => None,
        }
    }
}

/// Where each partition's master stands among the nodes, by what they said; the last says it over the others.
fn places(nodes: &[Known]) -> Vec<u16> {
    let mut places = vec![0; PARTITIONS];
    for (known, at) in nodes.iter().zip(0_u16..) {
        let Some(bits) = &known.masters else { continue };
        for (partition, place) in places.iter_mut().enumerate() {
            if bits[partition >> 3] & (0x80 >> (partition & 7)) != 0 {
                *place = at;
            }
        }
    }
    places
}

/// The bits of the partitions that a node is the master of.
async fn masters(on: &Connected, node: &Node) -> Option<Vec<u8>> {
    let within = on.guard.patience();
    let policy = AdminPolicy { timeout: millis(within) };
    let told = timeout(within, node.info(&policy, &["replicas"])).await.ok()?.ok()?;
    first_bitmap(told.get("replicas")?, &on.namespace)
}

/// Of `namespace:regime,replicas,bitmap,…;…`: that of the masters stands first.
fn first_bitmap(told: &str, namespace: &str) -> Option<Vec<u8>> {
    let of = |part: &str| part.strip_prefix(namespace)?.strip_prefix(':').map(str::to_owned);
    let ours = told.trim_end().split(';').find_map(of)?;
    let bits = STANDARD.decode(ours.split(',').nth(2)?).ok()?;
    (bits.len() >= PARTITIONS / 8).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(partitions: &[usize]) -> String {
        let mut bits = vec![0_u8; PARTITIONS / 8];
        for partition in partitions {
            bits[partition >> 3] |= 0x80 >> (partition & 7);
        }
        STANDARD.encode(bits)
    }

    #[test]
    fn the_masters_are_those_of_the_first_bitmap_of_the_namespace() {
        let (none, one, two) = (told(&[]), told(&[0, 9, 4095]), told(&[1, 8, 4094]));
        let said = format!("tes:0,1,{two};test:0,2,{one},{two};test2:0,1,{none}\n");
        let bits = first_bitmap(&said, "test").unwrap();
        let has = |partition: &usize| bits[partition >> 3] & (0x80 >> (partition & 7)) != 0;
        assert!([0, 9, 4095].iter().all(has) && ![1, 8, 4094].iter().any(has));
        assert_eq!(first_bitmap(&said, "other"), None);
        assert_eq!(first_bitmap("test:0,1,AAAA", "test"), None, "it is too short");
    }
}
