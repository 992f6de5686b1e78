use std::time::Duration;

use super::options::{Options, UnreachableRead, UnreachableReserve};
use super::url::{self, Target};
use super::{Cache, Error};
#[cfg(feature = "aerospike")]
use crate::store::{AerospikeSettings, AerospikeStore};
use crate::store::{Backend, Clock, Diagnosis, MemoryStore, Store, access_setters};

/// Settings for a [`Cache`], each with a default that most programs keep.
///
/// ```
/// use genfence::Cache;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::builder()
///     .ttl(Duration::from_secs(60))
///     .prefix("users:")
///     .connect("memory://")
///     .await?;
/// # drop(cache);
/// # Ok::<(), genfence::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `connect` or `build`"]
pub struct Builder {
    options: Options,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: $kind) -> Self {
            self.options.$name = $name;
            self
        }
    )*};
}

impl Builder {
    settings! {
        /// How long a value lives: 1 s to ten years, rounded up to whole seconds. Default 5 min.
        ttl: Duration,
        /// By which share a default time to live is shortened at random: 0 to 0.5. Default 0.1.
        ttl_jitter: f64,
        /// How long "the source has nothing" is remembered: 1 s to ten years. Default 30 s.
        negative_ttl: Duration,
        /// How long a reader's lease lasts before it must be extended, which the library does while
        /// a loader runs: 10 ms to 1 min. Default 2 s.
        lease_time: Duration,
        /// How long a writer's reservation lasts: 100 ms to 1 h. It must exceed the transaction
        /// time-out of the source. Default 10 s.
        reservation_time: Duration,
        /// What [`Reservation::remaining`](super::Reservation::remaining) keeps back of the
        /// reservation time, for differences between the clocks of the cluster's nodes, and for the
        /// lag of replicas that loaders read: below the reservation time. Default 1 s.
        reservation_margin: Duration,
        /// How long a lookup waits for somebody else's fill before it bypasses: 0 to 1 min. `get_or_fill` waits so
        /// long for another process, and for a lease that the program holds; for a load of its own process until
        /// that ends, or `load_time` is over.
        /// Default 2 s.
        wait: Duration,
        /// How long a load may take: so long a lease is kept alive for its holder, and those of its process wait for
        /// it; after that another caller may load: `lease_time` to 1 h. Default 1 min.
        load_time: Duration,
        /// How far the replicas of the source that loaders read may lag behind, where values carry
        /// versions: no longer than the shortest time to live. What was heard of a key is remembered at
        /// least this long. Default 1 s.
        replica_lag: Duration,
        /// The largest key in bytes, prefix included: 1 to 64 KiB. Default 1 KiB.
        max_key_bytes: usize,
        /// The largest value in bytes: 1 to 119 MiB. Default 1020 KiB, which
        /// with all that belongs to it is within the 1 MiB that a server allows a record by default.
        max_value_bytes: usize,
        /// How often a command is sent before the store counts as unreachable: 1 to 100. Default 3.
        /// Plain reads are sent once: a read that bypasses at once is better than one that waits.
        attempts: u32,
        /// What a read does when the store gives no answer. Default: bypass.
        unreachable_read: UnreachableRead,
        /// What a reserve does when the store gives no answer. Default: error.
        unreachable_reserve: UnreachableReserve,
        /// `memory://` only: the bound on all that is held, in bytes: at least four times
        /// `max_value_bytes`. Default 64 MiB. Values are counted by their length; a slice of a larger
        /// buffer keeps all of that alive, so pass values of their own.
        max_bytes: u64,
    }

    access_setters!(options.access);

    /// What every key begins with, so that several caches can share one store. Default: nothing.
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Opens the cache that `url` names: see [`Cache::connect`]. Options in the URL come on top of
    /// those set here.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option or the part of the URL that is out of bounds, and the file
    /// that is not what it should be. [`Error::Store`] if the cluster cannot be reached within
    /// `connect_timeout`, does not let the user in, or is not fit.
    pub async fn connect(self, url: &str) -> Result<Cache, Error> {
        let (store, options) = self.open(url, true).await?;
        store.must_be_fit().await?;
        Cache::open(store, options)
    }

    /// As [`Cache::diagnose`], of a cluster that [`connect`](Builder::connect) may refuse as unfit.
    ///
    /// # Errors
    /// As [`connect`](Builder::connect), except that what is unfit is a finding.
    pub async fn diagnose(self, url: &str) -> Result<Diagnosis, Error> {
        let (store, options) = self.open(url, false).await?;
        Ok(store.diagnose(&options.needs()).await?)
    }

    /// The store that `url` names, fit or not. `background`: whether it may be opened in the background.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(clippy::unused_async, unused_variables, reason = "other stores connect")
    )]
    async fn open(self, url: &str, background: bool) -> Result<(Backend, Options), Error> {
        let mut options = self.options;
        match url::parse(url, &mut options)? {
            Target::Memory => {
                options.check()?;
                options.check_max_bytes()?;
                let store = MemoryStore::sized(
                    options.max_bytes,
                    options.max_value_bytes as u64,
                    Clock::default(),
                );
                Ok((Backend::new(store), options))
            }
            #[cfg(feature = "aerospike")]
            Target::Aerospike { hosts, namespace, set } => {
                options.check()?;
                // Taken, so that the cache does not keep the password.
                let access = std::mem::take(&mut options.access);
                let settings = AerospikeSettings { hosts, namespace, set, access };
                let seeds = settings.seeds()?;
                let store = if background && settings.access.background_connect {
                    AerospikeStore::in_background(settings, seeds)
                } else {
                    AerospikeStore::open(&settings, &seeds).await?
                };
                Ok((Backend::new(store), options))
            }
            #[cfg(not(feature = "aerospike"))]
            Target::Aerospike { .. } => Err(Error::invalid(
                "url",
                "this build has no Aerospike store; build genfence with its feature `aerospike`",
            )),
        }
    }

    /// Opens a cache on the given store.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option that is out of bounds, or says that there is no tokio
    /// runtime here.
    pub fn build(self, store: impl Store) -> Result<Cache, Error> {
        self.options.check()?;
        Cache::open(Backend::new(store), self.options)
    }
}
