//! The database of record.

mod postgres;
mod sqlite;

use std::time::Duration;

use tokio::runtime::Handle;

use super::{Failure, Key, Version};
use postgres::Postgres;
use sqlite::Sqlite;

/// Where the truth is: one row per key, its version counted up by each change. It is gone when
/// this is dropped.
pub trait Source: Sync {
    /// A connection for one thread.
    fn connect(&self) -> Result<Box<dyn Connection>, Failure>;
}

/// One thread's way to the source.
pub trait Connection: Send {
    /// The latest committed version.
    fn read(&mut self, key: Key) -> Result<Version, Failure>;

    /// Changes the row in a transaction and commits it: the new version. `None`, and rolled back,
    /// if just before the COMMIT no time was `remaining`.
    fn write(
        &mut self,
        key: Key,
        remaining: &dyn Fn() -> Duration,
    ) -> Result<Option<Version>, Failure>;
}

/// What `--source` names.
pub enum Database {
    Sqlite,
    Postgres(Postgres),
}

impl Database {
    /// Finds out whether it is there.
    pub async fn open(source: &str) -> Result<Self, Failure> {
        match source.split_once("://") {
            None if source == "sqlite" => Ok(Database::Sqlite),
            Some(("postgres" | "postgresql", _)) => {
                Ok(Database::Postgres(Postgres::open(source).await?))
            }
            _ => {
                Err("--source: it must be sqlite or postgres://user:password@host:port/database"
                    .into())
            }
        }
    }

    /// What reports call it: no user, no password.
    pub fn name(&self) -> String {
        match self {
            Database::Sqlite => "sqlite".into(),
            Database::Postgres(server) => server.to_string(),
        }
    }

    /// A new source with rows for keys 0 to `keys` - 1.
    pub fn create(&self, keys: u32, runtime: &Handle) -> Result<Box<dyn Source>, Failure> {
        Ok(match self {
            Database::Sqlite => Box::new(Sqlite::create(keys)?),
            Database::Postgres(server) => Box::new(server.create(keys, runtime)?),
        })
    }
}
