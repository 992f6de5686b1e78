use std::time::Duration;

use super::sql::Sql;
use crate::postgres::Error;

/// Where an outbox is, and how it is read.
///
/// # Example
/// ```
/// use genfence::postgres::{CREATE_OUTBOX, OutboxOptions};
///
/// let options = OutboxOptions::new().table("shop.changes").followers("shop.change_followers");
/// assert!(options.create()?.contains(r#"CREATE TABLE IF NOT EXISTS "shop"."changes""#));
/// # Ok::<(), genfence::postgres::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    pub(super) table: String,
    pub(super) followers: String,
    pub(super) pause: Duration,
    pub(super) batch: u32,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        OutboxOptions {
            table: "genfence_outbox".into(),
            followers: "genfence_outbox_followers".into(),
            pause: Duration::from_millis(20),
            batch: 2000,
        }
    }
}

impl OutboxOptions {
    /// The tables of [`CREATE_OUTBOX`](super::CREATE_OUTBOX).
    pub fn new() -> Self {
        Self::default()
    }

    /// The table of changes: `table` or `schema.table`.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// The table of what each follower has confirmed: `table` or `schema.table`.
    #[must_use]
    pub fn followers(mut self, followers: impl Into<String>) -> Self {
        self.followers = followers.into();
        self
    }

    /// How long to wait when there was nothing: 1 ms to 1 min, and 20 ms if it is not said.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many rows are read at once, at most: 1 to 100,000, and 2,000 if it is not said.
    #[must_use]
    pub fn batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// What creates the tables.
    ///
    /// # Errors
    /// [`Error::Invalid`]: an option is out of bounds.
    pub fn create(&self) -> Result<String, Error> {
        Ok(self.sql()?.create())
    }

    pub(super) fn sql(&self) -> Result<Sql, Error> {
        crate::postgres::within(self.pause, self.batch)?;
        Sql::new(self)
    }
}
