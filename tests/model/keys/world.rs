//! The records of the keys, the source, and every step that can be taken.

use genfence::protocol::{
    Generation, Grant, Record, Stored, Terms, Time, Token, change, claim, get,
};
use stateright::{Model, Property};

use super::mends::Promise;
use super::reader::{self, Reader};
use super::setup::{Key, Role, Rows, Setup};
use super::writer::{self, Writer};
use crate::client::normal;
use crate::network;

pub type Command = network::Command<Rows>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    /// The record of each key.
    slots: Vec<Option<Record<Rows>>>,
    /// What the source holds, and before that what it held, where somebody reads several keys.
    pub past: Vec<Rows>,
    pub faults: u8,
    /// Somebody was given a value that is older than one which he was given before; or two that are of no one instant.
    pub backwards: bool,
    pub torn: bool,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Writer(Writer),
    Reader(Reader),
}

/// A command under way. It is applied at most once, at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    pub key: Key,
    /// Nobody waits for its answer.
    pub late: bool,
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    Apply(usize),
    Writer(usize, writer::Move),
    Reader(usize, reader::Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let first =
            |value| Stored { value, token: Token::new(u64::MAX), version: None, life: None };
        let record = |stored| normal(Record { stored: Some(stored), ..Record::default() });
        let client = |role: &Role| match role {
            Role::Writer(_) => Client::Writer(Writer::default()),
            Role::Reader(_) => Client::Reader(Reader::default()),
        };
        vec![World {
            now: Time::from_nanos(1),
            slots: self.values.iter().map(|_| Some(record(first(Rows::default())))).collect(),
            past: vec![Rows::default()],
            faults: self.faults,
            backwards: false,
            torn: false,
            clients: self.roles.iter().map(client).collect(),
            packets: vec![],
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for who in 0..world.clients.len() {
            match self.roles[who] {
                Role::Writer(transaction) => {
                    let moves = world.writer_moves(self, who, &transaction);
                    actions.extend(moves.into_iter().map(|step| Action::Writer(who, step)));
                }
                Role::Reader(keys) => {
                    let moves = world.reader_moves(who, keys);
                    actions.extend(moves.into_iter().map(|step| Action::Reader(who, step)));
                }
            }
        }
        for (index, packet) in world.packets.iter().enumerate() {
            if !world.packets[..index].contains(packet) {
                actions.push(Action::Apply(index));
            }
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => world.now = Time::from_nanos(world.now.as_nanos() + 1),
            Action::Apply(index) => world.apply(self, index),
            Action::Writer(who, step) => world.writer_acts(self, who, step),
            Action::Reader(who, step) => world.reader_acts(self, who, step),
        }
        world.forget_old();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties(self.promises)
    }
}

impl World {
    /// What the source holds.
    pub fn source(&self) -> Rows {
        *self.past.last().expect("it holds something")
    }

    /// A COMMIT lands.
    pub fn change(&mut self, setup: &Setup, rows: Rows) {
        if !setup.remembers() {
            self.past.clear();
        }
        self.past.push(rows);
    }

    /// What a get of a key answers.
    pub fn hit(&self, key: Key) -> Option<Rows> {
        get(self.slots[key].as_ref(), self.now).map(|hit| hit.value)
    }

    pub fn is_fresh(&self, setup: &Setup) -> bool {
        let latest =
            |key: Key| self.hit(key).is_none_or(|hit| hit == setup.value(key, self.source()));
        (0..self.slots.len()).all(latest)
    }

    pub fn send(&mut self, from: usize, key: Key, late: bool, command: Command) {
        self.packets.push(Packet { from, key, late, command });
        self.sort();
    }

    /// Nobody waits for its answers any more.
    pub fn give_up(&mut self, from: usize) {
        for packet in self.packets.iter_mut().filter(|packet| packet.from == from) {
            packet.late = true;
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.packets.sort_by_key(|Packet { from, key, late, command }| {
            (*from, *key, *late, matches!(command, Command::Claim(_)))
        });
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.packets.remove(index);
        let (now, slot) = (self.now, &mut self.slots[packet.key]);
        let answer = match &packet.command {
            Command::Claim(command) => claim(slot, now, &Terms::default(), command).ok(),
            Command::Change(command) => {
                let refused = change(slot, now, &Terms::default(), command).is_err();
                *slot = slot.take().map(normal);
                if refused {
                    self.refused(packet.from, packet.key, command);
                }
                return;
            }
        };
        *slot = slot.take().map(normal);
        if packet.late {
            return;
        }
        let answer = answer.map(|grant| Grant { generation: Generation::new(1), ..grant });
        match setup.roles[packet.from] {
            Role::Writer(_) => self.reserved(setup, packet.from, packet.key, answer),
            Role::Reader(_) => self.leased(packet.from, answer),
        }
    }

    /// Worlds that differ only in what is over are one.
    fn forget_old(&mut self) {
        let now = self.now;
        for client in &mut self.clients {
            if let Client::Writer(writer) = client {
                writer.forget_old(now);
            }
        }
    }
}

/// A client's only token; of its keys each has another record.
pub fn token(who: usize) -> Token {
    Token::new(who as u64 + 1)
}
