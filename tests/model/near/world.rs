//! One key's record, the copies of its value, and every step that can be taken.

use std::time::Duration;

use genfence::protocol::{Generation, Near, Record, Stored, Time, Token, get};
use stateright::{Model, Property};

use super::clients::{Client, Move, Stage};
use super::mends::{Mend, Promise};
use super::server::{Answer, Command, NO_COPIES, Slot, serve};
use super::setup::{Role, Setup};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    /// How far the clock is ahead that the key's record is reckoned on, and how often another may take its place.
    pub ahead: u64,
    shifts: u8,
    pub slot: Slot,
    /// The version that the source holds; it is its own value.
    pub source: u8,
    /// The newest version that somebody said is seen everywhere.
    pub heard: u8,
    pub faults: u8,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
}

/// A command under way, which is applied at most once, at any time; or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    /// When it was sent, on its sender's clock; of what nobody waits for, no time.
    pub sent: Time,
    /// Nobody waits for its answer.
    pub late: bool,
    pub command: Command,
    pub answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    /// Time goes on, and this client's clock is wrong.
    Slip(usize),
    /// Another clock counts for the key's record.
    Shift,
    Evict,
    Apply(usize),
    /// An answer arrives.
    Hear(usize),
    Client(usize, Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let stored = Stored { value: 0, token: Token::new(u64::MAX), version: None, life: None };
        let life = self.life.map_or(Time::from_nanos(u64::MAX), |life| Time::from_nanos(1 + life));
        let record = Record {
            stored: Some(stored),
            near: (self.longest > 0).then(|| Box::new(NO_COPIES)),
            generation: Generation::new(1),
            expires: life,
            ..Record::default()
        };
        let world = |ahead| World {
            now: Time::from_nanos(1),
            ahead,
            shifts: self.shifts,
            slot: Some(record.clone()),
            source: 0,
            heard: 0,
            faults: self.faults,
            clients: vec![Client::default(); self.roles.len()],
            packets: vec![],
        };
        (0..=self.clocks).map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut moves = Vec::new();
        for who in 0..world.clients.len() {
            world.client_moves(self, who, &mut moves);
            actions.extend(moves.drain(..).map(|step| Action::Client(who, step)));
            let matters = self.writes(who)
                || matches!(self.roles[who], Role::Keeper { .. } | Role::Announcer);
            if self.drifts && matters && !world.clients[who].slipped && world.now < self.horizon() {
                actions.push(Action::Slip(who));
            }
        }
        for (index, packet) in world.packets.iter().enumerate() {
            if world.packets[..index].contains(packet) {
                continue;
            }
            let answered = packet.answer.is_some();
            if !answered {
                actions.push(Action::Apply(index));
            } else if !packet.late || world.clients[packet.from].stage == Stage::Asks {
                actions.push(Action::Hear(index));
            }
        }
        if world.may_evict(self) {
            actions.push(Action::Evict);
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
        if world.shifts > 0 {
            actions.push(Action::Shift);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => world.tick(),
            Action::Slip(who) => {
                world.tick();
                world.clients[who].slipped = true;
            }
            Action::Shift => {
                world.shifts -= 1;
                world.ahead = self.clocks - world.ahead;
            }
            Action::Evict => world.slot = None,
            Action::Apply(index) => world.apply(self, index),
            Action::Hear(index) => {
                let packet = world.packets.remove(index);
                world.hear(self, packet);
            }
            Action::Client(who, step) => world.client_acts(self, who, step),
        }
        world.forget_old(self);
        world.forget_copies(self);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl World {
    fn tick(&mut self) {
        self.now = Time::from_nanos(self.now.as_nanos() + 1);
    }

    /// The time on the clock that counts for the record.
    pub fn server(&self) -> Time {
        Time::from_nanos(self.now.as_nanos() + self.ahead)
    }

    /// All that may be served now: by the record, and by copies.
    pub fn hits(&self) -> impl Iterator<Item = u8> {
        let hit = get(self.slot.as_ref(), self.server()).map(|hit| hit.value);
        let copies = self.clients.iter().filter_map(|client| Some(client.copy?.value));
        hit.into_iter().chain(copies)
    }

    fn may_evict(&self, setup: &Setup) -> bool {
        let free = |record: &Record<u8>| !record.is_reserved(self.server());
        setup.evicts && self.slot.as_ref().is_some_and(free)
    }

    pub fn send(&mut self, from: usize, sent: Time, command: Command) {
        self.packets.push(Packet { from, sent, late: false, command, answer: None });
        self.sort();
    }

    fn sort(&mut self) {
        self.packets.sort_by_key(|packet| (packet.from, packet.late, packet.sent));
    }

    /// Nobody waits for its answers any more; one that is on its way is lost.
    pub fn give_up(&mut self, setup: &Setup, from: usize) {
        let hears_late = setup.undoes(Mend::AnswerIsToItsOwnAttempt);
        self.packets.retain(|packet| packet.from != from || packet.answer.is_none() || hears_late);
        for packet in self.packets.iter_mut().filter(|packet| packet.from == from) {
            packet.late = true;
            packet.sent = Time::ZERO;
        }
        self.sort();
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let mut packet = self.packets.remove(index);
        let server = self.server();
        let answer = serve(setup, server, &mut self.slot, &packet.command);
        packet.answer = Some(answer);
        let keeps = matches!(setup.roles[packet.from], Role::Keeper { .. });
        if packet.late {
            return;
        }
        if keeps {
            self.packets.push(packet);
            self.sort();
        } else {
            self.hear(setup, packet);
        }
    }

    fn hear(&mut self, setup: &Setup, packet: Packet) {
        let Packet { from, mut sent, late, answer, .. } = packet;
        let Some(answer) = answer else { return };
        if late {
            // Taken for the answer to the attempt that is under way.
            let own = self.packets.iter().find(|other| other.from == from && !other.late);
            sent = own.map_or(sent, |own| own.sent);
            self.give_up(setup, from);
        }
        self.heard(setup, from, sent, answer);
    }

    /// Worlds that differ only in copies that are over are one, whichever clock counts.
    fn forget_copies(&mut self, setup: &Setup) {
        let Some(record) = &mut self.slot else { return };
        let Some(near) = &mut record.near else { return };
        if near.deadline.after(Duration::from_nanos(setup.clocks)) <= self.now {
            let hushed = near.hushed.filter(|hushed| hushed.until > self.now);
            **near = Near { hushed, ..NO_COPIES };
        }
    }
}
