//! Who takes part, and how the list of regions changes.

use std::time::Duration;

use genfence::protocol::Time;

use super::mends::Mend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reserves wherever its phase says, changes the source, commits where its phase reads and releases elsewhere.
    Writer,
    /// Takes a lease where its phase reads, reads the source, fills. With versions it may read a replica that lags.
    Reader,
    /// Changes the source without a reservation, and announces it wherever its phase writes.
    Announcer,
}

/// A list of regions, by its number. What counts of it here is which region is the home of the key.
pub type List = usize;

/// The home of the key in each list: A, then B, then A again, and B. The last two are no lists, but what each region has
/// where there are no homes.
pub const HOMES: [usize; 6] = [0, 1, 0, 1, 0, 1];

/// What a program that runs in a phase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The list whose home is read. Where there are no homes each region reads its own.
    pub reads: &'static [List],
    /// The lists whose homes writers reserve in.
    pub writes: &'static [List],
}

/// The old list; both, the old one is read; both, the new one is read; the new list. And the way back.
pub const OLD: Phase = Phase { reads: &[0], writes: &[0] };
pub const READ_OLD: Phase = Phase { reads: &[0], writes: &[0, 1] };
pub const READ_NEW: Phase = Phase { reads: &[1], writes: &[0, 1] };
pub const NEW: Phase = Phase { reads: &[1], writes: &[1] };
pub const BACK_READ_OLD: Phase = Phase { reads: &[1], writes: &[1, 2] };
pub const BACK_READ_NEW: Phase = Phase { reads: &[2], writes: &[1, 2] };
pub const BACK: Phase = Phase { reads: &[2], writes: &[2] };

/// One run of the checker.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    pub phases: &'static [Phase],
    /// The phase whose first program finds the old home without records: somebody has removed them all.
    pub purged: Option<usize>,
    pub versioned: bool,
    /// How many time-outs and crashes there may be in all.
    pub faults: u8,
    /// The last tick.
    pub horizon: u64,
    /// How many ticks a reservation and a reader's lease last.
    pub reservation: u64,
    pub lease: u64,
    /// How many ticks a replica is behind.
    pub lag: u64,
    pub undone: Option<Mend>,
}

/// The list changes once, and nobody is there.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    phases: &[OLD, READ_OLD, READ_NEW, NEW],
    purged: None,
    versioned: false,
    faults: 1,
    horizon: 4,
    reservation: 2,
    lease: 2,
    lag: 0,
    undone: None,
};

impl Setup {
    pub fn undoes(&self, mend: Mend) -> bool {
        self.undone == Some(mend)
    }

    pub fn horizon(&self) -> Time {
        Time::from_nanos(self.horizon)
    }

    pub fn reservation(&self) -> Duration {
        Duration::from_nanos(self.reservation)
    }

    /// How long after the last program of a phase the first one begins that reads another home than those before it.
    pub fn wait(&self) -> Duration {
        let wait = if self.undoes(Mend::ReservationIsWaitedOut) { 0 } else { self.reservation };
        Duration::from_nanos(wait)
    }

    /// The cluster and the name of the key's record, under a list. A hash of the list in place of its number is the
    /// same when the list comes back.
    pub fn record(&self, list: List) -> (usize, usize) {
        let name = if self.undoes(Mend::NumberInKey) { list % 2 } else { list };
        (HOMES[list], name)
    }

    /// Whether every change of the source is fenced by a reservation.
    pub fn is_fenced(&self) -> bool {
        !self.roles.contains(&Role::Announcer)
    }
}
