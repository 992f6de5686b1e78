//! What the nodes of a cluster say to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::partitions::{
    PARTITIONS, Partition, Place, Version, View, balance, order, partition_of,
};
use crate::command;
use crate::message::{Message, Reply, info1, info2};
use crate::store::{Config, Digest, Record, Store};

/// All nodes, behind one lock: so each command is atomic.
#[derive(Debug)]
pub(crate) struct Fabric {
    nodes: Vec<Node>,
    clusters: u64,
    generations: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub store: Store,
    pub address: SocketAddr,
    pub state: State,
    /// No other node hears it, nor it them.
    pub is_cut: bool,
    /// What it knows of its cluster.
    pub view: View,
    versions: Vec<Option<Version>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Runs,
    /// It does nothing, and does not know that it did nothing.
    Paused,
    Dead,
}

/// How far a command is. What needs another node waits until that can be reached, or is of the cluster no more.
#[derive(Debug)]
pub(crate) enum Progress {
    Begun,
    /// It was applied there, and its copies have yet to be written.
    Applied(Place, Reply),
    Done(Reply),
}

impl Fabric {
    /// Nodes that form no cluster yet.
    pub fn new(addresses: &[SocketAddr], config: &Config) -> Self {
        let node = |address: &SocketAddr| Node {
            store: Store { config: config.clone(), ..Store::default() },
            address: *address,
            state: State::Runs,
            is_cut: false,
            view: View::none(),
            versions: vec![None; PARTITIONS],
        };
        let nodes = addresses.iter().map(node).collect();
        Fabric { nodes, clusters: 0, generations: 0 }
    }

    pub fn node(&self, at: Place) -> &Node {
        &self.nodes[at]
    }

    pub fn node_mut(&mut self, at: Place) -> &mut Node {
        &mut self.nodes[at]
    }

    /// Whether these nodes see one cluster, of themselves alone.
    pub fn is_cluster(&self, members: &[Place]) -> bool {
        let views = || members.iter().map(|place| &self.nodes[*place].view);
        views().all(|view| {
            view.members == members && view.cluster == self.nodes[members[0]].view.cluster
        })
    }

    /// These nodes become a cluster, with a key of its own.
    pub fn form(&mut self, members: &[Place]) {
        self.clusters += 1;
        self.generations += 1;
        let copies = self.copies(members);
        let mut partitions = Vec::with_capacity(PARTITIONS);
        for at in 0..PARTITIONS {
            let order = order(at, members);
            let (partition, after) =
                balance(self.clusters, &order, copies, |place| self.nodes[place].versions[at]);
            for (place, version) in order.into_iter().zip(after) {
                self.nodes[place].versions[at] = version;
            }
            partitions.push(partition);
        }
        self.sweep(members);
        let view = View {
            cluster: self.clusters,
            members: members.to_vec(),
            partitions,
            generation: self.generations,
        };
        for place in members {
            let node = &mut self.nodes[*place];
            node.view = view.clone();
            // The first is the key that was configured.
            if self.clusters > 1 {
                node.store.config.cluster_key =
                    format!("{:012X}", 0xB1C2_0000_0000 + self.clusters);
                node.store.config.rebalanced = 0;
            }
        }
    }

    /// All records move to where they are to be, the winner of each: what a cluster does by and by.
    pub fn migrate(&mut self, place: Place) {
        let members = self.nodes[place].view.members.clone();
        let all = members.iter().all(|member| self.reaches(place, *member));
        if !all || !self.nodes[place].view.moves() {
            return;
        }
        let copies = self.copies(&members);
        let whole = Version { cluster: self.nodes[place].view.cluster, whole: true };
        let mut held: BTreeMap<usize, BTreeSet<Digest>> = BTreeMap::new();
        for member in &members {
            for digest in self.nodes[*member].store.records.keys() {
                held.entry(partition_of(digest)).or_default().insert(*digest);
            }
        }
        for at in 0..PARTITIONS {
            let Partition { master, others, moves } = self.nodes[place].view.partitions[at].clone();
            if !moves {
                continue;
            }
            let ranked = order(at, &members);
            for digest in held.remove(&at).unwrap_or_default() {
                self.take_winner(master, &others, &digest);
                let winner = self.nodes[master].store.records.get(&digest).cloned();
                for holder in ranked.iter().take(copies) {
                    self.put(*holder, &digest, winner.clone());
                }
            }
            for (rank, member) in ranked.into_iter().enumerate() {
                self.nodes[member].versions[at] = Some(whole).filter(|_| rank < copies);
            }
        }
        self.sweep(&members);
        self.generations += 1;
        for member in &members {
            let view = &mut self.nodes[*member].view;
            view.generation = self.generations;
            for (at, partition) in view.partitions.iter_mut().enumerate() {
                let master = order(at, &members)[0];
                *partition = Partition { master, others: Vec::new(), moves: false };
            }
        }
    }

    /// A node is new, and has nothing.
    pub fn forget(&mut self, at: Place) {
        let node = &mut self.nodes[at];
        node.store.records.clear();
        node.versions.fill(None);
        node.view = View::none();
    }

    /// A command goes on, as far as it can.
    pub fn advance(
        &mut self,
        at: Place,
        digest: &Digest,
        message: &Message,
        now: u64,
        progress: &mut Progress,
    ) {
        if let Progress::Begun = progress {
            if let [only] = &mut *self.nodes {
                *progress = Progress::Done(command::run(&mut only.store, digest, message, now));
                return;
            }
            let Some(master) = self.responsible(at, digest) else { return };
            if !self.resolve(master, digest, message) {
                return;
            }
            let store = &mut self.nodes[master].store;
            let before = store.records.get(digest).cloned();
            let reply = command::run(store, digest, message, now);
            let unchanged = before.as_ref() == store.records.get(digest);
            *progress =
                if unchanged { Progress::Done(reply) } else { Progress::Applied(master, reply) };
        }
        if let Progress::Applied(by, reply) = progress
            && self.replicate(*by, digest)
        {
            *progress = Progress::Done(std::mem::take(reply));
        }
    }

    /// Who runs a command that came to this node, which may have to hand it on.
    fn responsible(&self, at: Place, digest: &Digest) -> Option<Place> {
        let mut here = at;
        for _ in &self.nodes {
            let master = self.nodes[here].view.partitions.get(partition_of(digest))?.master;
            if master == here {
                return Some(here);
            }
            if !self.reaches(here, master) {
                return None;
            }
            here = master;
        }
        None
    }

    /// The master takes the newest of all copies, if the command asks for it. Whether it could.
    fn resolve(&mut self, master: Place, digest: &Digest, message: &Message) -> bool {
        let writes = message.info2 & (info2::WRITE | info2::DELETE) != 0;
        let asks = message.info1 & info1::ALL_COPIES != 0;
        if !writes && !asks {
            return true;
        }
        let others = self.nodes[master].view.partitions[partition_of(digest)].others.clone();
        if !others.iter().all(|other| *other == master || self.is_with(master, *other)) {
            return false;
        }
        self.take_winner(master, &others, digest);
        true
    }

    fn take_winner(&mut self, master: Place, others: &[Place], digest: &Digest) {
        let by_generation =
            self.nodes[master].store.config.conflict_resolution_policy == "generation";
        let rank = |record: &Record| {
            let (generation, update) = (u64::from(record.generation), record.last_update);
            if by_generation { (generation, update) } else { (update, generation) }
        };
        for other in others {
            let Some(theirs) = self.nodes[*other].store.records.get(digest).cloned() else {
                continue;
            };
            let ours = &mut self.nodes[master].store.records;
            if ours.get(digest).is_none_or(|own| rank(own) < rank(&theirs)) {
                ours.insert(*digest, theirs);
            }
        }
    }

    /// Writes a record's copies. Whether all could be written that the node has to write.
    fn replicate(&mut self, by: Place, digest: &Digest) -> bool {
        let node = &self.nodes[by];
        let at = partition_of(digest);
        if node.view.partitions.get(at).is_none_or(|partition| partition.master != by) {
            return true;
        }
        let record = node.store.records.get(digest).cloned();
        let members = node.view.members.clone();
        let mut all = true;
        let ranked = order(at, &members).into_iter().take(self.copies(&members));
        for replica in ranked.filter(|replica| *replica != by).collect::<Vec<_>>() {
            if !self.is_with(by, replica) {
                all = false;
                continue;
            }
            self.put(replica, digest, record.clone());
        }
        all
    }

    /// Whether a node hears another.
    fn reaches(&self, from: Place, to: Place) -> bool {
        let alone = |place: Place| self.nodes[place].is_cut;
        from == to || self.nodes[to].state == State::Runs && !alone(from) && !alone(to)
    }

    /// Whether a node hears another that sees the same cluster.
    fn is_with(&self, from: Place, to: Place) -> bool {
        self.reaches(from, to) && self.nodes[from].view.cluster == self.nodes[to].view.cluster
    }

    fn copies(&self, members: &[Place]) -> usize {
        let factor =
            members.first().map_or(1, |at| self.nodes[*at].store.config.replication_factor);
        usize::try_from(factor).unwrap_or(usize::MAX).clamp(1, members.len())
    }

    fn put(&mut self, place: Place, digest: &Digest, record: Option<Record>) {
        let records = &mut self.nodes[place].store.records;
        match record {
            Some(record) => drop(records.insert(*digest, record)),
            None => drop(records.remove(digest)),
        }
    }

    /// The records go of what a node is to hold no more.
    fn sweep(&mut self, places: &[Place]) {
        for place in places {
            let Node { store, versions, .. } = &mut self.nodes[*place];
            store.records.retain(|digest, _| versions[partition_of(digest)].is_some());
        }
    }
}
