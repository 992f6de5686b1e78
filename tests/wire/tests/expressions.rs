//! Filters, and operations by expression.

mod support;

use std::time::Duration;

use aerospike::expressions::*;
use aerospike::operations::exp::{ExpReadFlags, ExpWriteFlags, read_exp, write_exp};
use aerospike::operations::{get_bin, put};
use aerospike::{Error, Expiration, Record, RecordExistsAction, Value, WritePolicy, as_bin};
use support::{Pair, code, key, reads, writes};

fn if_true(filter: Expression) -> WritePolicy {
    let mut policy = writes();
    policy.base_policy.filter_expression = Some(filter);
    policy
}

/// What an expression is in a filter-less operation, unknown as nil.
async fn value_of(pair: &Pair, expression: Expression) -> Value {
    let op = read_exp("x", expression, ExpReadFlags::EVAL_NO_FAIL);
    let record = pair.client.operate(&writes(), &key("a"), &[op]).await.unwrap();
    record.results.unwrap().remove(0)
}

async fn with_bins() -> Pair {
    let pair = Pair::timeless().await;
    let bins = [
        as_bin!("n", 6),
        as_bin!("f", 1.5),
        as_bin!("s", "text"),
        as_bin!("b", vec![1, 2]),
        as_bin!("t", true),
        as_bin!("l", Value::List(vec![1.into()])),
    ];
    pair.client.put(&writes(), &key("a"), &bins).await.unwrap();
    pair
}

#[tokio::test]
async fn a_filter_lets_a_write_pass_that_it_should_stop() {
    let pair = Pair::new().await;
    let key = key("a");
    let bins = [as_bin!("n", 2)];
    // There is no record to judge, so the write creates one, whatever the filter says.
    let never = if_true(bool_val(false));
    pair.client.put(&never, &key, &bins).await.unwrap();
    assert_eq!(code(pair.client.put(&never, &key, &bins).await), 27);
    assert_eq!(code(pair.client.delete(&never, &key).await), 27);
    assert_eq!(code(pair.client.touch(&never, &key).await), 27);
    let unknown = if_true(eq(int_bin("absent"), int_val(1)));
    assert_eq!(code(pair.client.put(&unknown, &key, &bins).await), 27);
    // A filtered write leaves the generation as it was.
    assert_eq!(pair.record(&key).generation, 1);
    pair.client.put(&if_true(eq(int_bin("n"), int_val(2))), &key, &bins).await.unwrap();
    let mut policy = reads();
    policy.base_policy.filter_expression = Some(eq(int_bin("n"), int_val(3)));
    assert_eq!(code(pair.client.get(&policy, &key, aerospike::Bins::All).await), 27);
    assert_eq!(code(pair.client.exists(&policy, &key).await), 27);
}

#[tokio::test]
async fn the_generation_is_checked_after_the_filter() {
    let pair = Pair::new().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    let policy = WritePolicy {
        generation_policy: aerospike::GenerationPolicy::ExpectGenEqual,
        generation: 9,
        ..if_true(bool_val(false))
    };
    assert_eq!(code(pair.client.put(&policy, &key, &[as_bin!("n", 2)]).await), 3);
    // And a filter beside UPDATE_ONLY on a missing record is not reached either.
    let missing = support::key("missing");
    let policy = WritePolicy {
        record_exists_action: RecordExistsAction::UpdateOnly,
        ..if_true(bool_val(false))
    };
    assert_eq!(code(pair.client.put(&policy, &missing, &[as_bin!("n", 2)]).await), 2);
}

/// In nanoseconds.
fn now_in_a_filter() -> Expression {
    num_add(vec![last_update(), num_mul(vec![since_update(), int_val(1_000_000)])])
}

#[tokio::test]
async fn a_filter_sees_the_metadata_of_its_own_write() {
    let pair = Pair::timeless().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    let written = pair.server.clock().now();
    pair.server.clock().advance(Duration::from_millis(1234));
    let nanos = |millis: u64| int_val(i64::try_from(millis * 1_000_000).unwrap());
    let filter = and(vec![
        eq(last_update(), nanos(written)),
        eq(since_update(), int_val(1234)),
        eq(now_in_a_filter(), nanos(written + 1234)),
    ]);
    pair.client.put(&if_true(filter), &key, &[as_bin!("n", 2)]).await.unwrap();
    assert_eq!(pair.record(&key).last_update, written + 1234);
}

#[tokio::test]
async fn an_operation_sees_the_metadata_of_the_last_write() {
    let pair = Pair::timeless().await;
    let ops = [
        write_exp("now", last_update(), ExpWriteFlags::DEFAULT),
        write_exp("since", since_update(), ExpWriteFlags::DEFAULT),
        write_exp("ttl", ttl(), ExpWriteFlags::DEFAULT),
        write_exp("dies", void_time(), ExpWriteFlags::DEFAULT),
        get_bin("now"),
        get_bin("since"),
    ];
    let policy = WritePolicy { expiration: Expiration::Seconds(60), ..writes() };
    for generation in 1..=2 {
        let record = pair.client.operate(&policy, &key("a"), &ops).await.unwrap();
        let now = i64::try_from(pair.server.clock().now()).unwrap();
        let results = record.results.unwrap();
        assert_eq!(results[4..], [Value::Int(now * 1_000_000), Value::Int(0)]);
        let record = pair.record(&key("a"));
        assert_eq!(record.generation, generation);
        assert_eq!(record.bins["ttl"], 60.into());
        assert_eq!(record.bins["dies"], ((now / 1000 + 60) * 1_000_000_000).into());
        pair.server.clock().advance(Duration::from_secs(5));
    }
    // Where nothing is written, the metadata stays what it was.
    assert_eq!(value_of(&pair, since_update()).await, 5000.into());
}

async fn written(
    pair: &Pair,
    expression: Expression,
    flags: ExpWriteFlags,
) -> Result<Record, Error> {
    pair.client.operate(&writes(), &key("a"), &[write_exp("n", expression, flags)]).await
}

#[tokio::test]
async fn an_unknown_value_is_written() {
    let pair = with_bins().await;
    let absent = || int_bin("absent");
    assert_eq!(code(written(&pair, absent(), ExpWriteFlags::DEFAULT).await), 26);
    assert_eq!(pair.record(&key("a")).generation, 1);
    written(&pair, absent(), ExpWriteFlags::EVAL_NO_FAIL).await.unwrap();
    // It changed nothing, and was a write all the same.
    assert_eq!(pair.record(&key("a")).generation, 2);
    assert_eq!(pair.record(&key("a")).bins["n"], 6.into());
    let read = read_exp("x", absent(), ExpReadFlags::DEFAULT);
    assert_eq!(code(pair.client.operate(&writes(), &key("a"), &[read]).await), 26);
}

#[tokio::test]
async fn nil_drops_a_bin_without_leave() {
    let pair = with_bins().await;
    assert_eq!(code(written(&pair, nil(), ExpWriteFlags::DEFAULT).await), 26);
    // Any flag silences the error, as on a real server, whether it is meant for it or not.
    for flags in
        [ExpWriteFlags::POLICY_NO_FAIL, ExpWriteFlags::EVAL_NO_FAIL, ExpWriteFlags::UPDATE_ONLY]
    {
        written(&pair, nil(), flags).await.unwrap();
        assert!(pair.record(&key("a")).bins.contains_key("n"));
    }
    written(&pair, nil(), ExpWriteFlags::ALLOW_DELETE).await.unwrap();
    assert!(!pair.record(&key("a")).bins.contains_key("n"));
}

#[tokio::test]
async fn a_bin_policy_is_ignored() {
    let pair = with_bins().await;
    assert_eq!(code(written(&pair, int_val(1), ExpWriteFlags::CREATE_ONLY).await), 6);
    let quietly = ExpWriteFlags::CREATE_ONLY | ExpWriteFlags::POLICY_NO_FAIL;
    written(&pair, int_val(1), quietly).await.unwrap();
    assert_eq!(pair.record(&key("a")).bins["n"], 6.into());
    written(&pair, int_val(1), ExpWriteFlags::UPDATE_ONLY).await.unwrap();
    assert_eq!(pair.record(&key("a")).bins["n"], 1.into());
    written(&pair, nil(), ExpWriteFlags::ALLOW_DELETE).await.unwrap();
    assert_eq!(code(written(&pair, int_val(1), ExpWriteFlags::UPDATE_ONLY).await), 17);
}

#[tokio::test]
async fn an_operation_does_not_see_those_before_it() {
    let pair = with_bins().await;
    let ops = [
        put(&as_bin!("n", 10)),
        write_exp("m", num_mul(vec![int_bin("n"), int_val(2)]), ExpWriteFlags::DEFAULT),
        write_exp("n", nil(), ExpWriteFlags::ALLOW_DELETE),
        write_exp("gone", not(bin_exists("n")), ExpWriteFlags::DEFAULT),
    ];
    pair.client.operate(&writes(), &key("a"), &ops).await.unwrap();
    let bins = pair.record(&key("a")).bins;
    assert_eq!(bins["m"], 20.into());
    assert_eq!(bins["gone"], genfence_wire::Value::Bool(true));
}

#[tokio::test]
async fn an_operator_is_wrong() {
    let pair = with_bins().await;
    let int = int_val;
    let float = float_val;
    let yes = || bool_val(true);
    let no = || bool_val(false);
    let cases: Vec<(Expression, Value)> = vec![
        (and(vec![eq(int(1), int(1)), ne(int(1), int(2)), lt(int(1), int(2))]), true.into()),
        (or(vec![gt(int(1), int(1)), le(int(2), int(1)), lt(int(1), int(1))]), false.into()),
        (and(vec![ge(int(1), int(1)), le(int(1), int(1))]), true.into()),
        (eq(string_bin("s"), string_val("text")), true.into()),
        (lt(blob_val(vec![1]), blob_bin("b")), true.into()),
        (eq(bool_bin("t"), yes()), true.into()),
        (eq(list_bin("l"), list_val(vec![1.into()])), true.into()),
        (eq(nil(), nil()), true.into()),
        (exclusive(vec![yes(), no(), no()]), true.into()),
        (exclusive(vec![yes(), no(), yes()]), false.into()),
        (not(no()), true.into()),
        (num_add(vec![int(1), int(2), int_bin("n")]), 9.into()),
        (num_add(vec![float(1.0), float_bin("f")]), 2.5.into()),
        (num_sub(vec![int(1), int(2), int(3)]), (-4).into()),
        (num_sub(vec![int(1)]), (-1).into()),
        (num_mul(vec![int(2), int(3), int(7)]), 42.into()),
        (num_div(vec![int(100), int(5), int(2)]), 10.into()),
        (num_mod(int(7), int(4)), 3.into()),
        (num_abs(int(-3)), 3.into()),
        (num_pow(float(2.0), float(3.0)), 8.0.into()),
        (num_log(float(8.0), float(2.0)), 3.0.into()),
        (num_floor(float(1.5)), 1.0.into()),
        (num_ceil(float(1.5)), 2.0.into()),
        (to_int(float(2.9)), 2.into()),
        (to_float(int(2)), 2.0.into()),
        (min(vec![int(3), int(1), int(2)]), 1.into()),
        (max(vec![int(3), int(1), int(2)]), 3.into()),
        (int_and(vec![int(0b1100), int(0b1010)]), 0b1000.into()),
        (int_or(vec![int(0b1100), int(0b1010)]), 0b1110.into()),
        (int_xor(vec![int(0b1100), int(0b1010)]), 0b0110.into()),
        (int_not(int(0)), (-1).into()),
        (int_lshift(int(1), int(4)), 16.into()),
        (int_rshift(int(-1), int(63)), 1.into()),
        (int_arshift(int(-16), int(2)), (-4).into()),
        (int_count(int(0b1011)), 3.into()),
        (int_lscan(int(1), yes()), 63.into()),
        (int_rscan(int(1), yes()), 63.into()),
        (cond(vec![no(), int(1), yes(), int(2), int(3)]), 2.into()),
        (cond(vec![no(), int(1), int(3)]), 3.into()),
        (cond(vec![no(), unknown(), int(3)]), 3.into()),
        (
            exp_let(vec![
                def("a", int_bin("n")),
                def("b", num_add(vec![var("a"), int(1)])),
                num_mul(vec![var("a"), var("b")]),
            ]),
            42.into(),
        ),
        (bin_exists("n"), true.into()),
        (bin_exists("absent"), false.into()),
        (bin_type("s"), 3.into()),
        (bin_type("absent"), 0.into()),
        (set_name(), "things".into()),
        (key_exists(), false.into()),
        (is_tombstone(), false.into()),
        (ttl(), (-1).into()),
        (void_time(), (-1).into()),
        (lt(digest_modulo(4), int(4)), true.into()),
    ];
    for (expression, value) in cases {
        let shown = format!("{expression:?}");
        assert_eq!(value_of(&pair, expression).await, value, "{shown}");
    }
}

#[tokio::test]
async fn what_is_not_known_passes_for_something() {
    let pair = with_bins().await;
    let absent = || eq(int_bin("absent"), int_val(1));
    let nothing = Value::Nil;
    let cases: Vec<(Expression, Value)> = vec![
        (absent(), nothing.clone()),
        (not(absent()), nothing.clone()),
        (int_bin("s"), nothing.clone()),
        (unknown(), nothing.clone()),
        (num_div(vec![int_val(1), int_val(0)]), nothing.clone()),
        (num_mod(int_val(1), int_val(0)), nothing.clone()),
        // Unless the rest decides it.
        (and(vec![absent(), bool_val(false)]), false.into()),
        (and(vec![absent(), bool_val(true)]), nothing.clone()),
        (or(vec![absent(), bool_val(true)]), true.into()),
        (or(vec![absent(), bool_val(false)]), nothing.clone()),
        (cond(vec![absent(), int_val(1), int_val(2)]), nothing.clone()),
        // A variable may be unknown as long as nobody asks.
        (exp_let(vec![def("a", int_bin("absent")), int_val(1)]), 1.into()),
        (exp_let(vec![def("a", int_bin("absent")), var("a")]), nothing),
    ];
    for (expression, value) in cases {
        let shown = format!("{expression:?}");
        assert_eq!(value_of(&pair, expression).await, value, "{shown}");
    }
}

#[tokio::test]
async fn an_expression_of_mixed_types_is_evaluated() {
    let pair = with_bins().await;
    for expression in [
        eq(int_val(1), float_val(1.0)),
        eq(int_bin("n"), string_val("6")),
        not(int_val(1)),
        and(vec![bool_val(true)]),
        num_add(vec![int_val(1), float_val(1.0)]),
        cond(vec![bool_val(true), int_val(1), string_val("2")]),
        cond(vec![int_val(1), int_val(1), int_val(2)]),
        var("undefined"),
        exp_let(vec![def("1st", int_val(1)), int_val(1)]),
        exp_let(vec![def("a", var("a")), int_val(1)]),
        exp_let(vec![def("a", int_val(1)), def("a", int_val(2)), var("a")]),
        exp_let(vec![int_val(1)]),
        int_bin("a_name_too_long_"),
        // And what this server does not know at all.
        record_size(),
        regex_compare("t.*", RegexFlags::NONE, string_bin("s")),
        lists::size(list_bin("l"), &[]),
    ] {
        let shown = format!("{expression:?}");
        let op = read_exp("x", expression.clone(), ExpReadFlags::EVAL_NO_FAIL);
        assert_eq!(code(pair.client.operate(&writes(), &key("a"), &[op]).await), 4, "{shown}");
        let policy = if_true(or(vec![bool_val(true), eq(expression.clone(), expression)]));
        assert_eq!(
            code(pair.client.put(&policy, &key("a"), &[as_bin!("n", 1)]).await),
            4,
            "{shown}"
        );
    }
    assert_eq!(code(pair.client.put(&if_true(int_val(1)), &key("a"), &[as_bin!("n", 1)]).await), 4);
}
