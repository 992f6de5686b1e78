use std::thread;
use std::time::Duration;

use rusqlite::TransactionBehavior;
use tempfile::TempDir;

use super::{Connection, Failure, Key, Source, Version};

/// A file of SQLite. It need not survive a crash of the machine, only tell the truth until then.
pub struct Sqlite(TempDir);

impl Sqlite {
    pub fn create(keys: u32) -> Result<Self, Failure> {
        let source = Sqlite(tempfile::Builder::new().prefix("genfence-race-").tempdir()?);
        let rows = source.open()?;
        rows.pragma_update(None, "journal_mode", "wal")?;
        rows.execute_batch(
            "CREATE TABLE item (key INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
        )?;
        rows.execute(
            "WITH RECURSIVE keys(key) AS (SELECT 0 UNION ALL SELECT key + 1 FROM keys LIMIT ?1)
             INSERT INTO item SELECT key, 1 FROM keys",
            [keys],
        )?;
        Ok(source)
    }

    fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open(self.0.path().join("source.db"))?;
        connection.pragma_update(None, "synchronous", "off")?;
        // SQLite's own handler waits up to 100 ms between tries, far longer than a write takes.
        connection.busy_handler(Some(|tries| {
            thread::sleep(Duration::from_micros(100));
            tries < 100_000
        }))?;
        Ok(connection)
    }
}

impl Source for Sqlite {
    fn connect(&self) -> Result<Box<dyn Connection>, Failure> {
        Ok(Box::new(self.open()?))
    }
}

impl Connection for rusqlite::Connection {
    fn read(&mut self, key: Key) -> Result<Version, Failure> {
        let mut select = self.prepare_cached("SELECT version FROM item WHERE key = ?1")?;
        Ok(select.query_row([key], |row| row.get(0))?)
    }

    fn write(
        &mut self,
        key: Key,
        remaining: &dyn Fn() -> Duration,
    ) -> Result<Option<Version>, Failure> {
        let transaction = self.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = transaction
            .prepare_cached(
                "UPDATE item SET version = version + 1 WHERE key = ?1 RETURNING version",
            )?
            .query_row([key], |row| row.get(0))?;
        if remaining().is_zero() {
            return Ok(None);
        }
        transaction.commit()?;
        Ok(Some(version))
    }
}
