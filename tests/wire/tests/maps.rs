//! Map operations, on bins and within expressions.

mod support;

use std::collections::BTreeMap;

use aerospike::expressions::{
    Expression, bin_exists, cond, eq, infinity, int_bin, int_val, list_val, map_bin, map_val,
    maps as exp, not,
};
use aerospike::operations::exp::{ExpReadFlags, ExpWriteFlags, read_exp, write_exp};
use aerospike::operations::{MapOrder, get_bin, maps, put};
use aerospike::{MapPolicy, MapReturnType, MapWriteFlags, Value, as_bin};
use support::{Pair, code, key, writes};

fn ordered() -> MapPolicy {
    MapPolicy::new(MapOrder::KeyOrdered, MapWriteFlags::DEFAULT)
}

fn flags(flags: MapWriteFlags) -> MapPolicy {
    MapPolicy::new(MapOrder::KeyOrdered, flags)
}

fn map(pairs: &[(i64, i64)]) -> Value {
    Value::SortedMap(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

fn list(items: &[i64]) -> Value {
    Value::List(items.iter().map(|item| (*item).into()).collect())
}

/// Keys 1 to 4 with values 40, 30, 20, 10.
async fn with_map() -> Pair {
    let pair = Pair::new().await;
    let items = map(&[(1, 40), (2, 30), (3, 20), (4, 10)]);
    let Value::SortedMap(items) = items else { unreachable!() };
    let op = maps::put_items(&ordered(), "m", items);
    pair.client.operate(&writes(), &key("a"), &[op]).await.unwrap();
    pair
}

async fn result(pair: &Pair, op: aerospike::operations::Operation) -> Value {
    let record = pair.client.operate(&writes(), &key("a"), &[op]).await.unwrap();
    record.results.unwrap().remove(0)
}

async fn stored(pair: &Pair) -> Value {
    pair.get(&key("a")).await.unwrap().bins["m"].clone()
}

#[tokio::test]
async fn a_map_is_not_read_back() {
    let pair = with_map().await;
    assert_eq!(stored(&pair).await, map(&[(1, 40), (2, 30), (3, 20), (4, 10)]));
    let unordered = maps::put(&MapPolicy::default(), "u", "k".into(), vec![1, 2].into());
    assert_eq!(result(&pair, unordered).await, 1.into());
    let read = pair.get(&key("a")).await.unwrap().bins["u"].clone();
    assert!(matches!(read, Value::OrderedMap(map) if map[&Value::from("k")] == vec![1, 2].into()));
    // As a plain bin, too.
    let nested = BTreeMap::from([(Value::from("x"), map(&[(1, 2)]))]);
    pair.client
        .put(&writes(), &key("b"), &[as_bin!("m", Value::SortedMap(nested.clone()))])
        .await
        .unwrap();
    assert_eq!(pair.get(&key("b")).await.unwrap().bins["m"], Value::SortedMap(nested));
}

#[tokio::test]
async fn a_selection_finds_the_wrong_pairs() {
    let pair = with_map().await;
    let by_key = |returns| maps::get_by_key("m", 2.into(), returns);
    let absent = |returns| maps::get_by_key("m", 9.into(), returns);
    let range = |returns| maps::get_by_value_range("m", 20.into(), 40.into(), returns);
    let cases: Vec<(aerospike::operations::Operation, Value)> = vec![
        (maps::size("m"), 4.into()),
        (by_key(MapReturnType::VALUE), 30.into()),
        (by_key(MapReturnType::KEY), 2.into()),
        (by_key(MapReturnType::EXISTS), true.into()),
        (by_key(MapReturnType::COUNT), 1.into()),
        (by_key(MapReturnType::INDEX), 1.into()),
        (by_key(MapReturnType::RANK), 2.into()),
        (by_key(MapReturnType::REVERSE_INDEX), 2.into()),
        (by_key(MapReturnType::ORDERED_MAP), map(&[(2, 30)])),
        (by_key(MapReturnType::KEY_VALUE), Value::KeyValueList(vec![(2.into(), 30.into())])),
        (by_key(MapReturnType::NONE), Value::Nil),
        (absent(MapReturnType::VALUE), Value::Nil),
        (absent(MapReturnType::EXISTS), false.into()),
        (absent(MapReturnType::COUNT), 0.into()),
        (range(MapReturnType::COUNT), 2.into()),
        (range(MapReturnType::KEY), list(&[2, 3])),
        (range(MapReturnType::KEY.inverted()), list(&[1, 4])),
        (
            maps::get_by_value_range("m", 20.into(), Value::Nil, MapReturnType::KEY),
            list(&[1, 2, 3]),
        ),
        (maps::get_by_value_range("m", Value::Nil, 20.into(), MapReturnType::KEY), list(&[4])),
        (maps::get_by_value("m", 20.into(), MapReturnType::KEY), list(&[3])),
        (
            maps::get_by_key_list("m", vec![4.into(), 1.into(), 9.into()], MapReturnType::KEY),
            list(&[1, 4]),
        ),
        (maps::get_by_key_range("m", 2.into(), 4.into(), MapReturnType::KEY), list(&[2, 3])),
        (
            maps::get_by_value_list("m", vec![10.into(), 30.into()], MapReturnType::KEY),
            list(&[2, 4]),
        ),
        (maps::get_by_index("m", -1, MapReturnType::KEY), 4.into()),
        (maps::get_by_rank("m", -1, MapReturnType::VALUE), 40.into()),
        (maps::get_by_index_range("m", 1, 2, MapReturnType::KEY), list(&[2, 3])),
        (maps::get_by_rank_range_from("m", 2, MapReturnType::VALUE), list(&[30, 40])),
    ];
    for (op, expected) in cases {
        let shown = format!("{op:?}");
        assert_eq!(result(&pair, op).await, expected, "{shown}");
    }
    assert_eq!(pair.record(&key("a")).generation, 1);
}

#[tokio::test]
async fn a_removal_takes_the_wrong_pairs() {
    let cases: Vec<(aerospike::operations::Operation, Value, Value)> = vec![
        (
            maps::remove_by_key("m", 2.into(), MapReturnType::VALUE),
            30.into(),
            map(&[(1, 40), (3, 20), (4, 10)]),
        ),
        (
            maps::remove_by_key("m", 9.into(), MapReturnType::COUNT),
            0.into(),
            map(&[(1, 40), (2, 30), (3, 20), (4, 10)]),
        ),
        (
            maps::remove_by_key_list("m", vec![1.into(), 9.into()], MapReturnType::COUNT),
            1.into(),
            map(&[(2, 30), (3, 20), (4, 10)]),
        ),
        (
            maps::remove_by_value_range("m", Value::Nil, 30.into(), MapReturnType::COUNT),
            2.into(),
            map(&[(1, 40), (2, 30)]),
        ),
        (
            maps::remove_by_value_range(
                "m",
                Value::Nil,
                30.into(),
                MapReturnType::COUNT.inverted(),
            ),
            2.into(),
            map(&[(3, 20), (4, 10)]),
        ),
        (
            maps::remove_by_value("m", 10.into(), MapReturnType::NONE),
            Value::Nil,
            map(&[(1, 40), (2, 30), (3, 20)]),
        ),
        (maps::clear("m"), Value::Nil, map(&[])),
    ];
    for (op, answer, left) in cases {
        let pair = with_map().await;
        let shown = format!("{op:?}");
        assert_eq!(result(&pair, op).await, answer, "{shown}");
        assert_eq!(stored(&pair).await, left, "{shown}");
    }
}

#[tokio::test]
async fn a_removal_creates_or_drops_a_bin() {
    let pair = with_map().await;
    let remove = |bin| maps::remove_by_key(bin, 1.into(), MapReturnType::COUNT);
    assert_eq!(result(&pair, remove("absent")).await, Value::Nil);
    assert!(!pair.record(&key("a")).bins.contains_key("absent"));
    // A map that was emptied stays, so the record does.
    result(&pair, maps::clear("m")).await;
    assert_eq!(stored(&pair).await, map(&[]));
    assert_eq!(result(&pair, maps::size("absent")).await, Value::Nil);
    pair.client.put(&writes(), &key("a"), &[as_bin!("n", 1)]).await.unwrap();
    assert_eq!(code(pair.client.operate(&writes(), &key("a"), &[remove("n")]).await), 12);
}

#[tokio::test]
async fn a_write_flag_of_a_map_is_ignored() {
    let pair = with_map().await;
    let put = |write, key: i64| maps::put(&flags(write), "m", key.into(), 0.into());
    let operate = async |op| pair.client.operate(&writes(), &key("a"), &[op]).await;
    assert_eq!(code(operate(put(MapWriteFlags::CREATE_ONLY, 1)).await), 24);
    assert_eq!(code(operate(put(MapWriteFlags::UPDATE_ONLY, 9)).await), 23);
    operate(put(MapWriteFlags::CREATE_ONLY | MapWriteFlags::NO_FAIL, 1)).await.unwrap();
    assert_eq!(stored(&pair).await, map(&[(1, 40), (2, 30), (3, 20), (4, 10)]));
    operate(put(MapWriteFlags::UPDATE_ONLY, 1)).await.unwrap();
    operate(put(MapWriteFlags::CREATE_ONLY, 9)).await.unwrap();
    assert_eq!(stored(&pair).await, map(&[(1, 0), (2, 30), (3, 20), (4, 10), (9, 0)]));
}

/// `m`, or an empty map where there is none.
fn map_or_empty() -> Expression {
    cond(vec![bin_exists("m"), map_bin("m"), map_val(BTreeMap::<Value, Value>::new())])
}

#[tokio::test]
async fn map_operations_of_one_command_do_not_compose() {
    let pair = Pair::new().await;
    let drop_expired = exp::remove_by_value_range(
        MapReturnType::NONE,
        Some(int_val(0)),
        Some(int_bin("now")),
        map_or_empty(),
        &[],
    );
    let put_own = exp::put(&ordered(), int_val(7), int_bin("now"), drop_expired, &[]);
    let ops = |now: i64| {
        [
            put(&as_bin!("now", now)),
            write_exp("m", put_own.clone(), ExpWriteFlags::DEFAULT),
            read_exp("size", exp::size(map_bin("m"), &[]), ExpReadFlags::DEFAULT),
            maps::put(&ordered(), "m", now.into(), (now + 1).into()),
            get_bin("m"),
        ]
    };
    let record = pair.client.operate(&writes(), &key("a"), &ops(10)).await.unwrap();
    assert_eq!(record.results.unwrap()[2..], [1.into(), 2.into(), map(&[(7, 10), (10, 11)])]);
    // 11 has expired at 12; what is put afterwards is in.
    let record = pair.client.operate(&writes(), &key("a"), &ops(12)).await.unwrap();
    assert_eq!(record.results.unwrap()[2..], [1.into(), 2.into(), map(&[(7, 12), (12, 13)])]);
}

#[tokio::test]
async fn a_map_call_in_an_expression_differs_from_the_operation() {
    let pair = with_map().await;
    let int = aerospike::expressions::ExpType::Int;
    let value =
        |key: i64| exp::get_by_key(MapReturnType::VALUE, int, int_val(key), map_bin("m"), &[]);
    let emptied = exp::clear(map_bin("m"), &[]);
    let without = exp::remove_by_key_list(
        MapReturnType::NONE,
        list_val(vec![1.into(), 2.into()]),
        map_bin("m"),
        &[],
    );
    let put_items = exp::put_items(
        &ordered(),
        map_val(BTreeMap::from([(Value::from(8), Value::from(9))])),
        map_bin("m"),
        &[],
    );
    let one =
        exp::put(&ordered(), int_val(1), int_val(2), map_val(BTreeMap::<Value, Value>::new()), &[]);
    let above = exp::get_by_value_range(
        MapReturnType::COUNT,
        Some(int_val(30)),
        Some(infinity()),
        map_bin("m"),
        &[],
    );
    let cases: Vec<(Expression, Value)> = vec![
        (value(2), 30.into()),
        // What is not there is unknown where an integer is asked for, not nil.
        (value(9), Value::Nil),
        (not(eq(value(9), int_val(1))), Value::Nil),
        (
            exp::get_by_key(MapReturnType::VALUE, int, int_val(2), map_bin("absent"), &[]),
            Value::Nil,
        ),
        (exp::size(map_bin("m"), &[]), 4.into()),
        (exp::size(map_bin("absent"), &[]), Value::Nil),
        (exp::get_by_value(MapReturnType::COUNT, int_val(20), map_bin("m"), &[]), 1.into()),
        (above, 2.into()),
        (exp::size(emptied.clone(), &[]), 0.into()),
        (emptied, map(&[])),
        (without, map(&[(3, 20), (4, 10)])),
        (exp::size(put_items, &[]), 5.into()),
        (one, map(&[(1, 2)])),
        (
            exp::remove_by_key(MapReturnType::VALUE, int_val(1), map_bin("m"), &[]),
            map(&[(2, 30), (3, 20), (4, 10)]),
        ),
        (
            eq(map_bin("m"), map_val(BTreeMap::from([(Value::from(1), Value::from(1))]))),
            false.into(),
        ),
    ];
    for (expression, expected) in cases {
        let shown = format!("{expression:?}");
        let read = read_exp("x", expression, ExpReadFlags::EVAL_NO_FAIL);
        assert_eq!(result(&pair, read).await, expected, "{shown}");
    }
    // An expression has its own copy.
    assert_eq!(stored(&pair).await, map(&[(1, 40), (2, 30), (3, 20), (4, 10)]));
}

#[tokio::test]
async fn an_unknown_collection_operation_is_taken_for_another() {
    let pair = with_map().await;
    let operate = async |op| pair.client.operate(&writes(), &key("a"), &[op]).await;
    assert_eq!(code(operate(maps::increment_value(&ordered(), "m", 1.into(), 1.into())).await), 4);
    let list_op = aerospike::operations::lists::size("m");
    assert_eq!(code(operate(list_op).await), 4);
}
