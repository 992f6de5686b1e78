//! A cluster, and what may befall it.

use std::time::{Duration, Instant};

use aerospike::{AdminPolicy, Client, ClientPolicy, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::nodes;

/// Long enough for whatever a cluster does by itself.
const BOUND: Duration = Duration::from_secs(120);

/// Nodes that are counted from 0. Where the cluster is a real one, whoever runs it does the harm.
pub enum Cluster {
    Wire(genfence_wire::Cluster),
    Real {
        hosts: Vec<String>,
        /// Is called with `pause`, `resume`, `kill`, `start`, `cut` or `heal`, and the node's number, which counts from 1.
        program: String,
    },
}

/// What decides after a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wins {
    LastUpdate,
    Generation,
}

impl Wins {
    fn name(self) -> &'static str {
        match self {
            Wins::LastUpdate => "last-update-time",
            Wins::Generation => "generation",
        }
    }
}

impl Cluster {
    /// Three nodes with two copies, of the wire test server.
    pub async fn wire() -> Self {
        Cluster::Wire(nodes::three(2).await)
    }

    /// The one that `AEROSPIKE_HOSTS` names, a host for each node, if `AEROSPIKE_HARM` names a program that harms it.
    pub fn real() -> Option<Self> {
        let (Ok(hosts), Ok(program)) =
            (std::env::var("AEROSPIKE_HOSTS"), std::env::var("AEROSPIKE_HARM"))
        else {
            println!(
                "skipped: AEROSPIKE_HOSTS and AEROSPIKE_HARM name no cluster that may be harmed"
            );
            return None;
        };
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        assert!(hosts.len() > 2, "AEROSPIKE_HOSTS names fewer than three nodes");
        Some(Cluster::Real { hosts, program })
    }

    pub fn hosts(&self) -> Vec<String> {
        match self {
            Cluster::Wire(nodes) => nodes.addresses().iter().map(ToString::to_string).collect(),
            Cluster::Real { hosts, .. } => hosts.clone(),
        }
    }

    /// A client that knows this node alone.
    pub async fn client(&self, node: usize) -> Client {
        let policy = ClientPolicy { seed_only_cluster: true, ..ClientPolicy::default() };
        Client::new(&policy, &self.hosts()[node]).await.unwrap()
    }

    pub async fn pause(&self, node: usize) {
        self.befalls("pause", node, async |nodes| nodes.pause(node)).await;
    }

    pub async fn resume(&self, node: usize) {
        self.befalls("resume", node, async |nodes| nodes.resume(node)).await;
    }

    pub async fn cut(&self, node: usize) {
        self.befalls("cut", node, async |nodes| nodes.cut(node)).await;
    }

    pub async fn mend(&self, node: usize) {
        self.befalls("heal", node, async |nodes| nodes.mend(node)).await;
    }

    pub async fn kill(&self, node: usize) {
        self.befalls("kill", node, async |nodes| nodes.kill(node).await).await;
    }

    pub async fn start(&self, node: usize) {
        self.befalls("start", node, async |nodes| nodes.revive(node).await.unwrap()).await;
    }

    /// `wire` does it to nodes of the wire test server, the program to real ones.
    async fn befalls(
        &self,
        verb: &str,
        node: usize,
        wire: impl AsyncFnOnce(&genfence_wire::Cluster),
    ) {
        let program = match self {
            Cluster::Wire(nodes) => return wire(nodes).await,
            Cluster::Real { program, .. } => program,
        };
        let status = std::process::Command::new(program)
            .args([verb, &(node + 1).to_string()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(status.expect("AEROSPIKE_HARM can be run").success(), "{verb} {node} went wrong");
    }

    pub async fn decides(&self, wins: Wins) {
        match self {
            Cluster::Wire(nodes) => nodes
                .configure(|config| wins.name().clone_into(&mut config.conflict_resolution_policy)),
            Cluster::Real { .. } => {
                let set = format!(
                    "set-config:context=namespace;id=test;conflict-resolution-policy={}",
                    wins.name()
                );
                for node in 0..self.hosts().len() {
                    assert_eq!(told(&self.client(node).await, &set).await, "ok");
                }
            }
        }
    }

    /// Until each of these nodes knows that the cluster is they, and no other.
    pub async fn noticed(&self, members: &[usize]) {
        match self {
            Cluster::Wire(nodes) => nodes.notice(),
            Cluster::Real { .. } => {
                let size = members.len().to_string();
                let stable = format!("cluster-stable:ignore-migrations=true;size={size}");
                self.all_say(members, &stable).await;
            }
        }
    }

    /// Until all nodes are one cluster, and every record is where it belongs.
    pub async fn whole(&self) {
        match self {
            Cluster::Wire(nodes) => {
                nodes.notice();
                nodes.migrate();
            }
            Cluster::Real { hosts, .. } => {
                let all: Vec<usize> = (0..hosts.len()).collect();
                self.all_say(&all, &format!("cluster-stable:size={}", hosts.len())).await;
            }
        }
    }

    async fn all_say(&self, members: &[usize], question: &str) {
        let since = Instant::now();
        for node in members {
            let client = self.client(*node).await;
            while told(&client, question).await.starts_with("ERROR") {
                assert!(since.elapsed() < BOUND, "node {node} does not come to say {question}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            client.close().await.unwrap();
        }
    }

    /// A key that this node answers for.
    pub async fn key_at(&self, node: usize, name: &str) -> Key {
        let is_at = self.answers_for(node).await;
        let key = |number: u32| {
            Key::new("test", "cluster", aerospike::Value::from(format!("{name}{number}"))).unwrap()
        };
        (0..10_000).map(key).find(is_at).unwrap()
    }

    /// A client of the node that answers for a key, in the eyes of these nodes.
    pub async fn client_of(&self, key: &Key, among: &[usize]) -> Client {
        for node in among {
            if self.answers_for(*node).await(key) {
                return self.client(*node).await;
            }
        }
        panic!("nobody answers for the key")
    }

    async fn answers_for(&self, node: usize) -> impl Fn(&Key) -> bool + use<> {
        let client = self.client(node).await;
        let replicas = told(&client, "replicas").await;
        client.close().await.unwrap();
        let masters = replicas.split(';').find_map(|part| part.strip_prefix("test:")).unwrap();
        let bits = STANDARD.decode(masters.split(',').nth(2).unwrap()).unwrap();
        move |key| {
            let at = key.partition_id();
            bits[at >> 3] & (0x80 >> (at & 7)) != 0
        }
    }
}

/// What a node says to this.
async fn told(client: &Client, question: &str) -> String {
    let nodes = client.nodes();
    let Some(node) = nodes.first() else { return "ERROR: no connection".into() };
    let policy = AdminPolicy { timeout: 1_000 };
    match node.info(&policy, &[question]).await {
        Ok(mut told) => told.swap_remove(question).unwrap_or_default().trim().to_owned(),
        Err(error) => format!("ERROR: {error}"),
    }
}
