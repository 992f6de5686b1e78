//! A table of changes: nothing is passed by, nothing is removed too early.

use std::time::Duration;

use genfence::postgres::{CREATE_OUTBOX, Error, Outbox, OutboxOptions};
use genfence::{Cache, ChangeStream as _, Changed, HeartbeatWriter as _};
use tokio_postgres::Client;

use super::server::Postgres;
use super::{beat, changed, changes, failure, next, nothing, until};

async fn with_outbox() -> Option<(Postgres, Client)> {
    let postgres = Postgres::start().await?;
    let service = postgres.connect().await.unwrap();
    service.batch_execute(CREATE_OUTBOX).await.unwrap();
    Some((postgres, service))
}

async fn open(postgres: &Postgres, name: &str, options: OutboxOptions) -> Outbox {
    Outbox::open(postgres.connect().await.unwrap(), name, options).await.unwrap()
}

async fn follow(postgres: &Postgres, name: &str) -> Outbox {
    open(postgres, name, OutboxOptions::new()).await
}

fn tells(key: &str, version: u64) -> String {
    format!("INSERT INTO genfence_outbox (key, version) VALUES ('{key}', {version})")
}

async fn rows(service: &Client) -> i64 {
    let count = "SELECT count(*) FROM genfence_outbox";
    service.query_one(count, &[]).await.unwrap().get(0)
}

/// Whoever polls by the id alone has passed it by when it commits.
#[tokio::test]
async fn a_late_commit_under_a_lower_id_is_not_passed_by() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    let late = postgres.connect().await.unwrap();
    late.batch_execute(&format!("BEGIN; {}", tells("late", 1))).await.unwrap();
    service.batch_execute(&tells("early", 2)).await.unwrap();
    nothing(&mut outbox).await;
    late.batch_execute("COMMIT").await.unwrap();
    let told = changes(&mut outbox, 2).await;
    assert_eq!(told, [changed("late", 1), changed("early", 2)]);
    nothing(&mut outbox).await;
}

/// Its transaction began first, and took its id last: the ids of rows are not in the order of transactions.
#[tokio::test]
async fn a_row_of_an_older_transaction_with_a_greater_id_does_not_hide_those_before() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = open(&postgres, "eu", OutboxOptions::new().batch(1)).await;
    let older = postgres.connect().await.unwrap();
    older.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    service.batch_execute(&tells("younger", 1)).await.unwrap();
    older.batch_execute(&format!("{}; COMMIT", tells("older", 2))).await.unwrap();
    let told = changes(&mut outbox, 2).await;
    assert_eq!(told, [changed("older", 2), changed("younger", 1)]);
    nothing(&mut outbox).await;
}

#[tokio::test]
async fn a_transaction_that_was_rolled_back_leaves_a_gap_that_nobody_waits_for() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    service.batch_execute(&format!("BEGIN; {}; ROLLBACK", tells("never", 1))).await.unwrap();
    service.batch_execute(&tells("a", 1)).await.unwrap();
    assert_eq!(changes(&mut outbox, 1).await, [changed("a", 1)]);
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_and_what_was_does_not() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut crashed = open(&postgres, "eu", OutboxOptions::new().batch(2)).await;
    let insert = "INSERT INTO genfence_outbox (key) SELECT 'k' || n FROM generate_series(1, 4) n";
    service.batch_execute(insert).await.unwrap();
    let names = |from: u32| (from..=4).map(|n| Changed::new(format!("k{n}"))).collect::<Vec<_>>();
    assert_eq!(changes(&mut crashed, 2).await, names(1)[..2]);
    assert_eq!(crashed.next().await.unwrap().unwrap().changes, names(3));
    drop(crashed);
    let mut again = follow(&postgres, "eu").await;
    assert_eq!(changes(&mut again, 2).await, names(3));
    let mut other = follow(&postgres, "us").await;
    assert_eq!(changes(&mut other, 4).await, names(1));
}

#[tokio::test]
async fn a_heartbeat_does_not_overtake_a_transaction_that_is_open() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    let mut beats = outbox.heartbeats(postgres.connect().await.unwrap()).await.unwrap();
    beats.write(beat(1)).await.unwrap();
    assert_eq!(next(&mut outbox).await.heartbeats, [beat(1)]);
    service.batch_execute(&format!("BEGIN; {}", tells("a", 1))).await.unwrap();
    beats.write(beat(2)).await.unwrap();
    nothing(&mut outbox).await;
    service.batch_execute("COMMIT").await.unwrap();
    let batch = next(&mut outbox).await;
    assert_eq!((batch.changes, batch.heartbeats), (vec![changed("a", 1)], vec![beat(2)]));
}

/// The same from the caller's side.
#[tokio::test]
async fn a_cache_bypasses_while_a_transaction_is_open_and_serves_again() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let cache = Cache::connect("memory://?stream_bound=500ms").await.unwrap();
    let outbox = follow(&postgres, "eu").await;
    let beats = outbox.heartbeats(postgres.connect().await.unwrap()).await.unwrap();
    let following = tokio::spawn(cache.follow(outbox).heartbeats(beats).run());
    let serves = async || {
        let _: Result<_, _> = cache.set("k", "v").await;
        cache.get("k").await.unwrap().is_some()
    };
    until("it serves", serves).await;
    service.batch_execute(&format!("BEGIN; {}", tells("k", 1))).await.unwrap();
    until("it bypasses", async || cache.get("k").await.unwrap().is_none()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(cache.get("k").await.unwrap().is_none());
    service.batch_execute("COMMIT").await.unwrap();
    until("it has heard", async || cache.stats().changes_heard == 1).await;
    until("it serves", serves).await;
    following.abort();
}

#[tokio::test]
async fn only_what_every_follower_has_confirmed_is_removed_and_in_pieces() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let (mut eu, mut us) = (follow(&postgres, "eu").await, follow(&postgres, "us").await);
    for version in 1..=6 {
        service.batch_execute(&tells("k", version)).await.unwrap();
    }
    assert_eq!(changes(&mut eu, 6).await.len(), 6);
    assert_eq!(eu.remove_confirmed(100).await.unwrap(), 0, "us has seen nothing");
    let mut slow = open(&postgres, "us", OutboxOptions::new().batch(4)).await;
    next(&mut slow).await;
    let unconfirmed = slow.next().await.unwrap().unwrap();
    assert_eq!(unconfirmed.changes, [changed("k", 5), changed("k", 6)]);
    assert_eq!(eu.remove_confirmed(3).await.unwrap(), 3);
    assert_eq!(eu.remove_confirmed(3).await.unwrap(), 1);
    assert_eq!(rows(&service).await, 2);
    // Who is behind himself does not put the place back.
    let old = us.next().await.unwrap().unwrap();
    assert_eq!(old.changes.len(), 2);
    slow.confirm(unconfirmed.position).await.unwrap();
    let first = genfence::postgres::OutboxPosition { transaction: 1, id: 1 };
    us.confirm(first).await.unwrap();
    assert_eq!(us.remove_confirmed(100).await.unwrap(), 2);
}

#[tokio::test]
async fn a_stream_removes_by_itself_and_nothing_goes_where_nobody_follows() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    let many = "INSERT INTO genfence_outbox (key) SELECT 'k' || n FROM generate_series(1, 12000) n";
    service.batch_execute(many).await.unwrap();
    assert_eq!(changes(&mut outbox, 12_000).await.len(), 12_000);
    let left = rows(&service).await;
    assert!(left < 5000, "{left}");
    service.batch_execute("TRUNCATE genfence_outbox_followers").await.unwrap();
    service.batch_execute(&tells("k", 1)).await.unwrap();
    assert_eq!(outbox.remove_confirmed(100_000).await.unwrap(), 0);
    let batch = outbox.next().await.unwrap().unwrap();
    let error = outbox.confirm(batch.position).await.unwrap_err();
    assert!(matches!(&error, Error::Forgotten(name) if name == "eu") && error.is_lasting());
}

#[tokio::test]
async fn other_names_and_keys_of_bytes_are_as_good() {
    let Some(postgres) = Postgres::start().await else { return };
    let service = postgres.connect().await.unwrap();
    let options = OutboxOptions::new().table("Shop.out\"box'; --").followers("Shop.who");
    let create = options.create().unwrap().replace("key text", "key bytea");
    service.batch_execute(&format!("CREATE SCHEMA \"Shop\"; {create}")).await.unwrap();
    let insert = "INSERT INTO \"Shop\".\"out\"\"box'; --\" (key, version) VALUES ('\\x00ff', NULL)";
    service.batch_execute(insert).await.unwrap();
    let mut outbox = open(&postgres, "e'u", options).await;
    assert_eq!(changes(&mut outbox, 1).await, [Changed::new(vec![0, 255])]);
    assert_eq!(outbox.remove_confirmed(9).await.unwrap(), 1);
}

#[tokio::test]
async fn a_row_that_is_none_is_an_error_and_so_is_what_is_out_of_bounds() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let client = async || postgres.connect().await.unwrap();
    for (options, named) in [
        (OutboxOptions::new().table("a.b.c"), "table: "),
        (OutboxOptions::new().followers(""), "followers: "),
        (OutboxOptions::new().pause(Duration::ZERO), "pause: 0ns is out of bounds, must be 1ms"),
        (OutboxOptions::new().batch(0), "batch: 0 is out of bounds, must be 1 to 100000"),
        (OutboxOptions::new().table("none"), "PostgreSQL: "),
    ] {
        let error = Outbox::open(client().await, "eu", options).await.unwrap_err();
        assert!(error.to_string().starts_with(named) && error.is_lasting(), "{error}");
    }
    let mut outbox = follow(&postgres, "eu").await;
    service.batch_execute(&tells("a", 1).replace("1)", "-1)")).await.unwrap();
    let error = failure(&mut outbox).await;
    assert!(error.to_string().contains("negative") && error.is_lasting(), "{error}");
}

#[tokio::test]
async fn a_lost_connection_ends_the_stream_also_that_of_the_heartbeats() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    let theirs = postgres.connect().await.unwrap();
    let pid: i32 = theirs.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let mut beats = outbox.heartbeats(theirs).await.unwrap();
    service.query_one("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    until("it is lost", async || {
        let failed = beats.write(beat(1)).await.is_err();
        let ended = tokio::time::timeout(Duration::from_millis(200), outbox.next()).await;
        failed && matches!(ended, Ok(Err(Error::HeartbeatsLost)))
    })
    .await;
    let mut outbox = follow(&postgres, "eu").await;
    let mut postgres = postgres;
    postgres.crash();
    let error = failure(&mut outbox).await;
    assert!(!error.is_lasting(), "{error}");
}

/// As the page shows it.
#[tokio::test]
async fn the_trigger_of_the_documentation_tells_of_every_change() {
    let Some((postgres, service)) = with_outbox().await else { return };
    let mut outbox = follow(&postgres, "eu").await;
    let users = "CREATE TABLE users (id bigint PRIMARY KEY, version bigint NOT NULL)";
    service.batch_execute(users).await.unwrap();
    let page = include_str!("../../docs/following.md");
    let trigger = page.split("```sql\n").find(|part| part.starts_with("CREATE FUNCTION")).unwrap();
    service.batch_execute(trigger.split("```").next().unwrap()).await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (1, 1)").await.unwrap();
    service.batch_execute("UPDATE users SET version = 2").await.unwrap();
    service.batch_execute("UPDATE users SET id = 2, version = 3").await.unwrap();
    service.batch_execute("DELETE FROM users").await.unwrap();
    let gone = |key| Changed::new(key);
    let moved = [gone("user:1"), changed("user:2", 3), gone("user:2")];
    let told = changes(&mut outbox, 5).await;
    assert_eq!(told[..2], [changed("user:1", 1), changed("user:1", 2)]);
    assert_eq!(told[2..], moved);
}
