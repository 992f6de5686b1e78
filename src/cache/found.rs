//! What is found of a key by one who does not load it, and what is told to those who wait.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use crate::protocol::Token;
use crate::store::Hit;

/// Why a lookup ended in a bypass.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{Bypass, Lookup};
///
/// let _writer = cache.reserve("k").await?;
/// assert!(matches!(cache.lookup("k").await?, Lookup::Bypass(Bypass::Reserved)));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bypass {
    /// A writer holds the key.
    Reserved,
    /// Somebody else's fill took longer than the caller may wait.
    Slow,
    /// The store gave no answer.
    Unreachable,
}

/// What a loader failed with: the caller's own error, shared by those who waited for it.
pub(crate) type LoadError = Arc<dyn Any + Send + Sync>;

/// What a leader tells those who wait for it.
#[derive(Clone)]
pub(super) enum Told {
    Found(Found),
    /// What a load beside the cache brought, which nothing vouches for but the source: no hit.
    Loaded(Hit),
    /// The load failed that began after they came.
    LoadFailed(LoadError),
}

/// What a lookup finds that is not the caller's to load.
#[derive(Clone)]
pub(super) enum Found {
    Hit(Hit),
    Bypass(Bypass),
    Failed(Error),
}

/// What a look at a key says to one who has not got its lease.
pub(super) enum Seen {
    Found(Found),
    Gap(Gap),
}

/// How it is that there is no value to be had.
#[derive(Clone, Copy)]
pub(super) enum Gap {
    /// There is none, and somebody's claim is on the key: for how long, or for ever where a plain read has not
    /// looked whether it is live.
    Claimed(Duration),
    /// There is none, and nothing stands in the way of a lease.
    Free,
    /// There is one that was purged with a tag, or that cannot be read. A lease may be taken over it.
    Purged(Token),
}

impl Gap {
    /// As a plain read sees it.
    pub const CLAIMED: Gap = Gap::Claimed(Duration::MAX);

    pub fn is_claimed(self) -> bool {
        matches!(self, Gap::Claimed(_))
    }

    /// The value that a lease may replace.
    pub fn over(self) -> Option<Token> {
        if let Gap::Purged(stamp) = self { Some(stamp) } else { None }
    }
}
