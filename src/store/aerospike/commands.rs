//! Each protocol command as one Aerospike command.
//!
//! Where a condition must hold, it is the command's filter; as a server skips the filter of a record
//! that does not exist, such a command is also UPDATE_ONLY, unless a missing record fulfils its
//! condition. Operations run in the order given, under one lock on the record.

use aerospike::expressions::{Expression, int_bin};
use aerospike::operations::exp::{ExpReadFlags, ExpWriteFlags, read_exp, write_exp};
use aerospike::operations::{Operation, put, touch};
use aerospike::{
    Bin, Expiration, GenerationPolicy, RecordExistsAction, Value as Wire, WritePolicy,
};

use super::bins::{
    self, ALONE, DEADLINE, FLOOR, LEASE_DEADLINE, LEASE_TOKEN, RESERVATIONS, VALUE, VALUE_TOKEN,
    VALUE_VERSION,
};
use super::conditions as when;
use crate::protocol::{Claim, Generation, Token, Ttl, Version};
use crate::store::{Change, Value};

/// One command, ready to be sent.
pub(super) struct Plan {
    pub operations: Vec<Operation>,
    pub policy: WritePolicy,
}

impl Plan {
    /// A command on `policy`'s terms. It creates the record, unless it is told to update one.
    fn new(policy: &WritePolicy, ttl: Option<Ttl>, operations: Vec<Operation>) -> Self {
        let mut policy = policy.clone();
        policy.expiration =
            ttl.map_or(Expiration::DontUpdate, |ttl| Expiration::Seconds(ttl.as_secs()));
        Plan { operations, policy }
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

    fn generation(mut self, generation: Generation) -> Self {
        self.policy.generation_policy = GenerationPolicy::ExpectGenEqual;
        self.policy.generation = u32::from(generation.get());
        self
    }
}

/// The command for a claim. Its answer is the deadline, under [`DEADLINE`]; that of a reservation
/// which is not alone is below zero.
pub(super) fn claim(claim: &Claim, policy: &WritePolicy) -> Plan {
    match *claim {
        Claim::Lease { token, ref previous, time, ttl } => {
            let operations = vec![
                set_int(LEASE_TOKEN, bins::token(token)),
                write(LEASE_DEADLINE, when::from_now(time)),
                drop_bin(RESERVATIONS),
                drop_bin(ALONE),
                answer(DEADLINE, int_bin(LEASE_DEADLINE)),
            ];
            Plan::new(policy, Some(ttl), operations).filter(when::is_free(previous))
        }
        Claim::Extend { token, deadline, time, ttl } => {
            let operations = vec![
                write(LEASE_DEADLINE, when::from_now(time)),
                answer(DEADLINE, int_bin(LEASE_DEADLINE)),
            ];
            Plan::new(policy, Some(ttl), operations).filter(when::leases(token, deadline)).update()
        }
        Claim::Reserve { token, ref previous, time, ttl } => {
            let mut operations = vec![
                drop_bin(ALONE),
                write_or_leave(ALONE, when::alone(token, previous)),
                write(RESERVATIONS, when::reserved(token, previous, time)),
            ];
            operations.extend(drop_value());
            operations.extend(drop_lease());
            operations.push(answer(DEADLINE, when::granted(token)));
            Plan::new(policy, Some(ttl), operations)
        }
        Claim::Renew { token, deadline, time, ttl } => {
            let operations = vec![
                write(RESERVATIONS, when::renewed(token, time)),
                answer(DEADLINE, when::granted(token)),
            ];
            Plan::new(policy, Some(ttl), operations)
                .filter(when::reserves_still(token, deadline))
                .update()
        }
    }
}

/// The command for a change. Its answer is that it was applied.
pub(super) fn change(change: &Change, policy: &WritePolicy) -> Plan {
    match *change {
        Change::Fill { token, deadline, generation, ref value, version, ttl } => {
            let mut operations = store(value, token, version);
            operations.extend(drop_lease());
            let condition = match version {
                None => when::leases(token, deadline),
                Some(version) => when::leases_at_floor(token, deadline, version),
            };
            Plan::new(policy, Some(ttl), operations)
                .filter(condition)
                .update()
                .generation(generation)
        }
        Change::Unlease { token } => {
            Plan::new(policy, None, drop_lease().to_vec()).filter(when::lease_is_of(token)).update()
        }
        Change::Commit { token, deadline, generation, ref value, ttl } => {
            let mut operations = store(value, token, None);
            operations.extend([drop_bin(RESERVATIONS), drop_bin(ALONE)]);
            Plan::new(policy, Some(ttl), operations)
                .filter(when::reserves_alone(token, deadline))
                .update()
                .generation(generation)
        }
        Change::CommitVersioned { token, deadline, ref value, version, ttl } => {
            let mut operations = store(value, token, Some(version));
            operations.extend([drop_bin(RESERVATIONS), drop_bin(ALONE)]);
            Plan::new(policy, Some(ttl), operations)
                .filter(when::reserves_as_last(token, deadline, version))
                .update()
        }
        Change::Release { token, version, ttl } => release(token, version, ttl, policy),
        Change::Abort { token, ref previous } => {
            let own: Vec<Token> = previous.iter().copied().chain([token]).collect();
            let operations = vec![
                write_or_leave(RESERVATIONS, when::without(&own)),
                drop_or_leave(RESERVATIONS, when::nothing_if_left(0)),
                drop_or_leave(ALONE, when::nothing_if_alone(&own)),
            ];
            Plan::new(policy, None, operations).update()
        }
        Change::Invalidate { version, ttl } => {
            let mut operations = drop_value().to_vec();
            operations.extend(drop_lease());
            operations.push(drop_bin(ALONE));
            match version {
                None => Plan::new(policy, None, operations).update(),
                Some(version) => {
                    operations.push(write(FLOOR, when::raised_floor(version)));
                    Plan::new(policy, Some(ttl), operations).filter(when::is_outdated_by(version))
                }
            }
        }
        Change::Set { token, ref value, ttl } => {
            let mut operations = store(value, token, None);
            operations.extend(drop_lease());
            operations.extend([drop_bin(RESERVATIONS), drop_bin(ALONE)]);
            Plan::new(policy, Some(ttl), operations).filter(when::nobody_reserves())
        }
        Change::Replace { stamp, token, ref value, ttl } => {
            Plan::new(policy, Some(ttl), store(value, token, None))
                .filter(when::holds_value_of(stamp))
                .update()
        }
        Change::Touch { ttl } => {
            Plan::new(policy, Some(ttl), vec![touch()]).filter(when::is_stored()).update()
        }
    }
}

fn release(token: Token, version: Option<Version>, ttl: Ttl, policy: &WritePolicy) -> Plan {
    let mut operations = drop_value().to_vec();
    operations.extend(drop_lease());
    operations.push(drop_bin(ALONE));
    match version {
        None => {
            operations.push(write(RESERVATIONS, when::with_tombstone(token)));
            operations.push(drop_or_leave(RESERVATIONS, when::nothing_if_left(1)));
            Plan::new(policy, None, operations).update()
        }
        Some(version) => {
            operations.push(write_or_leave(RESERVATIONS, when::without(&[token])));
            operations.push(drop_or_leave(RESERVATIONS, when::nothing_if_left(0)));
            operations.push(write(FLOOR, when::raised_floor(version)));
            Plan::new(policy, Some(ttl), operations)
        }
    }
}

/// The bins of a stored value; a version is also the new floor.
fn store(value: &Value, token: Token, version: Option<Version>) -> Vec<Operation> {
    let mut operations =
        vec![put(&Bin::new(VALUE, bins::value(value))), set_int(VALUE_TOKEN, bins::token(token))];
    match version {
        Some(version) => operations.extend([
            set_int(VALUE_VERSION, bins::version(version)),
            set_int(FLOOR, bins::version(version)),
        ]),
        None => operations.push(drop_bin(VALUE_VERSION)),
    }
    operations
}

fn drop_value() -> [Operation; 3] {
    [VALUE, VALUE_TOKEN, VALUE_VERSION].map(drop_bin)
}

fn drop_lease() -> [Operation; 2] {
    [LEASE_TOKEN, LEASE_DEADLINE].map(drop_bin)
}

fn drop_bin(bin: &'static str) -> Operation {
    put(&Bin::new(bin, Wire::Nil))
}

fn set_int(bin: &'static str, value: i64) -> Operation {
    put(&Bin::new(bin, Wire::Int(value)))
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

/// Answers go under names that no bin has, as a bin that is written and read in one command answers
/// twice.
fn answer(name: &'static str, expression: Expression) -> Operation {
    read_exp(name, expression, ExpReadFlags::DEFAULT)
}
