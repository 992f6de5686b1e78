//! Who takes part, what their keys are made of, and what may befall them.

use std::time::Duration;

use genfence::protocol::Time;

use super::mends::{Mend, Promise};

/// A row of the source, and a key of the cache, each by its number.
pub type Row = usize;
pub type Key = usize;

/// How often each row was changed. Of a value: of those that it is made of; the others are 0.
pub type Rows = [u8; 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer(Transaction),
    /// Reads these keys, one after the other: a hit, or it takes a lease, reads the source, and fills.
    Reader(&'static [Key]),
}

/// What a writer does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The rows that it changes, all at once; and those that it locks beside them.
    pub rows: &'static [Row],
    pub locks: &'static [Row],
    /// The keys that are reserved before it begins; and those that are added once it has read, before its COMMIT is sent.
    pub early: &'static [Key],
    pub late: &'static [Key],
    /// The keys whose values it commits, where it may. The others are released.
    pub stores: &'static [Key],
}

/// One run of the checker.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// The rows that the value of each key is made of.
    pub values: &'static [&'static [Row]],
    /// Whether each row's number is a version, and goes with what is made of that row alone.
    pub versioned: bool,
    /// Whether writers may ask for more time, once.
    pub renews: bool,
    /// How many time-outs and crashes there may be in all.
    pub faults: u8,
    /// The last tick.
    pub horizon: u64,
    /// How many ticks a reservation and a lease last.
    pub reservation: u64,
    pub lease: u64,
    /// What must hold.
    pub promises: &'static [Promise],
    pub undone: Option<Mend>,
}

/// Two keys, each of a row of its own, and nobody is there.
pub const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    values: &[&[0], &[1]],
    versioned: false,
    renews: false,
    faults: 1,
    horizon: 4,
    reservation: 2,
    lease: 1,
    promises: &[Promise::Fresh, Promise::Ordered],
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

    /// The value of a key that is made of these rows.
    pub fn value(&self, key: Key, rows: Rows) -> Rows {
        let mut value = Rows::default();
        for row in self.values[key] {
            value[*row] = rows[*row];
        }
        value
    }

    /// The version of a key's value.
    pub fn version(&self, key: Key, rows: Rows) -> Option<u8> {
        match self.values[key] {
            [row] if self.versioned => Some(rows[*row]),
            _ => None,
        }
    }

    /// Whether somebody reads several keys: what the source held before is remembered for him alone.
    pub fn remembers(&self) -> bool {
        self.roles.iter().any(|role| matches!(role, Role::Reader(keys) if keys.len() > 1))
    }
}

impl Transaction {
    pub fn holds(&self, row: Row) -> bool {
        self.rows.contains(&row) || self.locks.contains(&row)
    }
}
