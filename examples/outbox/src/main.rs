//! A writer that knows of no cache, and a cache that hears of its changes by an outbox table.
//!
//!     cargo run -p outbox -- postgres://user:password@localhost/database
//!
//! Whatever it makes it makes in a schema of its own, and removes it at the end.

use std::error::Error;
use std::time::Duration;

use genfence::postgres::{Outbox, OutboxOptions};
use genfence::{Cache, Lookup};
use tokio_postgres::{Client, NoTls};

/// With TLS it is another connector, and all else is the same.
async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Changes the row, and says so in the same transaction: either both are there or neither is.
async fn rename(service: &mut Client, id: i64, name: &str) -> Result<(), tokio_postgres::Error> {
    let transaction = service.transaction().await?;
    let update = "UPDATE outbox_example.users SET name = $2, version = version + 1 WHERE id = $1 RETURNING version";
    let version: i64 = transaction.query_one(update, &[&id, &name]).await?.get(0);
    let tell = "INSERT INTO outbox_example.changes (key, version) VALUES ($1, $2)";
    transaction.execute(tell, &[&format!("user:{id}"), &version]).await?;
    transaction.commit().await
}

async fn name(reader: &Client, id: i64) -> Result<String, tokio_postgres::Error> {
    let select = "SELECT name FROM outbox_example.users WHERE id = $1";
    Ok(reader.query_one(select, &[&id]).await?.get(0))
}

/// Waits, for at most half a minute.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Result<(), Box<dyn Error>> {
    for _ in 0..3000 {
        if is_so().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("it did not come to this: {what}").into())
}

/// The cache may serve: what was loaded is found by the next reader.
async fn serves(cache: &Cache, reader: &Client) -> bool {
    let loaded = cache.get_or_fill("user:1", async || name(reader, 1).await.map(Some)).await;
    loaded.is_ok() && matches!(cache.lookup("user:1").await, Ok(Lookup::Hit(_)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let url = url.ok_or(
        "which database? cargo run -p outbox -- postgres://user:password@localhost/database",
    )?;
    let database = connect(&url).await?;
    let options =
        OutboxOptions::new().table("outbox_example.changes").followers("outbox_example.followers");
    database
        .batch_execute(&format!(
            "DROP SCHEMA IF EXISTS outbox_example CASCADE; CREATE SCHEMA outbox_example; {}
             CREATE TABLE outbox_example.users (id bigint PRIMARY KEY, name text, version bigint);
             INSERT INTO outbox_example.users VALUES (1, 'Ada', 1)",
            options.create()?
        ))
        .await?;
    let shown = show(&url, options).await;
    database.batch_execute("DROP SCHEMA outbox_example CASCADE").await?;
    shown
}

async fn show(url: &str, options: OutboxOptions) -> Result<(), Box<dyn Error>> {
    let (reader, mut writer) = (connect(url).await?, connect(url).await?);
    let cache = Cache::connect("memory://?ttl=5m&stream_bound=1s").await?;

    println!("1. A follower: from here on the cache knows how old what it was told is, and serves");
    let outbox = Outbox::open(connect(url).await?, "example", options).await?;
    let heartbeats = outbox.heartbeats(connect(url).await?).await?;
    let following = tokio::spawn(cache.follow(outbox).heartbeats(heartbeats).run());
    until("the cache serves", async || serves(&cache, &reader).await).await?;

    println!("2. A writer that knows of no cache renames the user, and the cache hears of it");
    rename(&mut writer, 1, "Ada Lovelace").await?;
    until("the cache has heard", async || cache.stats().changes_heard == 1).await?;
    let found = cache.get_or_fill("user:1", async || name(&reader, 1).await.map(Some)).await?;
    assert_eq!(found.as_deref(), Some(&b"Ada Lovelace"[..]));

    println!("3. A transaction stays open: what comes after it waits, so the cache serves nothing");
    until("the cache serves", async || serves(&cache, &reader).await).await?;
    let slow = writer.transaction().await?;
    slow.execute("UPDATE outbox_example.users SET version = version + 1", &[]).await?;
    until("the cache bypasses", async || {
        matches!(cache.lookup("user:1").await, Ok(Lookup::Bypass(_)))
    })
    .await?;
    slow.rollback().await?;
    until("the cache serves", async || serves(&cache, &reader).await).await?;
    println!("   it has ended, and the cache serves again");

    following.abort();
    println!("\n{} changes heard", cache.stats().changes_heard);
    Ok(())
}
