//! Where commands run: the trait [`Store`], and the stores there are.
//!
//! A store runs each protocol command on the record of one key in one atomic step, on one clock. It
//! knows nothing of waiting, of other callers, or of what a command is for.

#[cfg(feature = "aerospike")]
mod aerospike;
mod backend;
mod clock;
mod diagnosis;
mod error;
#[cfg_attr(not(feature = "aerospike"), allow(dead_code, reason = "a store on a cluster makes one"))]
mod guard;
mod memory;
mod stripes;
mod system;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::protocol;

pub use crate::settings::Auth;
#[cfg(feature = "aerospike")]
pub(crate) use aerospike::Seeds;
#[cfg(feature = "aerospike")]
pub use aerospike::{AerospikeSettings, AerospikeStore};
#[cfg(all(feature = "aerospike", feature = "cli"))]
#[doc(hidden)]
pub use aerospike::{Cluster, Contract};
#[cfg(feature = "undone")]
#[doc(hidden)]
pub use aerospike::{Rule, undo};
pub(crate) use backend::Backend;
pub use clock::Clock;
pub use diagnosis::{Diagnosis, Finding, Level, Needs};
pub use error::{Cause, StoreError};
pub(crate) use guard::{Guard, Standing};
pub use memory::MemoryStore;
pub(crate) use stripes::{Mark, Stripes};
pub(crate) use system::going_on;
#[cfg(feature = "undone")]
#[doc(hidden)]
pub use system::suspend;

/// What a record holds: bytes, or `None` where the source was asked and has nothing.
pub type Value = Option<Bytes>;
/// [`protocol::Hit`] of the values that stores hold.
pub type Hit = protocol::Hit<Value>;
/// [`protocol::Change`] of the values that stores hold.
pub type Change = protocol::Change<Value>;
/// [`protocol::Record`] of the values that stores hold.
pub type Record = protocol::Record<Value>;
/// What a store says to a command that reached it: done, or refused and nothing changed.
pub type Answer<T> = Result<T, protocol::Refusal>;

/// How many commands a store is asked for at once that does not say how it runs several.
const AT_A_TIME: usize = 64;

/// What a plain read finds.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Cache, store::{MemoryStore, Read, Store}};
/// use std::sync::Arc;
///
/// let store = Arc::new(MemoryStore::new(8 << 20));
/// let cache = Cache::builder().build(store.clone())?;
/// assert_eq!(store.get(b"k").await?, Read::Free);
/// let _writer = cache.reserve("k").await?;
/// assert_eq!(store.get(b"k").await?, Read::Claimed);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A value that may be served.
    Hit(Hit),
    /// There is none, and a lease or a reservation is on the key. It may have lapsed: a plain read
    /// looks at no clock.
    Claimed,
    /// There is none, and nobody has a claim.
    Free,
}

impl Read {
    /// The value, if there is one.
    #[must_use]
    pub fn hit(self) -> Option<Hit> {
        if let Read::Hit(hit) = self { Some(hit) } else { None }
    }
}

/// What a look finds: a read, and what the record says of copies.
///
/// # Example
/// ```
/// use genfence::protocol::Ttl;
/// use genfence::store::{MemoryStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::store::StoreError> {
/// let store = MemoryStore::new(8 << 20);
/// assert!(store.look(b"k").await?.lives().is_zero(), "there is nothing");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What a plain read would have found.
    pub read: Read,
    /// What the record says of copies, if it says anything.
    pub near: Option<protocol::Near>,
    /// When that was, on the store's clock.
    pub now: protocol::Time,
}

impl Look {
    /// Of a store that knows of no copies.
    #[must_use]
    pub fn without_copies(read: Read) -> Self {
        Look { read, near: None, now: protocol::Time::ZERO }
    }

    /// How long a copy of the value may be served, from before the look was sent; zero where there is none, or where
    /// nobody has leave to keep one.
    #[must_use]
    pub fn lives(&self) -> Duration {
        match (&self.read, self.near) {
            (Read::Hit(_), Some(near)) => near.lives(self.now),
            _ => Duration::ZERO,
        }
    }

    /// Whether no leave is given for more copies.
    #[must_use]
    pub fn is_hushed(&self) -> bool {
        let hushed = self.near.and_then(|near| near.hushed);
        hushed.is_some_and(|hushed| hushed.is_live(self.now))
    }

    /// How long copies may still be served, from the answer on.
    #[must_use]
    pub fn wait(&self, terms: &protocol::Terms) -> Duration {
        self.near.map_or(terms.unsaid, |near| near.left(self.now, terms.clocks))
    }
}

/// A record and the server's time at which it was read.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use genfence::{Cache, store::{MemoryStore, Store}};
/// use std::sync::Arc;
///
/// let store = Arc::new(MemoryStore::new(8 << 20));
/// let cache = Cache::builder().build(store.clone())?;
/// let _writer = cache.reserve("k").await?;
/// let snapshot = store.inspect(b"k").await?.expect("it is reserved");
/// assert!(snapshot.record.is_reserved(snapshot.now));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// All that is known of the key.
    pub record: Record,
    /// When it was read; the record's deadlines are on the same clock.
    pub now: protocol::Time,
}

impl Snapshot {
    /// What was left of each live reservation.
    pub fn reserved_for(&self) -> impl Iterator<Item = Duration> {
        let live = self.record.reservations.values().filter(|deadline| **deadline > self.now);
        live.map(|deadline| deadline.remaining(self.now))
    }

    /// What was left of the lease, if it was live.
    #[must_use]
    pub fn leased_for(&self) -> Option<Duration> {
        self.record.live_lease(self.now).map(|lease| lease.deadline.remaining(self.now))
    }

    /// When nothing will be known of the key, unless more is heard.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.record.expires.remaining(self.now)
    }
}

/// How the commands of concurrent callers travelled: counts, which only grow.
///
/// # Example
/// ```
/// use genfence::store::{MemoryStore, Store, Traffic};
///
/// assert_eq!(MemoryStore::new(8 << 20).traffic(), Traffic::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Commands that went with others.
    pub merged: u64,
    /// The messages that they went in.
    pub batches: u64,
    /// Reads that were answered by another caller's, which had not been sent when they came.
    pub joined: u64,
    /// How long commands waited for a message, in microseconds, all together.
    pub queued_micros: u64,
    /// How often the cluster's nodes did not agree any more who is in it, so that reads bypassed.
    pub leases_lost: u64,
    /// How long that was, in microseconds, all together.
    pub unleased_micros: u64,
}

/// A place where the protocol's commands run.
///
/// # Contract
/// * Each call is one atomic step on one key, as [`protocol::get`], [`protocol::claim`] and
///   [`protocol::change`] describe it. How many packets it takes, and whether they travel with
///   others, is the store's own matter.
/// * All deadlines are on the store's clock, never on the caller's.
/// * Each call ends within a bound of the store's own. A call that ends with
///   [`StoreError::in_doubt`] may have been applied, and may still be. The caller retries; a store
///   sends each command once.
/// * A record with a live reservation is never evicted.
/// * A future that is dropped may leave its command applied or not.
///
/// # Example
/// A store that counts what it is asked, around another:
///
/// ```
/// use genfence::protocol::{Claim, Grant};
/// use genfence::store::{Answer, Change, MemoryStore, Read, Snapshot, Store, StoreError};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// struct Counting(MemoryStore, AtomicU64);
///
/// impl Store for Counting {
///     async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
///         self.1.fetch_add(1, Ordering::Relaxed);
///         self.0.get(key).await
///     }
///     async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
///         self.0.inspect(key).await
///     }
///     async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
///         self.0.claim(key, claim).await
///     }
///     async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
///         self.0.change(key, change).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
/// let counting = Counting(MemoryStore::new(8 << 20), AtomicU64::new(0));
/// let cache = genfence::Cache::builder().build(counting)?;
/// assert!(cache.get("k").await?.is_none());
/// # Ok(()) }
/// ```
pub trait Store: Send + Sync + 'static {
    /// A plain read of `key`: the value, if one may be served.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Read, StoreError>> + Send;

    /// The values of several keys, in their order. Each key is read in a step of its own, and has an outcome
    /// of its own: what goes wrong with one costs no other.
    fn get_many(
        &self,
        keys: &[Bytes],
    ) -> impl Future<Output = Vec<Result<Read, StoreError>>> + Send {
        async move {
            let mut reads = Vec::with_capacity(keys.len());
            for key in keys {
                reads.push(self.get(key).await);
            }
            reads
        }
    }

    /// All that is known of `key`: why a lease was refused, what an operator asks about.
    fn inspect(
        &self,
        key: &[u8],
    ) -> impl Future<Output = Result<Option<Snapshot>, StoreError>> + Send;

    /// A plain read, and what the record says of copies.
    ///
    /// A store that gives no leave to keep copies has nothing to say.
    fn look(&self, key: &[u8]) -> impl Future<Output = Result<Look, StoreError>> + Send {
        async move { self.get(key).await.map(Look::without_copies) }
    }

    /// The same of several keys, in their order: as [`get_many`](Store::get_many) has it.
    fn look_many(
        &self,
        keys: &[Bytes],
    ) -> impl Future<Output = Vec<Result<Look, StoreError>>> + Send {
        async move {
            let mut looks = Vec::with_capacity(keys.len());
            for key in keys {
                looks.push(self.look(key).await);
            }
            looks
        }
    }

    /// Asks for leave to keep a copy of the value, and to serve it for a time from before this was sent.
    ///
    /// A store that gives none refuses.
    fn stamp(
        &self,
        _key: &[u8],
        _stamp: &protocol::Stamp,
    ) -> impl Future<Output = Result<Answer<Hit>, StoreError>> + Send {
        std::future::ready(Err(StoreError::refused("this store gives no leave to keep copies")))
    }

    /// What all programs that use the records reckon with alike.
    fn terms(&self) -> protocol::Terms {
        protocol::Terms::default()
    }

    /// Runs a command that takes or prolongs a claim.
    fn claim(
        &self,
        key: &[u8],
        claim: &protocol::Claim,
    ) -> impl Future<Output = Result<Answer<protocol::Grant>, StoreError>> + Send;

    /// Runs several claims, in no order; what came of each, in theirs: as [`change_many`](Store::change_many) has it.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    ///
    /// use genfence::protocol::{Claim, Token, Ttl};
    /// use genfence::store::{MemoryStore, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = MemoryStore::new(8 << 20);
    /// let (time, ttl) = (Duration::from_secs(10), Ttl::from_secs(60).unwrap());
    /// let reserve = |token| Claim::Reserve { token: Token::new(token), previous: Vec::new(), time, ttl };
    /// let claims = [("k".into(), reserve(1)), ("k".into(), reserve(2)), ("other".into(), reserve(3))];
    /// let granted = store.claim_many(&claims).await;
    /// let alone = granted.into_iter().filter(|granted| matches!(granted, Ok(Ok(grant)) if grant.alone));
    /// assert_eq!(alone.count(), 2);
    /// # }
    /// ```
    fn claim_many(
        &self,
        claims: &[(Bytes, protocol::Claim)],
    ) -> impl Future<Output = Vec<Result<Answer<protocol::Grant>, StoreError>>> + Send {
        async move {
            let mut granted = Vec::with_capacity(claims.len());
            for some in claims.chunks(AT_A_TIME) {
                let some = some.iter().map(|(key, claim)| self.claim(key, claim));
                granted.extend(join_all(some).await);
            }
            granted
        }
    }

    /// Runs a command that stores, removes, or gives a claim back.
    fn change(
        &self,
        key: &[u8],
        change: &Change,
    ) -> impl Future<Output = Result<Answer<()>, StoreError>> + Send;

    /// Runs several changes, in no order; what came of each, in theirs. Each runs in a step of its own, and has an outcome
    /// of its own: what goes wrong with one costs no other. Of a store that does not say how, 64 at a time.
    ///
    /// # Example
    /// ```
    /// use genfence::protocol::{Ttl, Version};
    /// use genfence::store::{Change, MemoryStore, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = MemoryStore::new(8 << 20);
    /// let (version, ttl) = (Version::new(7), Ttl::from_secs(60).unwrap());
    /// let told = [
    ///     ("k".into(), Change::Invalidate { version, ttl }),
    ///     ("unknown".into(), Change::Invalidate { version: None, ttl }),
    /// ];
    /// let answers = store.change_many(&told).await;
    /// assert!(answers[0].as_ref().unwrap().is_ok());
    /// assert!(answers[1].as_ref().unwrap().is_err(), "there was nothing to remove");
    /// # }
    /// ```
    fn change_many(
        &self,
        changes: &[(Bytes, Change)],
    ) -> impl Future<Output = Vec<Result<Answer<()>, StoreError>>> + Send {
        async move {
            let mut answers = Vec::with_capacity(changes.len());
            for some in changes.chunks(AT_A_TIME) {
                answers.extend(
                    join_all(some.iter().map(|(key, change)| self.change(key, change))).await,
                );
            }
            answers
        }
    }

    /// What was sent together, since the store was opened. A store that merges nothing has nothing to say.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    /// Looks at what the store stands on, for an operator: its version, its settings, its health.
    /// A store that has nothing to say finds nothing.
    fn diagnose(
        &self,
        _needs: &Needs,
    ) -> impl Future<Output = Result<Diagnosis, StoreError>> + Send {
        std::future::ready(Ok(Diagnosis::default()))
    }
}

/// So that whoever opens a cache can keep the store at hand.
impl<S: Store> Store for Arc<S> {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        S::get(self, key).await
    }

    async fn get_many(&self, keys: &[Bytes]) -> Vec<Result<Read, StoreError>> {
        S::get_many(self, keys).await
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        S::inspect(self, key).await
    }

    async fn look(&self, key: &[u8]) -> Result<Look, StoreError> {
        S::look(self, key).await
    }

    async fn look_many(&self, keys: &[Bytes]) -> Vec<Result<Look, StoreError>> {
        S::look_many(self, keys).await
    }

    async fn stamp(&self, key: &[u8], stamp: &protocol::Stamp) -> Result<Answer<Hit>, StoreError> {
        S::stamp(self, key, stamp).await
    }

    fn terms(&self) -> protocol::Terms {
        S::terms(self)
    }

    async fn claim(
        &self,
        key: &[u8],
        claim: &protocol::Claim,
    ) -> Result<Answer<protocol::Grant>, StoreError> {
        S::claim(self, key, claim).await
    }

    async fn claim_many(
        &self,
        claims: &[(Bytes, protocol::Claim)],
    ) -> Vec<Result<Answer<protocol::Grant>, StoreError>> {
        S::claim_many(self, claims).await
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        S::change(self, key, change).await
    }

    async fn change_many(
        &self,
        changes: &[(Bytes, Change)],
    ) -> Vec<Result<Answer<()>, StoreError>> {
        S::change_many(self, changes).await
    }

    fn traffic(&self) -> Traffic {
        S::traffic(self)
    }

    async fn diagnose(&self, needs: &Needs) -> Result<Diagnosis, StoreError> {
        S::diagnose(self, needs).await
    }
}
