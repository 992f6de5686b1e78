mod decode;
mod fit;
mod keys;
mod options;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Statement};

use super::heartbeats::Lost;
use super::session::Session;
use super::{Error, Heartbeats};
use crate::{ChangeBatch, ChangeStream, Heartbeat};
use decode::{Message, decode};
use fit::is_fit;
use keys::Keys;
pub use options::{MappedTable, ReplicationOptions};

/// What a database's log says of its tables: a slot of logical replication, read with SQL.
///
/// The server keeps its log for a slot until it is confirmed, also while nobody follows: see `max_slot_wal_keep_size`. A slot is one
/// follower's own.
///
/// # Example
/// ```no_run
/// use genfence::postgres::{MappedTable, Replication, ReplicationOptions};
///
/// # async fn connected() -> Result<tokio_postgres::Client, tokio_postgres::Error> { unimplemented!() }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ReplicationOptions::new("genfence_eu", "genfence").table(MappedTable::new("users", "user:{id}").version("version"));
/// let cache = genfence::Cache::connect("aerospike://127.0.0.1/test/cache?stream_bound=5s").await?;
/// let changes = Replication::open(connected().await?, options).await?;
/// let heartbeats = changes.heartbeats(connected().await?).await?;
/// cache.follow(changes).heartbeats(heartbeats).run().await?;
/// # Ok(()) }
/// ```
pub struct Replication {
    session: Session,
    options: ReplicationOptions,
    peek: String,
    fetch: String,
    written: Statement,
    advance: Statement,
    tables: HashMap<u32, Keys>,
    /// Where the commit stands of the transaction that is being read.
    commit: u64,
    /// Where the last transaction ended that was read.
    end: Option<PgLsn>,
    confirmed: Option<PgLsn>,
    peeking: Peeking,
    /// There was less than a batch, so the next look has time.
    is_quiet: bool,
    /// Up to here the log has nothing more for us.
    idle: Option<PgLsn>,
    advanced: Instant,
    lost: Lost,
    /// What came behind a batch that was handed on.
    failed: Option<Error>,
    /// It has ended with that. To go on would be to pass it by.
    is_over: bool,
}

/// Whether the server holds messages that were looked at, and not fetched.
#[derive(Clone, Copy)]
enum Peeking {
    No,
    /// The log was written up to there before, and so many messages came.
    Yes(PgLsn, usize),
}

/// Where a batch ends: behind a transaction, or, within a large one, behind the one before.
///
/// # Example
/// ```
/// use genfence::postgres::ReplicationPosition;
///
/// assert_eq!(ReplicationPosition::default().to_string(), "within the first transaction");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationPosition {
    /// In the log.
    pub lsn: Option<u64>,
}

impl fmt::Display for ReplicationPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lsn {
            Some(lsn) => write!(f, "{}", PgLsn::from(lsn)),
            None => f.write_str("within the first transaction"),
        }
    }
}

/// A look reads the log from where the oldest open transaction began, and a large transaction as a whole.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a slot moves on whose tables are quiet, so that the log of others is not kept for it.
const MOVES: Duration = Duration::from_secs(10);

impl Replication {
    /// Follows a slot and a publication that are there: see [`ReplicationOptions::create`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open(client: Client, options: ReplicationOptions) -> Result<Self, Error> {
        options.check()?;
        let session = Session::open(client, PATIENCE).await?;
        session.at_least(14, "for heartbeats in a logical replication").await?;
        is_fit(&session, &options).await?;
        let advance = format!(
            "SELECT pg_replication_slot_advance({}, $1)",
            super::names::literal("slot", &options.slot)?
        );
        Ok(Replication {
            peek: options.peek()?,
            fetch: format!("FETCH {} FROM genfence_peek", options.batch),
            written: session.prepare("SELECT pg_current_wal_flush_lsn()").await?,
            advance: session.prepare(&advance).await?,
            session,
            options,
            tables: HashMap::new(),
            commit: 0,
            end: None,
            confirmed: None,
            peeking: Peeking::No,
            is_quiet: false,
            idle: None,
            advanced: Instant::now(),
            lost: Lost::default(),
            failed: None,
            is_over: false,
        })
    }

    /// Heartbeats for this stream, on a connection of their own: messages in the log, which no table holds.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn heartbeats(&self, client: Client) -> Result<Heartbeats, Error> {
        let emit =
            "SELECT pg_logical_emit_message(true, 'genfence', $1::bigint || ' ' || $2::bigint)";
        Heartbeats::open(client, emit, self.lost.clone()).await
    }

    /// Begins a look, if anything was written since the last one that found nothing.
    async fn look(&mut self) -> Result<(), Error> {
        if self.is_quiet {
            sleep(self.options.pause).await;
        }
        let written: PgLsn = self.session.one(&self.written, &[]).await?.try_get(0)?;
        if self.idle == Some(written) {
            return Ok(());
        }
        self.session.batch(&self.peek).await?;
        self.peeking = Peeking::Yes(written, 0);
        Ok(())
    }

    /// `None`: there was nothing of interest.
    async fn fetch(&mut self, written: PgLsn, came: usize) -> Result<Option<Batch>, Error> {
        let rows = self.session.query(&self.fetch, &[]).await?;
        let (came, most) = (came + rows.len(), self.options.batch as usize);
        self.peeking = Peeking::Yes(written, came);
        if rows.len() < most {
            self.session.batch("CLOSE genfence_peek").await?;
            self.peeking = Peeking::No;
            self.is_quiet = came < most;
            if came == 0 {
                self.idle = Some(written);
                self.move_on(written).await?;
            }
        }
        let before = self.end;
        let mut batch =
            Batch { changes: vec![], heartbeats: vec![], position: ReplicationPosition::default() };
        for row in &rows {
            // What was read before is handed on first.
            if let Err(error) = decode(row.try_get(0)?).and_then(|said| self.read(said, &mut batch))
            {
                self.failed = Some(error);
                break;
            }
        }
        batch.position.lsn = self.end.map(u64::from);
        let is_empty = batch.changes.is_empty() && batch.heartbeats.is_empty();
        Ok((!is_empty || self.end != before).then_some(batch))
    }

    fn read(&mut self, message: Message, batch: &mut Batch) -> Result<(), Error> {
        let commit = self.commit;
        match message {
            Message::Begin(commit) => self.commit = commit,
            Message::Commit(end) => self.end = Some(end.into()),
            Message::Relation(relation) => {
                self.tables.insert(relation.id, Keys::new(relation, &self.options.tables)?);
            }
            Message::Insert { relation, new } => {
                batch.changes.extend(self.keys(relation)?.inserted(&new, commit)?);
            }
            Message::Update { relation, old, new } => {
                let changed = self.keys(relation)?.updated(old.as_ref(), &new, commit)?;
                batch.changes.extend(changed.into_iter().flatten());
            }
            Message::Delete { relation, old } => {
                batch.changes.extend(self.keys(relation)?.deleted(&old, commit)?);
            }
            Message::Truncate(relations) => {
                let table = relations.first().map(|relation| self.keys(*relation)).transpose()?;
                let table = table.map(|keys| keys.table.clone()).unwrap_or_default();
                return Err(Error::Truncated { table, at: PgLsn::from(commit + 1).to_string() });
            }
            Message::Said { prefix, content } if prefix == "genfence" => {
                batch.heartbeats.extend(heartbeat(&content));
            }
            Message::Said { .. } | Message::Other => {}
        }
        Ok(())
    }

    fn keys(&self, relation: u32) -> Result<&Keys, Error> {
        let problem = "the table was not described";
        self.tables.get(&relation).ok_or_else(|| Error::unreadable("a changed row", problem))
    }

    /// Nothing came, though the log was written up to there: all that ended before is not ours.
    async fn move_on(&mut self, written: PgLsn) -> Result<(), Error> {
        if self.advanced.elapsed() < MOVES || Some(written) <= self.confirmed {
            return Ok(());
        }
        self.session.query(&self.advance, &[&written]).await?;
        (self.advanced, self.confirmed) = (Instant::now(), Some(written));
        Ok(())
    }
}

type Batch = ChangeBatch<ReplicationPosition>;

fn heartbeat(content: &[u8]) -> Option<Heartbeat> {
    let (follower, number) = std::str::from_utf8(content).ok()?.split_once(' ')?;
    Some(Heartbeat { follower: follower.parse().ok()?, number: number.parse().ok()? })
}

impl ChangeStream for Replication {
    type Position = ReplicationPosition;
    type Error = Error;

    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            if let Some(error) = self.failed.take() {
                self.is_over = true;
                return Err(error);
            }
            if self.is_over {
                let problem = "the stream ended with an error before; open it anew";
                return Err(Error::Unfit(problem.into()));
            }
            self.lost.check()?;
            match self.peeking {
                Peeking::No => self.look().await?,
                Peeking::Yes(written, came) => {
                    if let Some(batch) = self.fetch(written, came).await? {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    async fn confirm(&mut self, position: ReplicationPosition) -> Result<(), Error> {
        let end = position.lsn.map(PgLsn::from);
        if end > self.confirmed {
            self.session.query(&self.advance, &[&end]).await?;
            (self.advanced, self.confirmed) = (Instant::now(), end);
        }
        Ok(())
    }
}

impl fmt::Debug for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replication")
            .field("slot", &self.options.slot)
            .field("confirmed", &self.confirmed)
            .finish_non_exhaustive()
    }
}
