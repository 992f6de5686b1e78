//! The rules that writers, readers, and who announces keep.

use std::time::Duration;

use genfence::protocol::{Change, Claim, Grant, Time, Token};

use super::mends::Mend;
use super::setup::{List, Role, Setup};
use super::world::{Packet, World};
use crate::client::{ttl, version};
use crate::network::Command;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    #[default]
    Idle,
    /// Packets of its own are under way.
    Asks,
    /// It was granted what it asked for.
    Holds,
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub stage: Stage,
    /// Its program's, and the list whose home that reads.
    pub phase: usize,
    reads: List,
    /// What it claims.
    targets: Vec<(List, Option<Grant>)>,
    /// What a reader has read, or who announces has changed.
    pub value: Option<u8>,
    /// Its program has ended; its COMMIT may reach the source before that all the same.
    pub pending: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Begins, in a program of this phase that reads the home of this list.
    Start(usize, List),
    /// Stops waiting for answers.
    TimeOut,
    Change,
    /// Its program ends while its COMMIT is under way.
    Crash,
    /// That COMMIT lands.
    Land,
    Read,
    ReadReplica,
    Fill,
}

impl Client {
    pub fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Asks | Stage::Holds)
    }

    fn done(pending: Option<Time>) -> Client {
        Client { stage: Stage::Done, pending, ..Client::default() }
    }

    /// It goes by the earliest of its deadlines.
    fn deadline(&self) -> Option<Time> {
        self.targets.iter().filter_map(|(_, grant)| Some(grant.as_ref()?.deadline)).min()
    }
}

/// A client's only token; of its targets each is another record.
fn token(who: usize) -> Token {
    Token::new(who as u64 + 1)
}

impl World {
    pub fn client_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        match (client.stage, setup.roles[who]) {
            (Stage::Idle, _) => {
                for phase in self.oldest..=self.newest {
                    let lists = setup.phases[phase].reads.iter();
                    moves.extend(lists.map(|list| Move::Start(phase, *list)));
                }
            }
            (Stage::Asks, Role::Writer | Role::Reader) if self.faults > 0 => {
                moves.push(Move::TimeOut);
            }
            (Stage::Holds, Role::Writer) if client.deadline() > Some(self.now) => {
                moves.push(Move::Change);
                if self.faults > 0 {
                    moves.push(Move::Crash);
                }
            }
            (Stage::Holds, Role::Reader) if client.value.is_some() => moves.push(Move::Fill),
            (Stage::Holds, Role::Reader) => {
                moves.push(Move::Read);
                if setup.versioned && self.replica(setup) < self.source {
                    moves.push(Move::ReadReplica);
                }
            }
            (Stage::Done, _) if client.pending.is_some() => moves.push(Move::Land),
            _ => {}
        }
    }

    pub fn client_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        match act {
            Move::Start(phase, list) => self.start(setup, who, phase, list),
            Move::TimeOut => {
                self.faults -= 1;
                self.give_up(who);
                let client = std::mem::replace(&mut self.clients[who], Client::done(None));
                if setup.roles[who] == Role::Writer {
                    for (list, _) in client.targets {
                        let abort = Change::Abort { token: token(who), previous: vec![] };
                        self.send(who, list, true, Command::Change(abort));
                    }
                }
            }
            Move::Change => {
                self.source += 1;
                self.commit(setup, who);
            }
            Move::Crash => {
                self.faults -= 1;
                self.clients[who] = Client::done(self.clients[who].deadline());
            }
            Move::Land => {
                self.source += 1;
                self.clients[who].pending = None;
            }
            Move::Read => self.clients[who].value = Some(self.source),
            Move::ReadReplica => self.clients[who].value = Some(self.replica(setup)),
            Move::Fill => self.fill(setup, who),
        }
    }

    fn start(&mut self, setup: &Setup, who: usize, phase: usize, reads: List) {
        let (token, previous, ttl) = (token(who), vec![], ttl());
        let (writes, read) = (setup.phases[phase].writes, [reads]);
        let (targets, command) = match setup.roles[who] {
            Role::Writer => {
                let time = setup.reservation();
                (writes, Command::Claim(Claim::Reserve { token, previous, time, ttl }))
            }
            Role::Reader => {
                let time = Duration::from_nanos(setup.lease);
                let lease = Claim::Lease { token, previous, time, ttl, over: None };
                (&read[..], Command::Claim(lease))
            }
            Role::Announcer => {
                self.source += 1;
                self.clients[who].value = Some(self.source);
                let everywhere = !setup.undoes(Mend::AnnouncedEverywhere);
                let targets = if everywhere { writes } else { &read };
                let version = setup.versioned.then(|| version(self.source));
                (targets, Command::Change(Change::Invalidate { version, ttl }))
            }
        };
        let client = &mut self.clients[who];
        client.stage = Stage::Asks;
        client.phase = phase;
        client.reads = reads;
        client.targets = targets.iter().map(|list| (*list, None)).collect();
        for list in targets {
            self.send(who, *list, false, command.clone());
        }
    }

    /// A claim was answered.
    pub fn claimed(&mut self, packet: &Packet, grant: Option<Grant>) {
        let client = &mut self.clients[packet.from];
        if grant.is_none() {
            *client = Client::done(None);
            return;
        }
        for (_, held) in client.targets.iter_mut().filter(|(list, _)| *list == packet.list) {
            *held = grant;
        }
        if client.targets.iter().all(|(_, held)| held.is_some()) {
            client.stage = Stage::Holds;
        }
    }

    /// An announcement was answered.
    pub fn announced(&mut self, who: usize) {
        if self.packets.iter().all(|packet| packet.from != who) {
            let client = std::mem::replace(&mut self.clients[who], Client::done(None));
            self.heard = self.heard.max(client.value.unwrap_or_default());
        }
    }

    fn commit(&mut self, setup: &Setup, who: usize) {
        let client = std::mem::replace(&mut self.clients[who], Client::done(None));
        let (token, value, ttl, until) = (token(who), self.source, ttl(), None);
        for (list, grant) in client.targets {
            let Some(Grant { deadline, generation, alone, .. }) = grant else { continue };
            let here = list == client.reads || setup.undoes(Mend::StoresWhereItReads);
            let change = if !here || !(alone || setup.versioned) {
                let version = setup.versioned.then(|| version(value));
                Change::Release { token, version, ttl }
            } else if setup.versioned {
                let version = version(value);
                Change::CommitVersioned { token, deadline, value, version, ttl, until }
            } else {
                Change::Commit { token, deadline, generation, value, ttl, until }
            };
            self.send(who, list, true, Command::Change(change));
        }
    }

    fn fill(&mut self, setup: &Setup, who: usize) {
        let client = std::mem::replace(&mut self.clients[who], Client::done(None));
        let (Some((list, Some(grant))), Some(value)) = (client.targets.first(), client.value)
        else {
            return;
        };
        let fill = Change::Fill {
            token: token(who),
            deadline: grant.deadline,
            generation: grant.generation,
            value,
            version: setup.versioned.then(|| version(value)),
            ttl: ttl(),
            until: None,
        };
        self.send(who, *list, true, Command::Change(fill));
    }
}
