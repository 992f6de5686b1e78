//! **update**: the closure form of reserve and commit.

#[cfg(doc)]
use super::Error;
use super::{Cache, CallError, Fresh, Reservation};

/// What became of the source, as the closure of [`Cache::update`] reports it.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// use genfence::{Fresh, Reservation, SourceResult, UpdateOutcome};
///
/// let delete = async |_: &Reservation| {
///     // DELETE … WHERE id = 1; COMMIT
///     Ok::<_, std::io::Error>(SourceResult::Committed(Fresh::nothing()))
/// };
/// assert_eq!(cache.update("user:1", delete).await?, UpdateOutcome::Stored);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub enum SourceResult {
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
/// use genfence::{Reservation, SourceResult, UpdateOutcome};
///
/// let change = async |_: &Reservation| Ok::<_, std::io::Error>(SourceResult::RolledBack);
/// assert_eq!(cache.update("k", change).await?, UpdateOutcome::RolledBack);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an update may have lost a race"]
#[non_exhaustive]
pub enum UpdateOutcome {
    /// The source was changed; the new value is in the cache.
    Stored,
    /// The source was changed; the key is empty, and the next reader fills it.
    Purged,
    /// The source was changed; the new value is larger than the option `max_value_bytes`: the key is empty.
    TooLarge,
    /// The source was changed; the cache did not answer. The key is bypassed until the reservation
    /// expires.
    InDoubt,
    /// The source was not changed. The key is empty, as the reserve removed the value.
    RolledBack,
}

impl Cache {
    /// Changes the source of `key` under a reservation.
    ///
    /// Before the key is reserved no copy of the value is served any more (the option `near`), see [`reserve_settled`](Cache::reserve_settled): where
    /// that takes time which the transaction's first statements could use, [`reserve`](Cache::reserve) and [`settled`](Reservation::settled) do it by hand.
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
    /// changed, and the key is released.
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, Fresh, SourceResult, UpdateOutcome};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = Cache::connect("memory://").await?;
    /// let rename = async |reservation: &genfence::Reservation| {
    ///     // BEGIN; SET LOCAL statement_timeout = …; UPDATE …
    ///     if reservation.remaining().is_zero() {
    ///         return Ok(SourceResult::RolledBack);
    ///     }
    ///     // COMMIT
    ///     Ok::<_, std::io::Error>(SourceResult::Committed(Fresh::from("Grace")))
    /// };
    /// assert_eq!(cache.update("user:1", rename).await.unwrap(), UpdateOutcome::Stored);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn update<E, F>(
        &self,
        key: impl AsRef<[u8]>,
        change: F,
    ) -> Result<UpdateOutcome, CallError<E>>
    where
        F: AsyncFnOnce(&Reservation) -> Result<SourceResult, E>,
    {
        self.reserve_settled(key).await?.change(change).await
    }
}

impl Reservation {
    /// Changes the source, as no copies are served any more, and says here what became of it.
    pub(super) async fn change<E, F>(self, change: F) -> Result<UpdateOutcome, CallError<E>>
    where
        F: AsyncFnOnce(&Reservation) -> Result<SourceResult, E>,
    {
        let result = change(&self).await.map_err(CallError::Caller)?;
        Ok(self.told(result).await?)
    }
}
