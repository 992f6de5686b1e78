//! TTLs, with a clock that only the test moves.

mod support;

use std::time::Duration;

use aerospike::{Expiration, RecordExistsAction, WritePolicy, as_bin};
use genfence_wire::{Clock, Config};
use support::{Pair, code, key, reads, writes};

fn ttl(expiration: Expiration) -> WritePolicy {
    WritePolicy { expiration, ..writes() }
}

#[tokio::test]
async fn an_expired_record_is_read_or_updated() {
    let pair = Pair::timeless().await;
    let key = key("a");
    let bins = [as_bin!("n", 1)];
    pair.client.put(&ttl(Expiration::Seconds(10)), &key, &bins).await.unwrap();
    pair.client.put(&ttl(Expiration::Seconds(10)), &key, &bins).await.unwrap();
    // The last second belongs to the record.
    pair.server.clock().advance(Duration::from_secs(10));
    assert_eq!(pair.get(&key).await.unwrap().generation, 2);
    pair.server.clock().advance(Duration::from_secs(1));
    assert_eq!(code(pair.get(&key).await), 2);
    assert!(!pair.client.exists(&reads(), &key).await.unwrap());
    assert_eq!(code(pair.client.touch(&writes(), &key).await), 2);
    pair.client.put(&ttl(Expiration::Seconds(10)), &key, &bins).await.unwrap();
    assert_eq!(pair.get(&key).await.unwrap().generation, 1);
    // What expired stays until it is reaped.
    pair.server.clock().advance(Duration::from_secs(11));
    assert_eq!(pair.server.records().len(), 1);
    assert_eq!(pair.server.reap(), 1);
    assert_eq!(pair.server.records().len(), 0);
}

#[tokio::test]
async fn a_special_ttl_is_taken_for_seconds() {
    let config = Config { default_ttl: 100, ..Config::default() };
    let pair = Pair::with(config, Clock::manual()).await;
    let now = pair.server.clock().now() / 1000;
    let bins = [as_bin!("n", 1)];
    for (expiration, void_time) in [
        (Expiration::NamespaceDefault, now + 100),
        (Expiration::Never, 0),
        // On create there is nothing to keep.
        (Expiration::DontUpdate, now + 100),
        (Expiration::Seconds(7), now + 7),
    ] {
        let key = key(&format!("{expiration:?}"));
        pair.client.put(&ttl(expiration), &key, &bins).await.unwrap();
        assert_eq!(pair.record(&key).void_time, void_time, "{expiration:?}");
        pair.client.put(&ttl(Expiration::DontUpdate), &key, &bins).await.unwrap();
        assert_eq!(pair.record(&key).void_time, void_time, "{expiration:?} kept");
    }
    let left = pair.get(&key("Seconds(7)")).await.unwrap().time_to_live().unwrap();
    assert!(left <= Duration::from_secs(7) && left > Duration::from_secs(3), "{left:?}");
    let lasting = pair.get(&key("Never")).await.unwrap();
    assert_eq!(lasting.time_to_live(), None);
}

#[tokio::test]
async fn a_shortened_ttl_is_obeyed_against_the_configuration() {
    let pair = Pair::timeless().await;
    let now = pair.server.clock().now() / 1000;
    let key = key("a");
    let void_time = async |expiration| {
        pair.client.put(&ttl(expiration), &key, &[as_bin!("n", 1)]).await.unwrap();
        pair.record(&key).void_time
    };
    assert_eq!(void_time(Expiration::Seconds(10)).await, now + 10);
    assert_eq!(void_time(Expiration::Seconds(5)).await, now + 5);
    pair.server.configure(|config| config.apply_ttl_reductions = false);
    assert_eq!(void_time(Expiration::Seconds(4)).await, now + 5);
    assert_eq!(void_time(Expiration::Seconds(6)).await, now + 6);
    assert_eq!(void_time(Expiration::Never).await, 0);
    assert_eq!(void_time(Expiration::Seconds(6)).await, 0);
}

#[tokio::test]
async fn a_touch_does_not_prolong() {
    let pair = Pair::timeless().await;
    let key = key("a");
    pair.client.put(&ttl(Expiration::Seconds(10)), &key, &[as_bin!("n", 1)]).await.unwrap();
    pair.server.clock().advance(Duration::from_secs(8));
    pair.client.touch(&ttl(Expiration::Seconds(10)), &key).await.unwrap();
    pair.server.clock().advance(Duration::from_secs(8));
    assert_eq!(pair.get(&key).await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_clock_set_back_takes_the_update_time_with_it() {
    let pair = Pair::timeless().await;
    let key = key("a");
    pair.client.put(&writes(), &key, &[as_bin!("n", 1)]).await.unwrap();
    let written = pair.record(&key).last_update;
    assert_eq!(written, pair.server.clock().now());
    pair.server.clock().skew(-5000);
    pair.client.put(&writes(), &key, &[as_bin!("n", 2)]).await.unwrap();
    assert_eq!(pair.record(&key).last_update, written);
}

#[tokio::test]
async fn an_expired_record_counts_as_existing() {
    let pair = Pair::timeless().await;
    let key = key("a");
    let bins = [as_bin!("n", 1)];
    pair.client.put(&ttl(Expiration::Seconds(1)), &key, &bins).await.unwrap();
    pair.server.clock().advance(Duration::from_secs(3));
    let update = WritePolicy { record_exists_action: RecordExistsAction::UpdateOnly, ..writes() };
    assert_eq!(code(pair.client.put(&update, &key, &bins).await), 2);
    let create = WritePolicy { record_exists_action: RecordExistsAction::CreateOnly, ..writes() };
    pair.client.put(&create, &key, &bins).await.unwrap();
    assert_eq!(pair.record(&key).generation, 1);
}

#[tokio::test]
async fn a_delete_looks_whether_the_record_has_expired() {
    let pair = Pair::timeless().await;
    let key = key("a");
    pair.client.put(&ttl(Expiration::Seconds(1)), &key, &[as_bin!("n", 1)]).await.unwrap();
    pair.server.clock().advance(Duration::from_secs(3));
    assert!(pair.client.delete(&writes(), &key).await.unwrap());
    assert!(pair.server.records().is_empty());
}
