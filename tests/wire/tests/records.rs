//! Reads and writes of plain bins, and the policies on them.

mod support;

use std::sync::Arc;

use aerospike::operations::{add, delete, get, get_bin, get_header, put, touch};
use aerospike::{
    Bins, Expiration, GenerationPolicy, RecordExistsAction, Value, WritePolicy, as_bin,
};
use genfence_wire::{Clock, Code, Config};
use support::{Pair, code, key, reads, writes};

#[tokio::test]
async fn a_put_is_not_read_back() {
    let pair = Pair::new().await;
    let key = key("a");
    let values: Vec<(&str, Value)> = vec![
        ("int", (-7).into()),
        ("text", "seven".into()),
        ("blob", vec![0, 255].into()),
        ("float", 0.5.into()),
        ("yes", true.into()),
        ("list", Value::List(vec![1.into(), "two".into(), Value::Nil])),
    ];
    let bins: Vec<_> = values.iter().map(|(name, value)| as_bin!(*name, value.clone())).collect();
    pair.client.put(&writes(), &key, &bins).await.unwrap();
    let record = pair.get(&key).await.unwrap();
    assert_eq!(record.generation, 1);
    assert_eq!(record.bins.len(), values.len());
    for (name, value) in values {
        assert_eq!(record.bins[name], value);
    }
    let some = pair.client.get(&reads(), &key, Bins::from(["int", "absent"])).await.unwrap();
    assert_eq!(some.bins.into_iter().collect::<Vec<_>>(), [("int".to_owned(), (-7).into())]);
    let none = pair.client.get(&reads(), &key, Bins::None).await.unwrap();
    assert!(none.bins.is_empty());
    assert_eq!(none.generation, 1);
}

#[tokio::test]
async fn a_missing_record_is_found() {
    let pair = Pair::new().await;
    let key = key("missing");
    assert_eq!(code(pair.get(&key).await), 2);
    assert_eq!(code(pair.client.touch(&writes(), &key).await), 2);
    assert!(!pair.client.exists(&reads(), &key).await.unwrap());
    assert!(!pair.client.delete(&writes(), &key).await.unwrap());
}

#[tokio::test]
async fn a_delete_leaves_something() {
    let pair = Pair::new().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    assert!(pair.client.exists(&reads(), &key).await.unwrap());
    assert!(pair.client.delete(&writes(), &key).await.unwrap());
    assert!(pair.server.records().is_empty());
    // And the next record of the key begins anew.
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    assert_eq!(pair.get(&key).await.unwrap().generation, 1);
}

#[tokio::test]
async fn dropping_the_last_bin_leaves_an_empty_record() {
    let pair = Pair::new().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("a", 1), as_bin!("b", 2)]).await.unwrap();
    pair.client.put(&writes(), &key, &[as_bin!("a", Value::Nil)]).await.unwrap();
    assert_eq!(pair.record(&key).generation, 2);
    pair.client.put(&writes(), &key, &[as_bin!("b", Value::Nil)]).await.unwrap();
    assert!(pair.server.records().is_empty());
    // There was nothing to drop it from.
    assert_eq!(code(pair.client.put(&writes(), &key, &[as_bin!("b", Value::Nil)]).await), 2);
    assert!(pair.server.records().is_empty());
}

fn expecting(generation: u32) -> WritePolicy {
    WritePolicy { generation_policy: GenerationPolicy::ExpectGenEqual, generation, ..writes() }
}

#[tokio::test]
async fn a_write_passes_with_the_wrong_generation() {
    let pair = Pair::new().await;
    let key = key("a");
    let bins = [as_bin!("n", 1)];
    // Expected 0: must not exist.
    assert_eq!(code(pair.client.put(&expecting(3), &key, &bins).await), 3);
    pair.client.put(&expecting(0), &key, &bins).await.unwrap();
    assert_eq!(code(pair.client.put(&expecting(0), &key, &bins).await), 3);
    pair.client.put(&expecting(1), &key, &bins).await.unwrap();
    assert_eq!(code(pair.client.put(&expecting(1), &key, &bins).await), 3);
    assert_eq!(code(pair.client.touch(&expecting(1), &key).await), 3);
    assert_eq!(code(pair.client.delete(&expecting(1), &key).await), 3);
    assert!(pair.client.delete(&expecting(2), &key).await.unwrap());
    // Where the record must exist, its absence is noticed first.
    let only = WritePolicy { record_exists_action: RecordExistsAction::UpdateOnly, ..expecting(2) };
    assert_eq!(code(pair.client.put(&only, &key, &bins).await), 2);
}

#[tokio::test]
async fn the_generation_wraps_to_zero() {
    let pair = Pair::new().await;
    pair.server.force_generation_near_wrap();
    let key = key("a");
    let mut generations = Vec::new();
    for _ in 0..7 {
        pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
        generations.push(pair.get(&key).await.unwrap().generation);
    }
    assert_eq!(generations, [65530, 65531, 65532, 65533, 65534, 65535, 1]);
    assert!(pair.server.set_generation(&key.digest(), 65535));
    pair.client.touch(&writes(), &key).await.unwrap();
    assert_eq!(pair.record(&key).generation, 1);
}

#[tokio::test]
async fn an_existence_policy_is_ignored() {
    let pair = Pair::new().await;
    let key = key("a");
    let policy = |record_exists_action| WritePolicy { record_exists_action, ..writes() };
    let bins = [as_bin!("n", 1)];
    assert_eq!(
        code(pair.client.put(&policy(RecordExistsAction::UpdateOnly), &key, &bins).await),
        2
    );
    assert_eq!(
        code(pair.client.put(&policy(RecordExistsAction::ReplaceOnly), &key, &bins).await),
        2
    );
    pair.client.put(&policy(RecordExistsAction::CreateOnly), &key, &bins).await.unwrap();
    assert_eq!(
        code(pair.client.put(&policy(RecordExistsAction::CreateOnly), &key, &bins).await),
        5
    );
    pair.client
        .put(&policy(RecordExistsAction::UpdateOnly), &key, &[as_bin!("m", 2)])
        .await
        .unwrap();
    assert_eq!(pair.record(&key).bins.len(), 2);
    pair.client.put(&policy(RecordExistsAction::Replace), &key, &[as_bin!("o", 3)]).await.unwrap();
    assert_eq!(pair.record(&key).bins.keys().collect::<Vec<_>>(), ["o"]);
    assert_eq!(pair.record(&key).generation, 3);
}

#[tokio::test]
async fn operations_run_out_of_order_or_answer_for_each_other() {
    let pair = Pair::new().await;
    let key = key("a");
    let ops = [
        put(&as_bin!("n", 1)),
        get_bin("n"),
        add(&as_bin!("n", 41)),
        get_bin("n"),
        get_bin("absent"),
    ];
    let record = pair.client.operate(&writes(), &key, &ops).await.unwrap();
    let nil = Value::Nil;
    assert_eq!(
        record.results.unwrap(),
        [nil.clone(), 1.into(), nil.clone(), 42.into(), nil.clone()]
    );
    assert_eq!(record.generation, 1);
    // A touch answers nothing, not even where every operation is asked to.
    let record = pair.client.operate(&writes(), &key, &[touch(), get_bin("n")]).await.unwrap();
    assert_eq!(record.results.unwrap(), [42.into()]);
    assert_eq!(record.generation, 2);
    let all = pair.client.operate(&writes(), &key, &[put(&as_bin!("m", 1)), get()]).await.unwrap();
    assert_eq!(all.bins.len(), 2);
    let header = pair.client.operate(&writes(), &key, &[get_header()]).await.unwrap();
    assert_eq!(header.generation, 3);
    // Everything away and something new: the generation goes on.
    pair.client.operate(&writes(), &key, &[delete(), put(&as_bin!("x", 1))]).await.unwrap();
    assert_eq!(pair.record(&key).generation, 4);
    assert_eq!(pair.record(&key).bins.keys().collect::<Vec<_>>(), ["x"]);
}

#[tokio::test]
async fn a_failed_operation_leaves_half_a_write() {
    let pair = Pair::new().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("text", "a")]).await.unwrap();
    let before = pair.record(&key);
    let ops = [put(&as_bin!("text", "b")), add(&as_bin!("text", 1))];
    assert_eq!(code(pair.client.operate(&writes(), &key, &ops).await), 12);
    assert_eq!(pair.record(&key), before);
}

#[tokio::test]
async fn a_limit_of_the_namespace_is_not_enforced() {
    let config = Config { max_record_size: 1000, nsup_period: 0, ..Config::default() };
    let pair = Pair::with(config, Clock::system()).await;
    let key = key("a");
    assert_eq!(code(pair.client.put(&writes(), &key, &[as_bin!("v", vec![0; 1000])]).await), 13);
    assert!(pair.server.records().is_empty());
    let bins = [as_bin!("v", 1)];
    let expires = WritePolicy { expiration: Expiration::Seconds(1), ..writes() };
    assert_eq!(code(pair.client.put(&expires, &key, &bins).await), 22);
    pair.client.put(&writes(), &key, &bins).await.unwrap();
    pair.server.configure(|config| config.stop_writes = true);
    assert_eq!(code(pair.client.put(&writes(), &key, &bins).await), 8);
    pair.get(&key).await.unwrap();
}

#[tokio::test]
async fn a_durable_delete_passes_on_the_community_edition() {
    let pair = Pair::new().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    let durable = WritePolicy { durable_delete: true, ..writes() };
    assert_eq!(code(pair.client.delete(&durable, &key).await), Code::ENTERPRISE_ONLY.0);
    let drops = [as_bin!("n", Value::Nil)];
    assert_eq!(code(pair.client.put(&durable, &key, &drops).await), Code::ENTERPRISE_ONLY.0);
    assert_eq!(pair.record(&key).generation, 1);
}

#[tokio::test]
async fn a_stored_key_is_lost_or_not_compared() {
    let pair = Pair::new().await;
    let key = key("a");
    let with_key = WritePolicy { send_key: true, ..writes() };
    pair.client.put(&with_key, &key, &[as_bin!("n", 1)]).await.unwrap();
    assert_eq!(pair.record(&key).key.unwrap(), b"\x03a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 2)]).await.unwrap();
    assert_eq!(pair.record(&key).key.unwrap(), b"\x03a");
    assert_eq!(pair.record(&key).set, "things");
}

#[tokio::test]
async fn concurrent_writes_lose_each_other() {
    let pair = Pair::new().await;
    let key = key("a");
    let writers: Vec<_> = (0..50)
        .map(|_| {
            let (client, key) = (Arc::clone(&pair.client), key.clone());
            tokio::spawn(async move { client.add(&writes(), &key, &[as_bin!("n", 1)]).await })
        })
        .collect();
    let mut added = 0;
    for writer in writers {
        added += i64::from(writer.await.unwrap().is_ok());
    }
    // Where connections run short the client gives some up before it sends them.
    assert!(added > 0);
    let record = pair.record(&key);
    assert_eq!(record.bins["n"], added.into());
    assert_eq!(i64::from(record.generation), added);
}
