//! The rules of who keeps copies, of writers, readers, and of who announces.

use std::time::Duration;

use genfence::protocol::{Change, Claim, Copied, Grant, Stamp, Time, Token};

use super::mends::Mend;
use super::server::{Answer, Command, NOTHING};
use super::setup::{Role, Setup};
use super::world::World;
use crate::client::{ttl, version};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    #[default]
    Idle,
    /// A packet of its own is under way.
    Asks,
    /// Its hush is under way.
    Hushes,
    /// It waits for copies before it reserves.
    Hushed,
    /// It was granted what it asked for.
    Holds,
    /// It has changed the source, and waits until that is true everywhere.
    Tells,
    Done,
}

/// A value that its owner serves by itself, on its own clock until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    pub value: u8,
    pub stamp: Token,
    pub until: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub stage: Stage,
    /// How often a keeper has asked.
    pub rounds: u8,
    pub grant: Option<Grant>,
    /// From when on no copies are served, on its own clock.
    pub ready: Option<Time>,
    /// The hush that it waits under, or has waited under.
    pub hush: Option<Token>,
    /// What was read from the source, or what it was changed to.
    pub value: Option<u8>,
    /// Its program has ended; its COMMIT may reach the source before that all the same.
    pub pending: Option<Time>,
    pub copy: Option<Copy>,
    /// The last value that it had a copy of.
    pub last: Option<u8>,
    /// Its clock was wrong by a tick.
    pub slipped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Start,
    /// Who has hushed reserves.
    Reserve,
    /// Keeper: asks for leave to keep a copy; looks whether others have.
    Stamp,
    Look,
    /// Stops waiting for an answer.
    TimeOut,
    Change,
    /// Its program ends while its COMMIT is under way.
    Crash,
    /// That COMMIT lands.
    Land,
    Read,
    /// The source does not answer, and another's last copy is taken for it.
    Recall,
    Fill,
}

fn token(who: usize) -> Token {
    Token::new(who as u64 + 1)
}

impl World {
    /// A client's own clock: of who keeps copies it may be slow, of all others fast.
    pub fn clock(&self, setup: &Setup, who: usize) -> Time {
        let now = self.now.as_nanos();
        match (self.clients[who].slipped, setup.roles[who]) {
            (false, _) => self.now,
            (true, Role::Keeper { .. }) => Time::from_nanos(now - 1),
            (true, _) => Time::from_nanos(now + 1),
        }
    }

    pub fn client_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        if client.pending.is_some() {
            moves.push(Move::Land);
        }
        match (client.stage, setup.roles[who]) {
            (Stage::Idle, Role::Keeper { .. }) if client.rounds < setup.rounds => {
                moves.extend([Move::Stamp, Move::Look]);
            }
            (Stage::Idle, Role::Keeper { .. }) => {}
            (Stage::Idle, _) => moves.push(Move::Start),
            (
                Stage::Asks | Stage::Hushes,
                Role::Keeper { .. } | Role::Writer | Role::Husher | Role::Reader,
            ) if self.faults > 0 => moves.push(Move::TimeOut),
            (Stage::Hushed, _) if client.ready.is_none() => moves.push(Move::Reserve),
            (Stage::Holds, Role::Writer | Role::Husher) => self.writer_moves(setup, who, moves),
            (Stage::Holds, Role::Reader) if client.value.is_some() => moves.push(Move::Fill),
            (Stage::Holds, Role::Reader) => {
                moves.push(Move::Read);
                let last = self.clients.iter().any(|client| client.last.is_some());
                if last && setup.undoes(Mend::LastKnownIsNotFilled) {
                    moves.push(Move::Recall);
                }
            }
            _ => {}
        }
    }

    fn writer_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        let Some(grant) = client.grant else { return };
        let margin = Duration::from_nanos(setup.clocks);
        // In time for any of the clocks that its reservation may be reckoned on.
        if self.now.after(margin) >= grant.deadline {
            return;
        }
        let settled = client.ready.is_none_or(|ready| self.clock(setup, who) >= ready);
        if settled {
            moves.push(Move::Change);
        }
        if self.faults > 0 && (settled || setup.undoes(Mend::CommitIsSentAfterWait)) {
            moves.push(Move::Crash);
        }
    }

    pub fn client_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        match act {
            Move::Start => self.start(setup, who),
            Move::Reserve => self.reserve(setup, who),
            Move::Stamp | Move::Look => {
                self.clients[who].rounds += 1;
                let Role::Keeper { near } = setup.roles[who] else { return };
                let time = Duration::from_nanos(near);
                let stamp = Command::Stamp(Stamp { time, until: None });
                let command = if act == Move::Stamp { stamp } else { Command::Look };
                self.ask(setup, who, command);
            }
            Move::TimeOut => {
                self.faults -= 1;
                self.give_up(setup, who);
                let client = &mut self.clients[who];
                let keeps = matches!(setup.roles[who], Role::Keeper { .. });
                client.stage = if keeps { Stage::Idle } else { Stage::Done };
            }
            Move::Change => {
                self.source += 1;
                self.clients[who].value = Some(self.source);
                self.store(setup, who);
            }
            Move::Crash => {
                self.faults -= 1;
                let client = &mut self.clients[who];
                let deadline = client.grant.map(|grant| grant.deadline);
                *client = Client { stage: Stage::Done, pending: deadline, ..Client::default() };
            }
            Move::Land => {
                self.source += 1;
                self.clients[who].pending = None;
            }
            Move::Read => self.clients[who].value = Some(self.source),
            Move::Recall => {
                let last = self.clients.iter().find_map(|client| client.last);
                self.clients[who].value = last;
            }
            Move::Fill => self.store(setup, who),
        }
    }

    fn start(&mut self, setup: &Setup, who: usize) {
        let (token, previous, ttl) = (token(who), vec![], ttl());
        let lease = Duration::from_nanos(setup.lease);
        let command = match setup.roles[who] {
            Role::Keeper { .. } => return,
            Role::Writer => return self.reserve(setup, who),
            Role::Husher => {
                let time = Duration::from_nanos(setup.longest + setup.clocks + 1);
                Command::Claim(Claim::Hush { token, time, until: None })
            }
            Role::Reader => {
                Command::Claim(Claim::Lease { token, previous, time: lease, ttl, over: None })
            }
            Role::Announcer => {
                self.source += 1;
                self.clients[who].value = Some(self.source);
                let version = setup.versioned.then(|| version(self.source));
                Command::Change(Change::Invalidate { version, ttl })
            }
            Role::Setter => {
                self.source += 1;
                self.clients[who].value = Some(self.source);
                Command::Change(Change::Set { token, value: self.source, ttl })
            }
            Role::Toucher => Command::Change(Change::Touch { ttl, until: None }),
        };
        self.ask(setup, who, command);
        if setup.roles[who] == Role::Husher {
            self.clients[who].stage = Stage::Hushes;
        }
    }

    fn reserve(&mut self, setup: &Setup, who: usize) {
        let time = Duration::from_nanos(setup.reservation);
        let (token, previous, ttl) = (token(who), vec![], ttl());
        self.ask(setup, who, Command::Claim(Claim::Reserve { token, previous, time, ttl }));
    }

    fn ask(&mut self, setup: &Setup, who: usize, command: Command) {
        self.clients[who].stage = Stage::Asks;
        let sent = self.clock(setup, who);
        self.send(who, sent, command);
    }

    /// Stores what is in the source, under the claim that it holds. Nobody waits for the answer.
    fn store(&mut self, setup: &Setup, who: usize) {
        let client = &mut self.clients[who];
        client.stage = Stage::Done;
        let (grant, value) = (client.grant.take(), client.value.take());
        client.ready = None;
        let (Some(grant), Some(value)) = (grant, value) else { return };
        let Grant { deadline, generation, alone, .. } = grant;
        let (token, ttl, until) = (token(who), ttl(), None);
        let version = setup.versioned.then(|| version(value));
        let change = match (setup.roles[who], version) {
            (Role::Reader, version) => {
                Change::Fill { token, deadline, generation, value, version, ttl, until }
            }
            (_, Some(version)) => {
                Change::CommitVersioned { token, deadline, value, version, ttl, until }
            }
            (_, None) if alone => Change::Commit { token, deadline, generation, value, ttl, until },
            (_, None) => Change::Release { token, version, ttl },
        };
        let sent = self.clock(setup, who);
        self.send(who, sent, Command::Change(change));
        self.give_up(setup, who);
    }

    /// An answer has come to what was sent at this time of the client's.
    pub fn heard(&mut self, setup: &Setup, who: usize, sent: Time, answer: Answer) {
        let now = self.clock(setup, who);
        let (role, stage) = (setup.roles[who], self.clients[who].stage);
        match (role, answer) {
            (Role::Keeper { near }, answer) => {
                self.clients[who].stage = Stage::Idle;
                let from = if setup.undoes(Mend::CopyFromSending) { now } else { sent };
                match answer {
                    Answer::Copied(copied) => self.keep(setup, who, from, &copied),
                    Answer::Looked(Some(copied), _) => {
                        let all =
                            setup.undoes(Mend::LookTakesWhatIsLeft) && !copied.lives.is_zero();
                        let lives = if all { Duration::from_nanos(near) } else { copied.lives };
                        self.keep(setup, who, from, &Copied { lives, ..copied });
                    }
                    _ => {}
                }
            }
            (Role::Husher, Answer::Granted(grant)) if stage == Stage::Hushes => {
                let wait = grant.wait + setup.drift(Mend::WaitIsLonger);
                let client = &mut self.clients[who];
                client.ready = Some(now.after(wait));
                client.hush = grant.hush;
                client.stage = Stage::Hushed;
            }
            (Role::Husher, Answer::Refused) if stage == Stage::Hushes => self.reserve(setup, who),
            (Role::Writer | Role::Husher, Answer::Granted(grant)) => {
                let from = if setup.undoes(Mend::WaitFromAnswer) { sent } else { now };
                let hush = self.clients[who].hush.take();
                let same = grant.hush == hush || setup.undoes(Mend::HushIsCompared);
                let hushed = hush.is_some() && grant.hush.is_some() && same;
                let trusts = role == Role::Husher && setup.undoes(Mend::HushIsFound);
                let waits =
                    !setup.undoes(Mend::WritersWait) && !hushed && !trusts && !grant.wait.is_zero();
                let wait = grant.wait + setup.drift(Mend::WaitIsLonger);
                let client = &mut self.clients[who];
                client.ready = waits.then(|| from.after(wait));
                client.grant = Some(Grant { wait: Duration::ZERO, ..grant });
                client.stage = Stage::Holds;
            }
            (Role::Reader, Answer::Granted(grant)) => {
                let client = &mut self.clients[who];
                client.grant = Some(Grant { wait: Duration::ZERO, ..grant });
                client.stage = Stage::Holds;
            }
            (Role::Announcer, Answer::Looked(_, wait)) => {
                let wait = wait + setup.drift(Mend::WaitIsLonger);
                self.clients[who].ready = Some(now.after(wait));
                self.clients[who].stage = Stage::Tells;
            }
            (Role::Announcer, answer) => {
                let returns = match answer {
                    Answer::Refused => Mend::RefusedInvalidateWaits,
                    _ => Mend::InvalidateWaits,
                };
                if setup.undoes(returns) {
                    self.clients[who].stage = Stage::Tells;
                } else {
                    self.ask(setup, who, Command::Look);
                }
            }
            (Role::Setter, Answer::Done) => self.clients[who].stage = Stage::Tells,
            _ => self.clients[who].stage = Stage::Done,
        }
    }

    fn keep(&mut self, setup: &Setup, who: usize, from: Time, copied: &Copied<u8>) {
        let lives = copied.lives.saturating_sub(setup.drift(Mend::CopyIsShorter));
        let until = from.after(lives);
        let (value, stamp) = (copied.hit.value, copied.hit.stamp);
        let copy = &mut self.clients[who].copy;
        // Leave for nothing, or for another value, is taken for more time.
        let renews = value == NOTHING || setup.undoes(Mend::RenewalComparesStamp);
        *copy = match *copy {
            Some(copy) if renews => Some(Copy { until, ..copy }),
            _ if value == NOTHING => None,
            _ => Some(Copy { value, stamp, until }),
        };
    }

    /// What is over is forgotten: worlds that differ only in it are one.
    pub fn forget_old(&mut self, setup: &Setup) {
        for who in 0..self.clients.len() {
            let (now, clock) = (self.now, self.clock(setup, who));
            let margin = Duration::from_nanos(setup.clocks);
            let client = &mut self.clients[who];
            client.pending = client.pending.filter(|end| now.after(margin) < *end);
            let over = client.copy.filter(|copy| copy.until <= clock);
            if let Some(copy) = over.filter(|_| !setup.undoes(Mend::CopyEnds)) {
                client.copy = None;
                let recalls = setup.undoes(Mend::LastKnownIsNotFilled);
                client.last = recalls.then_some(copy.value);
            }
            client.ready = client.ready.filter(|ready| clock < *ready);
            if client.stage == Stage::Tells && client.ready.is_none() {
                client.stage = Stage::Done;
                self.heard = self.heard.max(client.value.take().unwrap_or_default());
            }
        }
    }
}
