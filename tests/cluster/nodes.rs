//! Three nodes of the wire test server.

use genfence_wire::{Clock, Cluster, Config, Digest};

/// Where the newest copy wins, as the guarantee asks for it.
pub async fn three(copies: u32) -> Cluster {
    let config = Config {
        replication_factor: copies,
        conflict_resolution_policy: "last-update-time".into(),
        ..Config::default()
    };
    Cluster::start(3, config, Clock::system()).await.unwrap()
}

/// The cache that these nodes have, in the set `cache`.
pub fn url(nodes: &Cluster, known: impl Iterator<Item = usize>, options: &str) -> String {
    let hosts: Vec<String> = known.map(|node| nodes.addresses()[node].to_string()).collect();
    format!("aerospike://{}/test/cache?{options}", hosts.join(","))
}

/// What that cache's record of a key is found by.
pub fn digest(key: &str) -> Digest {
    let key = aerospike::Value::Blob(key.into());
    aerospike::Key::new("test", "cache", key).unwrap().digest()
}
