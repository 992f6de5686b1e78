use std::sync::Arc;

use aerospike::{Client, Key, ReadPolicy, WritePolicy};

use super::AerospikeStore;
use super::codes::{self, NotDone};
use crate::store::StoreError;

/// The cluster below a cache, for the tool's own plain commands: on the cache's connections, under
/// its policies, in its set.
#[derive(Clone)]
#[doc(hidden)]
pub struct Cluster {
    pub client: Client,
    pub read: ReadPolicy,
    pub write: WritePolicy,
    namespace: Arc<str>,
    set: Arc<str>,
    prefix: Vec<u8>,
}

impl AerospikeStore {
    pub(crate) fn cluster(&self, prefix: Vec<u8>) -> Option<Cluster> {
        let on = self.link.now()?;
        Some(Cluster {
            client: on.client.clone(),
            read: on.read.clone(),
            write: on.write.clone(),
            namespace: Arc::clone(&on.namespace),
            set: Arc::clone(&on.set),
            prefix,
        })
    }
}

impl AerospikeStore {
    pub(crate) fn contract(&self) -> Option<super::Contract> {
        Some(super::Contract(Arc::clone(self.link.now()?)))
    }
}

impl Cluster {
    /// Where the cache has its record of `key`.
    ///
    /// # Errors
    /// As the client's.
    pub fn key(&self, key: &[u8]) -> aerospike::Result<Key> {
        let name = aerospike::Value::Blob([&self.prefix, key].concat());
        Key::new(&*self.namespace, &*self.set, name)
    }

    /// What a command came to; `None` if the server answered, and the answer is no.
    ///
    /// # Errors
    /// There was no answer, or none to the command.
    pub fn answer<T>(result: aerospike::Result<T>) -> Result<Option<T>, StoreError> {
        match result.map_err(|error| codes::failure(error, true)) {
            Ok(done) => Ok(Some(done)),
            Err(NotDone::Refused(_)) => Ok(None),
            Err(NotDone::Error(error)) => Err(error),
        }
    }
}
