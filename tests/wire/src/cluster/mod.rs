//! Several nodes in one process, and the harm that is done to them.

mod fabric;
mod partitions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use fabric::{Fabric, Node, Progress, State};
pub(crate) use partitions::{PARTITIONS, Place};

use crate::clock::Clock;
use crate::server::{Listener, Server};
use crate::store::{Config, Digest};

/// Nodes that hold each other's records, on ports of the loopback address. They end when this is dropped.
///
/// Its semantics are those of a namespace that is available and not strongly consistent. Nothing happens by itself: when
/// nodes notice that others went or came ([`notice`](Cluster::notice)), and when records move
/// ([`migrate`](Cluster::migrate)), is the test's to say. So each moment can be held for as long as it takes.
///
/// * A write is answered when its copies are written. One whose copy is on a node that does not hear waits until that does,
///   or the nodes have formed a cluster without it; it is applied at the master by then.
/// * Nodes that see different clusters refuse each other's copies.
/// * A node whose records are not those of the others is asked beside the master, until they have moved: by every write,
///   and by reads that say so.
/// * A removed record leaves nothing behind, and so comes back from a copy that was away.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use genfence_wire::{Clock, Cluster, Config};
///
/// let config = Config { replication_factor: 2, ..Config::default() };
/// let cluster = Cluster::start(3, config, Clock::system()).await?;
/// println!("connect a client to {:?}", cluster.addresses());
/// cluster.pause(2);
/// cluster.notice();
/// // The node goes on with what it had, and does not know yet.
/// cluster.resume(2);
/// cluster.notice();
/// cluster.migrate();
/// # Ok(())
/// # }
/// ```
pub struct Cluster {
    fabric: Arc<Shared>,
    servers: Vec<Server>,
}

/// What all nodes have in common.
pub(crate) struct Shared {
    pub nodes: Mutex<Fabric>,
    /// Changes whenever a command that waits may go on.
    pub changed: watch::Sender<u64>,
}

impl Shared {
    pub fn new(addresses: &[SocketAddr], config: &Config) -> Arc<Self> {
        let mut nodes = Fabric::new(addresses, config);
        nodes.form(&(0..addresses.len()).collect::<Vec<_>>());
        Arc::new(Shared { nodes: Mutex::new(nodes), changed: watch::Sender::new(0) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Fabric) -> T) -> T {
        let changed = change(&mut self.nodes.lock());
        self.changed.send_modify(|times| *times += 1);
        changed
    }
}

impl Cluster {
    /// Starts so many nodes, on free ports, as one cluster.
    ///
    /// # Errors
    /// If a port cannot be had.
    ///
    /// # Panics
    /// Where there are none.
    pub async fn start(nodes: usize, config: Config, clock: Clock) -> io::Result<Cluster> {
        assert!(nodes > 0, "a cluster has nodes");
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(Listener::bind(0).await?);
        }
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.address).collect();
        let fabric = Shared::new(&addresses, &config);
        let server = |(at, listener)| Server::new(listener, Arc::clone(&fabric), at, clock.clone());
        let servers = listeners.into_iter().enumerate().map(server).collect();
        Ok(Cluster { fabric, servers })
    }

    /// Where the nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// A node, for its faults and its records.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn node(&self, node: usize) -> &Server {
        &self.servers[node]
    }

    /// The node that answers for a key, in the eyes of this one.
    ///
    /// # Panics
    /// Where there is no such node, or it was never in a cluster.
    pub fn master(&self, of: &Digest, by: usize) -> usize {
        let nodes = self.fabric.nodes.lock();
        nodes.node(by).view.partitions[partitions::partition_of(of)].master
    }

    /// Stops a node where it stands: it takes connections and requests, as its system does, and does nothing with them.
    pub fn pause(&self, node: usize) {
        self.fabric.change(|nodes| nodes.node_mut(node).state = State::Paused);
    }

    /// It goes on, as if nothing had happened, with what it had and what has come since.
    pub fn resume(&self, node: usize) {
        self.fabric.change(|nodes| nodes.node_mut(node).state = State::Runs);
    }

    /// The other nodes do not hear it any more, nor it them. Clients reach them all.
    pub fn cut(&self, node: usize) {
        self.fabric.change(|nodes| nodes.node_mut(node).is_cut = true);
    }

    /// They hear each other again.
    pub fn mend(&self, node: usize) {
        self.fabric.change(|nodes| nodes.node_mut(node).is_cut = false);
    }

    /// Ends a node, with its connections and its records. Connections to its port are refused from now on.
    pub async fn kill(&self, node: usize) {
        self.fabric.change(|nodes| {
            nodes.node_mut(node).state = State::Dead;
            nodes.forget(node);
        });
        self.servers[node].close().await;
    }

    /// Starts a node that was killed: on the same port, without records, and in a cluster of its own.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn revive(&self, node: usize) -> io::Result<()> {
        self.fabric.change(|nodes| {
            nodes.node_mut(node).state = State::Runs;
            nodes.form(&[node]);
        });
        self.servers[node].open().await
    }

    /// All nodes that run find whom they hear. Those that hear each other are a cluster from now on, with a key of its own
    /// if they were not the same before; one that is paused finds nothing.
    pub fn notice(&self) {
        self.fabric.change(|nodes| {
            let places = 0..self.servers.len();
            let running = places.filter(|at| nodes.node(*at).state == State::Runs);
            let (alone, together): (Vec<_>, Vec<_>) =
                running.partition(|at| nodes.node(*at).is_cut);
            for members in alone.into_iter().map(|at| vec![at]).chain([together]) {
                if !members.is_empty() && !nodes.is_cluster(&members) {
                    nodes.form(&members);
                }
            }
        });
    }

    /// Moves all records to where they are to be, in every cluster whose nodes hear each other.
    pub fn migrate(&self) {
        self.fabric.change(|nodes| {
            for node in 0..self.servers.len() {
                nodes.migrate(node);
            }
        });
    }

    /// Changes the configuration of every node.
    pub fn configure(&self, change: impl Fn(&mut Config)) {
        self.servers.iter().for_each(|server| server.configure(&change));
    }
}
