//! A cluster that may split, and the leases that clients hold on it.
//!
//! The record has a copy on either side: with the majority of the nodes, and on a node that is cut off from them,
//! or paused. A side forms a cluster of its own, with a new *key*, some time after it misses the other. Clients ask both
//! sides for their keys; while the majority, and the side that a command goes to, gave the same one a short time ago,
//! the client holds a *lease* on that side.
//!
//! A client asks and hears at one instant. A slow answer is no worse, as the lease counts from before the question:
//! the same key heard at once, when it was given, would give a longer one.

use std::time::Duration;

use genfence::protocol::Time;

use crate::client::Stage;
use crate::mends::Mend;
use crate::setup::Setup;
use crate::world::{Away, World};
use crate::writer;

/// A part of the cluster whose nodes see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// More than half of the nodes.
    Majority,
    /// One that is cut off, or paused.
    Node,
}

pub const SIDES: [Side; 2] = [Side::Majority, Side::Node];

/// The key of a cluster that nothing has befallen yet.
const WHOLE: u8 = 0;
/// Its key once a side that was cut off is with the others again.
const HEALED: u8 = 3;

/// What the nodes know of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cluster {
    keys: [u8; 2],
    /// Who is asked for the key, while both sides believe that they are one.
    master: Option<Side>,
    /// The only node has started again.
    restarted: bool,
}

/// What a client knows of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The key that each side gave, and when; nothing that is too old for a lease.
    told: [Option<(u8, Time)>; 2],
    /// The key that the majority gave last, however long ago.
    known: u8,
    /// Others may hold leases under an older key until then.
    changes_from: Time,
    /// Whether the lease on a side has held since the present operation began.
    firm: [bool; 2],
    /// Whether a side was asked since the present claim was granted.
    asked: [bool; 2],
    /// With `Mend::LeaseFromSending` undone: a key that a side gave, and the client has not heard yet.
    on_the_way: [Option<u8>; 2],
}

fn after(setup: &Setup, time: Time) -> Time {
    time.after(Duration::from_nanos(setup.cluster_lease))
}

impl Default for Sight {
    fn default() -> Self {
        Sight {
            told: [Some((WHOLE, Time::from_nanos(1))); 2],
            known: WHOLE,
            changes_from: Time::ZERO,
            firm: [true; 2],
            asked: [false; 2],
            on_the_way: [None; 2],
        }
    }
}

impl World {
    /// The end of the client's lease on a side; long ago, if it holds none.
    pub fn held_until(&self, setup: &Setup, who: usize, side: Side) -> Time {
        let told = &self.clients[who].sight.told;
        let Some((key, own)) = told[side as usize] else { return Time::ZERO };
        let majority = match told[Side::Majority as usize] {
            Some((said, at)) if said == key => at,
            _ if setup.undoes(Mend::MajorityCounts) => own,
            _ => return Time::ZERO,
        };
        after(setup, majority.min(own))
    }

    pub fn holds(&self, setup: &Setup, who: usize, side: Side) -> bool {
        !setup.guards() || self.now < self.held_until(setup, who, side)
    }

    /// Whether the client has held its lease on a side since its operation began.
    pub fn is_firm(&self, setup: &Setup, who: usize, side: Side) -> bool {
        !setup.guards() || self.clients[who].sight.firm[side as usize]
    }

    /// Whether the cluster is known to have been the same when a side granted the client's claim.
    pub fn is_confirmed(&self, setup: &Setup, who: usize, side: Side) -> bool {
        if !setup.guards() {
            return true;
        }
        let asked = &self.clients[who].sight.asked;
        let known = asked[Side::Majority as usize] && asked[side as usize];
        let holds = self.is_firm(setup, who, side);
        // The only node has one record: what a writer has reserved there stands, or is lost with the node.
        let needless = !setup.splits() && writer::is(setup, who);
        holds && (known || needless || setup.undoes(Mend::ClaimsAreConfirmed))
    }

    /// Whether a writer may change the source, after a reserve that this side has answered; and until when.
    pub fn may_change_until(&self, setup: &Setup, who: usize, side: Side) -> Option<Time> {
        if !setup.guards() || setup.undoes(Mend::RemainingWithinLease) {
            return Some(Time::from_nanos(u64::MAX));
        }
        self.is_confirmed(setup, who, side).then(|| self.held_until(setup, who, side))
    }

    /// What a command that stores or prolongs says of itself: done after that, it would count as newer than what
    /// others, who have waited for the end of this lease, have done since.
    pub fn counts_until(&self, setup: &Setup, who: usize, side: Side) -> Option<Time> {
        let says = setup.guards() && !setup.undoes(Mend::LateIsRefused);
        says.then(|| self.held_until(setup, who, side))
    }

    /// The same of a claim that leaves a value where it is. It may go to either side.
    pub fn claims_until(&self, setup: &Setup, who: usize) -> Option<Time> {
        SIDES.into_iter().filter_map(|side| self.counts_until(setup, who, side)).max()
    }

    pub fn begin_firm(&mut self, setup: &Setup, who: usize) {
        let waits =
            self.now < self.clients[who].sight.changes_from && !setup.undoes(Mend::ChangesWait);
        let firm = SIDES.map(|side| !waits && self.holds(setup, who, side));
        self.clients[who].sight.firm = firm;
    }

    /// Forgets what is too old, and notes which leases did not hold.
    pub fn look_at_leases(&mut self, setup: &Setup) {
        for who in 0..self.clients.len() {
            let firm = SIDES.map(|side| {
                self.holds(setup, who, side) && self.clients[who].sight.firm[side as usize]
            });
            let now = self.now;
            let sight = &mut self.clients[who].sight;
            for told in &mut sight.told {
                told.take_if(|(_, at)| after(setup, *at) <= now);
            }
            sight.firm = firm;
            if sight.changes_from <= now {
                sight.changes_from = Time::ZERO;
            }
        }
    }

    /// A claim was granted: what is heard from now on is news of the time after it.
    pub fn begin_confirming(&mut self, who: usize) {
        self.clients[who].sight.asked = [false; 2];
    }

    pub fn reaches(setup: &Setup, who: usize, side: Side) -> bool {
        side == Side::Node || setup.minority != Some(who)
    }

    /// Whether asking would tell the client anything.
    pub fn may_ask(&self, setup: &Setup, who: usize, side: Side) -> bool {
        let key = self.cluster.keys[side as usize];
        let sight = &self.clients[who].sight;
        let holds = self.clients[who].stage == Stage::Holds;
        let news = sight.told[side as usize] != Some((key, self.now))
            || holds && !sight.asked[side as usize];
        let alone = side == Side::Node && !setup.splits();
        news && !alone
            && World::reaches(setup, who, side)
            && sight.on_the_way[side as usize].is_none()
    }

    pub fn ask_side(&mut self, setup: &Setup, who: usize, side: Side) {
        let key = self.cluster.keys[side as usize];
        // Undone for those who read alone, which is enough.
        if setup.undoes(Mend::LeaseFromSending) && !writer::is(setup, who) {
            self.clients[who].sight.on_the_way[side as usize] = Some(key);
        } else {
            self.hear(setup, who, side, key);
        }
    }

    pub fn is_awaiting(&self, who: usize, side: Side) -> bool {
        self.clients[who].sight.on_the_way[side as usize].is_some()
    }

    pub fn hear_late(&mut self, setup: &Setup, who: usize, side: Side) {
        let key = self.clients[who].sight.on_the_way[side as usize].take();
        self.hear(setup, who, side, key.expect("an answer is on the way"));
    }

    fn hear(&mut self, setup: &Setup, who: usize, side: Side, key: u8) {
        let now = self.now;
        let sight = &mut self.clients[who].sight;
        sight.told[side as usize] = Some((key, now));
        sight.asked[side as usize] = true;
        if side == Side::Majority && sight.known != key {
            sight.known = key;
            sight.changes_from = after(setup, now);
            sight.firm = [false; 2];
        }
    }

    pub fn may_cut(&self, setup: &Setup) -> bool {
        setup.splits() && matches!(self.copy, Away::Not)
    }

    pub fn cut(&mut self, master: Side) {
        self.lose_node();
        self.cluster.master = Some(master);
    }

    pub fn may_reform(&self, side: Side) -> bool {
        let gone = matches!(self.copy, Away::Gone(..));
        self.cluster.master.is_some() && gone && self.cluster.keys[side as usize] == WHOLE
    }

    pub fn reform(&mut self, side: Side) {
        self.cluster.keys[side as usize] = 1 + side as u8;
    }

    pub fn heal(&mut self) {
        if self.cluster.keys != [WHOLE; 2] {
            self.cluster.keys = [HEALED; 2];
        }
        self.cluster.master = None;
    }

    pub fn may_restart(&self, setup: &Setup) -> bool {
        setup.restarts() && !self.cluster.restarted
    }

    pub fn restart(&mut self) {
        self.slot = None;
        self.cluster.restarted = true;
        self.cluster.keys[Side::Majority as usize] = 1;
    }

    /// Whether a side runs commands: the master's before the split, and each that has formed a cluster of its own.
    pub fn serves(&self, side: Side) -> bool {
        match self.cluster.master {
            None => side == Side::Majority,
            Some(master) => master == side || self.cluster.keys[side as usize] != WHOLE,
        }
    }

    /// Whether a write waits in vain for the copy on the other side, so that nobody hears of it.
    pub fn misses_replica(&self, side: Side) -> bool {
        self.cluster.master.is_some() && self.cluster.keys[side as usize] == WHOLE
    }
}
