//! On Aerospike: plain commands of its client, over the network that there is.

use std::future::Future;
use std::time::Duration;

use aerospike::expressions::{bin_exists, eq, int_bin, int_val, not};
use aerospike::operations::touch;
use aerospike::{
    Bin, Expiration, GenerationPolicy, Key as Name, RecordExistsAction, ResultCode, Value,
    WritePolicy,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use genfence::{Cache, store};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Expect, Failure, Found, Key, Place, Records, Version};

/// A cluster that a cache is connected to.
pub struct Cluster {
    pub cache: Cache,
    pub below: store::Cluster,
}

/// What a record of the simpler strategies holds.
const VALUE: &str = "value";
const LEASE: &str = "lease";
/// The bin of the library's that holds reservations.
const RESERVATIONS: &str = "q";

/// How long a record lives, in seconds: longer than a strategy runs, so that no value leaves by
/// itself, and nothing of a race that was killed stays for ever.
const LIFE: u32 = 2 * 60 * 60;
/// How long a lease lasts, in seconds, should its reader be gone.
const LEASED: u32 = 10;
/// How long removing the records may take.
const REMOVING: Duration = Duration::from_secs(10);
/// How many are removed at a time.
const AT_ONCE: usize = 64;

impl Cluster {
    pub fn records(&self, place: &Place, strategy: &str) -> OnCluster {
        self.records_of(place, place.prefix(strategy), place.keys)
    }

    /// Those of the first so many numbers, after this prefix.
    pub fn records_of(&self, place: &Place, prefix: String, keys: usize) -> OnCluster {
        let expiring = |seconds| WritePolicy {
            expiration: Expiration::Seconds(seconds),
            ..self.below.write.clone()
        };
        let mut evict = self.below.write.clone();
        evict.base_policy.filter_expression = Some(not(bin_exists(RESERVATIONS)));
        OnCluster {
            below: self.below.clone(),
            write: expiring(LIFE),
            lease: WritePolicy {
                record_exists_action: RecordExistsAction::CreateOnly,
                ..expiring(LEASED)
            },
            evict,
            prefix,
            keys,
            runtime: place.runtime.clone(),
        }
    }
}

/// The records of one strategy. They are removed when this is dropped.
pub struct OnCluster {
    below: store::Cluster,
    write: WritePolicy,
    lease: WritePolicy,
    evict: WritePolicy,
    prefix: String,
    keys: usize,
    runtime: Handle,
}

impl OnCluster {
    fn name(&self, key: Key) -> aerospike::Result<Name> {
        self.below.key(format!("{}{key}", self.prefix).as_bytes())
    }

    /// Runs a command. `None`: the server says no.
    fn run<T>(
        &self,
        command: impl Future<Output = aerospike::Result<T>>,
    ) -> Result<Option<T>, Failure> {
        match self.runtime.block_on(command) {
            Err(error) if error.server_result_code() == Some(ResultCode::KeyExistsError) => {
                Ok(None)
            }
            result => Ok(store::Cluster::answer(result).map_err(genfence::Error::from)?),
        }
    }

    fn store(&self, key: Key, bins: &[Bin], policy: &WritePolicy) -> Result<Option<()>, Failure> {
        self.run(self.below.client.put(policy, &self.name(key)?, bins))
    }

    fn remove(&self, key: Key, policy: &WritePolicy) -> Result<(), Failure> {
        self.run(self.below.client.delete(policy, &self.name(key)?)).map(drop)
    }
}

impl Records for OnCluster {
    fn get(&self, key: Key) -> Result<Option<Version>, Failure> {
        let read = self.run(self.below.client.get(&self.below.read, &self.name(key)?, [VALUE]))?;
        match read.as_ref().and_then(|record| record.bins.get(VALUE)) {
            Some(Value::Int(version)) => Ok(Some(Version::try_from(*version)?)),
            _ => Ok(None),
        }
    }

    fn touch(&self, key: Key) -> Result<Option<u16>, Failure> {
        // Unlike the client's own touch, an operation answers the new generation.
        let touched =
            self.run(self.below.client.operate(&self.write, &self.name(key)?, &[touch()]))?;
        Ok(touched.map(|record| u16::try_from(record.generation)).transpose()?)
    }

    fn put(&self, key: Key, value: Version, expect: Expect) -> Result<(), Failure> {
        let mut policy = self.write.clone();
        match expect {
            Expect::Anything => {}
            Expect::Missing => policy.record_exists_action = RecordExistsAction::CreateOnly,
            Expect::Generation(generation) => {
                policy.generation_policy = GenerationPolicy::ExpectGenEqual;
                policy.generation = generation.into();
            }
        }
        self.store(key, &[stored(value)], &policy).map(drop)
    }

    /// Memcached does this in one command; here a hit stays a plain read. What comes between the
    /// two commands makes the second fail, and costs this reader the lease.
    fn get_or_lease(&self, key: Key, token: u64) -> Result<Found, Failure> {
        if let Some(version) = self.get(key)? {
            return Ok(Found::Value(version));
        }
        let lease = Bin::new(LEASE, Value::Int(token.cast_signed()));
        let leased = self.store(key, &[lease], &self.lease)?;
        Ok(leased.map_or(Found::Busy, |()| Found::Leased))
    }

    fn fill(&self, key: Key, token: u64, value: Version) -> Result<(), Failure> {
        let mut policy = self.write.clone();
        // A server skips the filter of a record that does not exist.
        policy.record_exists_action = RecordExistsAction::UpdateOnly;
        policy.base_policy.filter_expression =
            Some(eq(int_bin(LEASE), int_val(token.cast_signed())));
        self.store(key, &[stored(value), Bin::new(LEASE, Value::Nil)], &policy).map(drop)
    }

    fn delete(&self, key: Key) -> Result<(), Failure> {
        self.remove(key, &self.write)
    }

    fn evict(&self, key: Key) -> Result<(), Failure> {
        self.remove(key, &self.evict)
    }
}

fn stored(value: Version) -> Bin {
    Bin::new(VALUE, Value::Int(value.cast_signed()))
}

impl Drop for OnCluster {
    fn drop(&mut self) {
        let remove = async |key| {
            let name = self.name(key)?;
            let deleted = self.below.client.delete(&self.write, &name).await;
            Ok::<_, Failure>(store::Cluster::answer(deleted).map(drop)?)
        };
        let all = stream::iter(0..self.keys).map(remove).buffer_unordered(AT_ONCE);
        let removed = async { timeout(REMOVING, all.try_collect::<()>()).await };
        if !matches!(self.runtime.block_on(removed), Ok(Ok(()))) {
            eprintln!(
                "records whose keys begin with {} may be left on the cluster, until they expire",
                self.prefix
            );
        }
    }
}
