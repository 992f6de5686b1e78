use std::sync::Arc;

use crate::settings::Invalid;

/// What lies behind a [`StoreError`].
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A command got no answer from the store, or one that is no answer to it.
///
/// A refused command is not an error: see [`Answer`](crate::store::Answer).
///
/// # Example
/// ```
/// use genfence::store::StoreError;
///
/// let error = StoreError::doubtful("no answer within 1 s").because(std::io::Error::other("reset"));
/// assert!(error.in_doubt() && error.may_retry());
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    in_doubt: bool,
    retry: bool,
    server_code: Option<i32>,
    #[source]
    cause: Option<Cause>,
}

impl StoreError {
    /// The command was certainly not applied and never will be; another try may reach the store.
    pub fn unavailable(message: impl Into<String>) -> Self {
        StoreError {
            message: message.into(),
            in_doubt: false,
            retry: true,
            server_code: None,
            cause: None,
        }
    }

    /// The command may have been applied, or may still be; another try may tell.
    pub fn doubtful(message: impl Into<String>) -> Self {
        StoreError {
            message: message.into(),
            in_doubt: true,
            retry: true,
            server_code: None,
            cause: None,
        }
    }

    /// The store will not do this, now or later: too large a record, say, or no permission.
    pub fn refused(message: impl Into<String>) -> Self {
        StoreError {
            message: message.into(),
            in_doubt: false,
            retry: false,
            server_code: None,
            cause: None,
        }
    }

    /// Names what lies behind the error.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// Says where it happened, before all else.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    /// Names the number that the server answered with.
    #[must_use]
    pub fn answered(mut self, server_code: i32) -> Self {
        self.server_code = Some(server_code);
        self
    }

    /// The number that the server answered with, if it did answer.
    #[must_use]
    pub fn server_code(&self) -> Option<i32> {
        self.server_code
    }

    /// Whether the command may have been applied, or may still be.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether another try makes sense.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.retry
    }
}

impl From<Invalid> for StoreError {
    fn from(Invalid { field, problem }: Invalid) -> Self {
        StoreError::refused(format!("{field}: {problem}"))
    }
}
