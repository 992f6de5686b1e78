//! The records of values and of tags, and every step that can be taken.

use std::collections::BTreeMap;
use std::time::Duration;

use genfence::protocol::{
    Change, Claim, Generation, Grant, Near, Record, Stamp, Stored, Terms, Time, Token, change,
    claim, stamp,
};
use stateright::{Model, Property};

use super::clients::{Client, Move};
use super::mends::{Mend, Promise};
use super::setup::{Setup, Tag};

/// The generation of a record that a lease and a fill have made.
const OPENED: Generation = Generation::new(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Value(usize),
    Tag(Tag),
}

/// What a record holds of a value: what the source said, and the nonces of all its tags. Of a tag: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Held {
    pub value: u8,
    pub nonces: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    pub slots: BTreeMap<Key, Record<Held>>,
    /// What the source holds of each value, and the newest that somebody said is seen everywhere.
    pub sources: Vec<u8>,
    pub heard: Vec<u8>,
    pub faults: u8,
    /// A call was given what was not the latest at any instant of it; what is older than was announced before it.
    pub stale: bool,
    pub unheard: bool,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Claim(Claim),
    Change(Change<Held>),
    Stamp(Stamp),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Refused,
    Done,
    Granted(Grant),
    /// The value, its stamp, and how long it may be kept.
    Copied(Held, Token, Duration),
}

/// A command under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    pub key: Key,
    pub sent: Time,
    /// Nobody waits for its answer.
    pub late: bool,
    /// It was applied already, and is again from this time on.
    pub again: Option<Time>,
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    Evict(Key),
    Apply(usize),
    /// It is applied, and will be once more.
    ApplyTwice(usize),
    Client(usize, Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let record = |held: Held, token: Token| {
            let stored = Stored { value: held, token, version: None, life: None };
            self.normal(Record { stored: Some(stored), ..Record::default() }, Time::ZERO)
        };
        let nonce = |tag: Tag| Token::new(u64::MAX - tag as u64);
        let mut slots = BTreeMap::new();
        if !self.empty {
            for (value, tags) in self.values.iter().enumerate() {
                let nonces = tags.iter().map(|tag| self.first_nonce(nonce(*tag))).collect();
                let token = Token::new(u64::MAX - 16 - value as u64);
                slots.insert(Key::Value(value), record(Held { value: 0, nonces }, token));
            }
            for tag in 0..self.tags() {
                slots.insert(Key::Tag(tag), record(Held::default(), nonce(tag)));
            }
        }
        vec![World {
            now: Time::from_nanos(1),
            slots,
            sources: vec![0; self.values.len()],
            heard: vec![0; self.values.len()],
            faults: self.faults,
            stale: false,
            unheard: false,
            clients: self.roles.iter().map(Client::new).collect(),
            packets: vec![],
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut moves = Vec::new();
        for who in 0..world.clients.len() {
            world.client_moves(self, who, &mut moves);
            actions.extend(moves.drain(..).map(|step| Action::Client(who, step)));
        }
        for (index, packet) in world.packets.iter().enumerate() {
            if world.packets[..index].contains(packet) {
                continue;
            }
            if packet.again.is_none_or(|from| world.now >= from) {
                actions.push(Action::Apply(index));
            }
            if self.twice && packet.again.is_none() && world.faults > 0 {
                actions.push(Action::ApplyTwice(index));
            }
        }
        if self.evicts {
            let free = world.slots.iter().filter(|(_, record)| !record.is_reserved(world.now));
            actions.extend(free.map(|(key, _)| Action::Evict(*key)));
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => world.now = Time::from_nanos(world.now.as_nanos() + 1),
            Action::Evict(key) => drop(world.slots.remove(&key)),
            Action::Apply(index) => world.apply(self, index),
            Action::ApplyTwice(index) => {
                world.faults -= 1;
                let again = Some(Time::from_nanos(world.now.as_nanos() + 1));
                let packet = Packet { late: true, again, ..world.packets[index].clone() };
                world.apply(self, index);
                world.packets.push(packet);
                world.sort();
            }
            Action::Client(who, step) => world.client_acts(self, who, step),
        }
        world.forget_old(self);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl Setup {
    fn first_nonce(&self, token: Token) -> Token {
        if self.undoes(Mend::NonceIsToken) { Token::new(OPENED.get().into()) } else { token }
    }

    /// The record without what only some worlds look at: how long it lives, how often it was written, and copies that
    /// are over.
    fn normal(&self, mut record: Record<Held>, now: Time) -> Record<Held> {
        record.expires = Time::from_nanos(u64::MAX);
        if !self.undoes(Mend::NonceIsToken) || record.generation == Generation::default() {
            record.generation = OPENED;
        }
        if self.near > 0 {
            let none = Near { deadline: Time::ZERO, longest: Duration::ZERO, hushed: None };
            let near = record.near().filter(|near| near.deadline > now);
            record.near = Some(Box::new(near.unwrap_or(none)));
        }
        record
    }
}

impl World {
    pub fn send(&mut self, from: usize, key: Key, late: bool, command: Command) {
        let sent = if late || self.clients[from].keeps.is_none() { Time::ZERO } else { self.now };
        self.packets.push(Packet { from, key, sent, late, again: None, command });
        self.sort();
    }

    fn sort(&mut self) {
        self.packets.sort_by_key(|packet| (packet.from, packet.key, packet.late, packet.again));
    }

    /// Nobody waits for its answers any more.
    pub fn give_up(&mut self, from: usize) {
        for packet in self.packets.iter_mut().filter(|packet| packet.from == from) {
            packet.late = true;
            packet.sent = Time::ZERO;
        }
        self.sort();
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.packets.remove(index);
        let answer = self.serve(setup, &packet);
        if !packet.late {
            self.heard(setup, &packet, answer);
        }
    }

    fn serve(&mut self, setup: &Setup, packet: &Packet) -> Answer {
        let (now, key) = (self.now, packet.key);
        let mut slot = self.slots.remove(&key);
        let before = slot.clone();
        let mut terms = setup.terms();
        undo_before(setup, &mut slot, &mut terms, packet);
        let answer = match &packet.command {
            Command::Claim(command) => {
                claim(&mut slot, now, &terms, command).map_or(Answer::Refused, Answer::Granted)
            }
            Command::Change(command) => {
                change(&mut slot, now, &terms, command).map_or(Answer::Refused, |()| Answer::Done)
            }
            Command::Stamp(command) => match stamp(&mut slot, now, &terms, command) {
                Ok(copied) => Answer::Copied(copied.hit.value, copied.hit.stamp, copied.lives),
                Err(_) => Answer::Refused,
            },
        };
        if answer == Answer::Refused {
            slot = before;
        } else if let Some(record) = &mut slot {
            undo_after(setup, before.as_ref(), record, packet);
        }
        if let Some(record) = slot {
            self.slots.insert(key, setup.normal(record, now));
        }
        match answer {
            Answer::Granted(grant) if !setup.undoes(Mend::NonceIsToken) => {
                Answer::Granted(Grant { generation: OPENED, ..grant })
            }
            answer => answer,
        }
    }
}

fn undo_before(setup: &Setup, slot: &mut Option<Record<Held>>, terms: &mut Terms, packet: &Packet) {
    let (Key::Tag(_), Command::Claim(command)) = (packet.key, &packet.command) else { return };
    match (command, slot) {
        (Claim::Reserve { .. }, None) if setup.undoes(Mend::MissingIsWaitedFor) => {
            terms.unsaid = Duration::ZERO;
        }
        (Claim::Lease { .. }, Some(record)) if setup.undoes(Mend::OpenAsksReservations) => {
            record.reservations.clear();
        }
        _ => {}
    }
}

fn undo_after(
    setup: &Setup,
    before: Option<&Record<Held>>,
    record: &mut Record<Held>,
    packet: &Packet,
) {
    let (Key::Tag(_), Command::Claim(command)) = (packet.key, &packet.command) else { return };
    match command {
        Claim::Reserve { .. } if setup.undoes(Mend::ReserveDropsNonce) => {
            record.stored = before.and_then(|record| record.stored.clone());
        }
        Claim::Lease { .. } if setup.undoes(Mend::OpenAsksReservations) => {
            record.reservations =
                before.map(|record| record.reservations.clone()).unwrap_or_default();
        }
        _ => {}
    }
}
