//! A cache server's records, as the simpler strategies use them: in this process, or on a cluster.

#[cfg(feature = "aerospike")]
mod cluster;
mod in_process;
mod network;
#[cfg(all(test, feature = "aerospike"))]
mod tests;

use genfence::Cache;
use tokio::runtime::Handle;

use super::{Args, Failure, Key, Version, dice, ours};
#[cfg(feature = "aerospike")]
pub use cluster::Cluster;
use in_process::InProcess;
pub use network::Trip;

/// A record per key, or none. Each call but for [`get_or_lease`](Records::get_or_lease) is one
/// atomic command of the server.
pub trait Records: Send + Sync {
    fn get(&self, key: Key) -> Result<Option<Version>, Failure>;

    /// Changes nothing, which still counts as a write: the new generation. `None`: not found.
    fn touch(&self, key: Key) -> Result<Option<u16>, Failure>;

    /// Stores the value if the record is as expected.
    fn put(&self, key: Key, value: Version, expect: Expect) -> Result<(), Failure>;

    /// The value; where there is no record, the key is leased under this token.
    fn get_or_lease(&self, key: Key, token: u64) -> Result<Found, Failure>;

    /// Stores the value if the key is still leased under this token.
    fn fill(&self, key: Key, token: u64, value: Version) -> Result<(), Failure>;

    fn delete(&self, key: Key) -> Result<(), Failure>;

    /// Memory pressure takes the record. One that holds a reservation stays.
    fn evict(&self, key: Key) -> Result<(), Failure>;
}

/// What a put asks of the record.
#[derive(Clone, Copy)]
pub enum Expect {
    Anything,
    Missing,
    Generation(u16),
}

/// What a reader finds.
pub enum Found {
    Value(Version),
    /// Nothing: the key is now leased to this reader.
    Leased,
    /// Nothing, and another has the lease.
    Busy,
}

/// Where the strategies keep their records.
pub struct Place {
    /// What reports call it: no user, no password.
    pub name: String,
    pub keys: usize,
    pub runtime: Handle,
    /// Races at the same time do not see each other's records.
    run: u64,
    /// None: in this process.
    #[cfg(feature = "aerospike")]
    pub cluster: Option<Cluster>,
}

/// Connections beside those of readers and writers: for evictions, and what goes on in the
/// background.
const SPARE: u32 = 16;

impl Place {
    /// Connects to what `--url` names.
    pub async fn open(args: &Args) -> Result<Self, Failure> {
        let connections = (args.readers + args.writers + SPARE) as usize;
        let cache = ours::options().max_connections(connections).connect(&args.url).await?;
        if args.url.starts_with("memory://?") {
            return Err("--url: memory:// takes no options here".into());
        }
        Self::of(&cache, crate::without_login(&args.url), args.keys() as usize).await
    }

    /// Where a cache is that is connected, under a name for reports.
    pub async fn of(cache: &Cache, name: String, keys: usize) -> Result<Self, Failure> {
        let place = Place {
            name,
            keys,
            runtime: Handle::current(),
            run: rand::random(),
            #[cfg(feature = "aerospike")]
            cluster: cache.cluster().map(|below| Cluster { cache: cache.clone(), below }),
        };
        // If the URL's options are too tight for the race's keys, that is said now.
        cache.get(place.prefix(ours::OURS) + &keys.to_string()).await?;
        Ok(place)
    }

    /// Records of this strategy's own, none of which is there yet.
    pub fn records(&self, strategy: &str) -> Box<dyn Records> {
        #[cfg(feature = "aerospike")]
        if let Some(cluster) = &self.cluster {
            return Box::new(cluster.records(self, strategy));
        }
        let _ = strategy;
        Box::new(InProcess::new(self.keys))
    }

    /// What the keys of a strategy's records begin with.
    pub fn prefix(&self, strategy: &str) -> String {
        format!("race-{:016x}-{strategy}-", self.run)
    }
}
