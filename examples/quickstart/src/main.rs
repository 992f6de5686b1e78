//! The main job in one file: an embedded cache in front of SQLite. Nothing to install.
//!
//!     cargo run -p quickstart
//!
//! It reads through the cache, changes the database under a reservation, and then crosses a reader
//! with a writer on purpose: once with the plain way of caching, which goes on serving the old
//! value, and once with genfence, which does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use genfence::{Cache, FillOutcome, Fresh, Lookup, Reservation, SourceResult, UpdateOutcome};
use rusqlite::{Connection, OptionalExtension, params};

/// The database of record: one table, users by id.
#[derive(Clone)]
struct Users(Arc<Mutex<Connection>>);

impl Users {
    fn create() -> rusqlite::Result<Self> {
        let database = Connection::open_in_memory()?;
        database.execute_batch(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
             INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');",
        )?;
        Ok(Users(Arc::new(Mutex::new(database))))
    }

    /// What a loader does: reads the latest committed state. `None`: there is no such user.
    fn name(&self, id: i64) -> rusqlite::Result<Option<String>> {
        let database = self.0.lock().unwrap();
        let mut select = database.prepare_cached("SELECT name FROM users WHERE id = ?1")?;
        select.query_row([id], |row| row.get(0)).optional()
    }

    /// Returns after COMMIT.
    fn rename(&self, id: i64, name: &str) -> rusqlite::Result<()> {
        let mut database = self.0.lock().unwrap();
        let transaction = database.transaction()?;
        transaction.execute("UPDATE users SET name = ?2 WHERE id = ?1", params![id, name])?;
        transaction.commit()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("An embedded cache in front of SQLite, both in this process.\n");
    let users = Users::create()?;
    let cache = Cache::connect("memory://?ttl=5m&prefix=users:").await?;

    println!("1. Reading through the cache");
    for attempt in ["first", "second"] {
        let before = cache.stats().hits;
        let name = cache.get_or_fill("1", async || users.name(1)).await?;
        let from = if cache.stats().hits > before { "the cache" } else { "SQLite" };
        println!("   the {attempt} read of user 1 gives {} from {from}", text(name.as_deref()));
    }
    let nobody = cache.get_or_fill("99", async || users.name(99)).await?;
    println!("   user 99 is {}, and that is remembered, too", text(nobody.as_deref()));

    println!("\n2. Changing the database under a reservation");
    let update = cache
        .update("1", async |_: &Reservation| {
            users.rename(1, "Ada Lovelace")?;
            Ok::<_, rusqlite::Error>(SourceResult::Committed(Fresh::from("Ada Lovelace")))
        })
        .await?;
    assert_eq!(update, UpdateOutcome::Stored);
    let name = cache.get("1").await?.and_then(|hit| hit.value);
    println!("   the cache holds {} before anybody asked again", text(name.as_deref()));

    println!("\n3. A reader and a writer cross, cached the plain way");
    let mut plain: HashMap<i64, String> = HashMap::new();
    let read_earlier = users.name(2)?.unwrap();
    println!("   reader: misses, and reads {read_earlier} from SQLite …");
    users.rename(2, "Grace Hopper")?;
    plain.remove(&2);
    println!("   writer: … renames her to Grace Hopper, and deletes the key from the cache …");
    plain.insert(2, read_earlier);
    println!("   reader: … and stores what it read");
    println!("   cache: {}   database: {}", plain[&2], users.name(2)?.unwrap());
    println!("   STALE, until the time to live is over");

    println!("\n4. The same crossing with genfence");
    let Lookup::Leased(lease) = cache.lookup("2").await? else { unreachable!("nobody asked yet") };
    let read_earlier = users.name(2)?.unwrap();
    println!("   reader: misses, takes the lease, and reads {read_earlier} from SQLite …");
    let reservation = cache.reserve("2").await?;
    users.rename(2, "Rear Admiral Hopper")?;
    let commit = reservation.commit("Rear Admiral Hopper").await?;
    println!("   writer: … reserves, renames her to Rear Admiral Hopper, and commits: {commit:?}");
    let fill = lease.fill(read_earlier).await?;
    assert!(matches!(fill, FillOutcome::Rejected(_)));
    println!("   reader: … and fills with what it read: {fill:?}");
    let name = cache.get("2").await?.and_then(|hit| hit.value);
    println!("   cache: {}   database: {}", text(name.as_deref()), users.name(2)?.unwrap());
    assert_eq!(text(name.as_deref()), users.name(2)?.unwrap());
    println!("   A lost race is an outcome, not an error, and never a wrong value.");

    println!("\n5. A writer dies half-way");
    drop(cache.reserve("1").await?);
    users.rename(1, "Countess of Lovelace")?;
    let name = cache.get_or_fill("1", async || users.name(1)).await?;
    println!("   readers go to SQLite, {}, until the reservation expires", text(name.as_deref()));

    println!("\n{:#?}", cache.stats());
    Ok(())
}

fn text(value: Option<&[u8]>) -> String {
    value.map_or("nobody".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}
