//! The server: runs each packet through the protocol's own functions.
//!
//! What a mend does on the server is undone around those functions, never inside them.

use std::time::Duration;

use genfence::protocol::{
    Change, Claim, Generation, Grant, Lease, Record, Refusal, Stored, Terms, Time, Token, change,
    claim,
};

use crate::client::tokens_of;
use crate::mends::Mend;
use crate::network::{Command, Packet};
use crate::setup::Setup;

type Slot = Option<Record<u8>>;

/// Applies a packet. Claims answer a grant; all else answers that it was done.
pub fn serve(
    setup: &Setup,
    now: Time,
    slot: &mut Slot,
    packet: &Packet,
) -> Result<Option<Grant>, Refusal> {
    let before = slot.clone();
    let mut command = packet.command.clone();
    undo_before(setup, now, slot, packet.from, &mut command);
    let mut answer = match &command {
        Command::Claim(command) => claim(slot, now, &Terms::default(), command).map(Some),
        Command::Change(command) => change(slot, now, &Terms::default(), command).map(|()| None),
    };
    match answer {
        Ok(_) => undo_after(setup, before.as_ref(), slot, &command),
        Err(_) => *slot = before,
    }
    if setup.undoes(Mend::RecordsStay) {
        slot.take_if(|record| record.is_empty());
    }
    if let Some(record) = slot {
        // Losing a record is a step of its own here, so the time to live need not tell worlds apart.
        record.expires = Time::ZERO.after(Duration::MAX);
        record.generation = setup.wrap(record.generation);
    }
    if let Ok(Some(grant)) = &mut answer {
        grant.generation = setup.wrap(grant.generation);
    }
    answer
}

fn undo_before(setup: &Setup, now: Time, slot: &mut Slot, from: usize, command: &mut Command) {
    let Some(mend) = setup.undone else { return };
    match (mend, command) {
        (
            Mend::EarlierOnly,
            Command::Claim(
                Claim::Reserve { token, previous, .. } | Claim::Lease { token, previous, .. },
            )
            | Command::Change(Change::Abort { token, previous }),
        ) => previous.extend(tokens_of(from).filter(|other| other > token)),
        (
            Mend::InvalidateCreates,
            Command::Change(Change::Invalidate { version: version @ Some(_), .. }),
        ) if slot.is_none() => *version = None,
        (Mend::MissingIsRefused, Command::Change(store)) if slot.is_none() => {
            let mut record =
                Record { expires: Time::ZERO.after(Duration::MAX), ..Record::default() };
            if let Some(generation) = satisfy(&mut record, store) {
                record.generation = generation;
                *slot = Some(record);
            }
        }
        (mend, command) => {
            if let Some(record) = slot {
                undo_on(record, now, mend, command);
            }
        }
    }
}

fn undo_on(record: &mut Record<u8>, now: Time, mend: Mend, command: &Command) {
    match (mend, command) {
        (Mend::CommitCountsDead, Command::Change(Change::CommitVersioned { token, .. })) => {
            record.reservations.retain(|held, deadline| held == token || *deadline > now);
        }
        (Mend::ReserveKeepsDead, Command::Claim(Claim::Reserve { .. })) => {
            record.reservations.retain(|_, deadline| *deadline > now);
        }
        (Mend::CommitAsksAlone, Command::Change(Change::Commit { token, .. })) => {
            record.alone = Some(*token);
        }
        (
            Mend::RefillAsksStamp | Mend::EndedOrStamped,
            Command::Change(Change::Refill { stamp, .. }),
        ) => {
            let there = record.stored.take();
            let version = there.and_then(|there| there.version);
            record.stored = Some(Stored { value: 0, token: *stamp, version, life: None });
        }
        (Mend::RefreshAsksLease, Command::Claim(Claim::Refresh { .. })) => record.lease = None,
        (Mend::RefillKeepsVersions, Command::Change(Change::Refill { version: None, .. })) => {
            if let Some(stored) = &mut record.stored {
                stored.version = None;
            }
        }
        (Mend::TokensBesideGeneration, Command::Change(store)) => {
            satisfy(record, store);
        }
        _ => {}
    }
}

/// Makes the condition of a guarded store hold, but for the generation, which is answered.
fn satisfy(record: &mut Record<u8>, store: &Change<u8>) -> Option<Generation> {
    match *store {
        Change::Fill { token, deadline, generation, .. } => {
            record.lease = Some(Lease { token, deadline });
            Some(generation)
        }
        Change::Commit { token, deadline, generation, .. } => {
            record.alone = Some(token);
            record.reservations.insert(token, deadline);
            Some(generation)
        }
        _ => None,
    }
}

fn undo_after(setup: &Setup, before: Option<&Record<u8>>, slot: &mut Slot, command: &Command) {
    let (Some(record), Some(mend)) = (slot, setup.undone) else { return };
    let stored = before.and_then(|record| record.stored.clone());
    match (mend, command) {
        (Mend::ReleaseLeavesMark, Command::Change(Change::Release { version: None, .. }))
        | (Mend::InvalidateLeavesMark, Command::Change(Change::Invalidate { version: None, .. })) =>
        {
            record.reservations.remove(&Token::TOMBSTONE);
        }
        (
            Mend::InvalidateDropsUnversioned,
            Command::Change(Change::Invalidate { version: Some(_), .. }),
        ) => {
            let unversioned = stored.filter(|stored| stored.version.is_none());
            record.stored = record.stored.take().or(unversioned);
        }
        (
            Mend::ReserveEndsRefresh | Mend::EndedOrStamped,
            Command::Claim(Claim::Reserve { .. }),
        ) => {
            // Beside a value a lease is a refresh.
            record.lease = stored.and(before.and_then(|record| record.lease));
        }
        (Mend::ReserveRemovesValue, Command::Claim(Claim::Reserve { .. })) => {
            record.stored = stored;
        }
        _ => {}
    }
}
