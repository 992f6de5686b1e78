//! One region, and the stream of changes that leads to it, in one state; and every step it can take.

use genfence::protocol::{
    Change, Claim, Generation, Grant, Record, Terms, Time, Token, Version, change, claim,
};
use stateright::{Model, Property};

use super::promises::Promise;
use super::setup::{Mend, Role, Setup};
use crate::client::{ttl, version};
use crate::network::Command;

/// What stands in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Change(u8),
    /// A heartbeat, and when it was written.
    Beat(Time),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Client {
    #[default]
    Idle,
    Asks,
    Holds(Grant),
    Read(Grant, u8),
    Done,
}

/// A command under way: of a client, or of the stream's follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: Option<usize>,
    pub late: bool,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    pub slot: Option<Record<u8>>,
    /// The last time that a version was heard of.
    heard_at: Time,
    pub source: u8,
    /// What it held at the end of each tick.
    pub past: Vec<u8>,
    pub stream: Vec<Entry>,
    /// What stands before is applied.
    pub position: usize,
    pub gate_until: Time,
    /// The newest version that the region was told of, by the stream or by its own writers.
    pub told: u8,
    faults: u8,
    changes: u8,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    /// The record is lost: its time to live, or memory.
    Evict,
    Apply(usize),
    /// Another region changes the source.
    Change,
    /// The follower writes a heartbeat.
    Beat,
    /// It takes the entry at this place.
    Take(usize),
    /// It hears no answer, and takes the same again.
    Again,
    /// The stream goes back by one entry.
    Redeliver,
    Client(usize, Move),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Move {
    Start,
    Change,
    Read,
    ReadReplica,
    Fill,
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: Time::from_nanos(1),
            slot: None,
            heard_at: Time::ZERO,
            source: 0,
            past: vec![],
            stream: vec![],
            position: 0,
            gate_until: Time::from_nanos(1 + self.bound.unwrap_or_default()),
            told: 0,
            faults: self.faults,
            changes: self.changes,
            clients: vec![Client::Idle; self.roles.len()],
            packets: vec![],
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.client_moves(self, actions);
        for (index, packet) in world.packets.iter().enumerate() {
            if !world.packets[..index].contains(packet) {
                actions.push(Action::Apply(index));
            }
        }
        if world.changes > 0 {
            actions.push(Action::Change);
        }
        if self.bound.is_some() && !world.stream.contains(&Entry::Beat(world.now)) {
            actions.push(Action::Beat);
        }
        let waits = world.packets.iter().any(|packet| packet.from.is_none() && !packet.late);
        if waits && world.faults > 0 {
            actions.push(Action::Again);
        }
        if !waits && world.position < world.stream.len() {
            actions.push(Action::Take(world.position));
        }
        if self.undoes(Mend::HeartbeatsInOrder) {
            let beats = (world.position + 1)..world.stream.len();
            let beats = beats.filter(|at| matches!(world.stream[*at], Entry::Beat(_)));
            actions.extend(beats.map(Action::Take));
        }
        if !waits && world.position > 0 && world.faults > 0 {
            actions.push(Action::Redeliver);
        }
        if world.may_evict(self) {
            actions.push(Action::Evict);
        }
        if world.now.as_nanos() < self.horizon {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => {
                world.past.push(world.source);
                world.now = Time::from_nanos(world.now.as_nanos() + 1);
            }
            Action::Evict => world.slot = None,
            Action::Apply(index) => world.apply(self, index),
            Action::Change => {
                world.changes -= 1;
                world.commit();
            }
            Action::Beat => world.stream.push(Entry::Beat(world.now)),
            Action::Take(at) => world.take(self, at),
            Action::Again => {
                world.faults -= 1;
                let sent = world.packets.iter_mut().filter(|packet| packet.from.is_none());
                sent.for_each(|packet| packet.late = true);
            }
            Action::Redeliver => {
                world.faults -= 1;
                world.position -= 1;
            }
            Action::Client(who, step) => world.client_acts(self, who, step),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl World {
    /// Whether the region serves hits.
    pub fn serves(&self, setup: &Setup) -> bool {
        setup.bound.is_none() || setup.undoes(Mend::Gate) || self.now < self.gate_until
    }

    fn may_evict(&self, setup: &Setup) -> bool {
        let Some(record) = &self.slot else { return false };
        let lives = self.heard_at.as_nanos() + setup.floor;
        let over = lives <= self.now.as_nanos() || setup.undoes(Mend::FloorOutlivesLag);
        // A record that somebody has reserved lives longest.
        !record.is_reserved(self.now) && over
    }

    /// The source is changed, and the stream will tell.
    fn commit(&mut self) {
        self.source += 1;
        self.stream.push(Entry::Change(self.source));
    }

    fn replica(&self, setup: &Setup) -> u8 {
        let Some(lag) = setup.lag else { return 0 };
        let then = self.past.len().checked_sub(lag);
        then.and_then(|tick| self.past.get(tick)).copied().unwrap_or_default()
    }

    fn take(&mut self, setup: &Setup, at: usize) {
        match self.stream[at] {
            Entry::Beat(since) => {
                let bound = setup.bound.unwrap_or_default();
                let until = Time::from_nanos(since.as_nanos() + bound);
                self.gate_until = self.gate_until.max(until);
                if at == self.position {
                    self.position += 1;
                }
            }
            Entry::Change(number) => {
                let versioned = !setup.undoes(Mend::InvalidationsHaveVersions);
                let version = versioned.then(|| version(number));
                let command = Command::Change(Change::Invalidate { version, ttl: ttl() });
                self.packets.push(Packet { from: None, late: false, command });
                if setup.undoes(Mend::ConfirmedWhenApplied) {
                    self.position += 1;
                }
            }
        }
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.packets.remove(index);
        let (now, before) = (self.now, self.slot.clone());
        let answer = match &packet.command {
            Command::Claim(command) => {
                claim(&mut self.slot, now, &Terms::default(), command).map(Some)
            }
            Command::Change(command) => {
                change(&mut self.slot, now, &Terms::default(), command).map(|()| None)
            }
        };
        let was_missing = before.is_none();
        if answer.is_err() {
            self.slot = before;
        }
        if let Some(record) = &mut self.slot {
            record.expires = Time::from_nanos(u64::MAX);
            record.generation = Generation::new(1);
        }
        match packet.from {
            None => self.invalidated(setup, &packet, was_missing),
            Some(who) => {
                if let Command::Change(Change::CommitVersioned { value, .. }) = packet.command {
                    self.told = self.told.max(value);
                    self.heard_at = now;
                }
                self.clients[who] = match answer {
                    Ok(Some(grant)) => {
                        Client::Holds(Grant { generation: Generation::new(1), ..grant })
                    }
                    _ => Client::Done,
                };
            }
        }
    }

    fn invalidated(&mut self, setup: &Setup, packet: &Packet, was_missing: bool) {
        let Command::Change(Change::Invalidate { version, .. }) = packet.command else { return };
        if setup.undoes(Mend::MissingGetsFloor) && was_missing {
            self.slot = None;
        }
        if setup.undoes(Mend::OlderLowersNothing)
            && let Some(record) = &mut self.slot
        {
            record.floor = version;
        }
        self.heard_at = self.now;
        if packet.late {
            let version = version.map_or(0, Version::get);
            self.told = self.told.max(u8::try_from(version).expect("small numbers are versions"));
            return;
        }
        if setup.undoes(Mend::ConfirmedWhenApplied) {
            return;
        }
        if let Entry::Change(number) = self.stream[self.position] {
            self.told = self.told.max(number);
            self.position += 1;
        }
    }

    fn client_moves(&self, setup: &Setup, actions: &mut Vec<Action>) {
        for (who, (client, role)) in self.clients.iter().zip(setup.roles).enumerate() {
            let mut may = |step| actions.push(Action::Client(who, step));
            match (client, role) {
                (Client::Idle, _) => may(Move::Start),
                (Client::Holds(grant), Role::Writer) if self.now < grant.deadline => {
                    may(Move::Change);
                }
                (Client::Holds(_), Role::Reader) => {
                    may(Move::Read);
                    if self.replica(setup) < self.source {
                        may(Move::ReadReplica);
                    }
                }
                (Client::Read(..), _) => may(Move::Fill),
                _ => {}
            }
        }
    }

    fn client_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        let token = Token::new(who as u64 + 1);
        let time = std::time::Duration::from_nanos(2);
        let (previous, ttl, until) = (vec![], ttl(), None);
        let command = match (act, self.clients[who]) {
            (Move::Start, _) => Command::Claim(match setup.roles[who] {
                Role::Writer => Claim::Reserve { token, previous, time, ttl },
                Role::Reader => Claim::Lease { token, previous, time, ttl, over: None },
            }),
            (Move::Read, Client::Holds(grant)) => {
                self.clients[who] = Client::Read(grant, self.source);
                return;
            }
            (Move::ReadReplica, Client::Holds(grant)) => {
                self.clients[who] = Client::Read(grant, self.replica(setup));
                return;
            }
            (Move::Change, Client::Holds(Grant { deadline, .. })) => {
                self.commit();
                let value = self.source;
                let version = version(value);
                Command::Change(Change::CommitVersioned {
                    token,
                    deadline,
                    value,
                    version,
                    ttl,
                    until,
                })
            }
            (Move::Fill, Client::Read(Grant { deadline, generation, .. }, value)) => {
                let version = Some(version(value));
                Command::Change(Change::Fill {
                    token,
                    deadline,
                    generation,
                    value,
                    version,
                    ttl,
                    until,
                })
            }
            (act, client) => unreachable!("{client:?} does not {act:?}"),
        };
        self.clients[who] = Client::Asks;
        self.packets.push(Packet { from: Some(who), late: false, command });
    }
}
