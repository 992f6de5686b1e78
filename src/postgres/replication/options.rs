use std::time::Duration;

use crate::postgres::{Error, names};

/// A table of a publication, and what its rows are called in the cache.
///
/// The version of a change is the position of its commit in the write-ahead log, if nothing else is said. It grows, so it is a version; but a
/// fill or a commit that has one then must have one of that kind, too. Beside a primary server, they need none. A loader that reads a
/// replica takes `pg_last_wal_replay_lsn()` *before* it reads; on a primary no function says what a read has seen, as a commit is in the
/// log before it is seen.
///
/// # Example
/// ```
/// use genfence::postgres::MappedTable;
///
/// let users = MappedTable::new("users", "user:{id}").version("version");
/// let orders = MappedTable::new("shop.orders", "{tenant}/order:{number}");
/// ```
#[derive(Clone, Debug)]
pub struct MappedTable {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) version: Versions,
}

/// Where the version of a change comes from.
#[derive(Clone, Debug)]
pub(super) enum Versions {
    Commit,
    Column(String),
    Without,
}

impl MappedTable {
    /// `table`, which is in the schema `public`, or `schema.table`; and the key, where `{column}` stands for the text of a column.
    pub fn new(table: impl Into<String>, key: impl Into<String>) -> Self {
        MappedTable { table: table.into(), key: key.into(), version: Versions::Commit }
    }

    /// The version is in this column, a whole number that grows. A delete has the one after, where the replica identity has the
    /// column, and none otherwise.
    #[must_use]
    pub fn version(mut self, column: impl Into<String>) -> Self {
        self.version = Versions::Column(column.into());
        self
    }

    /// Changes have no version. Enough where every loader reads the primary server.
    #[must_use]
    pub fn without_version(mut self) -> Self {
        self.version = Versions::Without;
        self
    }

    /// As the server says it.
    pub(super) fn full_name(&self) -> String {
        if self.table.contains('.') { self.table.clone() } else { format!("public.{}", self.table) }
    }
}

/// Which slot and publication are followed, and what the tables' keys are.
///
/// # Example
/// ```
/// use genfence::postgres::{MappedTable, ReplicationOptions};
///
/// let options = ReplicationOptions::new("genfence_eu", "genfence").table(MappedTable::new("users", "user:{id}"));
/// let create = options.create()?;
/// assert!(create[0].starts_with(r#"CREATE PUBLICATION "genfence" FOR TABLE "public"."users""#));
/// # Ok::<(), genfence::postgres::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplicationOptions {
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) tables: Vec<MappedTable>,
    pub(super) pause: Duration,
    pub(super) batch: u32,
}

impl ReplicationOptions {
    /// A slot is one follower's own; a publication is for all.
    pub fn new(slot: impl Into<String>, publication: impl Into<String>) -> Self {
        ReplicationOptions {
            slot: slot.into(),
            publication: publication.into(),
            tables: Vec::new(),
            pause: Duration::from_millis(100),
            batch: 2000,
        }
    }

    /// One more table. Each of the publication must be named.
    #[must_use]
    pub fn table(mut self, table: MappedTable) -> Self {
        self.tables.push(table);
        self
    }

    /// How long to wait when there was nothing: 1 ms to 1 min, and 100 ms if it is not said. Each look makes the server read its log from where
    /// the oldest open transaction began.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many messages of the log are taken at once: 1 to 100,000, and 2,000 if it is not said.
    #[must_use]
    pub fn batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// What creates the publication and then the slot: a statement each, in transactions of their own.
    ///
    /// # Errors
    /// [`Error::Invalid`]: an option is out of bounds.
    pub fn create(&self) -> Result<[String; 2], Error> {
        self.check()?;
        let tables: Result<Vec<String>, Error> =
            self.tables.iter().map(|table| names::table("table", &table.full_name())).collect();
        let publication = names::identifier("publication", &self.publication)?;
        let slot = names::literal("slot", &self.slot)?;
        Ok([
            format!("CREATE PUBLICATION {publication} FOR TABLE {};", tables?.join(", ")),
            format!("SELECT pg_create_logical_replication_slot({slot}, 'pgoutput');"),
        ])
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        crate::postgres::within(self.pause, self.batch)?;
        names::check("slot", &self.slot)?;
        names::check("publication", &self.publication)?;
        if self.tables.is_empty() {
            return Err(Error::Invalid { field: "tables", problem: "there must be one".into() });
        }
        for table in &self.tables {
            names::table("table", &table.table)?;
            super::keys::Template::parse(&table.key)?;
        }
        Ok(())
    }

    /// What looks into the slot and takes nothing out: whole transactions, until there are so many changes.
    pub(super) fn peek(&self) -> Result<String, Error> {
        let slot = names::literal("slot", &self.slot)?;
        let publication = names::identifier("publication", &self.publication)?;
        let publication = postgres_protocol::escape::escape_literal(&publication);
        Ok(format!(
            "DECLARE genfence_peek NO SCROLL CURSOR WITH HOLD FOR
             SELECT data FROM pg_logical_slot_peek_binary_changes({slot}, NULL, {},
             'proto_version', '1', 'messages', 'true', 'publication_names', {publication})",
            self.batch
        ))
    }
}
