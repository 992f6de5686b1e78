//! Who takes part, and what may befall them.

use std::time::Duration;

use genfence::protocol::Time;

use super::mends::Mend;

/// A client, in the region `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reserves in the regions that it fences, changes the source, commits in its own and releases elsewhere.
    Writer { at: usize, fences: &'static [usize], versioned: bool },
    /// Takes a lease in its own region, reads the source, fills. With versions it may read a replica that lags.
    Reader { at: usize, versioned: bool },
}

/// What may befall a cluster, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Befalls {
    Nothing,
    /// It is down for as long as a serving lease lasts, and starts again empty.
    Restart(usize),
    /// It forgets who may serve: a grantor that starts again at once.
    Forget(usize),
    /// Its clock goes ahead by so much.
    Jump(usize, u64),
}

/// Where the regions get their serving leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The clusters that grant them.
    pub grantors: &'static [usize],
    /// The processes that keep them, by their regions.
    pub agents: &'static [usize],
    /// The clusters that the first epoch was founded with; others know of one before.
    pub founders: &'static [usize],
    /// How many ticks are left of the first leases.
    pub left: u64,
    /// Whether leases are renewed.
    pub renews: bool,
    /// Whether what is asked of a cluster is a look and a replace, as in the library, or one step.
    pub in_steps: bool,
}

/// One run of the checker. Cluster 0 is that of the region A, 1 that of B, 2 a grantor's and nobody's else.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// The regions that are read.
    pub reads: &'static [usize],
    /// None: a region that does not answer keeps the source from being changed.
    pub leases: Option<Leases>,
    /// Whether commits go to every region.
    pub push: bool,
    /// How many time-outs there may be in all.
    pub faults: u8,
    /// The last tick.
    pub horizon: u64,
    /// How many ticks a serving lease lasts (S), a reservation (Q), and a reader's lease.
    pub span: u64,
    pub reservation: u64,
    pub lease: u64,
    /// What clocks may differ by (C).
    pub margin: u64,
    /// Whether a replica shows what was changed only from the next tick on.
    pub lags: bool,
    /// Whether the regions hold the source's value in the beginning.
    pub stored: bool,
    pub befalls: Befalls,
    pub undone: Option<Mend>,
}

/// Two regions without serving leases, and nobody there.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    reads: &[0, 1],
    leases: None,
    push: false,
    faults: 1,
    horizon: 3,
    span: 2,
    reservation: 2,
    lease: 2,
    margin: 0,
    lags: false,
    stored: false,
    befalls: Befalls::Nothing,
    undone: None,
};

impl Setup {
    pub fn undoes(&self, mend: Mend) -> bool {
        self.undone == Some(mend)
    }

    pub fn horizon(&self) -> Time {
        Time::from_nanos(self.horizon)
    }

    pub fn span(&self) -> Duration {
        Duration::from_nanos(self.span)
    }

    pub fn reservation(&self) -> Duration {
        Duration::from_nanos(self.reservation)
    }

    /// More than half of the grantors.
    pub fn majority(&self) -> usize {
        let grantors = self.leases.map_or(0, |leases| leases.grantors.len());
        if self.undoes(Mend::MajorityOfGrantors) { 1 } else { grantors / 2 + 1 }
    }

    pub fn asks_in_steps(&self) -> bool {
        self.leases.is_some_and(|leases| leases.in_steps)
    }

    pub fn grantors(&self) -> &'static [usize] {
        self.leases.map_or(&[], |leases| leases.grantors)
    }
}
