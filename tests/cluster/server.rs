//! What a cluster does with records through harm: the same on the wire test server as on a real one.

use std::time::Duration;

use aerospike::policy::ReadModeAp;
use aerospike::{Bin, Bins, Client, Error, Key, ReadPolicy, ResultCode, Value, WritePolicy};

use crate::harm::{Cluster, Wins};

const PATIENCE: u32 = 2_000;

async fn put(client: &Client, key: &Key, value: i64) -> Result<(), Error> {
    let mut policy = WritePolicy::default();
    policy.base_policy.total_timeout = PATIENCE;
    policy.base_policy.max_retries = 0;
    client.put(&policy, key, &[Bin::new("v", Value::Int(value))]).await
}

async fn delete(client: &Client, key: &Key) {
    assert!(client.delete(&WritePolicy::default(), key).await.unwrap(), "it was there");
}

/// The value, as all copies have it together; `None` where there is no record.
async fn get(client: &Client, key: &Key) -> Option<i64> {
    read(client, key, ReadModeAp::All).await
}

async fn read(client: &Client, key: &Key, mode: ReadModeAp) -> Option<i64> {
    let mut policy = ReadPolicy::default();
    policy.base_policy.total_timeout = 10 * PATIENCE;
    policy.base_policy.socket_timeout = 0;
    policy.base_policy.max_retries = 0;
    policy.base_policy.read_mode_ap = mode;
    match client.get(&policy, key, Bins::All).await {
        Ok(record) => match record.bins.get("v") {
            Some(Value::Int(value)) => Some(*value),
            other => panic!("another value: {other:?}"),
        },
        Err(error) if error.server_result_code() == Some(ResultCode::KeyNotFoundError) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Everything below, on one cluster that is whole before and after.
pub async fn behaves(cluster: &Cluster) {
    cluster.decides(Wins::LastUpdate).await;
    cluster.whole().await;
    let run = std::process::id();
    a_paused_node_comes_back_with_what_it_had(cluster, &format!("paused{run}-")).await;
    a_removed_record_comes_back(cluster, &format!("removed{run}-")).await;
    what_nobody_confirmed_is_applied(cluster, &format!("doubt{run}-")).await;
    either_side_of_a_split_goes_on(cluster, &format!("split{run}-")).await;
    who_was_written_more_often_wins_by_generation(cluster, &format!("often{run}-")).await;
    a_killed_node_is_stood_in_for(cluster, &format!("killed{run}-")).await;
}

async fn a_paused_node_comes_back_with_what_it_had(cluster: &Cluster, name: &str) {
    let key = cluster.key_at(2, name).await;
    let last = cluster.client(2).await;
    put(&last, &key, 1).await.unwrap();
    cluster.pause(2).await;
    cluster.noticed(&[0, 1]).await;
    let other = cluster.client_of(&key, &[0, 1]).await;
    put(&other, &key, 2).await.unwrap();
    assert_eq!(get(&other, &key).await, Some(2));
    // It lies in the node's buffers, and is what it looks at first.
    let reading = tokio::spawn({
        let key = key.clone();
        async move { get(&last, &key).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.resume(2).await;
    assert_eq!(reading.await.unwrap(), Some(1), "it knows of nothing");
    cluster.whole().await;
    assert_eq!(seen(cluster, &key).await, Some(2), "the newest wins");
}

/// What there is in the end.
async fn seen(cluster: &Cluster, key: &Key) -> Option<i64> {
    get(&cluster.client_of(key, &[0, 1, 2]).await, key).await
}

async fn a_removed_record_comes_back(cluster: &Cluster, name: &str) {
    let key = cluster.key_at(2, name).await;
    put(&cluster.client(2).await, &key, 1).await.unwrap();
    cluster.pause(2).await;
    cluster.noticed(&[0, 1]).await;
    let other = cluster.client_of(&key, &[0, 1]).await;
    delete(&other, &key).await;
    assert_eq!(get(&other, &key).await, None);
    cluster.resume(2).await;
    cluster.whole().await;
    assert_eq!(seen(cluster, &key).await, Some(1), "it left nothing behind");
}

async fn what_nobody_confirmed_is_applied(cluster: &Cluster, name: &str) {
    let key = cluster.key_at(2, name).await;
    let last = cluster.client(2).await;
    put(&last, &key, 1).await.unwrap();
    cluster.cut(2).await;
    let (mut policy, bin) = (WritePolicy::default(), Bin::new("v", Value::Int(2)));
    policy.base_policy.total_timeout = 200;
    policy.base_policy.max_retries = 0;
    let unanswered = last.put(&policy, &key, std::slice::from_ref(&bin)).await;
    assert!(unanswered.is_err(), "its copy cannot be written");
    assert_eq!(get(&last, &key).await, Some(2));
    cluster.mend(2).await;
    cluster.whole().await;
    assert_eq!(seen(cluster, &key).await, Some(2));
}

async fn either_side_of_a_split_goes_on(cluster: &Cluster, name: &str) {
    let (here, there) = (cluster.key_at(2, name).await, cluster.key_at(0, name).await);
    for key in [&here, &there] {
        put(&cluster.client_of(key, &[0, 2]).await, key, 1).await.unwrap();
    }
    cluster.cut(2).await;
    cluster.noticed(&[0, 1]).await;
    cluster.noticed(&[2]).await;
    let last = cluster.client(2).await;
    let (first, second) =
        (cluster.client_of(&here, &[0, 1]).await, cluster.client_of(&there, &[0, 1]).await);
    let writes = [(&last, &here, 2), (&first, &here, 3), (&second, &there, 2), (&last, &there, 3)];
    for (client, key, value) in writes {
        put(client, key, value).await.unwrap();
        // Times are reckoned in milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((get(&first, &here).await, get(&last, &here).await), (Some(3), Some(2)));
    cluster.mend(2).await;
    cluster.whole().await;
    assert_eq!((seen(cluster, &here).await, seen(cluster, &there).await), (Some(3), Some(3)));
}

async fn who_was_written_more_often_wins_by_generation(cluster: &Cluster, name: &str) {
    cluster.decides(Wins::Generation).await;
    let key = cluster.key_at(2, name).await;
    let last = cluster.client(2).await;
    for value in 1..=3 {
        put(&last, &key, value).await.unwrap();
    }
    cluster.pause(2).await;
    cluster.noticed(&[0, 1]).await;
    let other = cluster.client_of(&key, &[0, 1]).await;
    delete(&other, &key).await;
    put(&other, &key, 4).await.unwrap();
    cluster.resume(2).await;
    cluster.whole().await;
    assert_eq!(seen(cluster, &key).await, Some(3), "it is older, and of a higher generation");
    cluster.decides(Wins::LastUpdate).await;
}

async fn a_killed_node_is_stood_in_for(cluster: &Cluster, name: &str) {
    let key = cluster.key_at(2, name).await;
    put(&cluster.client(2).await, &key, 1).await.unwrap();
    cluster.kill(2).await;
    cluster.noticed(&[0, 1]).await;
    let other = cluster.client_of(&key, &[0, 1]).await;
    assert_eq!(get(&other, &key).await, Some(1), "the other copy");
    put(&other, &key, 2).await.unwrap();
    cluster.start(2).await;
    cluster.whole().await;
    assert_eq!(seen(cluster, &key).await, Some(2), "it came back empty");
}

/// Until the records have moved the node may answer that has the older copy. A real cluster cannot be held there.
pub async fn a_read_asks_all_copies_if_it_says_so(cluster: &Cluster) {
    let Cluster::Wire(nodes) = cluster else { unreachable!("only one that can be held") };
    let key = cluster.key_at(0, "all").await;
    let first = cluster.client(0).await;
    put(&first, &key, 1).await.unwrap();
    cluster.pause(0).await;
    cluster.noticed(&[1, 2]).await;
    put(&cluster.client_of(&key, &[1, 2]).await, &key, 2).await.unwrap();
    cluster.resume(0).await;
    nodes.notice();
    assert_eq!(nodes.master(&key.digest(), 1), 0, "its copy is whole, and it is the first");
    assert_eq!(read(&first, &key, ReadModeAp::One).await, Some(1));
    assert_eq!(read(&first, &key, ReadModeAp::All).await, Some(2));
    cluster.whole().await;
    assert_eq!(read(&first, &key, ReadModeAp::One).await, Some(2));
}
