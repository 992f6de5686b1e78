//! Caches that follow a PostgreSQL server, which is started here: its outbox, its logical replication, and `genfence follow`.

#![cfg(all(unix, feature = "aerospike"))]

mod follow;
mod outbox;
mod replication;
#[expect(dead_code, reason = "the tests of the race use more of it")]
mod server;
mod settings;

use std::time::Duration;

use genfence::{ChangeBatch, ChangeStream, Changed, Heartbeat};
use tokio::time::timeout;

/// Far longer than anything here takes, so what takes longer hangs.
const BOUND: Duration = Duration::from_secs(60);

/// What comes next, and is confirmed.
async fn next<S: ChangeStream>(stream: &mut S) -> ChangeBatch<S::Position>
where
    S::Error: std::fmt::Debug,
    S::Position: Copy,
{
    let batch = timeout(BOUND, stream.next()).await.expect("nothing comes").unwrap().unwrap();
    stream.confirm(batch.position).await.unwrap();
    batch
}

/// Until there are so many changes, all confirmed.
async fn changes<S: ChangeStream>(stream: &mut S, many: usize) -> Vec<Changed>
where
    S::Error: std::fmt::Debug,
    S::Position: Copy,
{
    let mut changes = Vec::new();
    while changes.len() < many {
        changes.extend(next(stream).await.changes);
    }
    changes
}

/// What ends it.
async fn failure<S: ChangeStream>(stream: &mut S) -> S::Error
where
    S::Position: std::fmt::Debug,
{
    let next = timeout(BOUND, stream.next()).await.expect("nothing comes");
    next.expect_err("it goes on")
}

/// Nothing comes within a time in which what is there comes.
async fn nothing<S: ChangeStream>(stream: &mut S)
where
    S::Error: std::fmt::Debug,
    S::Position: std::fmt::Debug,
{
    if let Ok(batch) = timeout(Duration::from_millis(400), stream.next()).await {
        panic!("{batch:?}");
    }
}

fn changed(key: &'static str, version: u64) -> Changed {
    Changed::new(key).version(version)
}

fn beat(number: u64) -> Heartbeat {
    Heartbeat { follower: 7, number }
}

/// Until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..6000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}
