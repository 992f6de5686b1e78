//! The store on Aerospike: each protocol command as one atomic command of the server.

mod bins;
mod canary;
mod checks;
#[cfg(feature = "cli")]
mod cluster;
mod codes;
mod commands;
mod conditions;
mod connect;
mod diagnose;
mod template;
#[cfg(feature = "tls")]
mod tls;
mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aerospike::operations::exp::{ExpReadFlags, read_exp};
use aerospike::operations::{Operation, get_bin};
use aerospike::{
    BatchOperation, BatchPolicy, BatchReadPolicy, Bins, Client, Key, ReadPolicy,
    Record as Answered, WritePolicy,
};
use bytes::Bytes;

use super::{Answer, Change, Diagnosis, Needs, Read, Snapshot, Store, StoreError};
use crate::protocol::{Claim, Grant};
use bins::{NOW, Reader};
#[cfg(feature = "cli")]
pub use cluster::Cluster;
use codes::Failure;
use commands::{Plan, Work};
pub use connect::AerospikeSettings;

/// A store on an Aerospike cluster.
///
/// All state of a key is one record of the set that the URL names, which nobody else may write.
/// Reads go to the master, writes wait for all replicas, and the client does not retry a write: the
/// cache does, by the protocol's rules.
///
/// # Example
/// ```
/// use genfence::Cache;
/// use genfence::store::{AerospikeSettings, AerospikeStore};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = genfence_wire::Server::start().await?;
/// # let (host, port) = (server.address().ip().to_string(), server.address().port());
/// let settings = AerospikeSettings::new("test", "cache").host(host, port);
/// let cache = Cache::builder().build(AerospikeStore::connect(&settings).await?)?;
/// assert!(cache.get("user:1").await?.is_none());
/// # Ok(()) }
/// ```
pub struct AerospikeStore {
    client: Client,
    /// How long connecting, and testing what was connected to, may take.
    patience: Duration,
    namespace: Arc<str>,
    set: Arc<str>,
    read: ReadPolicy,
    write: WritePolicy,
    /// For reads that are operations.
    look: WritePolicy,
    batch: BatchPolicy,
    /// For each read of a batch.
    each: BatchReadPolicy,
}

impl AerospikeStore {
    fn key(&self, key: &[u8]) -> Result<Key, StoreError> {
        Key::new(&*self.namespace, &*self.set, aerospike::Value::Blob(key.to_vec()))
            .map_err(|error| StoreError::refused("the key is no key").because(error))
    }

    /// Sends a command. A `put` that was applied answers nothing.
    async fn run(
        &self,
        key: &[u8],
        Plan { work, policy }: Plan,
    ) -> Result<Answer<Option<Reader>>, StoreError> {
        let key = self.key(key)?;
        let answer = match work {
            Work::Put(bins) => self.client.put(&policy, &key, &bins).await.map(|()| None),
            Work::Operate(operations) => {
                self.client.operate(&policy, &key, &operations).await.map(Some)
            }
        };
        match answer {
            Ok(record) => Ok(Ok(record.map(Reader))),
            Err(error) => match codes::failure(error, true) {
                Failure::Refused(refusal) => Ok(Err(refusal)),
                Failure::Error(error) => Err(error),
            },
        }
    }

    /// A read that finds nothing is an answer.
    fn found(
        read: aerospike::Result<impl Into<Option<Answered>>>,
    ) -> Result<Option<Reader>, StoreError> {
        match read {
            Ok(record) => Ok(record.into().map(Reader)),
            Err(error) => match codes::failure(error, false) {
                Failure::Refused(_) => Ok(None),
                Failure::Error(error) => Err(error),
            },
        }
    }
}

impl fmt::Debug for AerospikeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AerospikeStore")
            .field("namespace", &self.namespace)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl Store for AerospikeStore {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        let key = self.key(key)?;
        let read = self.client.get(&self.read, &key, Bins::All).await;
        Self::found(read)?.map_or(Ok(Read::Free), |mut record| record.read())
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Read>, StoreError> {
        let mut reads = Vec::with_capacity(keys.len());
        for key in keys {
            reads.push(BatchOperation::read(&self.each, self.key(key)?, Bins::All));
        }
        // A row has an outcome of its own; one that has none shares the call's.
        let whole = self.client.batch(&self.batch, &mut reads).await;
        let row = |read: BatchOperation| {
            let row = read.into_batch_record();
            let error = match (&row.record, row.error(), &whole) {
                (Some(_), _, _) => None,
                (None, Some(error), _) | (None, None, Err(error)) => Some(error.clone()),
                (None, None, Ok(())) => return Ok(Read::Free),
            };
            let found = Self::found(error.map_or_else(|| Ok(row.record), Err))?;
            found.map_or(Ok(Read::Free), |mut record| record.read())
        };
        reads.into_iter().map(row).collect()
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let key = self.key(key)?;
        // Bin by bin: beside a read of all bins a server answers no expression.
        let mut look: Vec<Operation> = bins::ALL.map(get_bin).to_vec();
        look.push(read_exp(NOW, conditions::now_in_filter(), ExpReadFlags::DEFAULT));
        let read = self.client.operate(&self.look, &key, &look).await;
        let Some(mut record) = Self::found(read)? else { return Ok(None) };
        let now = record.time(NOW)?;
        let now = now.ok_or_else(|| StoreError::unavailable("the server did not tell the time"))?;
        Ok(Some(Snapshot { record: record.record(now)?, now }))
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        match self.run(key, commands::claim(claim, &self.write)).await? {
            Ok(record) => {
                let unsaid = || StoreError::doubtful("the server did not answer what it granted");
                record.ok_or_else(unsaid)?.grant(claim).map(Ok)
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        Ok(self.run(key, commands::change(change, &self.write)).await?.map(drop))
    }

    async fn diagnose(&self, needs: &Needs) -> Result<Diagnosis, StoreError> {
        self.look_around(needs).await
    }
}
