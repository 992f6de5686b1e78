//! Batches. A batch of one key reaches the server as a single command, so these have more.

mod support;

use aerospike::expressions::{bool_val, eq, int_bin, int_val, last_update};
use aerospike::operations::exp::{ExpReadFlags, ExpWriteFlags, read_exp, write_exp};
use aerospike::operations::{get_bin, put};
use aerospike::{
    BatchDeletePolicy, BatchOperation, BatchPolicy, BatchReadPolicy, BatchWritePolicy, Bins,
    Expiration, GenerationPolicy, ResultCode, Value, as_bin,
};
use genfence_wire::{Action, Code, Kind, Rule};
use support::{Pair, key, writes};

fn batch_policy() -> BatchPolicy {
    let mut policy = BatchPolicy::default();
    policy.base_policy.max_retries = 0;
    policy
}

fn codes(rows: &[BatchOperation]) -> Vec<u8> {
    rows.iter().map(|row| u8::from(row.result_code().expect("answered"))).collect()
}

fn bin(row: &BatchOperation, name: &str) -> Value {
    row.batch_record().record.as_ref().expect("has a record").bins[name].clone()
}

fn expecting_9() -> BatchWritePolicy {
    let generation_policy = GenerationPolicy::ExpectGenEqual;
    BatchWritePolicy { generation_policy, generation: 9, ..BatchWritePolicy::default() }
}

async fn with_records() -> Pair {
    let pair = Pair::new().await;
    for (name, n) in [("a", 1), ("b", 2), ("c", 3)] {
        pair.client.put(&writes(), &key(name), &[as_bin!("n", n), as_bin!("m", -n)]).await.unwrap();
    }
    pair
}

#[tokio::test]
async fn a_row_that_is_refused_is_not_applied() {
    let pair = with_records().await;
    let refused = Rule::new(Action::Fail(Code::KEY_BUSY)).on(Kind::Row).key(key("b").digest());
    pair.server.faults().add(refused);
    let policy = BatchWritePolicy::default();
    let write = |name| BatchOperation::write(&policy, key(name), vec![put(&as_bin!("n", 7))]);
    let mut rows = [write("a"), write("b"), write("c")];
    pair.client.batch(&batch_policy(), &mut rows).await.unwrap();
    assert_eq!(codes(&rows), [0, 14, 0]);
    assert_eq!(["a", "b"].map(|name| pair.record(&key(name)).generation), [2, 1]);
}

#[tokio::test]
async fn a_batch_read_mixes_up_its_rows() {
    let pair = with_records().await;
    let policy = BatchReadPolicy::default();
    let mut rows = [
        BatchOperation::read(&policy, key("c"), Bins::All),
        BatchOperation::read(&policy, key("missing"), Bins::All),
        BatchOperation::read(&policy, key("a"), Bins::from(["n"])),
        BatchOperation::read(&policy, key("b"), Bins::from(["n"])),
        BatchOperation::read(&policy, key("b"), Bins::None),
        BatchOperation::read_ops(&policy, key("a"), vec![get_bin("m"), get_bin("n")]),
    ];
    pair.client.batch(&batch_policy(), &mut rows).await.unwrap();
    assert_eq!(codes(&rows), [0, 2, 0, 0, 0, 0]);
    assert_eq!([bin(&rows[0], "n"), bin(&rows[0], "m")], [3.into(), (-3).into()]);
    assert_eq!(
        [bin(&rows[2], "n"), bin(&rows[3], "n"), bin(&rows[5], "m")],
        [1.into(), 2.into(), (-1).into()]
    );
    let header = rows[4].batch_record().record.clone().unwrap();
    assert_eq!((header.generation, header.bins.len()), (1, 0));
    assert_eq!(pair.server.requests(Kind::Batch), 1);
}

#[tokio::test]
async fn a_batch_write_takes_one_rows_policy_for_another() {
    let pair = with_records().await;
    let any = BatchWritePolicy::default();
    let filter_expression = Some(eq(int_bin("n"), int_val(0)));
    let filtered = BatchWritePolicy { filter_expression, ..any.clone() };
    let lasting = BatchWritePolicy { expiration: Expiration::Never, send_key: true, ..any.clone() };
    let write =
        |policy, name| BatchOperation::write(policy, key(name), vec![put(&as_bin!("n", 10))]);
    let mut rows = [
        write(&any, "a"),
        write(&expecting_9(), "b"),
        write(&filtered, "c"),
        write(&lasting, "d"),
        write(&any, "e"),
        BatchOperation::delete(&BatchDeletePolicy::default(), key("b")),
        BatchOperation::delete(&BatchDeletePolicy::default(), key("missing")),
    ];
    pair.client.batch(&batch_policy(), &mut rows).await.unwrap();
    assert_eq!(codes(&rows), [0, 3, 27, 0, 0, 0, 2]);
    assert_eq!(pair.record(&key("a")).bins["n"], 10.into());
    assert_eq!(pair.record(&key("a")).generation, 2);
    assert_eq!(pair.record(&key("c")).bins["n"], 3.into());
    assert_eq!(pair.record(&key("d")).key.unwrap(), b"\x03d");
    assert_eq!(pair.record(&key("e")).key, None);
    assert!(pair.server.record(&key("b").digest()).is_none());
}

#[tokio::test]
async fn operations_in_a_batch_differ_from_those_outside() {
    let pair = with_records().await;
    let ops = || {
        vec![
            write_exp("at", last_update(), ExpWriteFlags::DEFAULT),
            read_exp("n", int_bin("n"), ExpReadFlags::EVAL_NO_FAIL),
            get_bin("at"),
        ]
    };
    let policy = BatchWritePolicy::default();
    let mut rows = ["a", "new", "c"].map(|name| BatchOperation::write(&policy, key(name), ops()));
    pair.client.batch(&batch_policy(), &mut rows).await.unwrap();
    assert_eq!(codes(&rows), [0, 0, 0]);
    for (row, (name, n)) in rows.iter().zip([("a", 1.into()), ("new", Value::Nil), ("c", 3.into())])
    {
        let record = pair.record(&key(name));
        let now = i64::try_from(record.last_update * 1_000_000).unwrap();
        let results = row.batch_record().record.clone().unwrap().results.unwrap();
        assert_eq!(results, [Value::Nil, n, now.into()]);
    }
}

#[tokio::test]
async fn a_filter_of_the_whole_batch_is_not_every_rows() {
    let pair = with_records().await;
    let mut policy = batch_policy();
    policy.base_policy.filter_expression = Some(eq(int_bin("n"), int_val(2)));
    let own =
        BatchReadPolicy { filter_expression: Some(bool_val(true)), ..BatchReadPolicy::default() };
    let read = |name| BatchOperation::read(&BatchReadPolicy::default(), key(name), Bins::All);
    let mut rows = [read("a"), read("b"), BatchOperation::read(&own, key("c"), Bins::All)];
    pair.client.batch(&policy, &mut rows).await.unwrap();
    assert_eq!(codes(&rows), [27, 0, 0]);
}

#[tokio::test]
async fn rows_after_a_failed_one_are_answered_though_nobody_asked() {
    let pair = with_records().await;
    let mut policy = batch_policy();
    policy.respond_all_keys = false;
    let any = BatchWritePolicy::default();
    let write =
        |policy, name| BatchOperation::write(policy, key(name), vec![put(&as_bin!("n", 10))]);
    let mut rows = [write(&any, "a"), write(&expecting_9(), "b"), write(&any, "c")];
    pair.client.batch(&policy, &mut rows).await.unwrap();
    let codes = rows.map(|row| row.result_code());
    // The client of version 3.0.0 takes the end's mark, which repeats the failure, for the first row.
    let failed = Some(ResultCode::GenerationError);
    assert_eq!(codes, [failed, failed, None]);
    // They are run all the same.
    assert_eq!(pair.record(&key("c")).bins["n"], 10.into());
}
