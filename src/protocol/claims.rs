use std::time::Duration;

use super::{Claim, Grant, Lease, Record, Refusal, Terms, Time, Token, in_time, run};

/// Applies a [`Claim`] to the record of its key.
///
/// # Errors
/// The [`Refusal`] that says why the claim was not granted; the record is as it was.
pub fn claim<V>(
    slot: &mut Option<Record<V>>,
    now: Time,
    terms: &Terms,
    claim: &Claim,
) -> Result<Grant, Refusal> {
    let creates = matches!(claim, Claim::Lease { .. } | Claim::Reserve { .. });
    run(slot, now, terms, creates, None, |record| {
        let (deadline, alone, ttl) = match *claim {
            Claim::Lease { token, ref previous, time, ttl, over } => {
                (lease(record, now, token, previous, over, time)?, false, Some(ttl))
            }
            Claim::Extend { token, deadline, time, ttl, until } => {
                in_time(now, until)?;
                (extend(record, now, token, deadline, time)?, false, Some(ttl))
            }
            // The value lives as long as it would have.
            Claim::Refresh { token, ref previous, stamp, time, until } => {
                in_time(now, until)?;
                (refresh(record, now, token, previous, stamp, time)?, false, None)
            }
            // So here.
            Claim::Hush { token, time, until } => {
                in_time(now, until)?;
                record.stored.as_ref()?;
                (record.near.as_mut()?.hush(now, token, time, terms), false, None)
            }
            Claim::Reserve { token, ref previous, time, ttl } => {
                let deadline = reserve(record, now, token, previous, time);
                (deadline, record.alone == Some(token), Some(ttl))
            }
            Claim::Renew { token, deadline, time, ttl, until } => {
                in_time(now, until)?;
                let deadline = renew(record, now, token, deadline, time)?;
                (deadline, record.alone == Some(token), Some(ttl))
            }
        };
        if let Some(ttl) = ttl {
            record.live_for(ttl, now);
        }
        let (wait, hush) = match (claim, record.near()) {
            (Claim::Reserve { .. } | Claim::Hush { .. }, Some(near)) => near.told(now, terms),
            _ => (Duration::ZERO, None),
        };
        // As it will be when this command is done.
        let generation = record.generation.next();
        Some(Grant { generation, deadline, alone, wait, hush })
    })
}

fn lease<V>(
    record: &mut Record<V>,
    now: Time,
    token: Token,
    previous: &[Token],
    over: Option<Token>,
    time: Duration,
) -> Option<Time> {
    let holds = record.stored.as_ref().is_some_and(|stored| over != Some(stored.token));
    if holds || record.is_reserved(now) || is_leased(record, now, previous) {
        return None;
    }
    let deadline = now.after(time);
    record.stored = None;
    record.lease = Some(Lease { token, deadline });
    record.reservations.clear();
    record.alone = None;
    Some(deadline)
}

/// Whether a lease is live that is none of the caller's own earlier attempts.
fn is_leased<V>(record: &Record<V>, now: Time, previous: &[Token]) -> bool {
    record.live_lease(now).is_some_and(|lease| !previous.contains(&lease.token))
}

/// Beside a value no reservation is live: reserve removes it, and nothing stores one beside a live one.
fn refresh<V>(
    record: &mut Record<V>,
    now: Time,
    token: Token,
    previous: &[Token],
    stamp: Token,
    time: Duration,
) -> Option<Time> {
    let seen = record.stored.as_ref().is_some_and(|stored| stored.token == stamp);
    if !seen || is_leased(record, now, previous) {
        return None;
    }
    let deadline = now.after(time);
    record.lease = Some(Lease { token, deadline });
    Some(deadline)
}

fn extend<V>(
    record: &mut Record<V>,
    now: Time,
    token: Token,
    deadline: Time,
    time: Duration,
) -> Option<Time> {
    let lease = record.lease.as_mut().filter(|held| **held == Lease { token, deadline })?;
    lease.deadline = now.after(time);
    Some(lease.deadline)
}

fn reserve<V>(
    record: &mut Record<V>,
    now: Time,
    token: Token,
    previous: &[Token],
    time: Duration,
) -> Time {
    record.reservations.retain(|held, _| !previous.contains(held));
    if record.is_reserved(now) {
        record.alone = None;
        record.fold_dead(now);
    } else {
        record.reservations.clear();
        record.alone = Some(token);
    }
    let deadline = now.after(time);
    record.reservations.insert(token, deadline);
    record.stored = None;
    record.lease = None;
    deadline
}

fn renew<V>(
    record: &mut Record<V>,
    now: Time,
    token: Token,
    deadline: Time,
    time: Duration,
) -> Option<Time> {
    if !record.holds(token, deadline) || deadline <= now {
        return None;
    }
    let renewed = now.after(time);
    record.reservations.insert(token, renewed);
    Some(renewed)
}
