//! The rules of callers, writers, writers of a group, purgers, and of who keeps copies.

use std::collections::BTreeMap;
use std::time::Duration;

use genfence::protocol::{Change, Claim, Grant, Stamp, Time, Token};

use super::hits::compare;
use super::mends::Mend;
use super::setup::{Role, Setup, Tag};
use super::world::{Answer, Command, Held, Key, Packet, World};
use crate::client::ttl;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    #[default]
    Idle,
    /// A caller has read the value, and not yet the nonces; the other way round.
    Compares,
    Reads,
    /// A packet of its own is under way.
    Asks,
    /// It holds a claim, and opens a tag.
    Opens(Tag),
    /// It was granted what it asked for.
    Holds,
    /// It waits until copies are over.
    Tells,
    Done,
}

/// What its owner serves by itself until then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy<T> {
    pub of: T,
    pub until: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub stage: Stage,
    /// Calls begun, and tokens drawn.
    pub rounds: u8,
    drawn: u64,
    /// The claim, and its token.
    claim: Option<(Token, Grant)>,
    /// The value that was found, and its stamp.
    seen: Option<(Held, Token)>,
    /// What the source held when the call began, and what was announced by then.
    since: (u8, u8),
    pub nonces: BTreeMap<Tag, Token>,
    /// A nonce cannot be had.
    hopeless: bool,
    /// What was read from the source, or what it was changed to.
    pub value: Option<u8>,
    /// What a purger tells of.
    told: Vec<u8>,
    /// From when on no copies are served.
    pub ready: Option<Time>,
    /// Its program has ended; its COMMIT may reach the source before that all the same.
    pub pending: Option<Time>,
    /// The value that it keeps copies of.
    pub keeps: Option<usize>,
    pub copy: Option<Copy<Held>>,
    pub nonces_kept: BTreeMap<Tag, Copy<Token>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Start,
    /// Calls, and reads the nonces first.
    StartWithNonces,
    /// Reads the nonces beside the value that it has read; the value beside the nonces.
    Compare,
    ReadValue,
    /// Reads nonces before there is a call.
    Remember,
    /// Has a nonce: by the record, which is opened where there is none, or by a copy of its process's.
    Nonce(Tag),
    Kept(Tag),
    Read,
    /// Writer: its COMMIT lands in the source.
    Change,
    /// Sends its fill or commit.
    Store,
    /// A nonce could not be had: nothing is stored.
    GiveUp,
    TimeOut,
    /// Its program ends while its COMMIT is under way.
    Crash,
    /// That COMMIT lands.
    Land,
    /// Keeper: asks for leave to keep a copy.
    Stamp(Key),
}

impl Client {
    pub fn new(role: &Role) -> Client {
        let keeps = match role {
            Role::Keeper { value } => Some(*value),
            _ => None,
        };
        Client { keeps, ..Client::default() }
    }

    /// Its operation is over. A caller may call again.
    fn end(&mut self, role: Role) {
        let (rounds, drawn) = (self.rounds, self.drawn);
        let stage = if matches!(role, Role::Caller { .. }) { Stage::Idle } else { Stage::Done };
        *self = Client { stage, rounds, drawn, ..Client::default() };
    }
}

impl World {
    fn draw(&mut self, who: usize) -> Token {
        self.clients[who].drawn += 1;
        Token::new(who as u64 * 16 + 16 + self.clients[who].drawn)
    }

    pub fn client_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Move>) {
        let (client, role) = (&self.clients[who], setup.roles[who]);
        if client.pending.is_some() {
            moves.push(Move::Land);
        }
        match (client.stage, role) {
            (Stage::Idle, Role::Caller { value }) if client.rounds < setup.rounds => {
                moves.extend([Move::Start, Move::StartWithNonces]);
                let knows = setup.values[value].iter().all(|tag| self.nonce(setup, *tag).is_some());
                if setup.undoes(Mend::NoncesOfTheCall) && client.nonces.is_empty() && knows {
                    moves.push(Move::Remember);
                }
            }
            (Stage::Idle, Role::Keeper { value }) if client.rounds < setup.rounds => {
                moves.push(Move::Stamp(Key::Value(value)));
                moves.extend(setup.values[value].iter().map(|tag| Move::Stamp(Key::Tag(*tag))));
            }
            (Stage::Idle, Role::Caller { .. } | Role::Keeper { .. }) => {}
            (Stage::Idle, Role::Refresher { value }) => {
                moves.extend(self.hit(Key::Value(value)).map(|_| Move::Start));
            }
            (Stage::Idle, _) => moves.push(Move::Start),
            (Stage::Compares, _) => moves.push(Move::Compare),
            (Stage::Reads, _) => moves.push(Move::ReadValue),
            (
                Stage::Holds,
                Role::Caller { value } | Role::Refresher { value } | Role::Writer { value },
            ) => self.storer_moves(setup, who, value, moves),
            (Stage::Holds, Role::Group { .. }) if self.may_change(who) => {
                moves.push(Move::Change);
            }
            _ => {}
        }
        if self.faults == 0 {
            return;
        }
        let waits = matches!(client.stage, Stage::Asks | Stage::Opens(_));
        if waits && !matches!(role, Role::Purger { .. }) {
            moves.push(Move::TimeOut);
        }
        let writes = matches!(role, Role::Writer { .. } | Role::Group { .. });
        if writes && client.stage == Stage::Holds && client.value.is_none() && self.may_change(who)
        {
            moves.push(Move::Crash);
        }
    }

    fn may_change(&self, who: usize) -> bool {
        let client = &self.clients[who];
        let deadline = client.claim.map(|(_, grant)| grant.deadline);
        deadline.is_some_and(|deadline| self.now < deadline) && client.ready.is_none()
    }

    fn storer_moves(&self, setup: &Setup, who: usize, value: usize, moves: &mut Vec<Move>) {
        let client = &self.clients[who];
        let writes = matches!(setup.roles[who], Role::Writer { .. });
        let missing = setup.values[value].iter().find(|tag| !client.nonces.contains_key(tag));
        if let Some(tag) = missing.filter(|_| !client.hopeless) {
            moves.push(Move::Nonce(*tag));
            let kept = |client: &Client| client.nonces_kept.contains_key(tag);
            if self.clients.iter().any(kept) {
                moves.push(Move::Kept(*tag));
            }
        }
        let ready = missing.is_none() || setup.undoes(Mend::NoncesBeforeSource);
        match client.value {
            _ if client.hopeless && !(writes && client.value.is_none()) => moves.push(Move::GiveUp),
            Some(_) if missing.is_none() => moves.push(Move::Store),
            None if writes && (ready || client.hopeless) && self.may_change(who) => {
                moves.push(Move::Change);
            }
            None if !writes && ready => moves.push(Move::Read),
            _ => {}
        }
    }

    pub fn client_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        let role = setup.roles[who];
        match (act, role) {
            (Move::Start, _) => self.start(setup, who),
            (Move::Compare, Role::Caller { value }) => self.compare_seen(setup, who, value),
            (Move::StartWithNonces, Role::Caller { value }) => {
                self.begin_call(who, value);
                self.remember(setup, who, value);
                self.clients[who].stage = Stage::Reads;
            }
            (Move::ReadValue, Role::Caller { value }) => {
                let nonces = std::mem::take(&mut self.clients[who].nonces);
                if let Some(hit) = self.hit(Key::Value(value)) {
                    let seen = (hit.value, hit.stamp);
                    self.conclude(setup, who, value, seen, |tag| nonces.get(&tag).copied());
                } else {
                    self.lease(setup, who, Key::Value(value), None);
                }
            }
            (Move::Remember, Role::Caller { value }) => self.remember(setup, who, value),
            (Move::Nonce(tag), _) => self.have_nonce(setup, who, tag),
            (Move::Kept(tag), _) => {
                let kept = self.clients.iter().find_map(|client| client.nonces_kept.get(&tag));
                let nonce = kept.expect("somebody keeps it").of;
                self.clients[who].nonces.insert(tag, nonce);
            }
            (Move::Read, Role::Caller { value } | Role::Refresher { value }) => {
                self.clients[who].value = Some(self.sources[value]);
            }
            (Move::Change, Role::Writer { value }) => {
                self.change_value(value);
                self.clients[who].value = Some(self.sources[value]);
                let has_all = self.clients[who].nonces.len() == setup.values[value].len();
                if has_all || self.clients[who].hopeless {
                    self.store(setup, who);
                }
            }
            (Move::Change, Role::Group { tag }) => {
                self.change_group(setup, tag);
                self.store(setup, who);
            }
            (Move::Store | Move::GiveUp, _) => self.store(setup, who),
            (Move::TimeOut, _) => self.time_out(who, role),
            (Move::Crash, _) => self.crash(setup, who),
            (Move::Land, Role::Writer { value }) => {
                self.change_value(value);
                self.clients[who].pending = None;
            }
            (Move::Land, Role::Group { tag }) => {
                self.change_group(setup, tag);
                self.clients[who].pending = None;
            }
            (Move::Stamp(key), _) => {
                self.clients[who].rounds += 1;
                let time = Duration::from_nanos(setup.near);
                self.ask(who, key, Command::Stamp(Stamp { time, until: None }));
            }
            (act, role) => unreachable!("{role:?} does not {act:?}"),
        }
    }

    /// Fenced: so nothing older than this is served from here on.
    fn change_value(&mut self, value: usize) {
        self.sources[value] += 1;
        self.heard[value] = self.sources[value];
    }

    fn change_group(&mut self, setup: &Setup, tag: Tag) {
        setup.bearers(tag).for_each(|value| self.change_value(value));
    }

    fn begin_call(&mut self, who: usize, value: usize) {
        let since = (self.sources[value], self.heard[value]);
        let client = &mut self.clients[who];
        client.rounds += 1;
        client.since = since;
    }

    fn remember(&mut self, setup: &Setup, who: usize, value: usize) {
        let nonces = setup.values[value].iter();
        let nonces = nonces.filter_map(|tag| Some((*tag, self.nonce(setup, *tag)?))).collect();
        self.clients[who].nonces = nonces;
    }

    fn ask(&mut self, who: usize, key: Key, command: Command) {
        self.clients[who].stage = Stage::Asks;
        self.send(who, key, false, command);
    }

    fn reserve(&mut self, setup: &Setup, who: usize, key: Key) {
        let (token, time) = (self.draw(who), Duration::from_nanos(setup.reservation));
        let reserve = Claim::Reserve { token, previous: vec![], time, ttl: ttl() };
        self.ask(who, key, Command::Claim(reserve));
    }

    fn lease(&mut self, setup: &Setup, who: usize, key: Key, over: Option<Token>) {
        let (token, time) = (self.draw(who), Duration::from_nanos(setup.lease));
        let lease = Claim::Lease { token, previous: vec![], time, ttl: ttl(), over };
        self.ask(who, key, Command::Claim(lease));
    }

    fn start(&mut self, setup: &Setup, who: usize) {
        match setup.roles[who] {
            Role::Caller { value } => {
                self.begin_call(who, value);
                let hit = self.hit(Key::Value(value));
                let client = &mut self.clients[who];
                if let Some(hit) = hit {
                    client.seen = Some((hit.value, hit.stamp));
                    client.stage = Stage::Compares;
                } else {
                    client.nonces.clear();
                    self.lease(setup, who, Key::Value(value), None);
                }
            }
            Role::Refresher { value } => {
                let Some(hit) = self.hit(Key::Value(value)) else { return };
                let (token, time) = (self.draw(who), Duration::from_nanos(setup.lease));
                let (previous, stamp, until) = (vec![], hit.stamp, None);
                self.clients[who].seen = Some((Held::default(), stamp));
                let refresh = Claim::Refresh { token, previous, stamp, time, until };
                self.ask(who, Key::Value(value), Command::Claim(refresh));
            }
            Role::Writer { value } => self.reserve(setup, who, Key::Value(value)),
            Role::Group { tag } => self.reserve(setup, who, Key::Tag(tag)),
            Role::Purger { tag } => {
                setup.bearers(tag).for_each(|value| self.sources[value] += 1);
                self.clients[who].told = self.sources.clone();
                let (value, ttl) = (Held::default(), ttl());
                let change = if setup.undoes(Mend::PurgeBringsNothing) {
                    Change::Set { token: self.draw(who), value, ttl }
                } else {
                    Change::Invalidate { version: None, ttl }
                };
                self.ask(who, Key::Tag(tag), Command::Change(change));
            }
            Role::Keeper { .. } => {}
        }
    }

    fn compare_seen(&mut self, setup: &Setup, who: usize, value: usize) {
        let Some(seen) = self.clients[who].seen.take() else { return };
        if self.clients[who].nonces.is_empty() {
            self.remember(setup, who, value);
        }
        let nonces = std::mem::take(&mut self.clients[who].nonces);
        self.conclude(setup, who, value, seen, |tag| nonces.get(&tag).copied());
    }

    /// The end of a call that found a value: a hit, or a lease over what was purged.
    fn conclude(
        &mut self,
        setup: &Setup,
        who: usize,
        value: usize,
        (held, stamp): (Held, Token),
        nonce: impl Fn(Tag) -> Option<Token>,
    ) {
        if compare(setup, value, &held.nonces, nonce) {
            let (source, heard) = self.clients[who].since;
            self.stale |= held.value < source;
            self.unheard |= held.value < heard;
            self.clients[who].end(setup.roles[who]);
        } else {
            let over = (!setup.undoes(Mend::LeaseOverPurged)).then_some(stamp);
            self.lease(setup, who, Key::Value(value), over);
        }
    }

    fn have_nonce(&mut self, setup: &Setup, who: usize, tag: Tag) {
        if let Some(nonce) = self.nonce(setup, tag) {
            self.clients[who].nonces.insert(tag, nonce);
        } else {
            self.lease(setup, who, Key::Tag(tag), None);
            self.clients[who].stage = Stage::Opens(tag);
        }
    }

    fn time_out(&mut self, who: usize, role: Role) {
        self.faults -= 1;
        self.give_up(who);
        let client = &mut self.clients[who];
        match client.stage {
            // Once more, under another token.
            Stage::Opens(_) => client.stage = Stage::Holds,
            _ if client.keeps.is_some() => client.stage = Stage::Idle,
            _ => client.end(role),
        }
    }

    fn crash(&mut self, setup: &Setup, who: usize) {
        self.faults -= 1;
        let Some((token, grant)) = self.clients[who].claim else { return };
        self.clients[who].end(setup.roles[who]);
        self.clients[who].pending = Some(grant.deadline);
        if let Role::Group { tag } = setup.roles[who]
            && setup.undoes(Mend::NoReleaseInDoubt)
        {
            let release = Change::Release { token, version: None, ttl: ttl() };
            self.send(who, Key::Tag(tag), true, Command::Change(release));
        }
    }

    /// Stores under the claim that it holds, or gives it back. Nobody waits for the answer.
    fn store(&mut self, setup: &Setup, who: usize) {
        let (role, ttl, until) = (setup.roles[who], ttl(), None);
        let client = &mut self.clients[who];
        let (claim, value) = (client.claim.take(), client.value.unwrap_or_default());
        let (hopeless, nonces) = (client.hopeless, std::mem::take(&mut client.nonces));
        let stamp = client.seen.take().map(|(_, stamp)| stamp);
        client.end(role);
        let Some((token, Grant { deadline, generation, alone, .. })) = claim else { return };
        let held = Held { value, nonces: nonces.into_values().collect() };
        let (key, change) = match role {
            Role::Caller { value } | Role::Refresher { value } if hopeless => {
                (Key::Value(value), Change::Unlease { token, until })
            }
            Role::Caller { value: of } => {
                let fill = Change::Fill {
                    token,
                    deadline,
                    generation,
                    value: held,
                    version: None,
                    ttl,
                    until,
                };
                (Key::Value(of), fill)
            }
            Role::Refresher { value: of } => {
                let (stamp, version) = (stamp.expect("it has seen one"), None);
                let bare = setup.undoes(Mend::RefillBearsNonces);
                let value = if bare { Held { value: held.value, nonces: vec![] } } else { held };
                (
                    Key::Value(of),
                    Change::Refill { token, deadline, stamp, value, version, ttl, until },
                )
            }
            Role::Writer { value: of } if alone && !hopeless => (
                Key::Value(of),
                Change::Commit { token, deadline, generation, value: held, ttl, until },
            ),
            Role::Group { tag } if alone => {
                let value = Held::default();
                (Key::Tag(tag), Change::Commit { token, deadline, generation, value, ttl, until })
            }
            Role::Writer { value } => {
                (Key::Value(value), Change::Release { token, version: None, ttl })
            }
            Role::Group { tag } => (Key::Tag(tag), Change::Release { token, version: None, ttl }),
            Role::Purger { .. } | Role::Keeper { .. } => return,
        };
        self.send(who, key, true, Command::Change(change));
    }

    /// An answer has come in time.
    pub fn heard(&mut self, setup: &Setup, packet: &Packet, answer: Answer) {
        let (who, now) = (packet.from, self.now);
        let role = setup.roles[who];
        match (role, self.clients[who].stage, answer) {
            (_, Stage::Opens(tag), answer) => self.opened(setup, who, tag, packet, &answer),
            (Role::Purger { tag }, _, answer) => {
                let record = self.slots.get(&Key::Tag(tag));
                let near = record.map_or(setup.terms().unsaid, |record| {
                    record.near().map_or(Duration::ZERO, |near| near.left(now, Duration::ZERO))
                });
                let returns = match answer {
                    Answer::Refused => Mend::RefusedPurgeWaits,
                    _ => Mend::PurgeWaits,
                };
                let waits = !setup.undoes(returns);
                self.clients[who].ready = Some(now.after(near)).filter(|_| waits);
                self.clients[who].stage = Stage::Tells;
            }
            (Role::Keeper { .. }, _, answer) => {
                let client = &mut self.clients[who];
                client.stage = Stage::Idle;
                let Answer::Copied(held, stamp, lives) = answer else { return };
                let until = packet.sent.after(lives);
                match packet.key {
                    Key::Value(_) => client.copy = Some(Copy { of: held, until }),
                    Key::Tag(tag) => {
                        client.nonces_kept.insert(tag, Copy { of: stamp, until });
                    }
                }
            }
            (_, _, Answer::Granted(grant)) => {
                let waits = !grant.wait.is_zero() && !setup.undoes(Mend::WritersWait);
                let client = &mut self.clients[who];
                client.ready = waits.then(|| now.after(grant.wait));
                let token = token_of(&packet.command);
                client.claim = Some((token, Grant { wait: Duration::ZERO, ..grant }));
                client.stage = Stage::Holds;
            }
            _ => self.clients[who].end(role),
        }
    }

    fn opened(&mut self, setup: &Setup, who: usize, tag: Tag, packet: &Packet, answer: &Answer) {
        match *answer {
            Answer::Granted(Grant { deadline, generation, .. }) => {
                let token = token_of(&packet.command);
                let (value, version, until) = (Held::default(), None, None);
                let fill =
                    Change::Fill { token, deadline, generation, value, version, ttl: ttl(), until };
                self.send(who, Key::Tag(tag), false, Command::Change(fill));
            }
            Answer::Done => {
                // At this instant it is the token of the fill.
                let nonce = self.nonce(setup, tag).expect("it was just filled");
                self.clients[who].nonces.insert(tag, nonce);
                self.clients[who].stage = Stage::Holds;
            }
            _ => {
                self.clients[who].hopeless = true;
                self.clients[who].stage = Stage::Holds;
            }
        }
    }

    /// What is over is forgotten: worlds that differ only in it are one.
    pub fn forget_old(&mut self, setup: &Setup) {
        let now = self.now;
        for (who, role) in setup.roles.iter().enumerate() {
            let client = &mut self.clients[who];
            client.pending = client.pending.filter(|end| now < *end);
            client.copy.take_if(|copy| copy.until <= now);
            client.nonces_kept.retain(|_, copy| copy.until > now);
            client.ready = client.ready.filter(|ready| now < *ready);
            if client.stage == Stage::Tells && client.ready.is_none() {
                let told = std::mem::take(&mut client.told);
                client.end(*role);
                let Role::Purger { tag } = *role else { continue };
                for value in setup.bearers(tag) {
                    self.heard[value] = self.heard[value].max(told[value]);
                }
            }
        }
    }
}

fn token_of(command: &Command) -> Token {
    match command {
        Command::Claim(
            Claim::Lease { token, .. }
            | Claim::Refresh { token, .. }
            | Claim::Reserve { token, .. },
        )
        | Command::Change(Change::Fill { token, .. }) => *token,
        other => unreachable!("nobody hears of {other:?}"),
    }
}
