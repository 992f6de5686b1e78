//! Packets under way. Nothing is ever certain about one but that it is applied at most once.

use genfence::protocol::{Change, Claim};

/// What the client's library sends: the very command that a store would run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command<V = u8> {
    Claim(Claim),
    Change(Change<V>),
}

impl Command {
    /// Whether this is the command that puts a guarded value into the cache.
    pub fn stores(&self) -> bool {
        use Change::{Commit, CommitVersioned, Fill, Refill};
        matches!(
            self,
            Command::Change(Fill { .. } | Refill { .. } | Commit { .. } | CommitVersioned { .. })
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    /// Its sender has stopped waiting. It may be applied all the same, and nobody hears the answer.
    /// A lost reply is the same thing: the time-out comes first, the packet is applied next. And a
    /// packet that is lost is one that stays late for ever.
    pub late: bool,
    pub command: Command,
}

/// Packets ordered by sender and then by age, so that worlds that differ only in who sent first
/// are one world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network(Vec<Packet>);

impl Network {
    pub fn packets(&self) -> &[Packet] {
        &self.0
    }

    pub fn send(&mut self, from: usize, command: Command) {
        let end = self.0.partition_point(|packet| packet.from <= from);
        self.0.insert(end, Packet { from, late: false, command });
    }

    pub fn take(&mut self, index: usize) -> Packet {
        self.0.remove(index)
    }

    /// The packet whose answer this client waits for.
    pub fn awaited(&self, from: usize) -> Option<&Packet> {
        self.0.iter().find(|packet| packet.from == from && !packet.late)
    }

    /// The client stops waiting; the packet stays under way.
    pub fn give_up(&mut self, from: usize) -> Option<Command> {
        let packet = self.0.iter_mut().find(|packet| packet.from == from && !packet.late)?;
        packet.late = true;
        Some(packet.command.clone())
    }
}
