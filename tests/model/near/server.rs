//! The server: runs each packet through the protocol's own functions.
//!
//! What a mend does on the server is undone around those functions, never inside them.

use std::time::Duration;

use genfence::protocol::{
    Change, Claim, Copied, Generation, Grant, Hushed, Near, Record, Stamp, Stored, Terms, Time,
    Token, change, claim, look, stamp,
};

use super::mends::Mend;
use super::setup::Setup;

pub type Slot = Option<Record<u8>>;

/// Nobody has a copy.
pub const NO_COPIES: Near = Near { deadline: Time::ZERO, longest: Duration::ZERO, hushed: None };
/// No value: what a stamp is answered that asks for none.
pub const NOTHING: u8 = u8::MAX;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Claim(Claim),
    Change(Change<u8>),
    Stamp(Stamp),
    Look,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Refused,
    Done,
    Granted(Grant),
    /// What may be kept.
    Copied(Copied<u8>),
    /// What may be kept, if anything, and how long copies may still be served.
    Looked(Option<Copied<u8>>, Duration),
}

/// Applies a command, at this time of the server's.
pub fn serve(setup: &Setup, now: Time, slot: &mut Slot, command: &Command) -> Answer {
    let before = slot.clone();
    let mut terms = setup.terms();
    undo_before(setup, now, slot, &mut terms, command);
    let mut answer = match command {
        Command::Claim(command) => {
            claim(slot, now, &terms, command).map_or(Answer::Refused, Answer::Granted)
        }
        Command::Change(command) => {
            change(slot, now, &terms, command).map_or(Answer::Refused, |()| Answer::Done)
        }
        Command::Stamp(command) => {
            stamp(slot, now, &terms, command).map_or(Answer::Refused, Answer::Copied)
        }
        Command::Look => looked(setup, now, slot, &terms),
    };
    if matches!(answer, Answer::Refused | Answer::Looked(..)) {
        *slot = before.filter(|record| record.expires > now);
        return answer;
    }
    undo_after(setup, now, before.as_ref(), slot, command);
    undo_hush(setup, now, before.as_ref(), slot.as_mut(), command, &mut answer);
    if let Some(record) = slot {
        record.generation = Generation::new(1);
        record.expires = lives_until(setup, now, before.as_ref(), record, command);
    }
    match answer {
        Answer::Granted(grant) => {
            Answer::Granted(Grant { generation: Generation::new(1), ..grant })
        }
        answer => answer,
    }
}

/// How long copies may be served, by what the record says.
pub fn wait(slot: Option<&Record<u8>>, now: Time, terms: &Terms) -> Duration {
    let near = slot.filter(|record| record.expires > now).and_then(Record::near);
    near.map_or(terms.unsaid, |near| near.left(now, terms.clocks))
}

fn looked(setup: &Setup, now: Time, slot: &Slot, terms: &Terms) -> Answer {
    let near = slot.as_ref().and_then(Record::near);
    let mut copied = look(slot.as_ref(), now);
    if let Some(copied) = copied.as_mut().filter(|_| setup.undoes(Mend::LookIsBounded)) {
        copied.lives = near.map_or(Duration::ZERO, |near| near.deadline.remaining(now));
    }
    Answer::Looked(copied, wait(slot.as_ref(), now, terms))
}

/// The model has records live for ticks, where the protocol has seconds.
fn lives_until(
    setup: &Setup,
    now: Time,
    before: Option<&Record<u8>>,
    after: &Record<u8>,
    command: &Command,
) -> Time {
    let Some(life) = setup.life else { return Time::from_nanos(u64::MAX) };
    let before = before.map_or(Time::ZERO, |record| record.expires);
    if after.expires == before {
        return before;
    }
    let ticks = match command {
        Command::Claim(_) => setup.reservation,
        Command::Change(Change::Touch { .. }) => 1,
        _ => life,
    };
    let asked = now.after(Duration::from_nanos(ticks));
    if setup.undoes(Mend::LifeIsNotShortened) { asked } else { asked.max(before) }
}

fn undo_before(setup: &Setup, now: Time, slot: &mut Slot, terms: &mut Terms, command: &Command) {
    let Some(mend) = setup.undone else { return };
    let reserves = matches!(command, Command::Claim(Claim::Reserve { .. }));
    if mend == Mend::MissingIsWaitedFor && reserves && slot.is_none() {
        terms.unsaid = Duration::ZERO;
    }
    let Some(record) = slot else { return };
    match (mend, command) {
        (Mend::UnsaidIsWaitedFor | Mend::LostIsKnown, Command::Claim(Claim::Reserve { .. })) => {
            record.near = record.near.take().or(Some(Box::new(NO_COPIES)));
        }
        (Mend::StampAsksValue, Command::Stamp(_)) if record.stored.is_none() => {
            let token = Token::TOMBSTONE;
            record.stored = Some(Stored { value: NOTHING, token, version: None, life: None });
        }
        (Mend::HushIsHeeded, Command::Stamp(_)) => {
            record.near.as_mut().map(|near| near.hushed = None).unwrap_or_default();
        }
        (Mend::StampAsksLife, Command::Stamp(_)) if record.expires > now => {
            record.expires = Time::from_nanos(u64::MAX);
        }
        _ => {}
    }
}

/// The hush that is live on this clock, whatever others say.
fn undo_hush(
    setup: &Setup,
    now: Time,
    before: Option<&Record<u8>>,
    after: Option<&mut Record<u8>>,
    command: &Command,
    answer: &mut Answer,
) {
    let (Some(before), Some(after)) = (before, after) else { return };
    let live = before.near().and_then(|near| near.hushed).filter(|hushed| hushed.is_live(now));
    let (Some(live), Some(near)) = (live, after.near.as_mut()) else { return };
    match (command, answer) {
        (Command::Stamp(_), _) if setup.undoes(Mend::HushIsHeeded) => near.hushed = Some(live),
        (Command::Claim(Claim::Reserve { .. }), Answer::Granted(grant))
            if setup.undoes(Mend::HushStands) =>
        {
            grant.hush = Some(live.token);
        }
        (Command::Claim(Claim::Hush { .. }), Answer::Granted(grant))
            if setup.undoes(Mend::WhatIsProlongedStands) =>
        {
            let prolonged = near.hushed.map(|hushed| Hushed { token: live.token, ..hushed });
            near.hushed = prolonged;
            grant.hush = Some(live.token);
        }
        _ => {}
    }
}

fn undo_after(
    setup: &Setup,
    now: Time,
    before: Option<&Record<u8>>,
    slot: &mut Slot,
    command: &Command,
) {
    let (Some(record), Some(mend)) = (slot, setup.undone) else { return };
    match (mend, command) {
        (Mend::ReserveKeepsNear, Command::Claim(Claim::Reserve { .. }))
        | (Mend::FillKeepsNear, Command::Change(Change::Fill { .. })) => {
            record.near = Some(Box::new(NO_COPIES));
        }
        (Mend::LeaseLeavesMark | Mend::LostIsKnown, Command::Claim(Claim::Lease { .. })) => {
            record.near = before.and_then(Record::near).map(Box::new);
        }
        (Mend::StampAsksValue, Command::Stamp(_)) => {
            record.stored.take_if(|stored| stored.value == NOTHING);
        }
        (Mend::StampAsksLife, Command::Stamp(_)) => {
            record.expires = before.map_or(Time::ZERO, |record| record.expires);
        }
        (Mend::ShorterIsNoNews, Command::Stamp(Stamp { time, .. })) => {
            record.near =
                record.near().map(|near| Box::new(Near { deadline: now.after(*time), ..near }));
        }
        (Mend::LongestCounts, Command::Stamp(Stamp { time, .. })) => {
            record.near = record.near().map(|near| Box::new(Near { longest: *time, ..near }));
        }
        _ => {}
    }
}
