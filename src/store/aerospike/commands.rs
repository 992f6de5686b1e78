//! Each protocol command as one Aerospike command.
//!
//! Where a condition must hold, it is the command's filter; as a server skips the filter of a record
//! that does not exist, such a command is also UPDATE_ONLY, unless a missing record fulfils its
//! condition. A command of plain writes is a `put`, whose answer has no bins; another is an `operate`,
//! whose operations run in the order given, under one lock on the record.

use aerospike::expressions::Expression;
use aerospike::operations::exp::{ExpWriteFlags, write_exp};
use aerospike::operations::{Operation, put};
use aerospike::{
    Bin, Expiration, GenerationPolicy, RecordExistsAction, Value as Wire, WritePolicy,
};

use super::bins::{
    self, ALONE, FLOOR, FORMAT, HUSH_DEADLINE, HUSH_TOKEN, LEASE_DEADLINE, LEASE_TOKEN,
    NEAR_DEADLINE, NEAR_LONGEST, RESERVATIONS, VALUE, VALUE_LIFE, VALUE_TOKEN, VALUE_VERSION,
};
use super::conditions as when;
use super::undone::{self, Rule};
use crate::protocol::{Claim, Generation, Stamp, Terms, Token, Ttl, Version};
use crate::store::{Change, Value};

/// One command, ready to be sent.
pub(super) struct Plan {
    pub work: Work,
    pub policy: WritePolicy,
    /// The bins that its answer must have.
    pub answer: &'static [&'static str],
    /// What it takes, beside a few hundred bytes.
    pub bytes: usize,
}

/// What a command does once its policy lets it.
pub(super) enum Work {
    /// Its answer has no bins.
    Put(Vec<Bin>),
    Operate(Vec<Operation>),
    Touch,
}

impl Plan {
    /// A command on `policy`'s terms. It creates the record, unless it is told to update one.
    fn new(policy: &WritePolicy, ttl: Option<Ttl>, work: Work) -> Self {
        let mut policy = policy.clone();
        policy.expiration =
            ttl.map_or(Expiration::DontUpdate, |ttl| Expiration::Seconds(ttl.as_secs()));
        Plan { work, policy, answer: &[], bytes: 0 }
    }

    fn put(policy: &WritePolicy, ttl: Option<Ttl>, bins: Vec<Bin>) -> Self {
        Plan::new(policy, ttl, Work::Put(bins))
    }

    fn operate(
        policy: &WritePolicy,
        ttl: Option<Ttl>,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Self {
        Plan::new(policy, ttl, Work::Operate(operations.into_iter().collect()))
    }

    /// Only if this holds; a record that does not exist fulfils it.
    fn filter(mut self, condition: Expression) -> Self {
        self.policy.base_policy.filter_expression = Some(condition);
        self
    }

    /// Only if there is a record.
    fn update(mut self) -> Self {
        self.policy.record_exists_action = RecordExistsAction::UpdateOnly;
        self
    }

    fn answer(mut self, bins: &'static [&'static str]) -> Self {
        self.answer = bins;
        self
    }

    fn carries(mut self, value: &Value) -> Self {
        self.bytes = value.as_ref().map_or(0, bytes::Bytes::len);
        self
    }

    fn generation(mut self, generation: Generation) -> Self {
        self.policy.generation_policy = GenerationPolicy::ExpectGenEqual;
        self.policy.generation = u32::from(generation.get());
        self
    }
}

/// The command for a claim. Its answer is the record as the claim left it.
pub(super) fn claim(claim: &Claim, policy: &WritePolicy, terms: &Terms) -> Plan {
    match *claim {
        Claim::Lease { token, ref previous, time, ttl, over } => {
            let operations = [
                put(&int(LEASE_TOKEN, bins::token(token))),
                write(LEASE_DEADLINE, when::from_now(time)),
                put(&none(RESERVATIONS)),
                put(&none(ALONE)),
            ];
            let gone = no_value().filter(|_| over.is_some()).map(|bin| put(&none(bin)));
            let operations = operations.into_iter().chain(gone).chain(written(terms));
            Plan::operate(policy, Some(ttl), operations)
                .filter(when::is_free(previous, over))
                .answer(bins::OF_A_LEASE)
        }
        Claim::Extend { token, deadline, time, ttl, until } => {
            let operations = [write(LEASE_DEADLINE, when::from_now(time))];
            Plan::operate(policy, Some(ttl), operations)
                .filter(when::leases(token, deadline, until))
                .update()
                .answer(bins::OF_A_LEASE)
        }
        Claim::Refresh { token, ref previous, stamp, time, until } => {
            let operations = [
                put(&int(LEASE_TOKEN, bins::token(token))),
                write(LEASE_DEADLINE, when::from_now(time)),
            ];
            Plan::operate(policy, None, operations)
                .filter(when::may_refresh(stamp, previous, until))
                .update()
                .answer(bins::OF_A_LEASE)
        }
        Claim::Hush { token, time, until } => {
            // The first asks the bin that the second writes.
            let operations = [
                write(HUSH_TOKEN, when::hush_token(token, terms)),
                write(HUSH_DEADLINE, when::from_now(time)),
            ];
            Plan::operate(policy, None, operations)
                .filter(when::says_of_copies(until))
                .update()
                .answer(bins::OF_A_HUSH)
        }
        Claim::Reserve { token, ref previous, time, ttl } => {
            let operations = [
                write(ALONE, when::alone_or_nobody(token, previous)),
                write(RESERVATIONS, when::reserved(token, previous, time)),
            ];
            let gone = no_value().chain(NO_LEASE).map(|bin| put(&none(bin)));
            let operations = operations.into_iter().chain(written(terms)).chain(gone);
            Plan::operate(policy, Some(ttl), operations).answer(bins::OF_A_RESERVATION)
        }
        Claim::Renew { token, deadline, time, ttl, until } => {
            let operations = [write(RESERVATIONS, when::renewed(token, time))];
            Plan::operate(policy, Some(ttl), operations)
                .filter(when::reserves_still(token, deadline, until))
                .update()
                .answer(bins::OF_A_RESERVATION)
        }
    }
}

/// The command for leave to keep a copy. Its answer is the value.
pub(super) fn stamp(stamp: &Stamp, policy: &WritePolicy, terms: &Terms) -> Plan {
    let Stamp { time, until } = *stamp;
    // The first asks the bin that the second writes.
    let operations = [
        write(NEAR_LONGEST, when::near_longest(time, terms)),
        write(NEAR_DEADLINE, when::near_deadline(time, terms)),
    ];
    let condition = if terms.unsaid.is_zero() {
        when::may_be_kept_beyond(time + terms.clocks, until)
    } else {
        when::may_be_kept(until)
    };
    Plan::operate(policy, None, operations).filter(condition).update().answer(bins::OF_A_VALUE)
}

/// The command for a change. Its answer is that it was applied.
pub(super) fn change(change: &Change, policy: &WritePolicy, terms: &Terms) -> Plan {
    match *change {
        Change::Fill { token, deadline, generation, ref value, version, ttl, until } => {
            let condition = match version {
                None => when::leases(token, deadline, until),
                Some(version) => when::leases_at_floor(token, deadline, version, until),
            };
            Plan::put(policy, Some(ttl), stored(value, token, version, ttl, &NO_LEASE))
                .filter(condition)
                .update()
                .generation(generation)
                .carries(value)
        }
        Change::Refill { token, deadline, stamp, ref value, version, ttl, until } => {
            let condition = match version {
                None => when::refreshes(token, deadline, stamp, until),
                Some(version) => when::refreshes_at_floor(token, deadline, stamp, version, until),
            };
            Plan::put(policy, Some(ttl), stored(value, token, version, ttl, &NO_LEASE))
                .filter(condition)
                .update()
                .carries(value)
        }
        Change::Unlease { token, until } => Plan::put(policy, None, NO_LEASE.map(none).into())
            .filter(when::lease_is_of(token, until))
            .update(),
        Change::Commit { token, deadline, generation, ref value, ttl, until } => {
            Plan::put(policy, Some(ttl), stored(value, token, None, ttl, &NO_WRITER))
                .filter(when::reserves_alone(token, deadline, until))
                .update()
                .generation(generation)
                .carries(value)
        }
        Change::CommitVersioned { token, deadline, ref value, version, ttl, until } => {
            Plan::put(policy, Some(ttl), stored(value, token, Some(version), ttl, &NO_WRITER))
                .filter(when::reserves_as_last(token, deadline, version, until))
                .update()
                .carries(value)
        }
        Change::Release { token, version, ttl } => release(token, version, ttl, policy, terms),
        Change::Abort { token, ref previous } => {
            let own: Vec<Token> = previous.iter().copied().chain([token]).collect();
            let operations = [
                write_or_leave(RESERVATIONS, when::without(&own)),
                drop_or_leave(RESERVATIONS, when::nothing_if_left(0)),
                drop_or_leave(ALONE, when::nothing_if_alone(&own)),
            ];
            let abort = Plan::operate(policy, None, operations).update();
            if undone::holds(Rule::AbortProvesItself) {
                abort.filter(when::reserves_any(&own))
            } else {
                abort
            }
        }
        Change::Invalidate { version: None, .. } => {
            let emptied = emptied().map(|bin| put(&none(bin)));
            let marked = [
                write_or_leave(RESERVATIONS, when::with_tombstone_beside()),
                drop_or_leave(RESERVATIONS, when::nothing_if_left(1)),
            ];
            Plan::operate(policy, None, emptied.chain(marked)).update()
        }
        Change::Invalidate { version: Some(version), ttl } => {
            let emptied = emptied().map(|bin| put(&none(bin)));
            let floor = [write(FLOOR, when::raised_floor(version))];
            let operations = emptied.chain(floor).chain(written(terms));
            Plan::operate(policy, Some(ttl), operations).filter(when::is_outdated_by(version))
        }
        Change::Set { token, ref value, ttl } => {
            let others = NO_LEASE.into_iter().chain(NO_WRITER).collect::<Vec<_>>();
            let mut bins = stored(value, token, None, ttl, &others);
            bins.push(int(FORMAT, bins::FORMAT_NUMBER));
            let set = if terms.unsaid.is_zero() {
                Plan::put(policy, Some(ttl), bins)
            } else {
                let operations = bins.iter().map(put).chain(unsaid(terms));
                Plan::operate(policy, Some(ttl), operations)
            };
            set.filter(when::nobody_reserves()).carries(value)
        }
        Change::Replace { stamp, token, ref value, ttl, until } => {
            Plan::put(policy, Some(ttl), stored(value, token, None, ttl, &[]))
                .filter(when::holds_value_of(stamp, until))
                .update()
                .carries(value)
        }
        Change::Touch { ttl, until } => {
            Plan::new(policy, Some(ttl), Work::Touch).filter(when::is_stored(until)).update()
        }
    }
}

fn release(
    token: Token,
    version: Option<Version>,
    ttl: Ttl,
    policy: &WritePolicy,
    terms: &Terms,
) -> Plan {
    let emptied = emptied().map(|bin| put(&none(bin)));
    match version {
        None => {
            let operations = emptied.chain([
                write(RESERVATIONS, when::with_tombstone(token)),
                drop_or_leave(RESERVATIONS, when::nothing_if_left(1)),
            ]);
            Plan::operate(policy, None, operations).update()
        }
        Some(version) => {
            let operations = emptied.chain([
                write_or_leave(RESERVATIONS, when::without(&[token])),
                drop_or_leave(RESERVATIONS, when::nothing_if_left(0)),
                write(FLOOR, when::raised_floor(version)),
            ]);
            Plan::operate(policy, Some(ttl), operations.chain(written(terms)))
        }
    }
}

/// The bins that hold a value, a lease, and writers' claims: what is to go.
const NO_VALUE: [&str; 3] = [VALUE, VALUE_TOKEN, VALUE_VERSION];
const NO_LEASE: [&str; 2] = [LEASE_TOKEN, LEASE_DEADLINE];
const NO_WRITER: [&str; 2] = [RESERVATIONS, ALONE];

/// The bins of a value. Its life stays, and says nothing; only a record that is to vanish must not have it, either.
fn no_value() -> impl Iterator<Item = &'static str> {
    let vanishes = !undone::holds(Rule::RecordsStay);
    NO_VALUE.into_iter().chain(vanishes.then_some(VALUE_LIFE))
}

/// Whatever could be served, or could still store.
fn emptied() -> impl Iterator<Item = &'static str> {
    no_value().chain(NO_LEASE).chain([ALONE])
}

/// The bins of a stored value, without `others`; a version is also the new floor.
fn stored(
    value: &Value,
    token: Token,
    version: Option<Version>,
    life: Ttl,
    others: &[&'static str],
) -> Vec<Bin> {
    let mut stored = Vec::with_capacity(9);
    stored.push(Bin::new(VALUE, bins::value(value)));
    stored.push(int(VALUE_TOKEN, bins::token(token)));
    stored.push(int(VALUE_LIFE, life.as_secs().into()));
    match version {
        Some(version) => {
            stored.push(int(VALUE_VERSION, bins::version(version)));
            stored.push(int(FLOOR, bins::version(version)));
        }
        None => stored.push(none(VALUE_VERSION)),
    }
    stored.extend(others.iter().copied().map(none));
    stored
}

/// In every command that may create the record. It stays when all else goes, so that no command lets a
/// record vanish: that would be no news to a copy that was away, and the value there would be back.
/// A newer format that is there stays, for the answer to tell.
fn written(terms: &Terms) -> impl Iterator<Item = Operation> {
    let format = if undone::holds(Rule::RecordsStay) {
        write_once(FORMAT, when::format_number())
    } else {
        put(&none(FORMAT))
    };
    [format].into_iter().chain(unsaid(terms))
}

/// Where a record says nothing of copies, it says from now on that there may be some.
fn unsaid(terms: &Terms) -> impl Iterator<Item = Operation> {
    let longest = terms.unsaid;
    let says = (!longest.is_zero()).then(|| {
        [
            write_once(NEAR_DEADLINE, when::from_now(longest)),
            write_once(NEAR_LONGEST, when::span(longest)),
        ]
    });
    says.into_iter().flatten()
}

/// Unless the bin is there.
fn write_once(bin: &'static str, expression: Expression) -> Operation {
    write_exp(bin, expression, ExpWriteFlags::CREATE_ONLY | ExpWriteFlags::POLICY_NO_FAIL)
}

/// Written as nothing, a bin goes.
fn none(bin: &'static str) -> Bin {
    Bin::new(bin, Wire::Nil)
}

fn int(bin: &'static str, value: i64) -> Bin {
    Bin::new(bin, Wire::Int(value))
}

fn write(bin: &'static str, expression: Expression) -> Operation {
    write_exp(bin, expression, ExpWriteFlags::DEFAULT)
}

/// Where the expression is unknown, the bin stays as it is.
fn write_or_leave(bin: &'static str, expression: Expression) -> Operation {
    write_exp(bin, expression, ExpWriteFlags::EVAL_NO_FAIL)
}

/// Where the expression gives nothing, the bin goes; where it is unknown, it stays as it is.
fn drop_or_leave(bin: &'static str, expression: Expression) -> Operation {
    write_exp(bin, expression, ExpWriteFlags::ALLOW_DELETE | ExpWriteFlags::EVAL_NO_FAIL)
}
