//! The rules of a writer: reserve all keys, change the source, tell each; all or none.

use genfence::protocol::{Change, Claim, Grant, Time, Version};

use super::mends::Mend;
use super::setup::{Key, Role, Rows, Setup, Transaction};
use super::world::{Client, Command, World, token};
use crate::client::{ttl, version};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writer {
    stage: Stage,
    /// The keys that it has asked for, and what it was granted.
    keys: Vec<(Key, Option<Grant>)>,
    /// What it has read before its transaction began.
    seen: Option<Rows>,
    /// Since that has begun: the rows as it sees them, its own changes among them.
    rows: Option<Rows>,
    /// Its COMMIT was sent, and lands before this time or never.
    pending: Option<Time>,
    /// It has asked for more time.
    renewed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    #[default]
    Idle,
    /// Claims are under way.
    Asks,
    Holds,
    /// A reservation has expired: nothing is left but to roll back.
    Lost,
    /// Its COMMIT was sent.
    Waits,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Reads all rows, before anything.
    Look,
    /// Reserves the keys that it knows.
    Start,
    /// Stops waiting for what it has asked for.
    TimeOut,
    /// Its transaction begins: it locks rows, and reads all.
    Begin,
    /// Reserves the keys that it came to know.
    Add,
    Renew,
    /// Sends its COMMIT.
    Commit,
    /// That lands, and it tells all keys.
    Land,
    /// The transaction is certainly rolled back.
    RollBack,
    /// It hears nothing more of its COMMIT, or its program ends. One that ends between two of its commits needs no step: what it
    /// has not sent is never applied.
    Leave,
}

impl Writer {
    /// How long the transaction may take: the least of all reservations.
    fn deadline(&self, setup: &Setup) -> Option<Time> {
        let deadlines = self.keys.iter().filter_map(|(_, grant)| Some(grant.as_ref()?.deadline));
        if setup.undoes(Mend::LeastOfAll) { deadlines.max() } else { deadlines.min() }
    }

    /// All that it asked for was answered, or will not be.
    fn holds(&mut self, setup: &Setup) {
        let all = self.keys.iter().all(|(_, held)| held.is_some());
        let counts = all || setup.undoes(Mend::EveryRenewalCounts);
        self.stage = if counts { Stage::Holds } else { Stage::Lost };
    }

    fn asked(&self, key: Key) -> bool {
        self.keys.iter().any(|(asked, _)| *asked == key)
    }

    /// A COMMIT that has not landed by then never does, and nobody knows.
    pub fn forget_old(&mut self, now: Time) {
        if self.pending.is_some_and(|until| until <= now) {
            *self = Writer { stage: Stage::Done, ..Writer::default() };
        }
    }
}

impl World {
    fn writer(&mut self, who: usize) -> &mut Writer {
        let Client::Writer(writer) = &mut self.clients[who] else { unreachable!("it writes") };
        writer
    }

    /// The rows as a writer's transaction sees them.
    pub fn rows_of(&self, who: usize) -> Option<Rows> {
        let Client::Writer(writer) = &self.clients[who] else { return None };
        writer.rows
    }

    /// Whether the rows that it needs are locked by another transaction.
    fn is_locked(&self, setup: &Setup, who: usize, needs: &Transaction) -> bool {
        let other = |(other, client): (usize, &Client)| match (client, setup.roles[other]) {
            (Client::Writer(Writer { rows: Some(_), .. }), Role::Writer(holds)) if other != who => {
                (0..Rows::default().len()).any(|row| holds.holds(row) && needs.holds(row))
            }
            _ => false,
        };
        self.clients.iter().enumerate().any(other)
    }

    pub fn writer_moves(&self, setup: &Setup, who: usize, does: &Transaction) -> Vec<Move> {
        let Client::Writer(writer) = &self.clients[who] else { unreachable!("it writes") };
        let mut moves = vec![];
        let in_time = writer.deadline(setup).is_none_or(|until| self.now < until);
        let added = does.late.iter().all(|key| writer.asked(*key));
        let early_sent = setup.undoes(Mend::ReservedBeforeSent);
        if writer.stage == Stage::Idle
            && writer.seen.is_none()
            && setup.undoes(Mend::LockedBeforeRead)
        {
            moves.push(Move::Look);
        }
        match writer.stage {
            Stage::Idle if does.early.is_empty() && self.is_locked(setup, who, does) => {}
            Stage::Idle => moves.push(Move::Start),
            Stage::Asks if self.faults > 0 => moves.push(Move::TimeOut),
            Stage::Holds if writer.rows.is_none() => {
                moves.push(Move::RollBack);
                if in_time && !self.is_locked(setup, who, does) {
                    moves.push(Move::Begin);
                }
            }
            Stage::Holds => {
                moves.push(Move::RollBack);
                if in_time && !added {
                    moves.push(Move::Add);
                }
                if in_time && (added || early_sent) {
                    moves.push(Move::Commit);
                }
                if setup.renews && added && !writer.renewed {
                    moves.push(Move::Renew);
                }
            }
            // Of a COMMIT that was sent: the answer is that it has failed.
            Stage::Lost | Stage::Waits => moves.push(Move::RollBack),
            Stage::Asks | Stage::Done => {}
        }
        if writer.pending.is_some() {
            moves.push(Move::Land);
        }
        let under_way =
            writer.rows.is_some() && matches!(writer.stage, Stage::Holds | Stage::Waits);
        if self.faults > 0 && under_way {
            moves.push(Move::Leave);
        }
        moves
    }

    pub fn writer_acts(&mut self, setup: &Setup, who: usize, act: Move) {
        let Role::Writer(does) = setup.roles[who] else { unreachable!("it writes") };
        match act {
            Move::Look => self.writer(who).seen = Some(self.source()),
            Move::Start if does.early.is_empty() => self.begin(who, &does),
            Move::Start => self.reserve(setup, who, does.early, false),
            Move::TimeOut => self.time_out(setup, who),
            Move::Begin => self.begin(who, &does),
            Move::Add => self.reserve(setup, who, does.late, false),
            Move::Renew => self.renew(setup, who),
            Move::Commit => {
                let longest = self.now.after(setup.reservation());
                let until = self.writer(who).deadline(setup).unwrap_or(longest);
                let writer = self.writer(who);
                writer.pending = Some(until);
                writer.stage = Stage::Waits;
                if setup.undoes(Mend::ReservedBeforeSent) {
                    self.reserve(setup, who, does.late, true);
                }
            }
            Move::Land => {
                let writer = self.writer(who).clone();
                let rows = writer.rows.expect("its transaction has begun");
                let left = writer.stage == Stage::Done;
                *self.writer(who) = Writer { stage: Stage::Done, ..Writer::default() };
                let landed = self.landed(&does, rows);
                self.change(setup, landed);
                if !left {
                    self.tell(setup, who, &does, &writer, rows);
                }
            }
            Move::RollBack => {
                let writer = self.writer(who).clone();
                self.abort(who);
                if let Some(rows) = writer.rows.filter(|_| setup.undoes(Mend::RolledBackIsAborted))
                {
                    self.tell(setup, who, &does, &writer, rows);
                }
            }
            Move::Leave => self.leave(setup, who),
        }
    }

    fn begin(&mut self, who: usize, does: &Transaction) {
        let source = self.source();
        let writer = self.writer(who);
        let mut rows = writer.seen.take().unwrap_or(source);
        does.rows.iter().for_each(|row| rows[*row] = source[*row] + 1);
        writer.rows = Some(rows);
        writer.stage = Stage::Holds;
    }

    /// The source, where its rows are changed: others may have changed the others in the meantime.
    fn landed(&self, does: &Transaction, rows: Rows) -> Rows {
        let mut source = self.source();
        does.rows.iter().for_each(|row| source[*row] = rows[*row]);
        source
    }

    fn reserve(&mut self, setup: &Setup, who: usize, keys: &[Key], late: bool) {
        let (token, time, ttl) = (token(who), setup.reservation(), ttl());
        let writer = self.writer(who);
        writer.keys.extend(keys.iter().map(|key| (*key, None)));
        if !late {
            writer.stage = Stage::Asks;
        }
        for key in keys {
            let reserve = Claim::Reserve { token, previous: vec![], time, ttl };
            self.send(who, *key, late, Command::Claim(reserve));
        }
    }

    /// Of all keys. Whatever is granted, those that are not are what counts.
    fn renew(&mut self, setup: &Setup, who: usize) {
        let (token, time, ttl, until) = (token(who), setup.reservation(), ttl(), None);
        let writer = self.writer(who);
        writer.renewed = true;
        writer.stage = Stage::Asks;
        for (key, grant) in writer.keys.clone() {
            let Some(Grant { deadline, .. }) = grant else { continue };
            let renew = Claim::Renew { token, deadline, time, ttl, until };
            self.send(who, key, false, Command::Claim(renew));
        }
    }

    /// A claim was answered. A reserve is never refused; a renew is where the reservation has expired.
    pub fn reserved(&mut self, setup: &Setup, who: usize, key: Key, grant: Option<Grant>) {
        let waits = self.packets.iter().any(|packet| packet.from == who && !packet.late);
        let writer = self.writer(who);
        for (_, held) in writer.keys.iter_mut().filter(|(held, _)| *held == key) {
            *held = grant;
        }
        if !waits {
            writer.holds(setup);
        }
    }

    /// What is granted by then is held; all or none.
    fn time_out(&mut self, setup: &Setup, who: usize) {
        self.faults -= 1;
        self.give_up(who);
        let writer = self.writer(who);
        if writer.renewed {
            // The old deadlines are those that are known.
            writer.holds(setup);
        } else if setup.undoes(Mend::AllOrNone) {
            writer.stage = Stage::Holds;
        } else {
            self.abort(who);
        }
    }

    /// Certainly nothing was changed, nor will be.
    fn abort(&mut self, who: usize) {
        let done = Writer { stage: Stage::Done, ..Writer::default() };
        let writer = std::mem::replace(self.writer(who), done);
        for (key, _) in writer.keys {
            let abort = Change::Abort { token: token(who), previous: vec![] };
            self.send(who, key, true, Command::Change(abort));
        }
    }

    /// The keys are left to expire.
    fn leave(&mut self, setup: &Setup, who: usize) {
        self.faults -= 1;
        let writer = self.writer(who);
        let (keys, rows) = (std::mem::take(&mut writer.keys), writer.rows);
        let pending = writer.pending;
        let rows = rows.filter(|_| pending.is_some());
        *writer = Writer { stage: Stage::Done, rows, pending, ..Writer::default() };
        if pending.is_some() && setup.undoes(Mend::NoReleaseInDoubt) {
            for (key, _) in keys {
                self.release(who, key, None);
            }
        }
    }

    /// A commit that cannot store releases.
    pub fn refused(&mut self, who: usize, key: Key, change: &Change<Rows>) {
        match change {
            Change::Commit { .. } => self.release(who, key, None),
            Change::CommitVersioned { version, .. } => self.release(who, key, Some(*version)),
            _ => {}
        }
    }

    fn release(&mut self, who: usize, key: Key, version: Option<Version>) {
        let (token, ttl) = (token(who), ttl());
        self.send(who, key, true, Command::Change(Change::Release { token, version, ttl }));
    }

    /// Every key of what became of the source. They travel together, and one may be applied long before another.
    fn tell(&mut self, setup: &Setup, who: usize, does: &Transaction, writer: &Writer, rows: Rows) {
        let (token, ttl, until) = (token(who), ttl(), None);
        for (key, grant) in &writer.keys {
            let (key, value) = (*key, setup.value(*key, rows));
            let version = setup.version(key, rows).map(version);
            let may = does.may_store(setup, key) && does.stores.contains(&key);
            let change = match (*grant, version) {
                _ if setup.undoes(Mend::ChangedIsNotAborted) && !does.stores.contains(&key) => {
                    Change::Abort { token, previous: vec![] }
                }
                (Some(Grant { deadline, .. }), Some(version)) if may => {
                    Change::CommitVersioned { token, deadline, value, version, ttl, until }
                }
                (Some(Grant { deadline, generation, alone: true, .. }), None) if may => {
                    Change::Commit { token, deadline, generation, value, ttl, until }
                }
                _ => Change::Release { token, version, ttl },
            };
            self.send(who, key, true, Command::Change(change));
        }
    }
}

impl Transaction {
    /// Whether a value of a key may be committed that the transaction has read: the key was reserved before that, or all that it is made
    /// of was locked.
    fn may_store(&self, setup: &Setup, key: Key) -> bool {
        self.early.contains(&key)
            || setup.values[key].iter().all(|row| self.holds(*row))
            || setup.undoes(Mend::ReservedBeforeRead)
    }
}
