use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use genfence::protocol::{Claim, Grant};
use genfence::store::{self, Answer, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{Cache, CallError};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::ours::{OURS, options};
#[cfg(feature = "aerospike")]
use super::records::{Cluster, Records};
use super::records::{Place, Trip};
use super::{Change, Failure, Key, Load, Strategy, Version, Writer};

/// The library itself: reserve, change the source, commit.
pub struct Genfence {
    cache: Cache,
    /// What its keys begin with.
    prefix: String,
    evict: Evict,
    runtime: Handle,
}

/// The library itself evicts nothing.
type Evict = Box<dyn Fn(Key) -> Result<(), Failure> + Send + Sync>;

const MAX_BYTES: u64 = 256 << 20;
/// How long what goes on in the background may take at the end.
const CLOSING: Duration = Duration::from_secs(2);

impl Genfence {
    pub fn open(place: &Place) -> Result<Self, Failure> {
        #[cfg(feature = "aerospike")]
        if let Some(cluster) = &place.cluster {
            return Ok(Self::on(cluster, place));
        }
        let _inside = place.runtime.enter();
        let store = Arc::new(MemoryStore::new(MAX_BYTES));
        let cache = options().build(FarAway(Arc::clone(&store)))?;
        let prefix = place.prefix(OURS);
        Ok(Self::new(cache, place, move |key| {
            store.evict(format!("{prefix}{key}").as_bytes());
            Ok(())
        }))
    }

    #[cfg(feature = "aerospike")]
    fn on(cluster: &Cluster, place: &Place) -> Self {
        let records = cluster.records(place, OURS);
        Self::new(cluster.cache.clone(), place, move |key| records.evict(key))
    }

    fn new(
        cache: Cache,
        place: &Place,
        evict: impl Fn(Key) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let (prefix, runtime) = (place.prefix(OURS), place.runtime.clone());
        Genfence { cache, prefix, evict: Box::new(evict), runtime }
    }

    fn name(&self, key: Key) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl Strategy for Genfence {
    fn name(&self) -> &'static str {
        OURS
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        let loader = || ready(block_in_place(load).map(|version| version.to_be_bytes().to_vec()));
        let read = self.runtime.block_on(self.cache.get_or_fill(self.name(key), loader));
        let value = read.map_err(|error| -> Failure {
            match error {
                CallError::Cache(error) => error.into(),
                CallError::Caller(failure) => failure.to_string().into(),
            }
        })?;
        let bytes = value.as_deref().ok_or("the cache says that a row is not there")?;
        Ok(Version::from_be_bytes(bytes.try_into()?))
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        let reservation = self.runtime.block_on(self.cache.reserve(self.name(key)))?;
        match change(&|| reservation.remaining())? {
            Change::Committed(version) => {
                let value = version.to_be_bytes().to_vec();
                let _outcome = self.runtime.block_on(reservation.commit(value))?;
            }
            Change::TooLate => self.runtime.block_on(reservation.abort()),
            Change::Crashed => drop(reservation),
        }
        Ok(())
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        (self.evict)(key)
    }
}

impl Drop for Genfence {
    fn drop(&mut self) {
        // What it writes late would outlive the records that are removed with `evict`.
        self.runtime.block_on(self.cache.close(CLOSING));
    }
}

/// A store that is a network away.
struct FarAway(Arc<MemoryStore>);

impl Store for FarAway {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        let _trip = Trip::begin();
        self.0.get(key).await
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let _trip = Trip::begin();
        self.0.inspect(key).await
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        let _trip = Trip::begin();
        self.0.claim(key, claim).await
    }

    async fn change(&self, key: &[u8], change: &store::Change) -> Result<Answer<()>, StoreError> {
        let _trip = Trip::begin();
        self.0.change(key, change).await
    }
}
