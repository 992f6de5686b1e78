//! Who takes part, and what may befall them.

use std::time::Duration;

use genfence::protocol::{Terms, Time};

use super::mends::Mend;

/// A tag, by its number.
pub type Tag = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads a value and its tags' nonces. Where they differ, or there is no value: takes a lease, has the nonces, reads
    /// the source, fills.
    Caller { value: usize },
    /// Sees a value, asks to refresh it, has the nonces, reads the source, refills.
    Refresher { value: usize },
    /// Reserves a value, has its nonces, changes the source, commits.
    Writer { value: usize },
    /// Reserves a tag, changes the source of all that bear it, commits.
    Group { tag: Tag },
    /// Changes the source of all that bear a tag without a reservation, purges it, and waits for copies.
    Purger { tag: Tag },
    /// Keeps copies of a value and of its nonces.
    Keeper { value: usize },
}

/// One run of the checker.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// The tags of each value.
    pub values: &'static [&'static [Tag]],
    /// How often callers call, and keepers ask.
    pub rounds: u8,
    /// How many time-outs, crashes, and packets applied twice there may be in all.
    pub faults: u8,
    /// Whether a packet may be applied once more, at a later tick.
    pub twice: bool,
    /// The last tick.
    pub horizon: u64,
    /// How many ticks a reservation, a lease, and a copy last.
    pub reservation: u64,
    pub lease: u64,
    pub near: u64,
    /// Whether the server may lose records that no writer holds.
    pub evicts: bool,
    /// Whether there is nothing in the cache in the beginning.
    pub empty: bool,
    pub undone: Option<Mend>,
}

/// A value with a tag, and nobody is there.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    values: &[&[0]],
    rounds: 1,
    faults: 1,
    twice: false,
    horizon: 4,
    reservation: 3,
    lease: 2,
    near: 0,
    evicts: false,
    empty: false,
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
        Terms { unsaid: Duration::from_nanos(self.near), clocks: Duration::ZERO }
    }

    /// How many tags there are.
    pub fn tags(&self) -> usize {
        self.values.iter().flat_map(|tags| tags.iter()).max().map_or(0, |last| last + 1)
    }

    /// The values that bear a tag.
    pub fn bearers(&self, tag: Tag) -> impl Iterator<Item = usize> {
        (0..self.values.len()).filter(move |value| self.values[*value].contains(&tag))
    }

    /// Whether every change of the source is fenced by a reservation.
    pub fn is_fenced(&self) -> bool {
        !self.roles.iter().any(|role| matches!(role, Role::Purger { .. }))
    }
}
