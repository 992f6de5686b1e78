//! What a caller uses: [`Cache`], and what its calls return.

#[cfg(any(feature = "capi", feature = "serde"))]
mod at_once;
mod builder;
#[cfg_attr(
    not(any(feature = "capi", feature = "serde")),
    allow(dead_code, reason = "for hosts, and for types")
)]
mod copy;
mod counters;
mod due;
mod error;
mod everywhere;
mod fill;
mod flight;
mod follow;
mod footing;
mod found;
mod fresh;
mod homes;
mod invalidate;
mod lease;
mod load;
mod lookup;
mod near;
#[cfg(feature = "serde")]
mod objects;
mod options;
mod outlive;
mod refresh;
mod regions;
mod reservation;
mod reservations;
mod reserve;
mod retry;
mod serving;
mod stale;
mod stats;
mod stopwatch;
mod tagged;
mod together;
mod transaction;
mod turns;
#[cfg(feature = "serde")]
mod typed;
mod update;
mod write;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::protocol::{Epoch, Terms, Time, Token};
use crate::settings::Options;
use crate::store::{Backend, Change, Diagnosis, Hit, Snapshot, Store, StoreError};
use due::Dues;
use flight::Flights;
use follow::Gate;
use found::{Found, Seen, Told};
use near::Near;
use regions::{Others, Regions};
use serving::Serves;
use stale::LastKnown;
use tagged::Tagging;

pub use builder::Builder;
#[cfg(feature = "capi")]
pub(crate) use copy::ValueCopy;
#[cfg(feature = "capi")]
pub(crate) use counters::counters;
pub use error::{CallError, Error};
pub use follow::{
    ChangeBatch, ChangeStream, Changed, FollowError, Follower, Heartbeat, HeartbeatWriter,
    NoHeartbeats,
};
pub use found::Bypass;
pub use fresh::Fresh;
pub use lease::{FillOutcome, Lease};
#[cfg(feature = "capi")]
pub(crate) use load::{Load, ToLoad};
pub use lookup::Lookup;
#[cfg(feature = "capi")]
pub(crate) use near::Counts;
pub use refresh::Refresh;
#[cfg(feature = "capi")]
pub(crate) use reservation::Held;
pub use reservation::{CommitOutcome, RegionOutcome, ReleaseOutcome, Reservation};
#[cfg(feature = "capi")]
pub(crate) use reservations::{Keys, no_keys, renew_all};
pub use reservations::{Reservations, SourceResults};
pub use serving::{RegionGrant, RegionStatus};
pub use stale::Answer;
pub use stats::Stats;
pub use transaction::TransactionFence;
#[cfg(feature = "serde")]
pub use typed::Typed;
pub use update::{SourceResult, UpdateOutcome};
pub use write::{ReplaceOutcome, SetOutcome, TouchOutcome};

/// A flight's lead carries the tokens of leases that its next holder may replace.
type Leader = flight::Leader<Told, Token>;

/// Tables of flights: enough that a few dozen threads rarely meet on one lock.
const FLIGHT_SHARDS: usize = 64;

/// A cache in front of a source of record. Cheap to clone; clones are the same cache.
///
/// All calls may be made from many threads at once. They need a tokio runtime with its timers on
/// (`enable_time`), the one that the cache was opened in or another. What goes on in the background
/// (keeping leases alive, giving claims back), and every command on Aerospike, runs on the one it was opened
/// in. Once that has ended, or while nobody drives it, claims expire, and commands on Aerospike end within
/// twice the time-out in an error that says so.
///
/// # Example
/// ```
/// use genfence::{Cache, Fresh, SourceResult, UpdateOutcome};
/// # use std::convert::Infallible;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let cache = Cache::connect("memory://?ttl=1m").await?;
///
/// // Read through the cache: on a miss, one caller in all processes reads the source.
/// let value = cache.get_or_fill("user:1", async || Ok::<_, Infallible>("Ada")).await.unwrap();
/// assert_eq!(value.unwrap(), "Ada");
///
/// // Change the source under a reservation.
/// let update = cache
///     .update("user:1", async |_reservation| {
///         // … UPDATE users SET name = 'Grace' …; COMMIT
///         Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("Grace")))
///     })
///     .await
///     .unwrap();
/// assert_eq!(update, UpdateOutcome::Stored);
/// # Ok::<(), genfence::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache(Arc<Inner>, Option<Arc<PerHandle>>);

/// What counts for the calls that are made through one handle.
#[derive(Clone, Default)]
struct PerHandle {
    /// The tags that values bear which are stored through it.
    tags: Vec<Bytes>,
    /// How long copies are kept of what is read through it, if not as the option `near` says.
    near: Option<Duration>,
}

/// What all clones of a cache share.
struct Inner {
    store: Backend,
    options: Options,
    flights: Arc<Flights<Told, Token>>,
    /// Loads that have nothing to do with the key's record: unread ones, and those beside a lease that the program
    /// holds.
    beside: Arc<Flights<Told, Token>>,
    turns: turns::Turns,
    /// Where copies are kept of what the store holds.
    near: Option<Near>,
    /// Where values are loaded anew before they end.
    dues: Option<Dues>,
    /// Where stale values are answered.
    last_known: Option<LastKnown>,
    counters: stats::Counters,
    /// Where values bear tags.
    tagging: Option<Tagging>,
    /// Where there are several.
    regions: Option<Regions>,
    /// Where it serves only while the grantors let it.
    serves: Option<Serves>,
    /// Where it serves only while it is told of changes.
    gate: Option<Arc<Gate>>,
    runtime: Handle,
    tasks: TaskTracker,
    /// Ends loads in the background, when closing takes too long.
    cut: CancellationToken,
    closed: AtomicBool,
}

impl Cache {
    /// Opens a cache.
    ///
    /// * `memory://?options`: embedded, in this process.
    /// * `aerospike://user:password@host:port,host:port/namespace/set?options`: on Aerospike, where
    ///   user and password are for a cluster that asks for them.
    ///
    /// Options are those of the [`Builder`], under their names there: spans as `500ms`, `10s`,
    /// `5m`; sizes as `65536`, `64KiB`.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the part of the URL or the option that is out of bounds. The URL
    /// itself is never repeated in an error.
    ///
    /// # Example
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let cache = genfence::Cache::connect("memory://?ttl=5m&max_bytes=16MiB").await?;
    /// let error = genfence::Cache::connect("memory://?ttl=0s").await.unwrap_err();
    /// assert_eq!(error.to_string(), "ttl: 0s is out of bounds, must be 1s to 3650days");
    /// # drop(cache);
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub async fn connect(url: &str) -> Result<Cache, Error> {
        Cache::builder().connect(url).await
    }

    /// Settings to open a cache with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn open(store: Backend, mut options: Options, others: Others) -> Result<Cache, Error> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::invalid("runtime", "there is none here; open the cache within a tokio runtime")
        })?;
        if let Backend::Memory(store) = &store {
            store.keep_floors(options.replica_lag);
            if !store.agree_on_tags(options.tags) {
                let problem = "another cache on this store has it otherwise: all must say the same";
                return Err(Error::invalid("tags", problem));
            }
        }
        let Others { peers, homes, gate, looks } = others;
        let watches = options.stream_bound.is_some();
        let regions = Regions::new(&mut options, peers, homes);
        let grantors: Vec<String> = options.grantors().into_iter().map(str::to_owned).collect();
        let near = near_of(&store, &options)?;
        let serves = (!grantors.is_empty()).then(|| Serves::new(options.serving_lease, grantors));
        let dues = options.refresh_at.map(|share| Dues::new(share, options.load_time));
        let last_known = options.stale_for.map(|time| LastKnown::new(time, options.stale_bytes));
        let tagging = options.tags.then(Tagging::default);
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| {
            let inner = inner.clone();
            let abandoned = move |key: &Bytes, tokens: Vec<Token>| {
                if let Some(inner) = inner.upgrade() {
                    Cache(inner, None).unlease(key.clone(), tokens, None);
                }
            };
            Inner {
                store,
                options,
                flights: Flights::new(FLIGHT_SHARDS, abandoned),
                beside: Flights::new(FLIGHT_SHARDS, |_, _| {}),
                turns: turns::Turns::default(),
                near,
                dues,
                last_known,
                counters: stats::Counters::default(),
                tagging,
                regions,
                serves,
                gate,
                runtime,
                tasks: TaskTracker::new(),
                cut: CancellationToken::new(),
                closed: AtomicBool::new(false),
            }
        });
        let cache = Cache(inner, None);
        if watches {
            cache.watch_gate();
        }
        if !looks {
            cache.keep_serving();
        }
        Ok(cache)
    }

    /// The value of `key`, if the cache holds one. Takes no lease and waits for nobody.
    ///
    /// # Errors
    /// As [`lookup`](Cache::lookup); where the store gives no answer and `unreachable_read` says
    /// bypass, `None`.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Hit>, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key.as_ref(), room)?;
        Ok(match cache.read(&key).await? {
            Seen::Found(Found::Hit(hit)) => Some(hit),
            _ => None,
        })
    }

    /// As [`get`](Cache::get), except that a store that gives no answer is an error in any case.
    #[cfg(feature = "capi")]
    pub(crate) async fn get_strictly(&self, key: &[u8]) -> Result<Option<Hit>, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room)?;
        let read = match cache.serves(key.epoch) {
            Ok(()) => cache.see(&key).await,
            Err(error) => Err(error),
        };
        let seen = read.inspect_err(|_| cache.0.counters.failures.add())?;
        Ok(match seen {
            Seen::Found(Found::Hit(hit)) => Some(hit),
            _ => None,
        })
    }

    /// All that the cache knows of `key`, for an operator to look at: the value, its version, the
    /// floor, claims and their deadlines. `None` if it knows nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or oversized key; [`Error::Store`] if the store did not answer;
    /// [`Error::ShutDown`].
    pub async fn inspect(&self, key: impl AsRef<[u8]>) -> Result<Option<Snapshot>, Error> {
        let (room, now) = (&mut Room::default(), &mut Room::default());
        let (cache, mut full) = self.key(key.as_ref(), room)?;
        if self.0.serves.is_some() {
            full = self.key_in(key.as_ref(), Box::pin(self.epoch_now()).await?, now);
        }
        let known = cache.0.store.inspect(&full).await?;
        Ok(known.map(|known| cache.without_tags(known)))
    }

    /// Looks at what the cache stands on: the server's version, what its clock does, and each of its
    /// settings that the guarantee, or what can be stored, depends on. Ends within some seconds.
    ///
    /// # Errors
    /// [`Error::Store`] if the store did not answer; [`Error::ShutDown`].
    ///
    /// # Example
    /// ```
    /// use genfence::store::Level;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// let cache = genfence::Cache::connect("memory://").await?;
    /// let diagnosis = cache.diagnose().await?;
    /// assert!(diagnosis.level() < Level::Error, "{:?}", diagnosis.findings);
    /// # Ok(()) }
    /// ```
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        self.open_or_shut_down()?;
        Ok(self.0.store.diagnose(&self.0.options.needs()).await?)
    }

    /// Waits until the store is connected to, where that goes on in the background
    /// ([`Builder::background_connect`]); else it is at once.
    ///
    /// # Errors
    /// [`Error::Store`] if it is not within that time, and why; it goes on all the same. [`Error::ShutDown`].
    pub async fn ready(&self, within: Duration) -> Result<(), Error> {
        self.open_or_shut_down()?;
        Ok(self.0.store.ready(within).await?)
    }

    /// What this cache has done since it was opened. Where keys have homes (`fence=home`), with what it has done in the other regions'
    /// clusters, save where the program has opened that region's cache itself.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let serving = self.0.serves.as_ref().map(|serves| &serves.counts);
        let own = self.0.counters.snapshot(self.0.store.traffic(), serving);
        // What is at home elsewhere is counted there.
        let homes = self.0.regions.iter().filter(|_| self.homes().is_some());
        let elsewhere = homes.flat_map(Regions::opened_here);
        elsewhere.fold(own, |sum, cache| sum.with(&cache.stats()))
    }

    /// Closes the cache and all its clones: every further call on them ends with
    /// [`Error::ShutDown`], and what goes on in the background gets `within` to end. Says whether it
    /// did. A load that goes on in the background ([`get_or_fill_ahead`](Cache::get_or_fill_ahead)) is cancelled then.
    ///
    /// Calls under way end as they would have, and leases and reservations that are out can still
    /// be used. Dropping the last clone without closing it is safe too: claims that were not given
    /// back expire.
    pub async fn close(&self, within: Duration) -> bool {
        self.0.closed.store(true, Relaxed);
        self.0.tasks.close();
        let start = Instant::now();
        let ended = timeout(within, self.0.tasks.wait()).await.is_ok();
        self.0.cut.cancel();
        let Some(regions) = &self.0.regions else { return ended };
        // What was said here may go on there.
        regions.close(within.saturating_sub(start.elapsed())).await && ended
    }

    /// The cluster below, where there is one. The tool's own, and no part of the interface.
    #[cfg(all(feature = "aerospike", feature = "cli"))]
    #[doc(hidden)]
    pub fn cluster(&self) -> Option<crate::store::Cluster> {
        match &self.0.store {
            Backend::Aerospike(store) => store.cluster(self.0.options.prefix.clone()),
            _ => None,
        }
    }

    /// The cache, for what goes on in the background as long as somebody has it open.
    fn still_open(inner: &Weak<Inner>) -> Option<Cache> {
        inner
            .upgrade()
            .map(|inner| Cache(inner, None))
            .filter(|cache| cache.open_or_shut_down().is_ok())
    }

    /// Runs something in the background, where [`close`](Cache::close) waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.0.tasks.spawn_on(task, &self.0.runtime).abort_handle()
    }

    /// Gives leases back in the background, as far as that counts. What fails expires.
    fn unlease(&self, key: Bytes, tokens: Vec<Token>, until: Option<Time>) {
        if tokens.is_empty() {
            return;
        }
        let cache = self.clone();
        self.spawn(async move {
            let returns = async {
                for token in tokens {
                    let returned =
                        cache.0.store.change(&key, &Change::Unlease { token, until }).await;
                    if let Ok(Ok(())) = returned {
                        cache.0.counters.leases_returned.add();
                    }
                }
            };
            let _: Result<(), _> = timeout(lease::RETURN_TIME, returns).await;
        });
    }

    #[inline]
    fn open_or_shut_down(&self) -> Result<(), Error> {
        if self.0.closed.load(Relaxed) { Err(Error::ShutDown) } else { Ok(()) }
    }

    /// Whether the cache may serve what it holds in that epoch. Asked before it is read: what is served is then no older than it may be
    /// when the call begins.
    #[inline]
    fn serves(&self, epoch: Epoch) -> Result<(), StoreError> {
        if let Some(serves) = &self.0.serves {
            serves.serves(epoch)?;
        }
        self.0.gate.as_ref().map_or(Ok(()), |gate| gate.serves())
    }

    /// Whether no command waits for a network.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.0.store, Backend::Memory(_))
    }

    /// Checks a key, and says in which cache it is read and filled, and under which name: in this one, but where keys have homes.
    #[inline]
    fn key<'k>(&self, key: &'k [u8], room: &'k mut Room) -> Result<(&Cache, FullKey<'k>), Error> {
        self.check_key(key)?;
        match self.homes() {
            None => Ok((self, self.key_in(key, self.epoch(), room))),
            Some(homes) => self.key_at_home(homes, key, room),
        }
    }

    /// A key that was checked, with the prefix and the epoch before it.
    #[inline]
    fn key_in<'k>(&self, key: &'k [u8], epoch: Epoch, room: &'k mut Room) -> FullKey<'k> {
        if self.is_named_as_given(epoch) {
            return FullKey { epoch, bytes: key };
        }
        let space = self.0.tagging.is_some().then_some(tagged::VALUE);
        FullKey { epoch, bytes: self.joined(space, key, epoch, room) }
    }

    /// Whether nothing stands before keys.
    #[inline]
    fn is_named_as_given(&self, epoch: Epoch) -> bool {
        self.0.tagging.is_none() && self.0.options.prefix.is_empty() && epoch.is_none()
    }

    /// A key with all that stands before it.
    #[inline]
    fn joined<'k>(
        &self,
        space: Option<u8>,
        key: &[u8],
        epoch: Epoch,
        room: &'k mut Room,
    ) -> &'k [u8] {
        let Room(joined) = room;
        joined.extend(space);
        joined.extend_from_slice(&self.0.options.prefix);
        if !epoch.is_none() {
            joined.extend_from_slice(&epoch.get().to_be_bytes());
        }
        joined.extend_from_slice(key);
        joined
    }

    /// Whether the cache is open, and a key within its bounds.
    #[inline]
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<(), Error> {
        self.open_or_shut_down()?;
        let size = self.0.options.prefix.len() + key.len();
        if key.is_empty() || size > self.0.options.max_key_bytes {
            return Err(self.bad_key(key));
        }
        Ok(())
    }

    #[cold]
    fn bad_key(&self, key: &[u8]) -> Error {
        let most = self.0.options.max_key_bytes - self.0.options.prefix.len();
        Error::invalid("key", format!("{} bytes, must be 1 to {most}", key.len()))
    }
}

/// Where copies are kept. A store in this process needs none: to read it is as good.
fn near_of(store: &Backend, options: &Options) -> Result<Option<Near>, Error> {
    if matches!(store, Backend::Memory(_)) || options.longest_near().is_none() {
        return Ok(None);
    }
    if store.terms() != Terms::default() {
        return Ok(Some(Near::new(options.near_bytes as u64)));
    }
    if options.near.is_none() {
        return Ok(None);
    }
    let problem = "this store gives no leave to keep copies; connect by a URL, or give a store of your own its terms";
    Err(Error::invalid("near", problem))
}

/// A key with all that stands before it.
#[derive(Clone, Copy)]
struct FullKey<'k> {
    /// The one that its record is of.
    epoch: Epoch,
    bytes: &'k [u8],
}

/// Where one key is put together; most need no allocation. It stays where it is: to move it takes longer than to fill it.
#[derive(Default)]
struct Room(SmallVec<[u8; 64]>);

impl Deref for FullKey<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
