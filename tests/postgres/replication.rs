//! What the log says of tables: each row that was changed is told of, by all keys that it had.

use genfence::postgres::{Error, MappedTable, Replication, ReplicationOptions};
use genfence::{ChangeStream as _, HeartbeatWriter as _};
use tokio_postgres::Client;

use super::server::Postgres;
use super::{beat, changed, changes, failure, next, nothing};

const TABLES: &str =
    "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, version bigint NOT NULL);
    CREATE TABLE rest (a int, b text, PRIMARY KEY (a, b))";

fn options() -> ReplicationOptions {
    let users = MappedTable::new("users", "user:{id}").version("version");
    ReplicationOptions::new("genfence_eu", "genfence")
        .table(users)
        .table(MappedTable::new("public.rest", "{b}/{a}").without_version())
}

async fn with_slot(options: &ReplicationOptions) -> Option<(Postgres, Client)> {
    let postgres = Postgres::start().await?;
    let service = postgres.connect().await.unwrap();
    service.batch_execute(TABLES).await.unwrap();
    for statement in options.create().unwrap() {
        service.batch_execute(&statement).await.unwrap();
    }
    Some((postgres, service))
}

async fn open(postgres: &Postgres, options: &ReplicationOptions) -> Result<Replication, Error> {
    Replication::open(postgres.connect().await.unwrap(), options.clone()).await
}

#[tokio::test]
async fn inserts_updates_and_deletes_are_told_by_key_and_version() {
    let Some((postgres, service)) = with_slot(&options()).await else { return };
    let mut stream = open(&postgres, &options()).await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (1, 'a', 1), (2, 'b', 1)").await.unwrap();
    service.batch_execute("UPDATE users SET version = 2 WHERE id = 1").await.unwrap();
    service.batch_execute("UPDATE users SET id = 3, version = 5 WHERE id = 2").await.unwrap();
    service.batch_execute("DELETE FROM users WHERE id = 1").await.unwrap();
    service.batch_execute("INSERT INTO rest VALUES (4, 'x')").await.unwrap();
    let told = changes(&mut stream, 7).await;
    let expected = [
        changed("user:1", 1),
        changed("user:2", 1),
        changed("user:1", 2),
        // The new key, and the old one.
        changed("user:3", 5),
        changed("user:2", 5),
        // Its identity does not tell of the version.
        genfence::Changed::new("user:1"),
        genfence::Changed::new("x/4"),
    ];
    assert_eq!(told, expected);
    service.batch_execute("ALTER TABLE users REPLICA IDENTITY FULL").await.unwrap();
    service.batch_execute("DELETE FROM users").await.unwrap();
    assert_eq!(changes(&mut stream, 1).await, [changed("user:3", 6)]);
    service.batch_execute("BEGIN; INSERT INTO users VALUES (9, '', 1); ROLLBACK").await.unwrap();
    nothing(&mut stream).await;
}

#[tokio::test]
async fn without_a_column_the_version_is_where_the_commit_stands() {
    let options = ReplicationOptions::new("s", "Pub'\"lication")
        .table(MappedTable::new("users", "user:{id}"));
    let Some((postgres, service)) = with_slot(&options).await else { return };
    let mut stream = open(&postgres, &options).await.unwrap();
    let lsn = async || -> u64 {
        let row = service.query_one("SELECT pg_current_wal_insert_lsn()", &[]).await.unwrap();
        row.get::<_, tokio_postgres::types::PgLsn>(0).into()
    };
    let before = lsn().await;
    service.batch_execute("INSERT INTO users VALUES (1, 'a', 1)").await.unwrap();
    let version = changes(&mut stream, 1).await[0].version.unwrap();
    assert!(before < version && version <= lsn().await);
    service.batch_execute("UPDATE users SET email = 'b'").await.unwrap();
    assert!(changes(&mut stream, 1).await[0].version.unwrap() > version);
}

#[tokio::test]
async fn a_truncate_ends_the_stream_after_what_came_before_and_never_is_passed_by() {
    let Some((postgres, service)) = with_slot(&options()).await else { return };
    let mut stream = open(&postgres, &options()).await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (1, 'a', 1)").await.unwrap();
    service.batch_execute("TRUNCATE users").await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (2, 'a', 1)").await.unwrap();
    assert_eq!(changes(&mut stream, 1).await, [changed("user:1", 1)]);
    let error = failure(&mut stream).await;
    assert!(stream.next().await.is_err(), "it is over");
    drop(stream);
    let Error::Truncated { table, at } = &error else { panic!("{error}") };
    assert!(table == "public.users" && error.is_lasting(), "{error}");
    // Nor by another one, until somebody has said so.
    let mut again = open(&postgres, &options()).await.unwrap();
    assert!(matches!(again.next().await, Err(Error::Truncated { .. })));
    drop(again);
    let advance = format!("SELECT pg_replication_slot_advance('genfence_eu', '{at}')");
    service.batch_execute(&advance).await.unwrap();
    let mut after = open(&postgres, &options()).await.unwrap();
    assert_eq!(changes(&mut after, 1).await, [changed("user:2", 1)]);
}

#[tokio::test]
async fn a_key_that_deletes_do_not_tell_of_names_the_table() {
    let options = ReplicationOptions::new("genfence_eu", "genfence")
        .table(MappedTable::new("users", "user:{email}"));
    let Some((postgres, service)) = with_slot(&options).await else { return };
    let mut stream = open(&postgres, &options).await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (1, 'a', 1)").await.unwrap();
    assert_eq!(changes(&mut stream, 1).await[0].key, "user:a");
    service.batch_execute("UPDATE users SET email = 'b'").await.unwrap();
    let error = failure(&mut stream).await.to_string();
    assert!(error.contains("public.users lacks the column email"), "{error}");
    assert!(error.contains("ALTER TABLE public.users REPLICA IDENTITY FULL"), "{error}");
}

#[tokio::test]
async fn a_large_transaction_comes_in_pieces_and_is_confirmed_as_a_whole() {
    let Some((postgres, service)) = with_slot(&options()).await else { return };
    let insert = "INSERT INTO users SELECT n, 'e', 1 FROM generate_series(1, 20000) n";
    service.batch_execute(insert).await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (0, 'last', 1)").await.unwrap();
    let mut crashed = open(&postgres, &options()).await.unwrap();
    for piece in 0..5 {
        let batch = next(&mut crashed).await;
        assert!((1990..=2000).contains(&batch.changes.len()), "{piece}: {}", batch.changes.len());
        assert_eq!(batch.position.lsn, None);
    }
    drop(crashed);
    let mut stream = open(&postgres, &options()).await.unwrap();
    let mut keys: Vec<_> =
        changes(&mut stream, 20_001).await.into_iter().map(|told| told.key).collect();
    assert_eq!((keys.len(), &keys[20_000]), (20_001, &"user:0".into()));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 20_001);
    drop(stream);
    let mut after = open(&postgres, &options()).await.unwrap();
    nothing(&mut after).await;
}

#[tokio::test]
async fn a_heartbeat_comes_after_all_that_was_committed_before_it() {
    let Some((postgres, service)) = with_slot(&options()).await else { return };
    let mut stream = open(&postgres, &options()).await.unwrap();
    let mut beats = stream.heartbeats(postgres.connect().await.unwrap()).await.unwrap();
    let late = postgres.connect().await.unwrap();
    late.batch_execute("BEGIN; INSERT INTO users VALUES (1, 'late', 1)").await.unwrap();
    service.batch_execute("INSERT INTO users VALUES (2, 'early', 1)").await.unwrap();
    beats.write(beat(1)).await.unwrap();
    late.batch_execute("COMMIT").await.unwrap();
    beats.write(beat(2)).await.unwrap();
    let (mut told, mut heard) = (Vec::new(), Vec::new());
    while heard.len() < 2 {
        let batch = next(&mut stream).await;
        // One that is open holds nobody back here: it is told of where it commits.
        if batch.heartbeats.first() == Some(&beat(1)) && batch.heartbeats.len() == 1 {
            assert!(told.is_empty() || told == [changed("user:2", 1)]);
        }
        told.extend(batch.changes);
        heard.extend(batch.heartbeats);
    }
    assert_eq!(told, [changed("user:2", 1), changed("user:1", 1)]);
    assert_eq!(heard, [beat(1), beat(2)]);
}

#[tokio::test]
async fn what_does_not_fit_is_named_before_anything_is_read() {
    let Some((postgres, service)) = with_slot(&options()).await else { return };
    let one = |slot: &str, publication: &str| {
        ReplicationOptions::new(slot, publication).table(MappedTable::new("users", "user:{id}"))
    };
    let rest = || MappedTable::new("rest", "{a}");
    let physical = "SELECT pg_create_physical_replication_slot('physical')";
    service.batch_execute(physical).await.unwrap();
    for (options, named) in [
        (one("none", "genfence").table(rest()), "no replication slot \"none\""),
        (one("physical", "genfence").table(rest()), "with pgoutput"),
        (one("genfence_eu", "genfence"), "public.rest"),
        (one("genfence_eu", "none"), "does not have the table public.users"),
        (ReplicationOptions::new("genfence_eu", "genfence"), "tables: there must be one"),
        (one("genfence_eu", ""), "publication: "),
        (one("genfence_eu", "genfence").table(MappedTable::new("rest", "{a")), "key: "),
        (one("genfence_eu", "genfence").batch(0), "batch: 0 is out of bounds"),
    ] {
        let error = open(&postgres, &options).await.unwrap_err();
        assert!(error.to_string().contains(named) && error.is_lasting(), "{error}");
    }
    let unknown = one("genfence_eu", "genfence").table(MappedTable::new("rest", "{nothing}"));
    let mut stream = open(&postgres, &unknown).await.unwrap();
    service.batch_execute("INSERT INTO rest VALUES (1, 'a')").await.unwrap();
    let error = failure(&mut stream).await.to_string();
    assert!(error.contains("public.rest is published without a column nothing"), "{error}");
}
