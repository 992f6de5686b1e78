use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use genfence::protocol::{Claim, Grant};
use genfence::store::{self, Answer, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{Cache, CallError};
use tokio::runtime::Handle;

use super::network::Trip;
use super::{Change, Failure, Key, Load, OURS, Strategy, Version, Writer};

/// The library itself, on its embedded store: reserve, change the source, commit.
pub struct Genfence {
    cache: Cache,
    store: Arc<MemoryStore>,
    runtime: Handle,
}

/// How long a reservation or a lease lasts, so how long a crashed writer's key is bypassed.
const CLAIM_TIME: Duration = Duration::from_millis(250);
/// Longer than a busy machine keeps a thread waiting between its last look at the clock and the end
/// of its COMMIT. A writer that has not come so far 50 ms after its reserve rolls back.
const MARGIN: Duration = Duration::from_millis(200);
/// No value leaves by itself: a stale one would stay until somebody writes.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_BYTES: u64 = 256 << 20;

impl Genfence {
    pub fn new(runtime: &Handle) -> Result<Self, Failure> {
        let _inside = runtime.enter();
        let store = Arc::new(MemoryStore::new(MAX_BYTES));
        let cache = Cache::builder()
            .lease_time(CLAIM_TIME)
            .reservation_time(CLAIM_TIME)
            .reservation_margin(MARGIN)
            .ttl(TTL)
            .build(FarAway(Arc::clone(&store)))?;
        Ok(Genfence { cache, store, runtime: runtime.clone() })
    }
}

impl Strategy for Genfence {
    fn name(&self) -> &'static str {
        OURS
    }

    fn read(&self, key: Key, load: Load<'_>) -> Result<Version, Failure> {
        let loader = || ready(load().map(|version| version.to_be_bytes().to_vec()));
        let read = self.runtime.block_on(self.cache.get_or_fill(name(key), loader));
        let value = read.map_err(|error| match error {
            CallError::Cache(error) => error.into(),
            CallError::Caller(failure) => failure,
        })?;
        let bytes = value.as_deref().ok_or("the cache says that a row is not there")?;
        Ok(Version::from_be_bytes(bytes.try_into()?))
    }

    fn write(&self, key: Key, change: Writer<'_>) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let reservation = self.cache.reserve(name(key)).await?;
            match change(&|| !reservation.remaining().is_zero())? {
                Change::Committed(version) => {
                    let _outcome = reservation.commit(version.to_be_bytes().to_vec()).await?;
                }
                Change::TooLate => reservation.abort().await,
                Change::Crashed => drop(reservation),
            }
            Ok(())
        })
    }

    fn evict(&self, key: Key) {
        self.store.evict(&name(key));
    }
}

fn name(key: Key) -> [u8; size_of::<Key>()] {
    key.to_be_bytes()
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
