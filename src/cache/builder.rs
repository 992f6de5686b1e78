use super::{Cache, Error};
use crate::settings::{
    self, Of, Options, Target, access_settings, cache_settings, login_setter, setter, setters,
};
#[cfg(feature = "aerospike")]
use crate::store::{AerospikeSettings, AerospikeStore, Seeds};
use crate::store::{Backend, Clock, Diagnosis, MemoryStore, Store};

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

/// Where a cache is, all checked.
enum Place {
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
        self.clone().place(url).map(drop)
    }

    /// Where `url` says that the cache is. All is checked.
    fn place(mut self, url: &str) -> Result<(Place, Options), Error> {
        let options = &mut self.options;
        let target = settings::parse(url, options)?;
        options.check(target.store())?;
        let place = match target {
            Target::Memory => {
                let largest_value = options.max_value_bytes as u64;
                Place::Memory(options.max_bytes as u64, largest_value)
            }
            #[cfg(feature = "aerospike")]
            Target::Aerospike { hosts, namespace, set } => {
                // Taken, so that the cache does not keep the password.
                let access = std::mem::take(&mut options.access);
                let settings = AerospikeSettings { hosts, namespace, set, access };
                let seeds = settings.seeds()?;
                Place::Aerospike(Box::new((settings, seeds)))
            }
            #[cfg(not(feature = "aerospike"))]
            Target::Aerospike { .. } => {
                let problem = "this build has no Aerospike store; build genfence with its feature `aerospike`";
                return Err(Error::invalid("url", problem));
            }
        };
        Ok((place, self.options))
    }

    /// The store that `url` names, fit or not. `background`: whether it may be opened in the background.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(clippy::unused_async, unused_variables, reason = "other stores connect")
    )]
    async fn open(self, url: &str, background: bool) -> Result<(Backend, Options), Error> {
        let (place, options) = self.place(url)?;
        let store = match place {
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
        };
        Ok((store, options))
    }

    /// Opens a cache on the given store.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option that is out of bounds, or says that there is no tokio
    /// runtime here.
    pub fn build(self, store: impl Store) -> Result<Cache, Error> {
        self.options.check(Of::any)?;
        Cache::open(Backend::new(store), self.options)
    }
}
