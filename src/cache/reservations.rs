//! **reserve_many**, **update_many**: the keys of one transaction.

use std::collections::{HashMap, HashSet};
#[cfg(feature = "capi")]
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::join_all;

#[cfg(feature = "capi")]
use super::fresh::check_version;
use super::reservation::{CommitOutcome, Held, ReleaseOutcome, Reservation};
use super::together::together;
use super::update::{SourceResult, UpdateOutcome};
use super::{Cache, CallError, Error, Fresh};

/// The most keys of one transaction.
const KEYS: usize = 10_000;
/// The most bytes of a key that an error tells.
const TOLD: usize = 64;

/// The reservations of all keys that one transaction changes, in the order in which they were named, each key once.
///
/// A reservation never refuses and never waits for another writer's, so any number can be held, in any order, without a deadlock.
///
/// **Only the caller knows what became of the source**, and it became of all keys alike: dropped, all are left to expire, and their
/// keys are bypassed until then.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// # async fn transaction() -> Result<Option<u64>, std::io::Error> { Ok(Some(7)) }
/// let mut reservations = cache.reserve_many(["order:1", "customer:9"]).await?;
/// match transaction().await {
///     // A row that was found on the way; it is there before COMMIT is sent.
///     Ok(Some(item)) => {
///         reservations.add(format!("item:{item}")).await?;
///         reservations.settled().await; // no copies are served any more
///         // … COMMIT, within `reservations.remaining()` …
///         let outcomes = reservations.commit([("order:1", "shipped")]).await?;
///         assert_eq!(outcomes.len(), 3);
///     }
///     Ok(None) => reservations.abort().await, // certainly rolled back
///     Err(_) => drop(reservations),           // who knows: let them expire
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "reservations that are dropped bypass their keys until they expire"]
pub struct Reservations {
    cache: Cache,
    all: Vec<(Bytes, Reservation)>,
    keys: Keys,
    /// Whether each is reserved once no copies of its value are served any more.
    are_settled: bool,
}

/// Keys, of which it is asked whether they are among them.
pub(crate) type Keys = HashSet<Bytes, RandomState>;

/// What became of the source, as the closure of [`Cache::update_many`] reports it.
///
/// # Example
/// ```
/// use genfence::{SourceResult, SourceResults};
///
/// // One key has this value now, of another it is certain that it was not changed; whatever else was reserved is released.
/// let committed = SourceResults::changed().with("order:1", "shipped").and("customer:9", SourceResult::RolledBack);
/// assert!(matches!(committed, SourceResults::Committed(results) if results.len() == 2));
/// ```
#[derive(Clone, Debug)]
pub enum SourceResults {
    /// It was changed and committed; what is known of each key. Those that are not named here are released.
    Committed(Vec<(Bytes, SourceResult)>),
    /// It was certainly not changed, and will not be.
    RolledBack,
}

impl SourceResults {
    /// It was changed and committed; no values are at hand.
    #[must_use]
    pub fn changed() -> Self {
        SourceResults::Committed(Vec::new())
    }

    /// The same, and this key has this value now.
    #[must_use]
    pub fn with(self, key: impl AsRef<[u8]>, fresh: impl Into<Fresh>) -> Self {
        self.and(key, SourceResult::Committed(fresh.into()))
    }

    /// The same, and this is what is known of this key.
    #[must_use]
    pub fn and(mut self, key: impl AsRef<[u8]>, result: SourceResult) -> Self {
        if let SourceResults::Committed(results) = &mut self {
            results.push((Bytes::copy_from_slice(key.as_ref()), result));
        }
        self
    }
}

impl Cache {
    /// Reserves all keys of a transaction, before their source is changed: all are sent together. A key that is named twice is one.
    ///
    /// **When.** A reservation must be there before COMMIT is *sent*. Who only releases reserves in the last moment before that, most
    /// simply by [`add`](Reservations::add) to [`reservations`](Cache::reservations): a transaction that is rolled back has not touched the cache
    /// then, and readers keep their hits until the end. Who commits a value must have reserved before it *read* anything that the value is made
    /// of and that it had not locked by then; else two writers of different rows of one value would each store it without the other's change.
    ///
    /// # Errors
    /// As [`reserve`](Cache::reserve), and the error says of which key: those that were reserved are aborted, nothing is held, and the
    /// source must not be changed. [`Error::Invalid`] of `keys` for none, or more than 10,000.
    pub async fn reserve_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Reservations, Error> {
        self.reserve_all(keys, false).await
    }

    /// None yet: for a transaction whose keys are only known on the way, and are [added](Reservations::add) before COMMIT is sent.
    pub fn reservations(&self) -> Reservations {
        self.no_reservations(false)
    }

    pub(super) fn no_reservations(&self, are_settled: bool) -> Reservations {
        Reservations { cache: self.clone(), all: Vec::new(), keys: Keys::default(), are_settled }
    }

    /// Changes the source of several keys under reservations of all: as [`update`](Cache::update) for one key. Where there are copies (the option
    /// `near`) they are over before the closure is called; not those of a key that it adds.
    ///
    /// `change` changes the source, within [`Reservations::remaining`], and says what became of it. An error or a panic says nothing about the source,
    /// so then all are left to expire. It may [add](Reservations::add) keys.
    ///
    /// What became of each key is told in the order in which they were reserved.
    ///
    /// # Errors
    /// [`CallError::Caller`] is the closure's own error. [`CallError::Cache`] as [`reserve_many`](Cache::reserve_many): the closure did not run.
    /// Except that [`Error::Invalid`] for what the closure returned (a version or a time to live out of bounds, a key that is not reserved) comes
    /// *after* it ran, and after all keys were told of it: the source was changed, and the key of the error is released if it is one of them.
    ///
    /// # Example
    /// ```
    /// use genfence::{SourceResults, UpdateOutcome};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::CallError<std::io::Error>> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// let ship = async |reservations: &mut genfence::Reservations| {
    ///     // BEGIN; UPDATE orders …; UPDATE customers …; COMMIT, within reservations.remaining()
    ///     # let _ = reservations;
    ///     Ok(SourceResults::changed().with("order:1", "shipped"))
    /// };
    /// let outcomes = cache.update_many(["order:1", "customer:9"], ship).await?;
    /// assert_eq!(outcomes, [("order:1".into(), UpdateOutcome::Stored), ("customer:9".into(), UpdateOutcome::Purged)]);
    /// # Ok(()) }
    /// ```
    pub async fn update_many<K, E, F>(
        &self,
        keys: impl IntoIterator<Item = K>,
        change: F,
    ) -> Result<Vec<(Bytes, UpdateOutcome)>, CallError<E>>
    where
        K: AsRef<[u8]>,
        F: AsyncFnOnce(&mut Reservations) -> Result<SourceResults, E>,
    {
        let mut reservations = self.reserve_all(keys, true).await?;
        Ok(match change(&mut reservations).await.map_err(CallError::Caller)? {
            SourceResults::Committed(results) => reservations.finish(results).await?,
            SourceResults::RolledBack => {
                let keys = reservations.all.iter().map(|(key, _)| key.clone());
                let outcomes = keys.map(|key| (key, UpdateOutcome::RolledBack)).collect();
                reservations.abort().await;
                outcomes
            }
        })
    }

    async fn reserve_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        are_settled: bool,
    ) -> Result<Reservations, Error> {
        let mut reservations = self.no_reservations(are_settled);
        reservations.add_many(keys).await?;
        if reservations.all.is_empty() {
            return Err(no_keys());
        }
        Ok(reservations)
    }
}

impl Reservations {
    /// The keys, in the order of their reservations.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(|(key, _)| &**key)
    }

    /// Reserves one more key, unless it is one of these. To be answered before COMMIT is *sent*.
    ///
    /// A value that was made of what was read before must not be committed under it, see [`reserve_many`](Cache::reserve_many): a key that is added is released.
    /// Where there are copies (the option `near`) they are over when it is answered in [`update_many`](Cache::update_many); else [`settled`](Reservations::settled) says when they
    /// are: COMMIT must not be sent before.
    ///
    /// # Errors
    /// As [`reserve_many`](Cache::reserve_many): the key is not held, and the others still are.
    pub async fn add(&mut self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        self.add_many([key]).await
    }

    /// The same of several, together.
    ///
    /// # Errors
    /// As [`add`](Reservations::add): of those that were named here none is held then.
    pub async fn add_many<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), Error> {
        self.add_all(keys, self.are_settled).await
    }

    pub(crate) async fn add_all<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        is_settled: bool,
    ) -> Result<(), Error> {
        let added = self.newly(&Keys::default(), keys)?;
        let taken = if is_settled {
            self.cache.take_settled(&added).await
        } else {
            together(added.iter().map(|key| self.cache.reserve(key))).await
        };
        if let Some((key, error)) = added
            .iter()
            .zip(&taken)
            .find_map(|(key, taken)| Some((key, taken.as_ref().err()?.clone())))
        {
            together(taken.into_iter().flatten().map(Reservation::abort)).await;
            return Err(of_key(key, error));
        }
        self.keys.extend(added.iter().cloned());
        self.all.extend(added.into_iter().zip(taken.into_iter().flatten()));
        Ok(())
    }

    /// Those of these that are neither reserved nor `named`, each once.
    ///
    /// # Errors
    /// One of them is out of bounds, or there are too many.
    pub(crate) fn newly<K: AsRef<[u8]>>(
        &self,
        named: &Keys,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Bytes>, Error> {
        let (mut seen, mut added) = (Keys::default(), Vec::new());
        for key in keys {
            let key = Bytes::copy_from_slice(key.as_ref());
            let is_known = self.keys.contains(&key) || named.contains(&key);
            if !is_known && seen.insert(key.clone()) {
                self.cache.check_key(&key).map_err(|error| of_key(&key, error))?;
                added.push(key);
            }
            if self.keys.len() + named.len() + added.len() > KEYS {
                let problem = format!("more than {KEYS} keys, must be 1 to {KEYS}");
                return Err(Error::invalid("keys", problem));
            }
        }
        Ok(added)
    }

    /// How long the source's transaction may still take: the least of all.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.each().map(Reservation::remaining).min().unwrap_or(Duration::MAX)
    }

    /// How long copies of any of the values may still be served: see [`Reservation::unsettled`].
    #[must_use]
    pub fn unsettled(&self) -> Duration {
        self.each().map(Reservation::unsettled).max().unwrap_or_default()
    }

    /// Waits until no copy of any of the values is served any more: see [`Reservation::settled`].
    pub async fn settled(&self) {
        join_all(self.each().map(Reservation::settled)).await;
    }

    /// Whether all keys are held: see [`Reservation::is_held`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.each().all(Reservation::is_held)
    }

    /// Asks for the whole reservation time anew, of every key. `false`: one has expired, and the source must not be changed any more.
    ///
    /// # Errors
    /// As [`Reservation::renew`], of the first key that it is an error of.
    pub async fn renew(&self) -> Result<bool, Error> {
        renew_all(self.all.iter().map(|(key, reservation)| (key, &*reservation.held))).await
    }

    /// Says that the source was changed, and committed, and that these keys have these values now; the others are released.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not one of these, or a version or a time to live out of bounds, once all keys were told: the key is
    /// released.
    pub async fn commit<K: AsRef<[u8]>, V: Into<Fresh>>(
        self,
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<(Bytes, UpdateOutcome)>, Error> {
        let committed = |(key, value): (K, V)| {
            (Bytes::copy_from_slice(key.as_ref()), SourceResult::Committed(value.into()))
        };
        let results = values.into_iter().map(committed).collect();
        self.finish(results).await
    }

    /// Says that the source was changed, and committed, and stores nothing: the next readers fill.
    pub async fn release(self) -> Vec<(Bytes, ReleaseOutcome)> {
        let released = self.all.into_iter().map(|(key, reservation)| async move {
            // Only a version could be out of bounds.
            let released = reservation.release(None).await;
            (key, released.unwrap_or(ReleaseOutcome::InDoubt))
        });
        together(released).await
    }

    /// Says that the source was certainly not changed and will not be: see [`Reservation::abort`].
    pub async fn abort(self) {
        together(self.all.into_iter().map(|(_, reservation)| reservation.abort())).await;
    }

    pub(super) fn holds(&self, key: &[u8]) -> bool {
        self.keys.contains(key)
    }

    fn each(&self) -> impl Iterator<Item = &Reservation> {
        self.all.iter().map(|(_, reservation)| reservation)
    }

    /// Every key is told, whatever is wrong with another.
    pub(super) async fn finish(
        self,
        results: Vec<(Bytes, SourceResult)>,
    ) -> Result<Vec<(Bytes, UpdateOutcome)>, Error> {
        let unknown = results.iter().find(|(key, _)| !self.keys.contains(key));
        let unknown = unknown.map(|(key, _)| not_reserved(key));
        let told = self.tell(results).await.into_iter();
        let told =
            told.map(|(key, outcome)| Ok((key, outcome?))).collect::<Result<Vec<_>, Error>>()?;
        unknown.map_or(Ok(told), Err)
    }

    /// Every key is told, whatever is wrong with another.
    pub(crate) async fn tell(
        self,
        results: Vec<(Bytes, SourceResult)>,
    ) -> Vec<(Bytes, Result<UpdateOutcome, Error>)> {
        let mut known: HashMap<Bytes, SourceResult, RandomState> = results.into_iter().collect();
        let told = self.all.into_iter().map(|(key, reservation)| {
            let result = known.remove(&key).unwrap_or(SourceResult::Changed(None));
            async move {
                let told = reservation.told(result).await.map_err(|error| of_key(&key, error));
                (key, told)
            }
        });
        together(told).await
    }
}

/// What those who hold the reservations for a program in another language ask.
#[cfg(feature = "capi")]
impl Reservations {
    /// Of the same cache, with none of these keys: what is added to it can be [joined](Reservations::join).
    pub(crate) fn beside(&self) -> Reservations {
        Reservations {
            cache: self.cache.clone(),
            all: Vec::new(),
            keys: self.keys.clone(),
            are_settled: self.are_settled,
        }
    }

    pub(crate) fn join(&mut self, beside: Reservations) {
        self.all.extend(beside.all);
        self.keys.extend(beside.keys);
    }

    /// What goes on to be asked while they are used up, from a place on.
    pub(crate) fn held(&self, from: usize) -> impl Iterator<Item = (Bytes, Arc<Held>)> {
        self.all[from..].iter().map(|(key, reservation)| (key.clone(), reservation.held()))
    }

    /// # Errors
    /// The key is not one of these, or the value or the version out of bounds.
    pub(crate) fn check(&self, key: &[u8], result: &SourceResult) -> Result<(), Error> {
        if !self.keys.contains(key) {
            return Err(not_reserved(key));
        }
        let checked = match result {
            SourceResult::Committed(fresh) => self.cache.check_fresh(fresh),
            SourceResult::Changed(version) => version.map(check_version).transpose().map(drop),
            SourceResult::RolledBack => Ok(()),
        };
        checked.map_err(|error| of_key(key, error))
    }
}

/// See [`Reservations::renew`].
pub(crate) async fn renew_all<'h>(
    held: impl Iterator<Item = (&'h Bytes, &'h Held)>,
) -> Result<bool, Error> {
    let renewed =
        together(held.map(|(key, held)| async move {
            held.renew().await.map_err(|error| of_key(key, error))
        }));
    renewed.await.into_iter().try_fold(true, |all, renewed| Ok(all && renewed?))
}

pub(crate) fn no_keys() -> Error {
    Error::invalid("keys", format!("0 keys, must be 1 to {KEYS}"))
}

fn not_reserved(key: &[u8]) -> Error {
    of_key(key, Error::invalid("key", "is not among the reserved ones"))
}

impl Reservation {
    /// Uses it up, as what became of the source asks for.
    pub(super) async fn told(self, result: SourceResult) -> Result<UpdateOutcome, Error> {
        Ok(match result {
            SourceResult::Committed(fresh) => match self.commit(fresh).await? {
                CommitOutcome::Stored => UpdateOutcome::Stored,
                CommitOutcome::Purged => UpdateOutcome::Purged,
                CommitOutcome::TooLarge => UpdateOutcome::TooLarge,
                CommitOutcome::InDoubt => UpdateOutcome::InDoubt,
            },
            SourceResult::Changed(version) => match self.release(version).await? {
                ReleaseOutcome::Purged => UpdateOutcome::Purged,
                ReleaseOutcome::InDoubt => UpdateOutcome::InDoubt,
            },
            SourceResult::RolledBack => {
                self.abort().await;
                UpdateOutcome::RolledBack
            }
        })
    }
}

/// The same error, and which key it is of.
pub(super) fn of_key(key: &[u8], error: Error) -> Error {
    if matches!(error, Error::ShutDown) {
        return error;
    }
    let told = String::from_utf8_lossy(&key[..key.len().min(TOLD)]);
    let more = if key.len() > TOLD { "…" } else { "" };
    error.at(&format!("key \"{}{more}\"", told.escape_debug()))
}
