//! The rules of a reader: one key after the other, each a hit or a fill.

use std::time::Duration;

use genfence::protocol::{Change, Claim, Grant};

use super::setup::{Key, Role, Rows, Setup};
use super::world::{Client, Command, World, token};
use crate::client::{ttl, version};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    /// How many keys it is done with.
    done: usize,
    stage: Stage,
    /// What it was given, where more is to come.
    given: Vec<(Key, Rows)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    #[default]
    Idle,
    /// Its lease is under way.
    Asks,
    Holds(Grant),
    /// It has read the source.
    Read(Grant, Rows),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Reads the next key.
    Get,
    /// Stops waiting for its lease.
    TimeOut,
    /// Reads the source.
    Read,
    Fill,
}

impl World {
    fn reader(&mut self, who: usize) -> &mut Reader {
        let Client::Reader(reader) = &mut self.clients[who] else { unreachable!("it reads") };
        reader
    }

    pub fn reader_moves(&self, who: usize, keys: &[Key]) -> Vec<Move> {
        let Client::Reader(reader) = &self.clients[who] else { unreachable!("it reads") };
        match reader.stage {
            Stage::Idle if reader.done < keys.len() => vec![Move::Get],
            Stage::Asks if self.faults > 0 => vec![Move::TimeOut],
            Stage::Idle | Stage::Asks => vec![],
            Stage::Holds(_) => vec![Move::Read],
            Stage::Read(..) => vec![Move::Fill],
        }
    }

    /// The key that a reader reads, or reads next.
    pub fn key_of(&self, setup: &Setup, who: usize) -> Key {
        let (Client::Reader(reader), Role::Reader(keys)) = (&self.clients[who], setup.roles[who])
        else {
            unreachable!("it reads")
        };
        keys[reader.done]
    }

    pub fn reader_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        let (token, ttl, key) = (token(who), ttl(), self.key_of(setup, who));
        match (act, self.reader(who).stage) {
            (Move::Get, _) => {
                if let Some(value) = self.hit(key) {
                    return self.given(setup, who, value);
                }
                self.reader(who).stage = Stage::Asks;
                let time = Duration::from_nanos(setup.lease);
                let lease = Claim::Lease { token, previous: vec![], time, ttl, over: None };
                self.send(who, key, false, Command::Claim(lease));
            }
            (Move::TimeOut, _) => {
                self.faults -= 1;
                self.give_up(who);
                self.reader(who).next();
            }
            (Move::Read, Stage::Holds(grant)) => {
                let rows = self.source();
                self.reader(who).stage = Stage::Read(grant, rows);
            }
            (Move::Fill, Stage::Read(Grant { deadline, generation, .. }, rows)) => {
                let version = setup.version(key, rows).map(version);
                let (value, until) = (setup.value(key, rows), None);
                let fill = Change::Fill { token, deadline, generation, value, version, ttl, until };
                self.send(who, key, true, Command::Change(fill));
                self.given(setup, who, value);
            }
            (act, stage) => unreachable!("{stage:?} does not {act:?}"),
        }
    }

    /// Its lease was answered. Who has none goes to the source: that is no hit, and leaves nothing.
    pub fn leased(&mut self, who: usize, grant: Option<Grant>) {
        let reader = self.reader(who);
        match grant {
            Some(grant) => reader.stage = Stage::Holds(grant),
            None => reader.next(),
        }
    }

    /// When the source held a value: the first and the last of the past states that it is of.
    fn instants(&self, setup: &Setup, key: Key, value: Rows) -> Option<(usize, usize)> {
        let of = |rows: &Rows| setup.value(key, *rows) == value;
        Some((self.past.iter().position(of)?, self.past.iter().rposition(of)?))
    }

    fn given(&mut self, setup: &Setup, who: usize, value: Rows) {
        let key = self.key_of(setup, who);
        if let Some((first, last)) = self.instants(setup, key, value) {
            for (key, earlier) in self.reader(who).given.clone() {
                let Some((begun, ended)) = self.instants(setup, key, earlier) else { continue };
                self.backwards |= last < begun;
                self.torn |= last < begun || ended < first;
            }
        }
        let Role::Reader(keys) = setup.roles[who] else { unreachable!("it reads") };
        let reader = self.reader(who);
        reader.given.push((key, value));
        reader.next();
        if reader.done == keys.len() {
            reader.given.clear();
        }
    }
}

impl Reader {
    fn next(&mut self) {
        self.done += 1;
        self.stage = Stage::Idle;
    }
}
