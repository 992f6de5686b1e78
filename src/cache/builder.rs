use std::sync::Arc;
#[cfg(all(feature = "aerospike", feature = "cli"))]
use std::time::Duration;
use std::time::Instant;

use futures_util::future::{join_all, join3, try_join};

use super::follow::Gate;
use super::homes::{HomeFn, Homes};
use super::regions::{self, Others, Peer};
use super::{Cache, Error};
use crate::settings::{
    self, Of, Options, Target, access_settings, cache_settings, login_setter, setter, setters,
};
#[cfg(feature = "aerospike")]
use crate::store::{AerospikeSettings, AerospikeStore, Seeds};
use crate::store::{Backend, Clock, Diagnosis, MemoryStore, Needs, Store};

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
    peers: Vec<Peer>,
    home: Option<HomeFn>,
    looks: bool,
}

/// Where a cache is, all checked.
struct Plan {
    place: Place,
    /// Where the other regions' are, by their names.
    others: Vec<(String, Place)>,
    options: Options,
    beside: Others,
}

#[derive(Clone)]
pub(super) enum Place {
    /// The bound on all that is held, and on a value.
    Memory(u64, u64),
    #[cfg(feature = "aerospike")]
    Aerospike(Box<(AerospikeSettings, Seeds)>),
}

macro_rules! cache_setters {
    ($($rows:tt)*) => { setters! { [options] $($rows)* } };
}

macro_rules! access_setters {
    ($($rows:tt)*) => { setters! { [options.access] $($rows)* } };
}

impl Builder {
    cache_settings!(cache_setters);
    access_settings!(access_setters);
    login_setter!(options.access);

    /// Another region, whose cache was opened by the program: with a store of its own, or where a text does not say all that it
    /// takes. Beside those of [`peers`](Builder::peers), and told as they are; its options are its own. It is not closed with
    /// this one.
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, Fence};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let us = Cache::connect("memory://").await?;
    /// let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us.clone()).connect("memory://").await?;
    ///
    /// let _ = us.set("k", "old").await?;
    /// let _writer = eu.reserve("k").await?;
    /// assert!(us.get("k").await?.is_none(), "whoever reads there goes to the source, too");
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub fn peer(mut self, region: impl Into<String>, cache: Cache) -> Self {
        self.peers.push(Peer::opened(region, cache));
        self
    }

    /// Where keys are at home, where the option `fence` is `home`: a function of the program's, which gives the name of a region for a key (as the
    /// program gives it, without the prefix). It must say the same in all programs and for ever, so give it another `name` when it
    /// changes: 1 to 32 of `a` to `z`, `0` to `9`, `_` and `-`. It is called for every command, on any thread, often at the same time.
    ///
    /// A key of which it says a region that is not there, or panics, is [`Error::Invalid`] of `home`.
    ///
    /// # Example
    /// ```
    /// use genfence::{Cache, Fence};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let us = Cache::connect("memory://").await?;
    /// let by_name = |key: &[u8]| if key.starts_with(b"us:") { "us" } else { "eu" };
    /// let eu = Cache::builder().region("eu").fence(Fence::Home).peer("us", us).home("by-name", by_name).connect("memory://").await?;
    ///
    /// let reservation = eu.reserve("us:1").await?;
    /// assert_eq!(reservation.regions().map(|(region, _)| region).collect::<Vec<_>>(), ["us"]);
    /// # reservation.abort().await;
    /// # Ok::<(), genfence::Error>(()) }).unwrap();
    /// ```
    pub fn home<R: AsRef<str>>(
        mut self,
        name: impl Into<String>,
        of: impl Fn(&[u8]) -> R + Send + Sync + 'static,
    ) -> Self {
        self.home = Some(HomeFn::new(name.into(), of));
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
        let Plan { place, others, options, mut beside } = self.plan(url)?;
        let own = async {
            let store = place.open(true).await?;
            store.must_be_fit().await.map(|()| store).map_err(Error::from)
        };
        // Boxed, as they are large, and would be part of the caller's future.
        let others = Box::pin(Peer::connect_all(others, &options, beside.gate.as_ref()));
        let (store, others) = try_join(Box::pin(own), others).await?;
        beside.peers.extend(others);
        Cache::open(store, options, beside)
    }

    /// For a tool that asks and is gone: the cache takes no part in who may serve, and so serves nothing where regions do so under leases. The
    /// tool's own, and no part of the interface.
    #[cfg(feature = "cli")]
    #[doc(hidden)]
    pub fn looks(mut self) -> Self {
        self.looks = true;
        self
    }

    /// As [`Cache::diagnose`], of a cluster that [`connect`](Builder::connect) may refuse as unfit; and of those of the other
    /// regions, each of which is one finding.
    ///
    /// # Errors
    /// As [`connect`](Builder::connect), except that what is unfit is a finding.
    pub async fn diagnose(self, url: &str) -> Result<Diagnosis, Error> {
        let Plan { place, others, options, beside } = Builder { looks: true, ..self }.plan(url)?;
        let needs = options.needs();
        let others = others.into_iter().map(async |(region, place)| {
            let start = Instant::now();
            let looked = place.diagnose(&needs).await;
            regions::finding(&region, looked, start.elapsed())
        });
        let peers = beside.peers.iter().map(async |peer| {
            let start = Instant::now();
            regions::finding(peer.name(), peer.cache.diagnose().await, start.elapsed())
        });
        let own = place.diagnose(&needs);
        let (own, others, peers) = Box::pin(join3(own, join_all(others), join_all(peers))).await;
        let mut diagnosis = own?;
        diagnosis.findings.extend(others.into_iter().chain(peers));
        Ok(diagnosis)
    }

    /// What all programs of a set say alike, of a cluster that [`connect`](Builder::connect) may refuse; and after what time nothing of a writer
    /// that was killed is under way any more. The tool's own, and no part of the interface.
    ///
    /// # Errors
    /// As [`connect`](Builder::connect).
    #[cfg(all(feature = "aerospike", feature = "cli"))]
    #[doc(hidden)]
    pub async fn contract(self, url: &str) -> Result<(crate::store::Contract, Duration), Error> {
        let Plan { place, options, .. } = Builder { looks: true, ..self }.plan(url)?;
        let store = Box::pin(place.open(false)).await?;
        let over = options.reservation_time.max(options.replica_lag) + options.reservation_margin;
        let contract = if let Backend::Aerospike(store) = &store { store.contract() } else { None };
        let contract =
            contract.ok_or_else(|| Error::invalid("url", "only a set of a cluster has a contract"));
        Ok((contract?, over))
    }

    /// Checks all that can be checked without a connection: the URL, every setting by itself and beside the others,
    /// and the files that they name.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`connect`](Builder::connect).
    ///
    /// # Example
    /// ```
    /// let error = genfence::Cache::builder().check("memory://?tll=5m").unwrap_err();
    /// assert!(error.to_string().starts_with("url: unknown option \"tll\"; valid options: ttl, ttl_jitter"));
    /// ```
    pub fn check(&self, url: &str) -> Result<(), Error> {
        self.clone().plan(url).map(drop)
    }

    /// Opens a cache on the given store.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option that is out of bounds, or says that there is no tokio
    /// runtime here.
    pub fn build(self, store: impl Store) -> Result<Cache, Error> {
        let Builder { options, peers, home, looks } = self;
        options.check(Of::any)?;
        let others = options.regions(Of::any, &names(&peers), &[])?;
        let (beside, _) = beside(&options, peers, home.as_ref(), &others, looks)?;
        Cache::open(Backend::new(store), options, beside)
    }

    /// Where `url` says that the cache is, and where those of other regions are. All is checked. Who only looks needs
    /// no function that another program has.
    fn plan(self, url: &str) -> Result<Plan, Error> {
        let Builder { mut options, peers, home, looks } = self;
        let target = settings::parse(url, &mut options)?;
        options.check(target.store())?;
        let (place, others, beside) = match target {
            Target::Memory => {
                let others = options.regions(Of::memory, &names(&peers), &[])?;
                let (beside, _) = beside(&options, peers, home.as_ref(), &others, looks)?;
                let largest_value = options.max_value_bytes as u64;
                (Place::Memory(options.max_bytes as u64, largest_value), Vec::new(), beside)
            }
            #[cfg(feature = "aerospike")]
            Target::Aerospike { hosts, namespace, set } => {
                let others = options.regions(Of::aerospike, &names(&peers), &hosts)?;
                let opened: Vec<String> = names(&peers).into_iter().map(str::to_owned).collect();
                let (beside, homes) = beside(&options, peers, home.as_ref(), &others, looks)?;
                let names = others.iter().map(|peer| &*peer.name);
                let names = names.chain(opened.iter().map(String::as_str));
                let names: Vec<&str> = names.chain(options.region.as_deref()).collect();
                let (said, terms) = (options.clone(), options.terms());
                let at = |hosts, access, region| {
                    let (namespace, set) = (namespace.clone(), set.clone());
                    let homes = homes.as_ref();
                    let regions = Some(settings::agreement(region, &names, &said, homes));
                    let settings =
                        AerospikeSettings { hosts, namespace, set, access, regions, looks, terms };
                    let seeds = settings.seeds()?;
                    Ok::<_, Error>(Place::Aerospike(Box::new((settings, seeds))))
                };
                // Taken, so that the cache does not keep passwords.
                options.peers = settings::Peers::default();
                let access = std::mem::take(&mut options.access);
                let own = at(hosts, access, options.region.as_deref())?;
                let others = others.iter().map(|peer| {
                    let place = at(peer.hosts.clone(), peer.access.clone(), Some(&peer.name))?;
                    Ok((peer.name.clone(), place))
                });
                (own, others.collect::<Result<_, Error>>()?, beside)
            }
            #[cfg(not(feature = "aerospike"))]
            Target::Aerospike { .. } => {
                let problem = "this build has no Aerospike store; build genfence with its feature `aerospike`";
                return Err(Error::invalid("url", problem));
            }
        };
        Ok(Plan { place, others, options, beside })
    }
}

fn names(peers: &[Peer]) -> Vec<&str> {
    peers.iter().map(Peer::name).collect()
}

/// What is opened beside a cache, as far as it is there; and what the contract says of homes.
fn beside(
    options: &Options,
    peers: Vec<Peer>,
    home: Option<&HomeFn>,
    others: &[settings::Peer],
    looks: bool,
) -> Result<(Others, Option<settings::Homes>), Error> {
    let mut regions: Vec<&str> = others.iter().map(|peer| &*peer.name).collect();
    regions.extend(peers.iter().map(Peer::name).chain(options.region.as_deref()));
    let mut function = home.map(|by| by.name.as_str());
    if looks && function.is_none() {
        function = options.home_function(&regions);
    }
    let said = options.homes(&regions, function)?;
    if said.is_some() && options.stream_bound.is_some() && !peers.is_empty() {
        let problem = "cannot be where `fence` is `home` and a region's cache was opened by the program, as that one is served under no bound of \
            this one's: name it in `peers`";
        return Err(Error::invalid("stream_bound", problem));
    }
    let homes = said.as_ref().map(|homes| Homes::new(homes, home, &regions));
    let gate = options.stream_bound.map(Gate::new).map(Arc::new);
    Ok((Others { peers, homes, gate, looks }, said))
}

impl Place {
    /// The same, to be connected to in the background.
    #[cfg_attr(not(feature = "aerospike"), expect(unused_mut, reason = "other stores connect"))]
    pub fn later(mut self) -> Self {
        #[cfg(feature = "aerospike")]
        if let Place::Aerospike(at) = &mut self {
            at.0.access.background_connect = true;
        }
        self
    }

    async fn diagnose(self, needs: &Needs) -> Result<Diagnosis, Error> {
        Ok(self.open(false).await?.diagnose(needs).await?)
    }

    /// The store there, fit or not. `background`: whether it may be opened in the background.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(clippy::unused_async, unused_variables, reason = "other stores connect")
    )]
    pub async fn open(self, background: bool) -> Result<Backend, Error> {
        Ok(match self {
            Place::Memory(max_bytes, largest_value) => {
                Backend::new(MemoryStore::sized(max_bytes, largest_value, Clock::default()))
            }
            #[cfg(feature = "aerospike")]
            Place::Aerospike(at) => {
                let (settings, seeds) = *at;
                let store = if background && settings.access.background_connect {
                    AerospikeStore::in_background(settings, seeds)
                } else {
                    AerospikeStore::open(&settings, &seeds).await?
                };
                Backend::new(store)
            }
        })
    }
}
