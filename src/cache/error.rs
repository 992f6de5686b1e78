use crate::settings::Invalid;
use crate::store::StoreError;

/// Why a call could not be done.
///
/// A lost race is not among these: it is an outcome, and each call's outcome has a type of its own.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Cache, Error};
///
/// let cache = Cache::connect("memory://").await?;
/// match cache.get("").await {
///     Err(Error::Invalid { field, problem }) => assert_eq!((field, &*problem), ("key", "0 bytes, must be 1 to 1024")),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the caller passed is out of bounds. Nothing was stored.
    #[error("{field}: {problem}")]
    Invalid {
        /// The argument or option.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The store gave no answer, or refused the command for good.
    #[error("the cache's store {}: {}", if .0.may_retry() { "did not answer" } else { "refused" }, .0)]
    Store(#[from] StoreError),
    /// A batch loader answered for a key that it was not asked for. Nothing was stored.
    #[error(
        "the loader answered for a key that it was not asked for; answer with the keys as given"
    )]
    UnexpectedKey,
    /// The loader took longer than the option `hard_timeout`, and was given up. Nothing was stored.
    #[error("the load took longer than `hard_timeout` allows")]
    LoadTimedOut,
    /// A transaction took longer than its reservations last: make it shorter, or `reservation_time` longer than its time-out.
    #[error(
        "the transaction took longer than its reservations last (`reservation_time`), {}",
        if *is_sent { "and nobody knows whether COMMIT was done" } else { "so it was not committed: nothing was changed" }
    )]
    TransactionTimedOut {
        /// Whether COMMIT was sent, so that nobody knows what became of it.
        is_sent: bool,
    },
    /// The cache was closed.
    #[error("the cache is shut down; open a new one")]
    ShutDown,
}

impl Error {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Error::Invalid { field, problem: problem.into() }
    }

    /// The same error, and where it came from.
    pub(crate) fn at(self, place: &str) -> Self {
        match self {
            Error::Store(error) => Error::Store(error.within(&format!("{place}: "))),
            Error::ShutDown => {
                Error::Store(StoreError::refused(format!("{place}: its cache is shut down")))
            }
            Error::Invalid { field, problem } => {
                Error::invalid(field, format!("{place}: {problem}"))
            }
            other @ (Error::UnexpectedKey
            | Error::LoadTimedOut
            | Error::TransactionTimedOut { .. }) => other,
        }
    }
}

impl From<Invalid> for Error {
    fn from(Invalid { field, problem }: Invalid) -> Self {
        Error::Invalid { field, problem }
    }
}

/// Why a call that runs the caller's own code gave nothing.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::CallError;
///
/// let loaded = cache.get_or_fill("k", async || Err::<&str, _>("the source is down")).await;
/// assert!(matches!(loaded, Err(CallError::Caller(error)) if *error == "the source is down"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError<E> {
    /// The cache's part failed: where nothing else is said at the call, before the caller's code ran.
    #[error(transparent)]
    Cache(#[from] Error),
    /// The caller's code (a loader, an update) returned this error; a loader's is shared by those who waited
    /// for it.
    #[error("{0}")]
    Caller(#[source] E),
}
