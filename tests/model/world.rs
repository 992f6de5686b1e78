//! The whole world in one state: server, source, packets, clients; and every step it can take.

use std::time::Duration;

use genfence::protocol::{Change, Claim, Generation, Grant, Record, Refusal, Stored, Time, Token};
use stateright::{Model, Property};

use crate::client::{Client, Move, act, answered, moves, owner, timed_out};
use crate::cluster::{Cluster, SIDES, Side};
use crate::mends::Mend;
use crate::network::{Command, Network, Packet};
use crate::properties::Promise;
use crate::server::serve;
use crate::setup::{Begins, Lag, Role, Setup};
use crate::writer;

/// The token of the value that is there in the beginning.
pub const BEGINNING: Token = Token::new(u64::MAX);

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
    /// How often the record was written: the time of its last update, as a server tells copies apart.
    pub written: u8,
    /// The copy of the record on a node that the others have lost; the clients, too, unless it splits.
    pub copy: Away,
    pub cluster: Cluster,
    /// A command was done where somebody else's claim forbids it.
    pub trespassed: bool,
    pub network: Network,
    pub clients: Vec<Client>,
}

/// A node that holds a copy of the record, and may be away once: paused, or cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Away {
    /// It has what all have.
    #[default]
    Not,
    /// It has what it had, written so often.
    Gone(Option<Record<u8>>, u8),
    /// It is there again, and answers reads from what it had until somebody looks at all copies.
    Back(Option<Record<u8>>, u8),
    /// All copies are one again.
    Merged,
}

impl Away {
    /// Whether the node is gone, and this is an abort of a reservation that its copy knows nothing of. Whatever
    /// else is applied there, with its claim in that copy, does harm that no condition on one record can stop:
    /// it makes the copy the newest, without the reservations that were taken since.
    fn is_foreign_to(&self, command: &Command) -> bool {
        let (Away::Gone(record, _), Command::Change(Change::Abort { token, previous })) =
            (self, command)
        else {
            return false;
        };
        let own = |held: &Token| held == token || previous.contains(held);
        record.as_ref().is_none_or(|record| !record.reservations.keys().any(own))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// The server's clock goes on.
    Tick,
    /// The server loses the record: memory, or its time to live.
    Evict,
    /// A node with a copy goes away.
    Fork,
    /// It comes back.
    Return,
    /// A packet arrives.
    Apply(usize),
    /// A packet that had reached the node that is away is applied there.
    ApplyAway(usize),
    /// A node is cut off from the others, or pauses; before, this side had the key's partition.
    Cut(Side),
    /// A side misses the other, and forms a cluster of its own.
    Reform(Side),
    /// The only node starts again, without what it held.
    Restart,
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
            written: 0,
            copy: Away::Not,
            cluster: Cluster::default(),
            trespassed: false,
            network: Network::default(),
            clients: vec![Client::default(); self.roles.len()],
        };
        // A packet may be under way for as long as it likes, so nothing is lost when all who begin
        // by sending one have sent it already.
        for (who, role) in self.roles.iter().enumerate() {
            let claims = matches!(role, Role::Writer { .. } | Role::Reader { .. });
            // What a client knows of the cluster counts from when it begins.
            if claims && !self.guards() {
                act(self, &mut world, who, Move::Start);
            }
        }
        world.begin(self);
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
            if packets[..index].contains(packet) {
                continue;
            }
            if world.serves(Side::Majority) {
                actions.push(Action::Apply(index));
            }
            if world.serves(Side::Node) || world.copy.is_foreign_to(&packet.command) {
                actions.push(Action::ApplyAway(index));
            }
        }
        if world.may_cut(self) {
            actions.extend(SIDES.map(Action::Cut));
        }
        if world.may_restart(self) {
            actions.push(Action::Restart);
        }
        actions
            .extend(SIDES.into_iter().filter(|side| world.may_reform(*side)).map(Action::Reform));
        match world.copy {
            Away::Not if self.forks() && world.slot.is_some() => actions.push(Action::Fork),
            Away::Gone(..) => actions.push(Action::Return),
            _ => {}
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
            Action::Fork => world.lose_node(),
            Action::Return => {
                world.heal();
                world.come_back(self);
            }
            Action::Cut(master) => world.cut(master),
            Action::Reform(side) => world.reform(side),
            Action::Restart => world.restart(),
            Action::Apply(index) => world.apply(self, index),
            Action::ApplyAway(index) => world.apply_away(self, index),
            Action::Act(who, step) => act(self, &mut world, who, step),
        }
        if self.lag == Lag::None {
            world.replica = world.source;
        }
        if self.guards() {
            world.look_at_leases(self);
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Promise::properties(self.promises)
    }
}

/// The source's value, in the cache.
fn stored() -> Record<u8> {
    let stored = Stored { value: 0, token: BEGINNING, version: None, life: None };
    let (expires, generation) = (Time::ZERO.after(Duration::MAX), Generation::new(1));
    Record { stored: Some(stored), expires, generation, ..Record::default() }
}

impl World {
    fn begin(&mut self, setup: &Setup) {
        match setup.begins {
            Begins::Empty => {}
            Begins::Stored => self.slot = Some(stored()),
            Begins::Refreshing => {
                self.slot = Some(stored());
                act(setup, self, 0, Move::See(BEGINNING));
            }
            Begins::Parted { returns } => {
                self.slot = Some(stored());
                act(setup, self, 0, Move::See(BEGINNING));
                if returns {
                    self.apply(setup, 0);
                    act(setup, self, 0, Move::Unlease);
                }
                self.cut(Side::Node);
                self.reform(Side::Majority);
            }
            Begins::Filling => {
                act(setup, self, 0, Move::Start);
                self.apply(setup, 0);
                for side in SIDES {
                    self.ask_side(setup, 0, side);
                }
                act(setup, self, 0, Move::Read);
                act(setup, self, 0, Move::Fill);
            }
        }
    }

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

    /// Reads and writes ask all copies, so that the newest is what everybody sees from here on.
    fn come_back(&mut self, setup: &Setup) {
        let Away::Gone(record, written) = std::mem::take(&mut self.copy) else { return };
        self.copy = Away::Back(record, written);
        if !setup.undoes(Mend::ReadsAskAllCopies) {
            self.merge();
        }
    }

    /// The copy that was written last is the record. A copy that is missing is no news.
    fn merge(&mut self) {
        let Away::Back(record, written) = std::mem::replace(&mut self.copy, Away::Merged) else {
            return;
        };
        if self.slot.is_none() || record.is_some() && written > self.written {
            (self.slot, self.written) = (record, written);
        }
    }

    /// The record that a side has.
    pub fn record(&self, side: Side) -> Option<&Record<u8>> {
        match (side, &self.copy) {
            (Side::Majority, _) => self.slot.as_ref(),
            (Side::Node, Away::Gone(record, _)) => record.as_ref(),
            (Side::Node, _) => None,
        }
    }

    /// The records that a read may see: of a copy that came back, where it does not ask all copies, and of each
    /// side that serves somebody who holds a lease there.
    pub fn readable(&self, setup: &Setup) -> impl Iterator<Item = Option<&Record<u8>>> {
        let may_hit = |side| {
            let leased = |who: usize| !writer::is(setup, who) && self.holds(setup, who, side);
            self.serves(side)
                && (!setup.guards()
                    || setup.undoes(Mend::HitsAskLease)
                    || (0..self.clients.len()).any(leased))
        };
        let main = may_hit(Side::Majority).then_some(self.slot.as_ref());
        let other = match &self.copy {
            Away::Back(record, _) => Some(record.as_ref()),
            Away::Gone(record, _) if may_hit(Side::Node) => Some(record.as_ref()),
            _ => None,
        };
        main.into_iter().chain(other)
    }

    /// A node is away from now on, with what it has.
    pub fn lose_node(&mut self) {
        self.copy = Away::Gone(self.slot.clone(), self.written);
    }

    /// The time of the next update: later than all others, wherever they were.
    fn next_write(&self) -> u8 {
        let away = match self.copy {
            Away::Gone(_, written) | Away::Back(_, written) => written,
            Away::Not | Away::Merged => 0,
        };
        self.written.max(away) + 1
    }

    fn apply_away(&mut self, setup: &Setup, index: usize) {
        let packet = self.network.take(index);
        let written = self.next_write();
        let Away::Gone(record, last) = &mut self.copy else { return };
        let before = record.clone();
        let mut answer = serve(setup, self.now, record, &packet);
        if setup.undoes(Mend::AbortProvesItself) {
            answer = Ok(None);
        }
        if answer.is_ok() && record.is_some() {
            *last = written;
        }
        let after = record.clone();
        if answer.is_ok() {
            self.watch(before.as_ref(), after.as_ref(), &packet);
        }
        self.answer(setup, &packet, answer, Side::Node);
    }

    fn apply(&mut self, setup: &Setup, index: usize) {
        if let Away::Back(..) = self.copy {
            self.merge();
        }
        let packet = self.network.take(index);
        let before = self.slot.clone();
        let answer = serve(setup, self.now, &mut self.slot, &packet);
        if (setup.forks() || setup.splits()) && answer.is_ok() {
            self.written = self.next_write();
        }
        if let Command::Change(Change::Invalidate { .. }) = packet.command {
            self.heard = self.heard.max(self.clients[packet.from].value.unwrap_or_default());
        }
        if answer.is_ok() {
            let after = self.slot.clone();
            self.watch(before.as_ref(), after.as_ref(), &packet);
        }
        self.answer(setup, &packet, answer, Side::Majority);
    }

    fn answer(
        &mut self,
        setup: &Setup,
        packet: &Packet,
        answer: Result<Option<Grant>, Refusal>,
        side: Side,
    ) {
        if packet.late {
            return;
        }
        if answer.is_ok() && self.misses_replica(side) {
            // It waits for the other side until its client gives up.
            timed_out(setup, self, packet.from, packet.command.clone());
        } else {
            answered(setup, self, packet.from, &packet.command, answer, side);
        }
    }

    /// Notes what no later state can show: for the promises only, no client ever sees it.
    fn watch(&mut self, before: Option<&Record<u8>>, after: Option<&Record<u8>>, packet: &Packet) {
        let reserved = before.is_some_and(|record| record.is_reserved(self.now));
        let stamp = before.and_then(|record| record.stored.as_ref()).map(|stored| stored.token);
        let leased = before.and_then(|record| record.live_lease(self.now));
        self.trespassed |= match &packet.command {
            Command::Claim(Claim::Lease { .. }) => {
                let foreign = leased.is_some_and(|lease| owner(lease.token).0 != packet.from);
                reserved || stamp.is_some() || foreign
            }
            Command::Claim(Claim::Refresh { stamp: seen, .. }) => {
                let foreign = leased.is_some_and(|lease| owner(lease.token).0 != packet.from);
                reserved || stamp != Some(*seen) || foreign
            }
            Command::Change(Change::Set { .. }) => reserved,
            Command::Change(Change::Replace { stamp: seen, .. }) => {
                reserved || stamp != Some(*seen)
            }
            _ => false,
        };
        let token = self.token(packet.from);
        let stored = after.and_then(|record| record.stored.as_ref());
        self.clients[packet.from].landed |= stored.is_some_and(|stored| stored.token == token);
    }
}
