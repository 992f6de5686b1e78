//! Two clusters, the programs' phase, and every step that can be taken. There is one clock, and one key.

use std::collections::BTreeMap;

use genfence::protocol::{
    Change, Generation, Grant, Record, Stored, Terms, Time, Token, change, claim, get,
};
use stateright::{Model, Property};

use super::clients::{Client, Move};
use super::mends::{Mend, Promise};
use super::setup::{HOMES, List, Setup};
use crate::client::normal;
use crate::network::Command;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    /// The version that the source holds; it is its own value.
    pub source: u8,
    /// What it held at the end of each tick, where somebody reads a replica.
    past: Vec<u8>,
    /// The newest version that everybody who had to be was told of.
    pub heard: u8,
    pub faults: u8,
    /// The phases that programs may be in: the first, and the last.
    pub oldest: usize,
    pub newest: usize,
    /// When the last program of the phase before the oldest ended. None: a while ago.
    retired: Option<Time>,
    /// The key's records, by cluster and name.
    slots: BTreeMap<(usize, usize), Record<u8>>,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
}

/// A command under way. It is applied at most once, at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    pub list: List,
    /// Nobody waits for its answer.
    pub late: bool,
    pub command: Command,
}

impl Packet {
    fn order(&self) -> (usize, List, bool, bool) {
        (self.from, self.list, self.late, matches!(self.command, Command::Claim(_)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    Apply(usize),
    /// The old home loses all its records, and then the first program of the next phase starts.
    Purge,
    /// The last program of the oldest phase has ended.
    End,
    Client(usize, Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let stored = Stored { value: 0, token: Token::new(u64::MAX), version: None, life: None };
        let read = self.phases[0].reads.iter();
        let record = normal(Record { stored: Some(stored), ..Record::default() });
        let mut world = World {
            now: Time::from_nanos(1),
            source: 0,
            past: vec![],
            heard: 0,
            faults: self.faults,
            oldest: 0,
            newest: 0,
            retired: None,
            slots: read.map(|list| (self.record(*list), record.clone())).collect(),
            clients: vec![Client::default(); self.roles.len()],
            packets: vec![],
        };
        world.begin_early(self);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut moves = Vec::new();
        for who in 0..world.clients.len() {
            world.client_moves(self, who, &mut moves);
            actions.extend(moves.drain(..).map(|step| Action::Client(who, step)));
        }
        for (index, packet) in world.packets.iter().enumerate() {
            if !world.packets[..index].contains(packet) {
                actions.push(Action::Apply(index));
            }
        }
        if world.may_begin(self) {
            actions.push(Action::Purge);
        }
        if world.may_end() {
            actions.push(Action::End);
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => {
                if self.lag > 0 {
                    world.past.push(world.source);
                }
                world.now = Time::from_nanos(world.now.as_nanos() + 1);
            }
            Action::Apply(index) => world.apply(self, index),
            Action::Purge => {
                world.newest += 1;
                world.slots.retain(|(cluster, _), _| *cluster != HOMES[0]);
            }
            Action::End => {
                world.oldest += 1;
                world.retired = Some(world.now);
            }
            Action::Client(who, step) => world.client_acts(self, who, step),
        }
        world.begin_early(self);
        world.forget_old(self);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl World {
    /// What a get answers under a list.
    pub fn value(&self, setup: &Setup, list: List) -> Option<u8> {
        get(self.slots.get(&setup.record(list)), self.now).map(|hit| hit.value)
    }

    /// What programs may be given now, in any of the phases that they may be in.
    pub fn hits(&self, setup: &Setup) -> impl Iterator<Item = (List, u8)> {
        let lists = setup.phases[self.oldest..=self.newest].iter().flat_map(|phase| phase.reads);
        lists.filter_map(|list| Some((*list, self.value(setup, *list)?)))
    }

    pub fn replica(&self, setup: &Setup) -> u8 {
        let Some(behind) = usize::try_from(setup.lag).ok().filter(|lag| *lag > 0) else {
            return self.source;
        };
        let then = self.past.len().checked_sub(behind);
        then.map(|tick| self.past[tick]).unwrap_or_default()
    }

    fn may_begin(&self, setup: &Setup) -> bool {
        let most = if setup.undoes(Mend::NeighboursOnly) { 2 } else { 1 };
        let next = setup.phases.get(self.newest + 1);
        let read = |list| setup.phases[self.newest].reads.contains(list);
        let another = next.is_some_and(|next| !next.reads.iter().all(read));
        let waits = another && self.retired.is_some_and(|then| self.now < then.after(setup.wait()));
        next.is_some() && self.newest - self.oldest < most && !waits
    }

    /// The next phase begins as soon as it may: where programs may be in it, there is no step less.
    fn begin_early(&mut self, setup: &Setup) {
        while self.may_begin(setup) && setup.purged != Some(self.newest + 1) {
            self.newest += 1;
        }
    }

    fn may_end(&self) -> bool {
        let runs = |client: &Client| client.is_active() && client.phase == self.oldest;
        self.oldest < self.newest && !self.clients.iter().any(runs)
    }

    pub fn send(&mut self, from: usize, list: List, late: bool, command: Command) {
        self.packets.push(Packet { from, list, late, command });
        self.packets.sort_by_key(Packet::order);
    }

    /// Nobody waits for its answers any more.
    pub fn give_up(&mut self, from: usize) {
        for packet in self.packets.iter_mut().filter(|packet| packet.from == from) {
            packet.late = true;
        }
        self.packets.sort_by_key(Packet::order);
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.packets.remove(index);
        let (now, at) = (self.now, setup.record(packet.list));
        let mut slot = self.slots.remove(&at);
        let answer = match &packet.command {
            Command::Claim(command) => claim(&mut slot, now, &Terms::default(), command).ok(),
            Command::Change(command) => {
                // A refusal leaves the record as it was, and only who announces waits for the answer.
                let _ = change(&mut slot, now, &Terms::default(), command);
                None
            }
        };
        if let Some(record) = slot {
            self.slots.insert(at, normal(record));
        }
        if packet.late {
            return;
        }
        if let Command::Change(Change::Invalidate { .. }) = packet.command {
            self.announced(packet.from);
        } else {
            let answer = answer.map(|grant| Grant { generation: Generation::new(1), ..grant });
            self.claimed(&packet, answer);
        }
    }

    /// Worlds that differ only in what is over are one.
    fn forget_old(&mut self, setup: &Setup) {
        let now = self.now;
        self.retired = self.retired.filter(|then| now < then.after(setup.wait()));
        for client in &mut self.clients {
            client.pending = client.pending.filter(|until| now < *until);
        }
    }
}
