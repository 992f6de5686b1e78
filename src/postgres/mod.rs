//! Sources of changes on PostgreSQL, for [`Cache::follow`](crate::Cache::follow): a table that services write into, and logical
//! replication.
//!
//! * [`Outbox`]: each service that changes a row says so in a table, in the same transaction. PostgreSQL 13 or newer.
//! * [`Replication`]: the database says what was changed in which table, whoever did it. PostgreSQL 14 or newer, with
//!   `wal_level=logical`.
//!
//! Both take connected [`tokio_postgres::Client`]s, so TLS is the program's own choice. A stream whose connection is lost ends with an
//! error: the program opens another one, which begins where the last confirmed one ended. `genfence follow` does that.

mod error;
mod heartbeats;
mod names;
mod outbox;
mod replication;
mod session;

pub use error::Error;
pub use heartbeats::Heartbeats;
pub use outbox::{CREATE_OUTBOX, Outbox, OutboxOptions, OutboxPosition};
pub use replication::{MappedTable, Replication, ReplicationOptions, ReplicationPosition};

/// What both sources have.
///
/// # Errors
/// [`Error::Invalid`].
fn within(pause: std::time::Duration, batch: u32) -> Result<(), Error> {
    let invalid = |field, problem: String| Err(Error::Invalid { field, problem });
    if !(1..=60_000).contains(&pause.as_millis()) {
        return invalid("pause", format!("{pause:?} is out of bounds, must be 1ms to 1m"));
    }
    if !(1..=100_000).contains(&batch) {
        return invalid("batch", format!("{batch} is out of bounds, must be 1 to 100000"));
    }
    Ok(())
}
