mod options;
mod sql;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::heartbeats::Lost;
use super::session::{PATIENCE, Session};
use super::{Error, Heartbeats, names};
use crate::{ChangeBatch, ChangeStream, Changed, Heartbeat};
pub use options::OutboxOptions;
pub use sql::CREATE_OUTBOX;
use sql::Sql;

/// A table that services write their changes into, read in the order of their transactions.
///
/// It reads rows of transactions below which none is open any more, so one that commits late is not passed by: it holds back what came
/// after it, and with heartbeats the cache bypasses meanwhile.
///
/// Each region follows by a name of its own. Rows that all have confirmed are removed from time to time, some thousand at once. A
/// name that is followed no more holds them all: delete its row.
///
/// # Example
/// ```no_run
/// use genfence::postgres::{Outbox, OutboxOptions};
///
/// # async fn connected() -> Result<tokio_postgres::Client, tokio_postgres::Error> { unimplemented!() }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = genfence::Cache::connect("aerospike://127.0.0.1/test/cache?stream_bound=2s").await?;
/// let outbox = Outbox::open(connected().await?, "eu", OutboxOptions::new()).await?;
/// let heartbeats = outbox.heartbeats(connected().await?).await?;
/// cache.follow(outbox).heartbeats(heartbeats).run().await?;
/// # Ok(()) }
/// ```
pub struct Outbox {
    session: Session,
    follower: String,
    options: OutboxOptions,
    sql: Sql,
    poll: Statement,
    confirm: Statement,
    remove: Statement,
    /// The last row that was handed on.
    at: OutboxPosition,
    lost: Lost,
    unremoved: usize,
    removed: Instant,
}

/// A row of an outbox.
///
/// # Example
/// ```
/// use genfence::postgres::OutboxPosition;
///
/// assert!(OutboxPosition { transaction: 7, id: 1 } > OutboxPosition { transaction: 6, id: 9 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboxPosition {
    /// The transaction that wrote it.
    pub transaction: u64,
    /// The row.
    pub id: i64,
}

impl fmt::Display for OutboxPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {}, row {}", self.transaction, self.id)
    }
}

/// Removal is thought of when so many rows were confirmed, or after such a time; then twice as many go, so that it keeps up.
const REMOVED_AFTER: (usize, Duration) = (5000, Duration::from_secs(10));
const REMOVED_AT_ONCE: u32 = 10_000;

impl Outbox {
    /// Follows by this name, from the row on that was confirmed last by it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open(
        client: Client,
        follower: &str,
        options: OutboxOptions,
    ) -> Result<Self, Error> {
        let sql = options.sql()?;
        names::check("follower", follower)?;
        let session = Session::open(client, PATIENCE).await?;
        session.at_least(13, "for an outbox, which has columns of the type xid8").await?;
        // From here on its rows stay until it has confirmed them.
        session.execute(&sql.register(), &[&follower]).await?;
        let row = session.one(&sql.position(), &[&follower]).await?;
        let at = position(&row)?;
        Ok(Outbox {
            poll: session.prepare(&sql.poll()).await?,
            confirm: session.prepare(&sql.confirm()).await?,
            remove: session.prepare(&sql.remove()).await?,
            session,
            follower: follower.into(),
            options,
            sql,
            at,
            lost: Lost::default(),
            unremoved: 0,
            removed: Instant::now(),
        })
    }

    /// Heartbeats for this stream, on a connection of their own: a row in a transaction of its own comes by after all that ended before.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn heartbeats(&self, client: Client) -> Result<Heartbeats, Error> {
        Heartbeats::open(client, &self.sql.heartbeat(), self.lost.clone()).await
    }

    /// Removes rows that every follower has confirmed, at most so many, and says how many. A stream does it by itself, too.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_confirmed(&mut self, most: u32) -> Result<u64, Error> {
        self.session.execute(&self.remove, &[&i64::from(most)]).await
    }

    async fn remove_sometimes(&mut self) {
        if self.unremoved < REMOVED_AFTER.0 && self.removed.elapsed() < REMOVED_AFTER.1 {
            return;
        }
        (self.unremoved, self.removed) = (0, Instant::now());
        // The stream is right without it.
        if let Err(error) = self.remove_confirmed(REMOVED_AT_ONCE).await {
            tracing::warn!(%error, "rows of the outbox that all have confirmed cannot be removed");
        }
    }
}

impl ChangeStream for Outbox {
    type Position = OutboxPosition;
    type Error = Error;

    async fn next(&mut self) -> Result<Option<ChangeBatch<OutboxPosition>>, Error> {
        loop {
            self.lost.check()?;
            let OutboxPosition { transaction, id } = self.at;
            let (transaction, most) = (transaction.to_string(), i64::from(self.options.batch));
            let rows = self.session.query(&self.poll, &[&transaction, &id, &most]).await?;
            let Some(last) = rows.last() else {
                sleep(self.options.pause).await;
                continue;
            };
            let position = position(last)?;
            let mut batch = ChangeBatch { changes: vec![], heartbeats: vec![], position };
            for row in &rows {
                read(row, &mut batch)?;
            }
            self.at = position;
            self.unremoved += rows.len();
            return Ok(Some(batch));
        }
    }

    async fn confirm(&mut self, position: OutboxPosition) -> Result<(), Error> {
        let OutboxPosition { transaction, id } = position;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&self.follower, &transaction.to_string(), &id];
        if self.session.execute(&self.confirm, &params).await? == 0 {
            return Err(Error::Forgotten(self.follower.clone()));
        }
        self.remove_sometimes().await;
        Ok(())
    }
}

fn position(row: &Row) -> Result<OutboxPosition, Error> {
    let unread = |error| Error::unreadable("the position of a row of the outbox", &error);
    let transaction: &str = row.try_get(0)?;
    Ok(OutboxPosition { transaction: transaction.parse().map_err(unread)?, id: row.try_get(1)? })
}

fn read(row: &Row, batch: &mut ChangeBatch<OutboxPosition>) -> Result<(), Error> {
    let negative = |_| {
        let what = position(row).map(|at| format!("the version of {at}"));
        Error::unreadable(what.unwrap_or_default(), "it is negative")
    };
    let number = |column| -> Result<Option<u64>, Error> {
        row.try_get::<_, Option<i64>>(column)?.map(u64::try_from).transpose().map_err(negative)
    };
    let version = number(3)?;
    match row.try_get::<_, Option<Key>>(2)? {
        Some(Key(key)) => batch.changes.push(Changed { key, version }),
        None => {
            if let (Some(number), Some(follower)) = (version, number(4)?) {
                batch.heartbeats.push(Heartbeat { follower, number });
            }
        }
    }
    Ok(())
}

/// Of a column that is text or bytes.
struct Key(Bytes);

impl<'a> FromSql<'a> for Key {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Key(Bytes::copy_from_slice(raw)))
    }

    fn accepts(of: &Type) -> bool {
        [Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(of)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("follower", &self.follower)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
