//! What the protocol asks of a record, as expressions that the server evaluates.
//!
//! The clock differs between the two places an expression can stand in. A *filter* sees the
//! metadata of the last write; an *operation* sees metadata that the command has already advanced.
//! Aerospike documents neither, so the store tests both on a record of its own when it connects.

use std::time::Duration;

use aerospike::Value as Wire;
use aerospike::expressions::{
    ExpType, Expression, and, bin_exists, cond, def, eq, exp_let, ge, gt, int_bin, int_val,
    last_update, le, map_bin, map_val, maps, max, nil, not, num_add, num_mul, or, since_update,
    unknown, var,
};
use aerospike::operations::maps::{MapOrder, MapPolicy, MapReturnType, MapWriteFlags};

use super::bins;
use crate::protocol::{Time, Token, Version};

/// Now, in a filter: the last write and the time since (which is in milliseconds).
pub(super) fn now_in_filter() -> Expression {
    num_add(vec![last_update(), num_mul(vec![since_update(), int_val(1_000_000)])])
}

/// Now, in an operation.
pub(super) fn now_in_operation() -> Expression {
    last_update()
}

/// `span` after now, in an operation.
pub(super) fn from_now(span: Duration) -> Expression {
    num_add(vec![now_in_operation(), int_val(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))])
}

/// An integer bin is there and has this value.
pub(super) fn is(bin: &'static str, value: i64) -> Expression {
    and(vec![bin_exists(bin), eq(int_bin(bin), int_val(value))])
}

pub(super) fn has_value() -> Expression {
    bin_exists(bins::VALUE)
}

/// Whether a map of reservations holds one that is live.
fn any_live(map: Expression, now: Expression) -> Expression {
    let first_live = num_add(vec![now, int_val(1)]);
    let live = maps::get_by_value_range(MapReturnType::COUNT, Some(first_live), None, map, &[]);
    gt(live, int_val(0))
}

/// In a filter: no reservation is live.
pub(super) fn nobody_reserves() -> Expression {
    let live = any_live(map_bin(bins::RESERVATIONS), now_in_filter());
    or(vec![not(bin_exists(bins::RESERVATIONS)), not(live)])
}

/// In a filter: no lease is live but those of the caller's own earlier attempts.
pub(super) fn nobody_else_leases(previous: &[Token]) -> Expression {
    let mut free = vec![
        not(bin_exists(bins::LEASE_TOKEN)),
        le(int_bin(bins::LEASE_DEADLINE), now_in_filter()),
    ];
    let own = previous.iter().map(|own| eq(int_bin(bins::LEASE_TOKEN), int_val(bins::token(*own))));
    free.extend(own);
    or(free)
}

/// The lease is the caller's own, under the deadline that it was last granted.
pub(super) fn leases(token: Token, deadline: Time) -> Expression {
    and(vec![
        is(bins::LEASE_TOKEN, bins::token(token)),
        is(bins::LEASE_DEADLINE, bins::time(deadline)),
    ])
}

/// The reservation is the caller's own, under the deadline that it was last granted.
pub(super) fn reserves(token: Token, deadline: Time) -> Expression {
    and(vec![bin_exists(bins::RESERVATIONS), eq(deadline_of(token), int_val(bins::time(deadline)))])
}

/// In a filter: this deadline has not passed.
pub(super) fn is_live(deadline: Time) -> Expression {
    gt(int_val(bins::time(deadline)), now_in_filter())
}

/// There is one reservation, dead ones counted.
pub(super) fn one_reservation() -> Expression {
    eq(maps::size(map_bin(bins::RESERVATIONS), &[]), int_val(1))
}

/// Nothing newer than `version` was heard of.
pub(super) fn at_floor(version: Version) -> Expression {
    or(vec![
        not(bin_exists(bins::FLOOR)),
        le(int_bin(bins::FLOOR), int_val(bins::version(version))),
    ])
}

/// The value is older than `version`, or than the floor, or has no version.
pub(super) fn is_outdated_by(version: Version) -> Expression {
    not(and(vec![
        has_value(),
        bin_exists(bins::VALUE_VERSION),
        ge(int_bin(bins::VALUE_VERSION), int_val(bins::version(version))),
        ge(int_bin(bins::VALUE_VERSION), int_bin(bins::FLOOR)),
    ]))
}

/// The floor, raised to `version`.
pub(super) fn raised_floor(version: Version) -> Expression {
    let version = || int_val(bins::version(version));
    cond(vec![bin_exists(bins::FLOOR), max(vec![int_bin(bins::FLOOR), version()]), version()])
}

fn no_reservations() -> Expression {
    map_val(std::collections::BTreeMap::<Wire, Wire>::new())
}

fn put(token: Token, deadline: Expression, map: Expression) -> Expression {
    let policy = MapPolicy::new(MapOrder::KeyOrdered, MapWriteFlags::DEFAULT);
    maps::put(&policy, int_val(bins::token(token)), deadline, map, &[])
}

fn remove(tokens: &[Token], map: Expression) -> Expression {
    tokens.iter().fold(map, |map, token| {
        maps::remove_by_key(MapReturnType::NONE, int_val(bins::token(*token)), map, &[])
    })
}

/// The reservations, or none where there is no bin.
fn reservations() -> Expression {
    cond(vec![bin_exists(bins::RESERVATIONS), map_bin(bins::RESERVATIONS), no_reservations()])
}

/// In an operation: `token` if no reservation but `previous` is live.
pub(super) fn alone(token: Token, previous: &[Token]) -> Expression {
    let others = remove(previous, reservations());
    let live = any_live(others, now_in_operation());
    cond(vec![live, unknown(), int_val(bins::token(token))])
}

/// In an operation: the reservations, dead ones dropped if none is live, and `token`'s own.
pub(super) fn reserved(token: Token, previous: &[Token], time: Duration) -> Expression {
    let kept =
        cond(vec![any_live(var("others"), now_in_operation()), var("others"), no_reservations()]);
    exp_let(vec![def("others", remove(previous, reservations())), put(token, from_now(time), kept)])
}

/// In an operation: `token`'s own deadline anew.
pub(super) fn renewed(token: Token, time: Duration) -> Expression {
    put(token, from_now(time), map_bin(bins::RESERVATIONS))
}

/// The reservations without `tokens`.
pub(super) fn without(tokens: &[Token]) -> Expression {
    remove(tokens, map_bin(bins::RESERVATIONS))
}

/// The reservations without `token`'s own, and with the mark that it was there.
pub(super) fn with_tombstone(token: Token) -> Expression {
    put(Token::TOMBSTONE, int_val(bins::time(Time::ZERO)), remove(&[token], reservations()))
}

/// Nothing, where this holds. Branches of one condition must be of one type, so that the bin stays
/// where it does not hold is said as "unknown", which the operation takes for "leave it".
fn nothing_if(condition: Expression) -> Expression {
    cond(vec![condition, nil(), unknown()])
}

/// Nothing, where there are this many reservations.
pub(super) fn nothing_if_left(count: i64) -> Expression {
    nothing_if(eq(maps::size(map_bin(bins::RESERVATIONS), &[]), int_val(count)))
}

/// Nothing, where the lone writer is one of `tokens`.
pub(super) fn nothing_if_alone(tokens: &[Token]) -> Expression {
    let own = tokens.iter().map(|own| eq(int_bin(bins::ALONE), int_val(bins::token(*own))));
    let mut any: Vec<Expression> = own.collect();
    nothing_if(if any.len() == 1 { any.remove(0) } else { or(any) })
}

/// The deadline of `token`'s reservation; unknown where there is none.
pub(super) fn deadline_of(token: Token) -> Expression {
    maps::get_by_key(
        MapReturnType::VALUE,
        ExpType::Int,
        int_val(bins::token(token)),
        map_bin(bins::RESERVATIONS),
        &[],
    )
}
