//! The rules that writers and readers keep.

use genfence::protocol::{Change, Claim, Epoch, Grant, Serving, Time, Token};

use super::agents::PLACES;
use super::mends::Mend;
use super::replaces::Asker;
use super::setup::{Role, Setup};
use super::world::{Packet, World};
use crate::client::{ttl, version};
use crate::network::Command;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    #[default]
    Idle,
    /// A writer asks the grantors which regions serve.
    Reads,
    /// A packet of its own is under way, or several.
    Asks,
    /// A reader holds its lease.
    Holds,
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub stage: Stage,
    /// A writer's time begins here.
    pub since: Time,
    /// What each grantor said of each region.
    seen: [Option<[Seen; 2]>; PLACES],
    /// A writer does not change the source before that.
    waits: Time,
    pub targets: Vec<Target>,
    /// What a reader has read.
    pub value: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Seen {
    Live(Epoch),
    Over,
    /// There is no grant, or it names no epoch: whoever may serve does so until then at most.
    Unknown(Time),
}

/// A record that a client claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub region: usize,
    pub epoch: Epoch,
    pub state: State,
    /// Whether what is stored there counts: the region was not in quarantine when the claim was sent.
    counts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Asked,
    Held(Grant),
    /// No answer came. Which grantors were told that the region is to serve no more, and which of them say that it does not.
    Silent {
        barred: [bool; PLACES],
        out: [bool; PLACES],
        since: Option<Time>,
    },
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Start,
    /// Begins in an epoch that the region serves in.
    StartIn(Epoch),
    /// With `Mend::ClockBeforeTable` undone: its time begins.
    StartLate,
    /// Asks a grantor who serves.
    Look(usize),
    /// Stops waiting for the answer of a target.
    TimeOut(usize),
    /// Tells a grantor that a target's region is to serve no more in that epoch.
    Bar(usize, usize),
    Change,
    Read,
    ReadReplica,
    Fill,
}

fn count(places: &[bool]) -> usize {
    places.iter().filter(|place| **place).count()
}

/// A client's only token; of its targets each has another record.
fn token(who: usize) -> Token {
    Token::new(who as u64 + 1)
}

impl World {
    pub fn client_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        match (client.stage, setup.roles[who]) {
            (Stage::Idle, Role::Writer { .. }) => moves.push(Move::Start),
            (Stage::Idle, Role::Reader { .. }) if setup.leases.is_none() => moves.push(Move::Start),
            (Stage::Idle, Role::Reader { at, .. }) => {
                let all = setup.undoes(Mend::QuarantineFillsNothing);
                let epochs = self.serving(setup, at).into_iter();
                moves.extend(
                    epochs.filter(|(_, full)| *full || all).map(|(epoch, _)| Move::StartIn(epoch)),
                );
            }
            (Stage::Reads, _) => {
                let grantors = setup.grantors().iter().filter(|place| self.is_up(**place));
                let fresh = grantors.filter(|place| client.seen[**place].is_none());
                moves.extend(fresh.map(|place| Move::Look(*place)));
            }
            (Stage::Asks, Role::Writer { .. }) => self.writer_moves(setup, who, moves),
            (Stage::Holds, Role::Reader { versioned, .. }) => {
                if client.value.is_some() {
                    moves.push(Move::Fill);
                } else {
                    moves.push(Move::Read);
                    if versioned && self.replica < self.source {
                        moves.push(Move::ReadReplica);
                    }
                }
            }
            _ => {}
        }
    }

    fn writer_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        for (index, target) in client.targets.iter().enumerate() {
            match &target.state {
                State::Asked if self.faults > 0 => moves.push(Move::TimeOut(index)),
                State::Silent { barred, out, .. } => {
                    for place in setup.grantors() {
                        let told = barred[*place] && self.is_barred(*place, target);
                        let asks = self.is_asking(Asker::Writer(who, index), *place);
                        let news = !asks && (!told || self.is_out(setup, *place, target));
                        if self.is_up(*place) && !out[*place] && news {
                            moves.push(Move::Bar(index, *place));
                        }
                    }
                }
                _ => {}
            }
        }
        if client.since == Time::ZERO {
            moves.push(Move::StartLate);
        } else if self.may_change(setup, client) {
            moves.push(Move::Change);
        }
    }

    fn may_change(&self, setup: &Setup, client: &Client) -> bool {
        let deadlines = client.targets.iter().filter_map(|target| match &target.state {
            State::Held(grant) => Some(grant.deadline),
            _ => None,
        });
        let limit =
            if setup.undoes(Mend::EarliestDeadline) { deadlines.max() } else { deadlines.min() };
        let own = client.since.after(setup.reservation());
        let limit = if setup.leases.is_some() { Some(own) } else { limit };
        let ready = |target: &Target| matches!(target.state, State::Held(_) | State::Out);
        client.targets.iter().all(ready)
            && self.now >= client.waits
            && limit.is_some_and(|limit| self.now < limit)
    }

    /// Whether a grantor still knows that.
    fn is_barred(&self, place: usize, target: &Target) -> bool {
        let standing = self.places[place].standings[target.region];
        standing.is_some_and(|standing| standing.bar > target.epoch)
    }

    /// Whether a grantor would say now that the target's region serves no more in its epoch.
    pub fn is_out(&self, setup: &Setup, place: usize, target: &Target) -> bool {
        self.places[place].standings[target.region].is_some_and(|standing| {
            let another = setup.undoes(Mend::OnlyNewerIsOut) && standing.epoch != target.epoch;
            another || standing.is_out(target.epoch, self.clock(place))
        })
    }

    pub fn client_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        match act {
            Move::Start => match setup.roles[who] {
                Role::Writer { fences, .. } => {
                    self.clients[who].since = self.now;
                    if setup.leases.is_some() {
                        self.clients[who].stage = Stage::Reads;
                    } else {
                        let targets = fences.iter().map(|region| (*region, Epoch::NONE)).collect();
                        self.reserve(setup, who, targets);
                    }
                }
                Role::Reader { .. } => self.lease(setup, who, Epoch::NONE),
            },
            Move::StartLate => self.clients[who].since = self.now,
            Move::StartIn(epoch) => self.lease(setup, who, epoch),
            Move::Look(place) => self.look(setup, who, place),
            Move::TimeOut(index) => {
                self.faults -= 1;
                self.packets.iter_mut().for_each(|packet| {
                    let target = &self.clients[who].targets[index];
                    let same = packet.place == target.region && packet.epoch == target.epoch;
                    packet.late |= packet.from == who && same;
                });
                if setup.leases.is_none() {
                    return self.give_up(who);
                }
                let (barred, out) = ([false; PLACES], [false; PLACES]);
                self.clients[who].targets[index].state = State::Silent { barred, out, since: None };
            }
            Move::Bar(index, place) => self.bar(setup, who, index, place),
            Move::Change => self.change(setup, who),
            Move::Read => self.clients[who].value = Some(self.source),
            Move::ReadReplica => self.clients[who].value = Some(self.replica),
            Move::Fill => self.fill(setup, who),
        }
        self.packets.sort();
    }

    fn look(&mut self, setup: &Setup, who: usize, place: usize) {
        let now = self.clock(place);
        let unknown = Seen::Unknown(self.now.after(setup.span()));
        let seen = self.places[place].standings.map(|standing| match standing {
            None => unknown,
            Some(standing) if standing.until <= now => Seen::Over,
            Some(standing) if standing.epoch.is_none() => unknown,
            Some(standing) => Seen::Live(standing.epoch),
        });
        let client = &mut self.clients[who];
        client.seen[place] = Some(seen);
        if client.seen.iter().flatten().count() < setup.majority() {
            return;
        }
        if setup.undoes(Mend::ClockBeforeTable) {
            client.since = Time::ZERO;
        }
        let Role::Writer { fences, .. } = setup.roles[who] else { return };
        let mut targets = Vec::new();
        for region in fences {
            let mut epochs = Vec::new();
            for seen in client.seen.iter().flatten().map(|regions| regions[*region]) {
                match seen {
                    Seen::Live(epoch) => epochs.push(epoch),
                    Seen::Unknown(until) if !setup.undoes(Mend::MissingIsWaitedOut) => {
                        client.waits = client.waits.max(until);
                    }
                    _ => {}
                }
            }
            epochs.sort();
            epochs.dedup();
            if setup.undoes(Mend::EveryLiveEpoch) {
                epochs = epochs.pop().into_iter().collect();
            }
            targets.extend(epochs.into_iter().map(|epoch| (*region, epoch)));
        }
        client.seen = [None; PLACES];
        self.reserve(setup, who, targets);
    }

    fn reserve(&mut self, setup: &Setup, who: usize, targets: Vec<(usize, Epoch)>) {
        let time = setup.reservation();
        let reserve = Claim::Reserve { token: token(who), previous: vec![], time, ttl: ttl() };
        for (region, epoch) in targets {
            let serving = self.serving(setup, region).into_iter();
            let counts = setup.leases.is_none()
                || setup.undoes(Mend::QuarantineCommitsNothing)
                || serving.into_iter().any(|(of, full)| of == epoch && full);
            let target = Target { region, epoch, state: State::Asked, counts };
            self.clients[who].targets.push(target);
            self.send(who, region, epoch, Command::Claim(reserve.clone()));
        }
        self.clients[who].stage = Stage::Asks;
    }

    fn lease(&mut self, setup: &Setup, who: usize, epoch: Epoch) {
        let Role::Reader { at, .. } = setup.roles[who] else { return };
        let time = std::time::Duration::from_nanos(setup.lease);
        let lease =
            Claim::Lease { token: token(who), previous: vec![], time, ttl: ttl(), over: None };
        let target = Target { region: at, epoch, state: State::Asked, counts: true };
        self.clients[who].targets.push(target);
        self.clients[who].stage = Stage::Asks;
        self.send(who, at, epoch, Command::Claim(lease));
    }

    /// A claim was answered.
    pub fn claimed(&mut self, setup: &Setup, packet: &Packet, grant: Option<Grant>) {
        let client = &mut self.clients[packet.from];
        let found = client.targets.iter_mut().find(|target| {
            target.region == packet.place
                && target.epoch == packet.epoch
                && target.state == State::Asked
        });
        let (Some(target), Some(grant)) = (found, grant) else {
            client.stage = Stage::Done;
            return;
        };
        target.state = State::Held(grant);
        if let Role::Reader { .. } = setup.roles[packet.from] {
            client.stage = Stage::Holds;
        }
    }

    /// A region did not answer: the source is not changed, and what was taken is given back.
    fn give_up(&mut self, who: usize) {
        for packet in &mut self.packets {
            packet.late |= packet.from == who;
        }
        for target in std::mem::take(&mut self.clients[who].targets) {
            let abort = Change::Abort { token: token(who), previous: vec![] };
            self.send_late(who, target.region, target.epoch, abort);
        }
        self.clients[who] = Client { stage: Stage::Done, ..Client::default() };
    }

    fn bar(&mut self, setup: &Setup, who: usize, index: usize, place: usize) {
        let target = self.clients[who].targets[index].clone();
        if setup.asks_in_steps() {
            let (asker, bar) = (Asker::Writer(who, index), Serving::Bar { epoch: target.epoch });
            return self.look_and_ask(setup, asker, place, target.region, bar);
        }
        if !setup.undoes(Mend::Bars) {
            let bar = Serving::Bar { epoch: target.epoch };
            self.ask(setup, place, target.region, bar).expect("a bar is always granted");
        }
        let is_out = self.is_out(setup, place, &target);
        self.barred(setup, who, index, place, is_out);
    }

    /// A grantor was told that a target's region is to serve no more; and whether it says that it does not.
    pub fn barred(&mut self, setup: &Setup, who: usize, index: usize, place: usize, is_out: bool) {
        let (now, majority) = (self.now, setup.majority());
        let target = &mut self.clients[who].targets[index];
        let State::Silent { barred, out, since } = &mut target.state else { return };
        barred[place] = true;
        out[place] = is_out;
        if count(barred) >= majority {
            since.get_or_insert(now);
            if setup.undoes(Mend::LapseIsWaitedFor) {
                *out = *barred;
            }
        }
        if count(out) >= majority {
            target.state = State::Out;
        }
    }

    fn change(&mut self, setup: &Setup, who: usize) {
        let Role::Writer { at, versioned, .. } = setup.roles[who] else { return };
        self.source += 1;
        let value = self.source;
        let of_value = version(value);
        for index in 0..self.clients[who].targets.len() {
            self.asks_no_more(Asker::Writer(who, index), None);
        }
        for target in std::mem::take(&mut self.clients[who].targets) {
            let State::Held(Grant { deadline, generation, alone, .. }) = target.state else {
                continue;
            };
            let stores =
                target.counts && (alone || versioned) && (target.region == at || setup.push);
            let (token, ttl, until) = (token(who), ttl(), None);
            let change = if !stores {
                Change::Release { token, version: versioned.then_some(of_value), ttl }
            } else if versioned {
                Change::CommitVersioned { token, deadline, value, version: of_value, ttl, until }
            } else {
                Change::Commit { token, deadline, generation, value, ttl, until }
            };
            self.send_late(who, target.region, target.epoch, change);
        }
        self.clients[who] = Client { stage: Stage::Done, ..Client::default() };
    }

    fn fill(&mut self, setup: &Setup, who: usize) {
        let Role::Reader { versioned, .. } = setup.roles[who] else { return };
        let client = std::mem::take(&mut self.clients[who]);
        self.clients[who].stage = Stage::Done;
        let Some(Target { region, epoch, state: State::Held(grant), .. }) =
            client.targets.first().cloned()
        else {
            return;
        };
        let value = client.value.expect("it has read");
        let fill = Change::Fill {
            token: token(who),
            deadline: grant.deadline,
            generation: grant.generation,
            value,
            version: versioned.then(|| version(value)),
            ttl: ttl(),
            until: None,
        };
        self.send_late(who, region, epoch, fill);
    }
}
