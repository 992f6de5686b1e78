//! Who takes part, and what may befall them.

use std::time::Duration;

use genfence::protocol::{Terms, Time};

use super::mends::Mend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Keeps a copy, under stamps of its own for so many ticks, or under what a look finds. Again and again.
    Keeper { near: u64 },
    /// Reserves, waits for copies, changes the source, commits.
    Writer,
    /// A writer that hushes first, and waits before it reserves.
    Husher,
    /// Takes a lease, reads the source, fills.
    Reader,
    /// Changes the source without a reservation, announces it, looks how long copies live, and waits for them.
    Announcer,
    /// Changes the source without a reservation, and sets what it holds.
    Setter,
    /// Gives the record a short time to live.
    Toucher,
}

/// One run of the checker.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// How often each keeper asks.
    pub rounds: u8,
    pub versioned: bool,
    /// How many time-outs and crashes there may be in all.
    pub faults: u8,
    /// The last tick.
    pub horizon: u64,
    /// How many ticks a reservation and a reader's lease last.
    pub reservation: u64,
    pub lease: u64,
    /// The longest near time that anybody reckons with. Zero: no record is lost before its time.
    pub longest: u64,
    /// What the clocks of the key's record may differ by, and how often another one counts.
    pub clocks: u64,
    pub shifts: u8,
    /// Whether each client's clock may be wrong by a tick: slow of who keeps copies, fast of who waits.
    pub drifts: bool,
    /// Whether the server may lose a record that no writer holds.
    pub evicts: bool,
    /// How long a record lives. None: long enough.
    pub life: Option<u64>,
    pub undone: Option<Mend>,
}

/// Nobody is there.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    rounds: 2,
    versioned: false,
    faults: 1,
    horizon: 6,
    reservation: 20,
    lease: 3,
    longest: 2,
    clocks: 0,
    shifts: 0,
    drifts: false,
    evicts: false,
    life: None,
    undone: None,
};

impl Setup {
    pub fn undoes(&self, mend: Mend) -> bool {
        self.undone == Some(mend)
    }

    pub fn horizon(&self) -> Time {
        Time::from_nanos(self.horizon)
    }

    pub fn terms(&self) -> Terms {
        let clocks = if self.undoes(Mend::ClocksAreCounted) { 0 } else { self.clocks };
        let [unsaid, clocks] = [self.longest, clocks].map(Duration::from_nanos);
        Terms { unsaid, clocks }
    }

    /// What is taken off a span that is served in, or put on one that is waited for.
    pub fn drift(&self, margin: Mend) -> Duration {
        Duration::from_nanos(u64::from(self.drifts && !self.undoes(margin)))
    }

    pub fn writes(&self, who: usize) -> bool {
        matches!(self.roles[who], Role::Writer | Role::Husher)
    }

    /// Whether every change of the source is fenced by a reservation.
    pub fn is_fenced(&self) -> bool {
        !self.roles.iter().any(|role| matches!(role, Role::Announcer | Role::Setter))
    }
}
