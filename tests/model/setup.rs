//! Who takes part in a run, what may befall them, and how far it goes.

use std::time::Duration;

use genfence::protocol::{Generation, Time};

use stateright::Path;

use crate::mends::Mend;
use crate::properties::Promise;
use crate::run::{Case, Extent};
use crate::story::tell;
use crate::world::{Action, World};

/// Somebody who sends commands. What each may do is written in `writer`, `reader` and `others`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reserves, changes the source, commits.
    Writer { versioned: bool },
    /// Leases, reads the source, fills. With versions it may read a replica that lags.
    Reader { versioned: bool },
    /// Sees a value, and its stamp; asks to refresh it, reads the source, refills. With versions it may read a replica
    /// that lags.
    Refresher { versioned: bool },
    /// Waits, in the process of the reader at this index, for that reader's fill.
    Waiter { flight: usize },
    /// Announces what the source holds, though nobody needs it: it must do no harm.
    Invalidator { versioned: bool },
    /// Changes the source without a reservation, and announces it afterwards.
    Foreigner { versioned: bool },
    /// Stores without asking the source: set, then replace.
    Blind,
    /// Reads what is in the cache, at any time, and does nothing else.
    Looker,
}

impl Role {
    /// Whether it needs nothing to begin an operation.
    pub fn begins_at_will(self) -> bool {
        !matches!(self, Role::Waiter { .. } | Role::Refresher { .. } | Role::Looker)
    }
}

/// What may befall the nodes of the cluster, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Nothing.
    Stay,
    /// One with a copy of the record is away for a while, and comes back with it as it was.
    Away,
    /// One is cut off from the others, or pauses, while clients reach all of them. Clients hold leases on the
    /// cluster.
    Split,
    /// The only one starts again, without what it held. Clients hold leases on it.
    Restart,
}

/// What there is in the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// No record.
    Empty,
    /// The source's value is in the cache.
    Stored,
    /// The first client, a reader, has just sent its fill.
    Filling,
    /// The source's value is in the cache, and the first client has just asked to refresh it.
    Refreshing,
    /// The same; where it `returns`, it was granted that, and has just given it back. And the node that hears of it is cut
    /// off, as the others know.
    Parted { returns: bool },
}

/// How far the source's replica may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Nobody reads a replica.
    None,
    /// What was committed during one tick is seen from the next tick on.
    Tick,
    /// The replica never catches up.
    Endless,
}

/// One run of the checker.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// How many operations each client does, one after the other.
    pub rounds: u8,
    /// How often each packet is retried after a time-out.
    pub retries: u8,
    /// How many time-outs and crashes there may be in all.
    pub faults: u8,
    /// The last tick of the server's clock.
    pub horizon: u64,
    /// How many ticks a reservation and a lease last.
    pub reservation: u64,
    pub lease: u64,
    /// After how many writes a record's generation starts again. With one, every generation is
    /// equal: the check of the generation is left out.
    pub generations: u16,
    /// Whether leases are extended and reservations renewed.
    pub prolongs: bool,
    /// Whether the server may lose a record (memory, time to live) that no writer holds.
    pub evicts: bool,
    pub nodes: Nodes,
    /// How many ticks a lease on the cluster lasts, and how long who sees a new one waits before it claims anything.
    pub cluster_lease: u64,
    /// Who reaches nobody but the node that is cut off.
    pub minority: Option<usize>,
    pub lag: Lag,
    pub begins: Begins,
    /// What must hold. Of a mend that is there for something else, worlds say that the rest holds without it.
    pub promises: &'static [Promise],
    /// The mend that is taken out of the protocol.
    pub undone: Option<Mend>,
}

/// A server's own generation: no run is long enough to see it start again.
pub const CHECKED: u16 = u16::MAX;
/// The generation says nothing: tokens and deadlines alone must do.
pub const UNCHECKED: u16 = 1;
/// The generation starts again so soon that old claims match again.
pub const WRAPPING: u16 = 3;

/// The smallest world; each setup says how it differs.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    rounds: 1,
    retries: 1,
    faults: 1,
    horizon: 4,
    reservation: 2,
    lease: 1,
    generations: UNCHECKED,
    prolongs: false,
    evicts: false,
    nodes: Nodes::Stay,
    cluster_lease: 2,
    minority: None,
    lag: Lag::None,
    begins: Begins::Empty,
    promises: &Promise::ALL,
    undone: None,
};

impl Case for Setup {
    fn title(&self) -> String {
        let generation = match self.generations {
            UNCHECKED => "unchecked",
            WRAPPING => "wrapping",
            _ => "checked",
        };
        format!("{}; generation {generation}", self.name)
    }

    fn bound(&self, extent: Extent) -> usize {
        match extent {
            // Without the check of the generation more is possible, and fewer states are different.
            Extent::Near if self.generations == UNCHECKED => 500_000,
            Extent::Near => 100_000,
            Extent::Far if self.generations == UNCHECKED => 10_000_000,
            Extent::Far => 1_000_000,
            Extent::Farther => 100_000_000,
        }
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        let promise = Promise::ALL.into_iter().find(|promise| promise.name() == broken);
        tell(self, path, promise.expect("it is one of them"))
    }
}

impl Setup {
    pub fn undoes(&self, mend: Mend) -> bool {
        self.undone == Some(mend)
    }

    /// Whether every change of the source is fenced by a reservation, as the guarantee asks.
    pub fn is_fenced(&self) -> bool {
        !self.roles.iter().any(|role| matches!(role, Role::Foreigner { .. }))
    }

    pub fn has_waiters(&self) -> bool {
        self.roles.iter().any(|role| matches!(role, Role::Waiter { .. }))
    }

    /// Whether clients keep leases on the cluster.
    pub fn guards(&self) -> bool {
        self.splits() || self.restarts()
    }

    pub fn forks(&self) -> bool {
        self.nodes == Nodes::Away
    }

    pub fn splits(&self) -> bool {
        self.nodes == Nodes::Split
    }

    pub fn restarts(&self) -> bool {
        self.nodes == Nodes::Restart
    }

    pub fn reservation(&self) -> Duration {
        Duration::from_nanos(self.reservation)
    }

    pub fn lease(&self) -> Duration {
        Duration::from_nanos(self.lease)
    }

    pub fn horizon(&self) -> Time {
        Time::from_nanos(self.horizon)
    }

    /// The generation as a counter that starts again after `generations` writes.
    pub fn wrap(&self, generation: Generation) -> Generation {
        Generation::new((generation.get() - 1) % self.generations + 1)
    }
}
