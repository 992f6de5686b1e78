//! The records of one way in both regions, by plain commands of the client.

use std::future::Future;
use std::time::Duration;

use aerospike::expressions::{int_bin, int_val, last_update, le, lt};
use aerospike::operations::exp::{ExpWriteFlags, write_exp};
use aerospike::operations::{Operation, put, touch};
use aerospike::{
    Bin, Expiration, GenerationPolicy, Key as Name, RecordExistsAction, ResultCode, Value,
    WritePolicy,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use genfence::store;
use tokio::time::timeout;

use super::super::records::Expect;
use super::sites::{Each, Region};
use super::{Conflict, Failure, Key, Version};

const VALUE: &str = "value";
/// When the region that the value comes from wrote it. The time of the record itself is that of its arrival.
const UPDATED: &str = "updated";

/// How long a record lives, in seconds: longer than a way runs, so that no value leaves by itself, and nothing of a
/// run that was killed stays for ever.
const LIFE: u32 = 2 * 60 * 60;
/// How long removing the records may take.
const REMOVING: Duration = Duration::from_secs(60);
/// How many are removed at a time.
const AT_ONCE: usize = 64;

/// Where the records are.
pub struct Places {
    pub below: Each<store::Cluster>,
    /// Of the regions, which are part of what the cache calls a key; 0 for none. A region that takes another meanwhile leaves
    /// the records of this one to expire.
    pub epochs: Each<u64>,
}

pub struct Records {
    places: Places,
    prefix: String,
    /// Whether a key has the same name in both regions.
    shared: bool,
    keys: usize,
}

/// A record as the link takes it along.
pub struct Shipped {
    pub version: Version,
    generation: u16,
    updated: i64,
}

impl Records {
    pub fn new(places: Places, prefix: String, shared: bool, keys: usize) -> Self {
        Records { places, prefix, shared, keys }
    }

    /// What the cache calls a key. Regions that are on one cluster do not meet there, unless they must.
    pub fn name(&self, region: Region, key: Key) -> String {
        let prefix = &self.prefix;
        if self.shared { format!("{prefix}-{key}") } else { format!("{prefix}-{region}-{key}") }
    }

    fn at(&self, region: Region, key: Key) -> Result<(&store::Cluster, Name), Failure> {
        let Places { below, epochs } = &self.places;
        let (below, name) = (&below[region as usize], self.name(region, key));
        let epoch = match epochs[region as usize] {
            0 => Vec::new(),
            epoch => epoch.to_be_bytes().to_vec(),
        };
        Ok((below, below.key(&[&epoch, name.as_bytes()].concat())?))
    }

    pub async fn get(&self, region: Region, key: Key) -> Result<Option<Version>, Failure> {
        Ok(self.read(region, key).await?.map(|record| record.version))
    }

    /// Changes nothing, which still counts as a write: the new generation. `None`: there is no record.
    pub async fn touch(&self, region: Region, key: Key) -> Result<Option<u16>, Failure> {
        let (below, name) = self.at(region, key)?;
        let policy =
            WritePolicy { record_exists_action: RecordExistsAction::UpdateOnly, ..writing(below) };
        let touched = answer(below.client.operate(&policy, &name, &[touch(), stamp()])).await?;
        Ok(touched.map(|record| u16::try_from(record.generation)).transpose()?)
    }

    /// Stores the value if the record is as expected, and tells whether it was.
    pub async fn put(
        &self,
        region: Region,
        key: Key,
        version: Version,
        expect: Expect,
    ) -> Result<bool, Failure> {
        let (below, name) = self.at(region, key)?;
        let mut policy = writing(below);
        match expect {
            Expect::Anything => {}
            Expect::Missing => policy.record_exists_action = RecordExistsAction::CreateOnly,
            Expect::Generation(generation) => {
                policy.generation_policy = GenerationPolicy::ExpectGenEqual;
                policy.generation = generation.into();
            }
        }
        let value = Bin::new(VALUE, Value::Int(version.cast_signed()));
        let stored = answer(below.client.operate(&policy, &name, &[put(&value), stamp()])).await?;
        Ok(stored.is_some())
    }

    pub async fn delete(&self, region: Region, key: Key) -> Result<(), Failure> {
        let (below, name) = self.at(region, key)?;
        answer(below.client.delete(&below.write, &name)).await.map(drop)
    }

    /// The record, with all that a rule for conflicts may ask for.
    pub async fn read(&self, region: Region, key: Key) -> Result<Option<Shipped>, Failure> {
        let (below, name) = self.at(region, key)?;
        let read = answer(below.client.get(&below.read, &name, [VALUE, UPDATED])).await?;
        let Some(record) = read else { return Ok(None) };
        let (Some(Value::Int(version)), Some(Value::Int(updated))) =
            (record.bins.get(VALUE), record.bins.get(UPDATED))
        else {
            return Ok(None);
        };
        let (version, generation) =
            (Version::try_from(*version)?, u16::try_from(record.generation)?);
        Ok(Some(Shipped { version, generation, updated: *updated }))
    }

    /// Stores what was shipped to this region, if the rule lets it, and tells whether it did.
    pub async fn receive(
        &self,
        region: Region,
        key: Key,
        shipped: &Shipped,
        rule: Conflict,
    ) -> Result<bool, Failure> {
        let (below, name) = self.at(region, key)?;
        let mut policy = writing(below);
        match rule {
            Conflict::Overwrite => {}
            // A server skips the filter where there is no record. Of two updates in one millisecond that of us wins, so
            // that both regions agree.
            Conflict::LastUpdate => {
                let is_before = if region == Region::Eu { le } else { lt };
                policy.base_policy.filter_expression =
                    Some(is_before(int_bin(UPDATED), int_val(shipped.updated)));
            }
            Conflict::Generation => {
                policy.generation_policy = GenerationPolicy::ExpectGenGreater;
                policy.generation = shipped.generation.into();
            }
        }
        let bins = [
            Bin::new(VALUE, Value::Int(shipped.version.cast_signed())),
            Bin::new(UPDATED, Value::Int(shipped.updated)),
        ];
        Ok(answer(below.client.put(&policy, &name, &bins)).await?.is_some())
    }

    /// All of them go, in both regions, and no link hears of it: so do those that expire.
    pub async fn remove(&self) -> Result<(), Failure> {
        let names = Region::BOTH
            .into_iter()
            .flat_map(|region| (0..self.keys).map(move |key| (region, key)));
        let removing = stream::iter(names)
            .map(|(region, key)| self.delete(region, key))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>();
        timeout(REMOVING, removing).await?
    }

    /// The same, in the end.
    pub async fn clean_up(&self) {
        if self.remove().await.is_err() {
            eprintln!(
                "records whose keys begin with {} may be left on the clusters, until they expire",
                self.prefix
            );
        }
    }
}

fn writing(below: &store::Cluster) -> WritePolicy {
    WritePolicy { expiration: Expiration::Seconds(LIFE), ..below.write.clone() }
}

/// Notes when the record was written.
fn stamp() -> Operation {
    write_exp(UPDATED, last_update(), ExpWriteFlags::DEFAULT)
}

/// What a command came to. `None`: the server says no.
async fn answer<T>(
    command: impl Future<Output = aerospike::Result<T>>,
) -> Result<Option<T>, Failure> {
    match command.await {
        Err(error) if error.server_result_code() == Some(ResultCode::KeyExistsError) => Ok(None),
        result => Ok(store::Cluster::answer(result).map_err(genfence::Error::from)?),
    }
}
