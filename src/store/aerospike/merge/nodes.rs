//! Which node a key is at, for what is gathered.
//!
//! The client finds each row's node by itself when a batch is sent and tells nobody, so this is a second look at the
//! same map: where it is old a batch has rows for several nodes, and nothing else is lost.

use std::sync::Arc;
use std::time::Duration;

use aerospike::{AdminPolicy, Key, Node};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::time::timeout;

use super::super::Connected;
use super::super::connect::millis;
use super::{Lanes, Merger};

const PARTITIONS: usize = 4096;

/// The lanes of all nodes.
pub(in super::super) struct Nodes {
    map: RwLock<Arc<Map>>,
}

/// Which lanes a partition's commands take.
struct Map {
    nodes: Vec<Known>,
    /// The place of each partition's node in `nodes`; empty where there is one node.
    partitions: Vec<u16>,
}

struct Known {
    name: String,
    /// How often its partitions had changed when it was asked.
    generation: isize,
    lanes: Arc<Lanes>,
}

impl Nodes {
    /// Not yet known.
    pub fn new(merger: &Merger) -> Self {
        let lanes = Arc::new(merger.lanes());
        let one = vec![Known { name: String::new(), generation: isize::MIN, lanes }];
        Nodes { map: RwLock::new(Arc::new(Map { nodes: one, partitions: Vec::new() })) }
    }

    /// The lanes of a key's node, as far as it is known.
    pub fn of(&self, key: &Key) -> Arc<Lanes> {
        let map = self.map.read();
        let at = map.partitions.get(key.partition_id()).copied().unwrap_or(0);
        Arc::clone(&map.nodes[usize::from(at)].lanes)
    }

    /// Notes that a node is there, or why it is not.
    pub fn note(&self, name: &str, problem: Option<&'static str>) {
        let map = Arc::clone(&self.map.read());
        if let Some(known) = map.nodes.iter().find(|known| known.name == name) {
            known.lanes.presence.note(problem);
        }
    }

    /// Looks which node has which partitions, where that may have changed.
    pub async fn look(&self, on: &Connected, nodes: &[Arc<Node>]) {
        let before = Arc::clone(&self.map.read());
        let is_known = |(node, known): (&Arc<Node>, &Known)| {
            node.name() == known.name && node.partition_generation() == known.generation
        };
        if nodes.is_empty()
            || nodes.len() == before.nodes.len() && nodes.iter().zip(&before.nodes).all(is_known)
        {
            return;
        }
        let mut said = Vec::new();
        if nodes.len() > 1 {
            let policy = AdminPolicy { timeout: millis(on.guard.patience()) };
            let asked = nodes.iter().map(|node| masters(node, &policy, &on.namespace));
            said = join_all(asked).await;
        }
        let known = nodes.iter().enumerate().map(|(at, node)| {
            let lanes = before.nodes.iter().find(|known| known.name == node.name());
            Known {
                name: node.name().to_owned(),
                // One that did not answer is asked again.
                generation: match said.get(at) {
                    Some(None) => isize::MIN,
                    _ => node.partition_generation(),
                },
                lanes: lanes
                    .map_or_else(|| Arc::new(on.merger.lanes()), |known| Arc::clone(&known.lanes)),
            }
        });
        let map = Map { nodes: known.collect(), partitions: places(&said) };
        *self.map.write() = Arc::new(map);
    }
}

/// Where each partition's master stands among the nodes, by what they said.
fn places(said: &[Option<Vec<u8>>]) -> Vec<u16> {
    let mut places = vec![0; if said.is_empty() { 0 } else { PARTITIONS }];
    for (bits, at) in said.iter().zip(0_u16..) {
        let Some(bits) = bits else { continue };
        for (partition, place) in places.iter_mut().enumerate() {
            if bits[partition >> 3] & (0x80 >> (partition & 7)) != 0 {
                *place = at;
            }
        }
    }
    places
}

/// The bits of the partitions that a node is the master of.
async fn masters(node: &Node, policy: &AdminPolicy, namespace: &str) -> Option<Vec<u8>> {
    let asked = node.info(policy, &["replicas"]);
    let told = timeout(Duration::from_millis(policy.timeout.into()), asked).await.ok()?.ok()?;
    first_bitmap(told.get("replicas")?, namespace)
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
    fn each_partition_is_found_at_its_master() {
        let (none, one, two) = (told(&[]), told(&[0, 9, 4095]), told(&[1, 8, 4094]));
        let first = format!("tes:0,1,{two};test:0,2,{one},{two};test2:0,1,{two}\n");
        let second = format!("test2:0,1,{one};test:0,2,{two},{none}");
        let said = [first_bitmap(&first, "test"), first_bitmap(&second, "test"), None];
        let places = places(&said);
        assert_eq!([places[0], places[9], places[4095]], [0; 3]);
        assert_eq!([places[1], places[8], places[4094]], [1; 3]);
        assert_eq!(first_bitmap(&first, "other"), None);
        assert_eq!(first_bitmap("test:0,1,AAAA", "test"), None, "it is too short");
    }
}
