use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::error::SqlState;

/// What goes wrong with a source on PostgreSQL.
///
/// # Example
/// ```
/// use genfence::postgres::Error;
///
/// let error = Error::Truncated { table: "public.users".into(), at: "0/15D6B88".into() };
/// assert!(error.is_lasting());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server, or the connection to it.
    #[error("PostgreSQL: {}", told(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The server was silent.
    #[error("PostgreSQL gave no answer within {0:?}")]
    NoAnswer(Duration),
    /// The connection for heartbeats is lost, so nobody would hear any more how old the stream is.
    #[error("the connection that writes heartbeats is lost")]
    HeartbeatsLost,
    /// An option.
    #[error("{field}: {problem}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The server is too old.
    #[error("PostgreSQL {needed} or newer is needed {why}, and this is {found}")]
    TooOld {
        /// The major version.
        needed: u32,
        /// What for.
        why: &'static str,
        /// What the server says of itself.
        found: String,
    },
    /// Somebody removed the row of this follower, so rows may have been removed that it has not seen.
    #[error(
        "the follower {0:?} is no longer among those of the outbox; changes may be lost: give it an empty cache, and start again"
    )]
    Forgotten(String),
    /// A row or a message that is none.
    #[error("{what} cannot be read: {problem}")]
    Unreadable {
        /// Which.
        what: String,
        /// Why not.
        problem: String,
    },
    /// What was asked for is not there, or cannot be used.
    #[error("{0}")]
    Unfit(String),
    /// The publication has a table of which nobody said what its keys are.
    #[error("the publication has the table {0}, and nothing says what its keys in the cache are")]
    Unmapped(String),
    /// All rows of a table were removed, and nobody knows which keys those were.
    #[error(
        "the table {table} was truncated, and what its keys were is not known: empty the cache, then go on behind it with \
         SELECT pg_replication_slot_advance(slot, '{at}')"
    )]
    Truncated {
        /// With its schema.
        table: String,
        /// Where the stream goes on after it.
        at: String,
    },
    /// An update or a delete does not tell of a column that is part of the key.
    #[error(
        "the replica identity of the table {table} lacks the column {column}, so updates and deletes do not say what the key was: \
         ALTER TABLE {table} REPLICA IDENTITY FULL, or USING INDEX one that has it"
    )]
    Identity {
        /// With its schema.
        table: String,
        /// Of the key.
        column: String,
    },
}

impl Error {
    /// Trying again does not help.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Error::NoAnswer(_) | Error::HeartbeatsLost => false,
            Error::Server(error) => error.code().is_some_and(lasts),
            _ => true,
        }
    }

    pub(super) fn unreadable(what: impl Into<String>, problem: &(impl ToString + ?Sized)) -> Self {
        Error::Unreadable { what: what.into(), problem: problem.to_string() }
    }
}

/// But for: no connection, a server that only reads, transactions that crossed, no memory, a slot in use, somebody's intervention, the system.
fn lasts(code: &SqlState) -> bool {
    !["08", "25", "40", "53", "55", "57", "58"].iter().any(|class| code.code().starts_with(class))
}

/// The whole of an error: the client's are short, and what lies behind them says why.
fn told(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
