//! **update**: the closure form of reserve and commit.

#[cfg(doc)]
use super::Error;
use super::{Cache, CallError, Commit, Fresh, Release, Reservation};

/// What became of the source, as the closure of [`Cache::update`] reports it.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{Fresh, Reservation, Source, Update};
///
/// let delete = async |_: &Reservation| {
///     // DELETE … WHERE id = 1; COMMIT
///     Ok::<_, std::io::Error>(Source::Committed(Fresh::nothing()))
/// };
/// assert_eq!(cache.update("user:1", delete).await?, Update::Stored);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub enum Source {
    /// It was changed and committed; the key now has this value. A deleted row is
    /// [`Fresh::nothing`].
    Committed(Fresh),
    /// It was changed and committed; the value is not at hand. With the version that the source
    /// gave the change, where it has versions.
    Changed(Option<u64>),
    /// It was certainly not changed, and will not be.
    RolledBack,
}

/// What became of an update.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{Reservation, Source, Update};
///
/// let change = async |_: &Reservation| Ok::<_, std::io::Error>(Source::RolledBack);
/// assert_eq!(cache.update("k", change).await?, Update::RolledBack);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an update may have lost a race"]
pub enum Update {
    /// The source was changed; the new value is in the cache.
    Stored,
    /// The source was changed; the key is empty, and the next reader fills it.
    Purged,
    /// The source was changed; the cache did not answer. The key is bypassed until the reservation
    /// expires.
    InDoubt,
    /// The source was not changed. The key is empty, as the reserve removed the value.
    RolledBack,
}

impl Cache {
    /// Changes the source of `key` under a reservation.
    ///
    /// `change` changes the source, within [`Reservation::remaining`], and says what became of it:
    /// committed → commit, rolled back → abort. An error or a panic says nothing about the source
    /// (a COMMIT whose answer never came may still land), so then the reservation is left to
    /// expire, and the key is bypassed until it has.
    ///
    /// # Errors
    /// [`CallError::Caller`] is the closure's own error. [`CallError::Cache`] as
    /// [`reserve`](Cache::reserve): the closure did not run. Except that [`Error::Invalid`] for a
    /// version or a time to live that the closure returned comes *after* it ran: the source was
    /// changed, and the key is released. A value that is too large is no error but
    /// [`Update::Purged`].
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, Fresh, Source, Update};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let rename = async |reservation: &genfence::Reservation| {
    ///     // BEGIN; SET LOCAL statement_timeout = …; UPDATE …
    ///     if reservation.remaining().is_zero() {
    ///         return Ok(Source::RolledBack);
    ///     }
    ///     // COMMIT
    ///     Ok::<_, std::io::Error>(Source::Committed(Fresh::from("Grace")))
    /// };
    /// assert_eq!(cache.update("user:1", rename).await.unwrap(), Update::Stored);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn update<E, F>(
        &self,
        key: impl AsRef<[u8]>,
        change: F,
    ) -> Result<Update, CallError<E>>
    where
        F: AsyncFnOnce(&Reservation) -> Result<Source, E>,
    {
        let reservation = self.reserve(key).await?;
        let source = match change(&reservation).await.map_err(CallError::Caller)? {
            // The source was changed, so a value that is too large must not look like a failure.
            Source::Committed(fresh) if self.is_oversized(&fresh) => Source::Changed(fresh.version),
            source => source,
        };
        Ok(match source {
            Source::Committed(fresh) => match reservation.commit(fresh).await? {
                Commit::Stored => Update::Stored,
                Commit::Purged => Update::Purged,
                Commit::InDoubt => Update::InDoubt,
            },
            Source::Changed(version) => match reservation.release(version).await? {
                Release::Purged => Update::Purged,
                Release::InDoubt => Update::InDoubt,
            },
            Source::RolledBack => {
                reservation.abort().await;
                Update::RolledBack
            }
        })
    }
}
