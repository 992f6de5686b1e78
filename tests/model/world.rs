//! The whole world in one state: server, source, packets, clients; and every step it can take.

use genfence::protocol::{Change, Claim, Record, Time};
use stateright::{Model, Property};

use crate::client::{Client, Move, act, answered, moves, owner};
use crate::mends::Mend;
use crate::network::{Command, Network, Packet};
use crate::properties::Promise;
use crate::server::serve;
use crate::setup::{Lag, Role, Setup};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The server's clock. Deadlines are kept as they are, so it runs to a horizon.
    pub now: Time,
    /// The record of the one key, as the server has it.
    pub slot: Option<Record<u8>>,
    /// The version that the source holds; it is its own value.
    pub source: u8,
    /// The oldest version that a replica of the source may still show.
    pub replica: u8,
    /// The newest version that the cache was told of.
    pub heard: u8,
    /// Time-outs and crashes that may still come.
    pub faults: u8,
    /// A command was done where somebody else's claim forbids it.
    pub trespassed: bool,
    pub network: Network,
    pub clients: Vec<Client>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// The server's clock goes on.
    Tick,
    /// The server loses the record: memory, or its time to live.
    Evict,
    /// A packet arrives.
    Apply(usize),
    /// A client does something of itself.
    Act(usize, Move),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            now: Time::from_nanos(1),
            slot: None,
            source: 0,
            replica: 0,
            heard: 0,
            faults: self.faults,
            trespassed: false,
            network: Network::default(),
            clients: vec![Client::default(); self.roles.len()],
        };
        // A packet may be under way for as long as it likes, so nothing is lost when all who begin
        // by sending one have sent it already.
        for (who, role) in self.roles.iter().enumerate() {
            if matches!(role, Role::Writer { .. } | Role::Reader { .. }) {
                act(self, &mut world, who, Move::Start);
            }
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut buffer = Vec::with_capacity(8);
        for who in 0..world.clients.len() {
            moves(self, world, who, &mut buffer);
            actions.extend(buffer.drain(..).map(|step| Action::Act(who, step)));
        }
        let packets = world.network.packets();
        for (index, packet) in packets.iter().enumerate() {
            // Which one of equal packets comes first makes no difference.
            if !packets[..index].contains(packet) {
                actions.push(Action::Apply(index));
            }
        }
        if self.evicts && world.may_evict(self) {
            actions.push(Action::Evict);
        }
        if world.now < self.horizon() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Tick => world.tick(self),
            Action::Evict => world.slot = None,
            Action::Apply(index) => world.apply(self, index),
            Action::Act(who, step) => act(self, &mut world, who, step),
        }
        if self.lag == Lag::None {
            world.replica = world.source;
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties()
    }
}

impl World {
    fn may_evict(&self, setup: &Setup) -> bool {
        self.slot.as_ref().is_some_and(|record| {
            // A live reservation has the longest time to live there is, and a floor outlives the
            // lag of every replica that fills may read.
            let reserved = record.is_reserved(self.now);
            let needed = record.floor.is_some_and(|floor| u64::from(self.replica) < floor.get());
            !needed && (!reserved || setup.undoes(Mend::NoEvictionOfReserved))
        })
    }

    fn tick(&mut self, setup: &Setup) {
        self.now = Time::from_nanos(self.now.as_nanos() + 1);
        if setup.lag == Lag::Tick {
            self.replica = self.source;
        }
        if !setup.undoes(Mend::NoOverrun) {
            for client in &mut self.clients {
                client.pending.take_if(|end| *end <= self.now);
            }
        }
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        let packet = self.network.take(index);
        let before = self.slot.clone();
        let answer = serve(setup, self.now, &mut self.slot, &packet);
        if let Command::Change(Change::Invalidate { .. }) = packet.command {
            self.heard = self.heard.max(self.clients[packet.from].value.unwrap_or_default());
        }
        if answer.is_ok() {
            self.watch(before.as_ref(), &packet);
        }
        if !packet.late {
            answered(setup, self, packet.from, &packet.command, answer);
        }
    }

    /// Notes what no later state can show: for the promises only, no client ever sees it.
    fn watch(&mut self, before: Option<&Record<u8>>, packet: &Packet) {
        let reserved = before.is_some_and(|record| record.is_reserved(self.now));
        let stamp = before.and_then(|record| record.stored.as_ref()).map(|stored| stored.token);
        let leased = before.and_then(|record| record.live_lease(self.now));
        self.trespassed |= match &packet.command {
            Command::Claim(Claim::Lease { .. }) => {
                let foreign = leased.is_some_and(|lease| owner(lease.token).0 != packet.from);
                reserved || stamp.is_some() || foreign
            }
            Command::Change(Change::Set { .. }) => reserved,
            Command::Change(Change::Replace { stamp: seen, .. }) => {
                reserved || stamp != Some(*seen)
            }
            _ => false,
        };
        let token = self.token(packet.from);
        let stored = self.slot.as_ref().and_then(|record| record.stored.as_ref());
        self.clients[packet.from].landed |= stored.is_some_and(|stored| stored.token == token);
    }
}
