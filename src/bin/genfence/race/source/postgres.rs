use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::{Connection, Failure, Key, Source, Version};
use crate::postgres::{ADVICE, CONNECTING, Server, told};

/// A server of PostgreSQL, without TLS.
#[derive(Clone)]
pub struct Postgres(Arc<Server>);

/// How long the server may take over anything else.
const PATIENCE: Duration = Duration::from_secs(10);

impl Postgres {
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let server = Server::parse(url, "genfence race", None);
        let server = Postgres(Arc::new(server.map_err(|problem| format!("--source: {problem}"))?));
        server.0.connect().await.map_err(|problem| format!("--source: {problem}; {ADVICE}"))?;
        Ok(server)
    }

    /// A table of this race's own.
    pub fn create(&self, keys: u32, runtime: &Handle) -> Result<Table, Failure> {
        let name = format!("genfence_race_{:016x}", rand::random::<u64>());
        // From here on it is dropped, even if nobody heard that it was created.
        let table = Table { server: self.clone(), name, runtime: runtime.clone() };
        let name = &table.name;
        let rows = format!(
            "CREATE TABLE {name} (key bigint PRIMARY KEY, version bigint NOT NULL);
             INSERT INTO {name} SELECT key, 1 FROM generate_series(0, {keys} - 1) key"
        );
        let created = runtime.block_on(async {
            let client = self.0.connect().await?;
            answered(client.batch_execute(&rows)).await
        });
        created.map_err(|problem| {
            format!("--source: the race needs a database where it may create tables: {problem}")
        })?;
        Ok(table)
    }
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One strategy's table.
pub struct Table {
    server: Postgres,
    name: String,
    runtime: Handle,
}

impl Source for Table {
    fn connect(&self) -> Result<Box<dyn Connection>, Failure> {
        let name = &self.name;
        let select = format!("SELECT version FROM {name} WHERE key = $1");
        let update =
            format!("UPDATE {name} SET version = version + 1 WHERE key = $1 RETURNING version");
        let connecting = async {
            let client = self.server.0.connect().await.map_err(|problem| {
                format!("{problem}; each reader and each writer needs a connection")
            })?;
            let select = answered(client.prepare(&select)).await?;
            let update = answered(client.prepare(&update)).await?;
            Ok::<_, Failure>(Connected { client, select, update, runtime: self.runtime.clone() })
        };
        Ok(Box::new(self.runtime.block_on(connecting)?))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let Table { server, name, runtime } = self;
        // A transaction whose client is gone holds the table until the server has noticed.
        let wait = CONNECTING.as_millis();
        let drop = format!("SET lock_timeout = {wait}; DROP TABLE IF EXISTS {name}");
        let dropped = runtime.block_on(async {
            let client = server.0.connect().await?;
            answered(client.batch_execute(&drop)).await
        });
        if let Err(problem) = dropped {
            eprintln!("the table {name} may be left behind, and can be dropped: {problem}");
        }
    }
}

struct Connected {
    client: Client,
    select: Statement,
    update: Statement,
    runtime: Handle,
}

impl Connection for Connected {
    fn read(&mut self, key: Key) -> Result<Version, Failure> {
        let key = i64::try_from(key)?;
        let row = self.runtime.block_on(answered(self.client.query_one(&self.select, &[&key])))?;
        Ok(row.get::<_, i64>(0).try_into()?)
    }

    fn write(
        &mut self,
        key: Key,
        remaining: &dyn Fn() -> Duration,
    ) -> Result<Option<Version>, Failure> {
        let key = i64::try_from(key)?;
        let client = &self.client;
        self.runtime
            .block_on(answered(async {
                // Neither the lock on the row nor anything else is waited for beyond what remains.
                let limit = remaining().min(PATIENCE).as_millis().max(1);
                let begin = format!(
                    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {limit}"
                );
                client.batch_execute(&begin).await?;
                let updated = match client.query_one(&self.update, &[&key]).await {
                    Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => None,
                    updated => Some(updated?.get::<_, i64>(0)),
                };
                let version = updated.filter(|_| !remaining().is_zero());
                client.batch_execute(if version.is_some() { "COMMIT" } else { "ROLLBACK" }).await?;
                Ok(version)
            }))?
            .map(|version| Ok(version.try_into()?))
            .transpose()
    }
}

/// Waits no longer than the race's patience, and says what went wrong in words.
async fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| format!("PostgreSQL: {}", told(&error)).into()),
        Err(_) => Err(format!("PostgreSQL gave no answer within {PATIENCE:?}").into()),
    }
}

#[cfg(all(test, unix))]
#[path = "../../../../../tests/postgres/server.rs"]
#[expect(dead_code, reason = "the tests of the whole tool use more of it")]
mod server;

#[cfg(all(test, unix))]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;

    #[test]
    fn a_change_that_is_late_is_rolled_back_and_waits_for_no_lock() {
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let Some(server) = runtime.block_on(server::Postgres::start()) else { return };
        let postgres = runtime.block_on(Postgres::open(&server.url())).unwrap();
        let source = postgres.create(3, runtime.handle()).unwrap();
        let mut rows = source.connect().unwrap();
        assert_eq!(rows.write(1, &|| Duration::MAX).unwrap(), Some(2));
        assert_eq!(rows.write(1, &|| Duration::ZERO).unwrap(), None);
        assert_eq!((rows.read(1).unwrap(), rows.read(2).unwrap()), (2, 1));

        // Somebody else has the row.
        let other = runtime.block_on(source.server.0.connect()).unwrap();
        let lock = format!("BEGIN; SELECT FROM {} WHERE key = 1 FOR UPDATE", source.name);
        runtime.block_on(other.batch_execute(&lock)).unwrap();
        assert_eq!(rows.write(1, &|| Duration::from_millis(20)).unwrap(), None);
        assert_eq!(rows.read(1).unwrap(), 2);
        runtime.block_on(other.batch_execute("ROLLBACK")).unwrap();
        assert_eq!(rows.write(1, &|| Duration::MAX).unwrap(), Some(3));
    }
}
