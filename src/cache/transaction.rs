//! **transaction**: a transaction whose keys are reserved in the last moment before COMMIT.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::reservations::{Keys, Reservations, of_key};
use super::update::{SourceResult, UpdateOutcome};
use super::{Cache, CallError, Error, Fresh};

/// The keys that one transaction of a source changes, from before its first statement until it is known what became of it.
///
/// Keys are named while it runs, and reserved in the last moment before COMMIT is sent: readers keep their hits until then, and a transaction
/// that is rolled back has not touched the cache. [`Cache::transaction`] makes one and uses it; by hand, in this order:
/// [`add`](TransactionFence::add), [`committing`](TransactionFence::committing), COMMIT, and what became of it:
/// [`committed`](TransactionFence::committed), [`rolled_back`](TransactionFence::rolled_back) where that is certain, or drop it where nobody knows.
#[derive(Debug)]
#[must_use = "a fence that is dropped leaves its keys to expire"]
pub struct TransactionFence {
    cache: Cache,
    reservations: Reservations,
    /// What is to be reserved, in its order, and the same to look it up.
    later: Vec<Bytes>,
    named: Keys,
    known: Vec<(Bytes, SourceResult)>,
    granted: Duration,
}

impl Cache {
    /// Changes the source in one transaction, and fences the keys that it changes: `change` runs it as far as COMMIT and names the keys, which are
    /// reserved then; `commit` sends COMMIT, within what is left of the reservations, and the cache is told.
    ///
    /// An error of `change`, which must not have sent COMMIT, says that nothing was changed, and the cache was not touched. An error of `commit`
    /// says nothing about the source: the keys are left to expire. Keys of which no value is [set](TransactionFence::set) are released.
    ///
    /// What is returned is what `commit` returned, and what became of each key.
    ///
    /// # Errors
    /// [`CallError::Caller`] is the closures' own error. [`CallError::Cache`] as [`reserve_many`](Cache::reserve_many): COMMIT was not sent, and
    /// what `change` returned is dropped, by which a database's client rolls it back. [`Error::TransactionTimedOut`] where the transaction took
    /// longer than its reservations last.
    ///
    /// # Example
    /// ```
    /// # struct Transaction;
    /// # impl Transaction { async fn commit(self) -> Result<(), std::io::Error> { Ok(()) } }
    /// # async fn begin() -> Result<Transaction, std::io::Error> { Ok(Transaction) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::CallError<std::io::Error>> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// let change = async |fence: &mut genfence::TransactionFence| {
    ///     let transaction = begin().await?;
    ///     // UPDATE orders … RETURNING customer
    ///     let customer = 9;
    ///     fence.add_many(["order:1".to_owned(), format!("customer:{customer}")]).map_err(std::io::Error::other)?;
    ///     Ok(transaction)
    /// };
    /// let ((), outcomes) = cache.transaction(change, async |transaction| transaction.commit().await).await?;
    /// assert_eq!(outcomes.len(), 2);
    /// # Ok(()) }
    /// ```
    pub async fn transaction<T, R, E>(
        &self,
        change: impl AsyncFnOnce(&mut TransactionFence) -> Result<T, E>,
        commit: impl AsyncFnOnce(T) -> Result<R, E>,
    ) -> Result<(R, Vec<(Bytes, UpdateOutcome)>), CallError<E>> {
        let mut fence = self.transaction_fence();
        let changed = async {
            let transaction = change(&mut fence).await.map_err(CallError::Caller)?;
            fence.committing().await?;
            Ok(transaction)
        };
        let transaction = match changed.await {
            Ok(transaction) => transaction,
            Err(error) => {
                fence.rolled_back().await;
                return Err(error);
            }
        };
        // Where there are no keys there is no bound.
        let sent = timeout(fence.remaining(), commit(transaction)).await;
        let sent = sent.map_err(|_| Error::TransactionTimedOut { is_sent: true })?;
        let result = sent.map_err(CallError::Caller)?;
        Ok((result, fence.committed().await))
    }

    /// A fence without keys, for a transaction that is told of by hand: see [`transaction`](Cache::transaction).
    pub fn transaction_fence(&self) -> TransactionFence {
        TransactionFence {
            cache: self.clone(),
            reservations: self.no_reservations(true),
            later: Vec::new(),
            named: Keys::default(),
            known: Vec::new(),
            granted: Duration::ZERO,
        }
    }
}

impl TransactionFence {
    /// A key whose source this transaction changes. It is reserved before COMMIT, if not already.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key out of bounds, or one more than 10,000.
    pub fn add(&mut self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        self.add_many([key])
    }

    /// The same of several.
    ///
    /// # Errors
    /// As [`add`](TransactionFence::add): none of them was named then.
    pub fn add_many<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), Error> {
        let added = self.reservations.newly(&self.named, keys)?;
        self.named.extend(added.iter().cloned());
        self.later.extend(added);
        Ok(())
    }

    /// Reserves now what was named so far, once no copies of the values are served any more (the option `near`), and gives what was reserved before
    /// more time where less than half of it is left. Whoever sets a value of what the transaction reads calls it before it reads.
    ///
    /// # Errors
    /// As [`reserve_many`](Cache::reserve_many): the source must not be changed.
    pub async fn reserve(&mut self) -> Result<(), Error> {
        let is_first = self.reservations.keys().next().is_none();
        if !is_first && self.remaining() < self.granted / 2 {
            // One that comes too late is told of by the time that is left.
            self.reservations.renew().await?;
        }
        if self.later.is_empty() {
            return Ok(());
        }
        self.reservations.add_many(&self.later).await?;
        self.later.clear();
        self.named.clear();
        if is_first {
            self.granted = self.remaining();
        }
        Ok(())
    }

    /// How long the transaction may still take; [`Duration::MAX`] while nothing is reserved.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.reservations.remaining()
    }

    /// The key has this value once the transaction has committed. It was [reserved](TransactionFence::reserve) before anything was read that the value is
    /// made of: else a writer of another row of the same value could have changed it since, and it would be stored without that change.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not reserved yet, or for a version or a time to live out of bounds.
    pub fn set(&mut self, key: impl AsRef<[u8]>, fresh: impl Into<Fresh>) -> Result<(), Error> {
        let key = key.as_ref();
        if !self.reservations.holds(key) {
            let problem = "is not reserved yet, so the value may be made of what was read too early: `add` it and `reserve` before it is read";
            return Err(of_key(key, Error::invalid("key", problem)));
        }
        self.know(key, fresh.into())
    }

    /// The same of a value that is made of *nothing but* rows that this transaction has changed, as they are after that (`UPDATE … RETURNING *`): its
    /// locks hold them, so the key need not be reserved yet.
    ///
    /// # Errors
    /// As [`add`](TransactionFence::add), and for a version or a time to live out of bounds.
    pub fn set_of_changed_rows(
        &mut self,
        key: impl AsRef<[u8]>,
        fresh: impl Into<Fresh>,
    ) -> Result<(), Error> {
        self.add(&key)?;
        self.know(key.as_ref(), fresh.into())
    }

    fn know(&mut self, key: &[u8], fresh: Fresh) -> Result<(), Error> {
        // What is wrong with it is said now, and not when the source was changed.
        self.cache.check_fresh(&fresh).map_err(|error| of_key(key, error))?;
        self.known.push((Bytes::copy_from_slice(key), SourceResult::Committed(fresh)));
        Ok(())
    }

    /// COMMIT is about to be sent: reserves what is not reserved yet. After an error it must not be sent. What is sent must be over within
    /// [`remaining`](TransactionFence::remaining).
    ///
    /// # Errors
    /// As [`reserve`](TransactionFence::reserve); [`Error::TransactionTimedOut`] where the reservations are over.
    pub async fn committing(&mut self) -> Result<(), Error> {
        self.reserve().await?;
        if self.remaining().is_zero() {
            return Err(Error::TransactionTimedOut { is_sent: false });
        }
        Ok(())
    }

    /// COMMIT was done. Keys with a value get it, the others are released: the next readers fill. Where the store does not answer the keys are bypassed
    /// until the reservations expire.
    pub async fn committed(self) -> Vec<(Bytes, UpdateOutcome)> {
        // Each value was looked at when it was set, and its key is among these.
        self.reservations.finish(self.known).await.unwrap_or_default()
    }

    /// COMMIT was certainly not sent, or the source has said for certain that it was not done, and it will not be.
    pub async fn rolled_back(self) {
        self.reservations.abort().await;
    }
}
