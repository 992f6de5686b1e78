//! Two regions and their grantors in one state, and every step it can take. There is one clock, but for a cluster's that
//! jumps; and one key, of which each region has a record for each epoch.

use std::collections::BTreeMap;

use genfence::protocol::{
    Change, Epoch, Generation, Record, Standing, Stored, Terms, Time, Token, change, claim, get,
};
use stateright::{Model, Property};

use super::agents::{Agent, Ask, PLACES};
use super::clients::{Client, Move};
use super::mends::Mend;
use super::promises::Promise;
use super::replaces::Replace;
use super::setup::{Befalls, Setup};
use crate::client::normal;
use crate::network::Command;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Time,
    /// The version that the source holds; it is its own value.
    pub source: u8,
    pub replica: u8,
    pub faults: u8,
    pub befallen: bool,
    pub places: [Place; PLACES],
    pub agents: Vec<Agent>,
    pub clients: Vec<Client>,
    pub packets: Vec<Packet>,
    pub replaces: Vec<Replace>,
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// What it keeps of each region.
    pub standings: [Option<Standing>; 2],
    /// Its records of the key.
    pub slots: BTreeMap<Epoch, Record<u8>>,
    /// It is down until then.
    pub down_until: Option<Time>,
    pub ahead: u64,
}

/// A command under way. It is applied at most once, at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: usize,
    pub place: usize,
    pub epoch: Epoch,
    /// Nobody waits for its answer.
    pub late: bool,
    pub command: Command,
}

impl Packet {
    fn order(&self) -> (usize, usize, Epoch, bool, bool) {
        let claims = matches!(self.command, Command::Claim(_));
        (self.from, self.place, self.epoch, self.late, claims)
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Tick,
    Apply(usize),
    /// A replace arrives where it goes.
    Replace(usize),
    /// What may befall a cluster does.
    Befall,
    /// A cluster that was down is there again.
    Return(usize),
    Agent(usize, Ask),
    Client(usize, Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let now = Time::from_nanos(1);
        let first = match (self.leases, self.undone) {
            (None, _) | (_, Some(Mend::NoEpochIsNotRenewed)) => Epoch::NONE,
            _ => Epoch::new(2),
        };
        let (mut agents, mut until) = (vec![], now);
        if let Some(leases) = &self.leases {
            until = Time::from_nanos(now.as_nanos() + leases.left);
            let held = Time::from_nanos(until.as_nanos() - self.margin);
            let agent = |region: &usize| Agent::serving(leases, *region, first, held);
            agents = leases.agents.iter().map(agent).collect();
        }
        let mut places: [Place; PLACES] = Default::default();
        for (index, place) in places.iter_mut().enumerate() {
            for agent in &agents {
                let before = Standing { epoch: Epoch::new(1), until: Time::ZERO, bar: Epoch::NONE };
                let standing = Standing { epoch: first, until, ..before };
                let joined = agent.founders[index];
                place.standings[agent.region] = Some(if joined { standing } else { before });
            }
            if self.stored && index < 2 {
                let stored =
                    Stored { value: 0, token: Token::new(u64::MAX), version: None, life: None };
                let record = Record { stored: Some(stored), ..Record::default() };
                place.slots.insert(first, normal(record));
            }
        }
        vec![World {
            now,
            source: 0,
            replica: 0,
            faults: self.faults,
            befallen: false,
            places,
            agents,
            clients: vec![Client::default(); self.roles.len()],
            packets: vec![],
            replaces: vec![],
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let (mut asks, mut moves) = (Vec::new(), Vec::new());
        for who in 0..world.agents.len() {
            world.agent_moves(self, who, &mut asks);
            actions.extend(asks.drain(..).map(|ask| Action::Agent(who, ask)));
        }
        for who in 0..world.clients.len() {
            world.client_moves(self, who, &mut moves);
            actions.extend(moves.drain(..).map(|step| Action::Client(who, step)));
        }
        for (index, packet) in world.packets.iter().enumerate() {
            if world.is_up(packet.place) && !world.packets[..index].contains(packet) {
                actions.push(Action::Apply(index));
            }
        }
        for (index, replace) in world.replaces.iter().enumerate() {
            if world.is_up(replace.place) && !world.replaces[..index].contains(replace) {
                actions.push(Action::Replace(index));
            }
        }
        if self.befalls != Befalls::Nothing && !world.befallen {
            actions.push(Action::Befall);
        }
        for (index, place) in world.places.iter().enumerate() {
            if place.down_until.is_some_and(|until| until <= world.now) {
                actions.push(Action::Return(index));
            }
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => {
                world.now = Time::from_nanos(world.now.as_nanos() + 1);
                if self.lags {
                    world.replica = world.source;
                }
            }
            Action::Apply(index) => world.apply(self, index),
            Action::Replace(index) => world.replace(self, index),
            Action::Befall => world.befall(self),
            Action::Return(place) => world.places[place].down_until = None,
            Action::Agent(who, ask) => world.agent_acts(self, who, ask),
            Action::Client(who, step) => world.client_acts(self, who, step),
        }
        if !self.lags {
            world.replica = world.source;
        }
        world.forget_old();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl World {
    pub fn is_up(&self, place: usize) -> bool {
        self.places[place].down_until.is_none()
    }

    /// What a cluster's clock shows.
    pub fn clock(&self, place: usize) -> Time {
        Time::from_nanos(self.now.as_nanos() + self.places[place].ahead)
    }

    /// What a get in that region would answer, in an epoch.
    pub fn value(&self, setup: &Setup, region: usize, epoch: Epoch) -> Option<u8> {
        let place = &self.places[region];
        let record = place.slots.get(&key(setup, epoch));
        get(record, self.clock(region)).map(|hit| hit.value)
    }

    pub fn send(&mut self, from: usize, place: usize, epoch: Epoch, command: Command) {
        self.packets.push(Packet { from, place, epoch, late: false, command });
    }

    /// Something whose answer changes nothing any more.
    pub fn send_late(&mut self, from: usize, place: usize, epoch: Epoch, change: Change<u8>) {
        let command = Command::Change(change);
        self.packets.push(Packet { from, place, epoch, late: true, command });
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.packets.remove(index);
        let now = self.clock(packet.place);
        let slots = &mut self.places[packet.place].slots;
        let epoch = key(setup, packet.epoch);
        let mut slot = slots.remove(&epoch);
        let answer = match &packet.command {
            Command::Claim(command) => claim(&mut slot, now, &Terms::default(), command).ok(),
            Command::Change(command) => {
                // A refusal leaves the record as it was, and nobody waits for the answer.
                let _ = change(&mut slot, now, &Terms::default(), command);
                None
            }
        };
        if let Some(record) = slot {
            slots.insert(epoch, normal(record));
        }
        if !packet.late {
            let answer = answer
                .map(|grant| genfence::protocol::Grant { generation: Generation::new(1), ..grant });
            self.claimed(setup, &packet, answer);
        }
    }

    fn befall(&mut self, setup: &Setup) {
        self.befallen = true;
        let span = setup.span();
        match setup.befalls {
            Befalls::Nothing => {}
            Befalls::Restart(place) => {
                let down_until = Some(self.now.after(span));
                self.places[place] = Place { down_until, ..Place::default() };
            }
            Befalls::Forget(place) => self.places[place].standings = [None; 2],
            Befalls::Jump(place, by) => self.places[place].ahead = by,
        }
    }

    /// Worlds that differ only in what is over are one.
    fn forget_old(&mut self) {
        let now = self.now;
        for agent in &mut self.agents {
            for lease in &mut agent.leases {
                if *lease <= now {
                    *lease = Time::ZERO;
                }
            }
            if agent.quiet_until <= now {
                agent.quiet_until = Time::ZERO;
            }
        }
        self.forget_old_replaces();
        for place in &mut self.places {
            let clock = Time::from_nanos(now.as_nanos() + place.ahead);
            for standing in place.standings.iter_mut().flatten() {
                if standing.until <= clock {
                    standing.until = Time::ZERO;
                }
            }
        }
    }
}

/// In whose record of the key a command lands.
fn key(setup: &Setup, epoch: Epoch) -> Epoch {
    if setup.undoes(Mend::EpochInKey) { Epoch::NONE } else { epoch }
}
