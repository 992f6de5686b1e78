//! What the protocol asks of a record, as expressions that the server evaluates.
//!
//! The clock differs between the two places an expression can stand in. A *filter* sees the
//! metadata of the last write; an *operation* sees metadata that the command has already advanced.
//! Aerospike documents neither, so the store tests both on a record of its own when it connects.
//!
//! What `before` names is a time of the server's from when on the condition does not hold.
//!
//! Each expression is built once ([`once!`]), except where a caller names earlier attempts of its own,
//! which happens after a time-out only.

use std::time::Duration;

use aerospike::Value as Wire;
use aerospike::expressions::{
    ExpType, Expression, and, bin_exists, cond, def, eq, exp_let, ge, gt, int_bin, int_val,
    last_update, le, lt, map_bin, map_val, maps, max, nil, not, num_add, num_mul, or, since_update,
    unknown, var, void_time,
};
use aerospike::operations::maps::{MapOrder, MapPolicy, MapReturnType, MapWriteFlags};

use super::bins;
use super::template::{Template, once, once_before};
use super::undone;
use crate::protocol::{Terms, Time, Token, Version};

/// Now, in a filter: the last write and the time since (which is in milliseconds).
pub(super) fn now_in_filter() -> Expression {
    num_add(vec![last_update(), num_mul(vec![since_update(), int_val(1_000_000)])])
}

/// Now, in an operation.
fn now_in_operation() -> Expression {
    last_update()
}

/// A span after now, in an operation.
fn after_now(span: Expression) -> Expression {
    num_add(vec![now_in_operation(), span])
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(bins::nanos(span)).unwrap_or(i64::MAX)
}

/// An integer bin is there and has this value.
fn is(bin: &'static str, value: Expression) -> Expression {
    and(vec![bin_exists(bin), eq(int_bin(bin), value)])
}

fn has_value() -> Expression {
    bin_exists(bins::VALUE)
}

/// In a filter.
fn is_not_hushed() -> Expression {
    or(vec![
        not(bin_exists(bins::HUSH_DEADLINE)),
        le(int_bin(bins::HUSH_DEADLINE), now_in_filter()),
    ])
}

/// Whether a map of reservations holds one that is live.
fn any_live(map: Expression, now: Expression) -> Expression {
    let first_live = num_add(vec![now, int_val(1)]);
    let live = maps::get_by_value_range(MapReturnType::COUNT, Some(first_live), None, map, &[]);
    gt(live, int_val(0))
}

/// In a filter: no reservation is live.
fn none_reserves() -> Expression {
    let live = any_live(map_bin(bins::RESERVATIONS), now_in_filter());
    or(vec![not(bin_exists(bins::RESERVATIONS)), not(live)])
}

/// In a filter: no lease is live but those of the caller's own earlier attempts.
fn none_leases(but: &[Token]) -> Expression {
    let mut free = vec![
        not(bin_exists(bins::LEASE_TOKEN)),
        le(int_bin(bins::LEASE_DEADLINE), now_in_filter()),
    ];
    let own = but.iter().map(|own| eq(int_bin(bins::LEASE_TOKEN), int_val(bins::token(*own))));
    free.extend(own);
    or(free)
}

/// The lease has this token and this deadline, and more holds.
fn leased<const N: usize>(
    token: Expression,
    until: Expression,
    also: [Expression; N],
) -> Expression {
    let mut all = vec![is(bins::LEASE_TOKEN, token), is(bins::LEASE_DEADLINE, until)];
    all.extend(also);
    and(all)
}

/// Nothing newer than `version` was heard of.
fn at_floor_of(version: Expression) -> Expression {
    or(vec![not(bin_exists(bins::FLOOR)), le(int_bin(bins::FLOOR), version)])
}

/// The deadline of a token's reservation; unknown where there is none.
fn deadline(token: Expression) -> Expression {
    let map = map_bin(bins::RESERVATIONS);
    maps::get_by_key(MapReturnType::VALUE, ExpType::Int, token, map, &[])
}

/// There is such a reservation, with this deadline.
fn holds(token: Expression, until: Expression) -> Expression {
    and(vec![bin_exists(bins::RESERVATIONS), eq(deadline(token), until)])
}

fn no_reservations() -> Expression {
    map_val(std::collections::BTreeMap::<Wire, Wire>::new())
}

fn put(token: Expression, deadline: Expression, map: Expression) -> Expression {
    let policy = MapPolicy::new(MapOrder::KeyOrdered, MapWriteFlags::DEFAULT);
    maps::put(&policy, token, deadline, map, &[])
}

fn remove(token: Expression, map: Expression) -> Expression {
    maps::remove_by_key(MapReturnType::NONE, token, map, &[])
}

/// With the mark that somebody came and went without a version.
fn marked(map: Expression) -> Expression {
    put(int_val(bins::token(Token::TOMBSTONE)), int_val(bins::time(Time::ZERO)), map)
}

/// In an operation: what is not live, the mark among it.
fn count_dead(map: Expression) -> Expression {
    maps::get_by_value_range(MapReturnType::COUNT, None, Some(first_live()), map, &[])
}

fn without_dead(map: Expression) -> Expression {
    maps::remove_by_value_range(MapReturnType::NONE, None, Some(first_live()), map, &[])
}

/// In an operation: the least deadline that is live.
fn first_live() -> Expression {
    after_now(int_val(1))
}

fn remove_all(tokens: &[Token], map: Expression) -> Expression {
    tokens.iter().fold(map, |map, token| remove(int_val(bins::token(*token)), map))
}

/// The reservations, or none where there is no bin.
fn reservations() -> Expression {
    cond(vec![bin_exists(bins::RESERVATIONS), map_bin(bins::RESERVATIONS), no_reservations()])
}

/// There is a value.
pub(super) fn is_stored(before: Option<Time>) -> Expression {
    once_before!(before; => has_value())
}

/// No reservation is live, and the record, if there is one, is of a format that this library writes.
pub(super) fn nobody_reserves() -> Expression {
    once!(=> and(vec![
        none_reserves(),
        or(vec![not(bin_exists(bins::FORMAT)), le(int_bin(bins::FORMAT), format_number())]),
    ]))
}

/// The format that this library writes.
pub(super) fn format_number() -> Expression {
    once!(=> int_val(bins::FORMAT_NUMBER))
}

/// There is a value of whose record it is said until when copies live.
pub(super) fn says_of_copies(before: Option<Time>) -> Expression {
    once_before!(before; => and(vec![has_value(), bin_exists(bins::NEAR_DEADLINE)]))
}

/// There is a value, and nobody waits for the copies that there are.
pub(super) fn may_be_kept(before: Option<Time>) -> Expression {
    once_before!(before; => and(vec![has_value(), is_not_hushed()]))
}

/// The same, in a record that lives longer than `span` from now.
pub(super) fn may_be_kept_beyond(span: Duration, before: Option<Time>) -> Expression {
    once_before!(before; span = nanos(span) => and(vec![
        has_value(),
        is_not_hushed(),
        or(vec![
            // For ever.
            le(void_time(), int_val(0)),
            gt(void_time(), num_add(vec![now_in_filter(), span()])),
        ]),
    ]))
}

/// There is no value but one that is `over`, no live reservation, and no live lease but those of `previous`.
pub(super) fn is_free(previous: &[Token], over: Option<Token>) -> Expression {
    fn free(but: &[Token], value: Expression) -> Expression {
        and(vec![value, none_reserves(), none_leases(but)])
    }
    fn none_but(over: Expression) -> Expression {
        or(vec![not(has_value()), is(bins::VALUE_TOKEN, over)])
    }
    match (over, previous.is_empty()) {
        (None, true) => once!(=> free(&[], not(has_value()))),
        (None, false) => free(previous, not(has_value())),
        (Some(over), true) => once!(over = bins::token(over) => free(&[], none_but(over()))),
        (Some(over), false) => free(previous, none_but(int_val(bins::token(over)))),
    }
}

/// The lease has this token.
pub(super) fn lease_is_of(token: Token, before: Option<Time>) -> Expression {
    once_before!(before; token = bins::token(token) => is(bins::LEASE_TOKEN, token()))
}

/// The lease is the caller's own, under the deadline that it was last granted.
pub(super) fn leases(token: Token, until: Time, before: Option<Time>) -> Expression {
    once_before!(before; token = bins::token(token), until = bins::time(until) => leased(token(), until(), []))
}

/// As [`leases`], and nothing newer than `version` was heard of.
pub(super) fn leases_at_floor(
    token: Token,
    until: Time,
    version: Version,
    before: Option<Time>,
) -> Expression {
    once_before!(
        before;
        token = bins::token(token),
        until = bins::time(until),
        version = bins::version(version)
        => leased(token(), until(), [at_floor_of(version())])
    )
}

/// The value is the one that `stamp` names, and no lease is live but those of `previous`.
pub(super) fn may_refresh(stamp: Token, previous: &[Token], before: Option<Time>) -> Expression {
    fn may(stamp: Expression, but: &[Token]) -> Expression {
        and(vec![has_value(), is(bins::VALUE_TOKEN, stamp), none_leases(but)])
    }
    if previous.is_empty() {
        return once_before!(before; stamp = bins::token(stamp) => may(stamp(), &[]));
    }
    let may = may(int_val(bins::token(stamp)), previous);
    match before.filter(|_| undone::holds(undone::Rule::LateIsRefused)) {
        None => may,
        Some(before) => and(vec![may, gt(int_val(bins::time(before)), now_in_filter())]),
    }
}

/// As [`leases`], and the value is the one that `stamp` names, and has no version.
pub(super) fn refreshes(
    token: Token,
    until: Time,
    stamp: Token,
    before: Option<Time>,
) -> Expression {
    once_before!(
        before;
        token = bins::token(token),
        until = bins::time(until),
        stamp = bins::token(stamp)
        => leased(token(), until(), [
            is(bins::VALUE_TOKEN, stamp()),
            not(bin_exists(bins::VALUE_VERSION)),
        ])
    )
}

/// As [`leases_at_floor`], and the value is the one that `stamp` names.
pub(super) fn refreshes_at_floor(
    token: Token,
    until: Time,
    stamp: Token,
    version: Version,
    before: Option<Time>,
) -> Expression {
    once_before!(
        before;
        token = bins::token(token),
        until = bins::time(until),
        stamp = bins::token(stamp),
        version = bins::version(version)
        => leased(token(), until(), [is(bins::VALUE_TOKEN, stamp()), at_floor_of(version())])
    )
}

/// The reservation is the caller's own, under the deadline that it was last granted, and live.
pub(super) fn reserves_still(token: Token, until: Time, before: Option<Time>) -> Expression {
    once_before!(before; token = bins::token(token), until = bins::time(until) => and(vec![
        holds(token(), until()),
        gt(until(), now_in_filter()),
    ]))
}

/// The reservation is the caller's own, and has been alone since it was taken.
pub(super) fn reserves_alone(token: Token, until: Time, before: Option<Time>) -> Expression {
    once_before!(before; token = bins::token(token), until = bins::time(until) => and(vec![
        is(bins::ALONE, token()),
        holds(token(), until()),
    ]))
}

/// The reservation is the caller's own and the only one, dead ones counted, and nothing newer than
/// `version` was heard of.
pub(super) fn reserves_as_last(
    token: Token,
    until: Time,
    version: Version,
    before: Option<Time>,
) -> Expression {
    once_before!(
        before;
        token = bins::token(token),
        until = bins::time(until),
        version = bins::version(version)
        => and(vec![
            holds(token(), until()),
            eq(maps::size(map_bin(bins::RESERVATIONS), &[]), int_val(1)),
            at_floor_of(version()),
        ])
    )
}

/// The value is the one that `stamp` names, and no reservation is live.
pub(super) fn holds_value_of(stamp: Token, before: Option<Time>) -> Expression {
    once_before!(before; stamp = bins::token(stamp) => and(vec![
        is(bins::VALUE_TOKEN, stamp()),
        none_reserves(),
    ]))
}

/// The value is older than `version`, or than the floor, or has no version.
pub(super) fn is_outdated_by(version: Version) -> Expression {
    once!(version = bins::version(version) => not(and(vec![
        has_value(),
        bin_exists(bins::VALUE_VERSION),
        ge(int_bin(bins::VALUE_VERSION), version()),
        ge(int_bin(bins::VALUE_VERSION), int_bin(bins::FLOOR)),
    ])))
}

/// In an operation: `span` after now.
pub(super) fn from_now(span: Duration) -> Expression {
    once!(span = nanos(span) => after_now(span()))
}

/// A span.
pub(super) fn span(span: Duration) -> Expression {
    once!(span = nanos(span) => span())
}

/// In an operation: until when copies may live, once one may for `time` from now.
pub(super) fn near_deadline(time: Duration, terms: &Terms) -> Expression {
    once!(time = nanos(time), unsaid = nanos(terms.unsaid) => max(vec![
        after_now(time()),
        cond(vec![
            bin_exists(bins::NEAR_DEADLINE),
            int_bin(bins::NEAR_DEADLINE),
            after_now(unsaid()),
        ]),
    ]))
}

/// In an operation: the longest time that a copy was given which may still live, once one is given `time`.
pub(super) fn near_longest(time: Duration, terms: &Terms) -> Expression {
    once!(
        time = nanos(time),
        unsaid = nanos(terms.unsaid),
        clocks = nanos(terms.clocks)
        => cond(vec![
            not(bin_exists(bins::NEAR_DEADLINE)),
            max(vec![unsaid(), time()]),
            le(num_add(vec![int_bin(bins::NEAR_DEADLINE), clocks()]), now_in_operation()),
            time(),
            max(vec![int_bin(bins::NEAR_LONGEST), time()]),
        ])
    )
}

/// In an operation: `token`, unless a hush stands, whose own it is then.
pub(super) fn hush_token(token: Token, terms: &Terms) -> Expression {
    once!(token = bins::token(token), clocks = nanos(terms.clocks) => cond(vec![
        and(vec![
            bin_exists(bins::HUSH_DEADLINE),
            gt(int_bin(bins::HUSH_DEADLINE), after_now(clocks())),
        ]),
        int_bin(bins::HUSH_TOKEN),
        token(),
    ]))
}

/// The floor, raised to `version`.
pub(super) fn raised_floor(version: Version) -> Expression {
    once!(version = bins::version(version) => cond(vec![
        bin_exists(bins::FLOOR),
        max(vec![int_bin(bins::FLOOR), version()]),
        version(),
    ]))
}

/// In an operation: `token` if no reservation but `previous` is live, else [`bins::NOBODY`].
pub(super) fn alone_or_nobody(token: Token, previous: &[Token]) -> Expression {
    fn alone(token: Expression, previous: &[Token]) -> Expression {
        let live = any_live(remove_all(previous, reservations()), now_in_operation());
        cond(vec![live, int_val(bins::NOBODY), token])
    }
    if previous.is_empty() {
        once!(token = bins::token(token) => alone(token(), &[]))
    } else {
        alone(int_val(bins::token(token)), previous)
    }
}

/// In an operation: the reservations without `previous`, dead ones folded into one mark, or dropped if
/// none is live; and `token`'s own.
pub(super) fn reserved(token: Token, previous: &[Token], span: Duration) -> Expression {
    fn reserved(token: Expression, previous: &[Token], span: Expression) -> Expression {
        let live = any_live(var("others"), now_in_operation());
        let dead = gt(count_dead(var("others")), int_val(0));
        let folded = cond(vec![dead, marked(without_dead(var("others"))), var("others")]);
        let kept = cond(vec![live, folded, no_reservations()]);
        let others = remove_all(previous, reservations());
        exp_let(vec![def("others", others), put(token, after_now(span), kept)])
    }
    if previous.is_empty() {
        once!(
            token = bins::token(token),
            span = nanos(span)
            => reserved(token(), &[], span())
        )
    } else {
        reserved(int_val(bins::token(token)), previous, int_val(nanos(span)))
    }
}

/// In an operation: `token`'s own deadline anew.
pub(super) fn renewed(token: Token, span: Duration) -> Expression {
    once!(
        token = bins::token(token),
        span = nanos(span)
        => put(token(), after_now(span()), map_bin(bins::RESERVATIONS))
    )
}

/// The reservations without `tokens`.
pub(super) fn without(tokens: &[Token]) -> Expression {
    match tokens {
        [token] => once!(token = bins::token(*token) => {
            remove(token(), map_bin(bins::RESERVATIONS))
        }),
        tokens => remove_all(tokens, map_bin(bins::RESERVATIONS)),
    }
}

/// The reservations without `token`'s own, and with the mark that it was there.
pub(super) fn with_tombstone(token: Token) -> Expression {
    once!(token = bins::token(token) => marked(remove(token(), reservations())))
}

/// The reservations that are there, and the mark that somebody came and went beside them; unknown where
/// there is none.
pub(super) fn with_tombstone_beside() -> Expression {
    once!(=> cond(vec![
        bin_exists(bins::RESERVATIONS),
        marked(map_bin(bins::RESERVATIONS)),
        unknown(),
    ]))
}

/// One of `tokens` has a reservation, live or not.
pub(super) fn reserves_any(tokens: &[Token]) -> Expression {
    fn any(without: Expression) -> Expression {
        let (before, after) = (map_bin(bins::RESERVATIONS), without);
        and(vec![
            bin_exists(bins::RESERVATIONS),
            lt(maps::size(after, &[]), maps::size(before, &[])),
        ])
    }
    match tokens {
        [token] => once!(token = bins::token(*token) => {
            any(remove(token(), map_bin(bins::RESERVATIONS)))
        }),
        tokens => any(remove_all(tokens, map_bin(bins::RESERVATIONS))),
    }
}

/// Nothing, where this holds. Branches of one condition must be of one type, so that the bin stays
/// where it does not hold is said as "unknown", which the operation takes for "leave it".
fn nothing_if(condition: Expression) -> Expression {
    cond(vec![condition, nil(), unknown()])
}

/// Nothing, where there are this many reservations.
pub(super) fn nothing_if_left(count: i64) -> Expression {
    once!(count = count => nothing_if(eq(
        maps::size(map_bin(bins::RESERVATIONS), &[]),
        count(),
    )))
}

/// Nothing, where the lone writer is one of `tokens`, or nobody.
pub(super) fn nothing_if_alone(tokens: &[Token]) -> Expression {
    fn nobody_or(tokens: impl Iterator<Item = Expression>) -> Expression {
        let any = tokens.chain([int_val(bins::NOBODY)]);
        nothing_if(or(any.map(|token| eq(int_bin(bins::ALONE), token)).collect()))
    }
    match tokens {
        [token] => once!(token = bins::token(*token) => nobody_or([token()].into_iter())),
        tokens => nobody_or(tokens.iter().map(|own| int_val(bins::token(*own)))),
    }
}
