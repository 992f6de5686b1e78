use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(feature = "aerospike")]
use super::AerospikeStore;
use super::{
    Answer, Change, Diagnosis, Guard, Hit, Look, MemoryStore, Needs, Read, Snapshot, Store,
    StoreError, Traffic,
};
use crate::protocol::{Claim, Grant, Stamp, Terms};

/// The store behind a cache. The stores of this crate are called directly, so that a hit costs no
/// allocation; one that the caller brings is called through a box.
pub(crate) enum Backend {
    Memory(Arc<MemoryStore>),
    #[cfg(feature = "aerospike")]
    Aerospike(Box<AerospikeStore>),
    Custom(Box<dyn BoxedStore>),
}

impl Backend {
    /// Takes the direct way for the stores of this crate, whoever made them.
    pub(crate) fn new(store: impl Store) -> Self {
        let mut store = Some(store);
        let any: &mut dyn Any = &mut store;
        #[cfg(feature = "aerospike")]
        if let Some(store) = any.downcast_mut::<Option<AerospikeStore>>().and_then(Option::take) {
            return Backend::Aerospike(Box::new(store));
        }
        if let Some(memory) = any.downcast_mut::<Option<MemoryStore>>().and_then(Option::take) {
            Backend::Memory(Arc::new(memory))
        } else if let Some(memory) =
            any.downcast_mut::<Option<Arc<MemoryStore>>>().and_then(Option::take)
        {
            Backend::Memory(memory)
        } else {
            Backend::Custom(Box::new(store.expect("neither arm above took it")))
        }
    }
}

impl Backend {
    /// Tests what a store of this crate relies on and cannot see before it is tried.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(clippy::unused_async, reason = "other stores are asked")
    )]
    pub(crate) async fn must_be_fit(&self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => store.must_be_fit().await,
            _ => Ok(()),
        }
    }
}

impl Backend {
    /// The lease on the cluster that commands count under, where the store has one.
    #[inline]
    pub(crate) fn guard(&self) -> Option<&Guard> {
        match self {
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => store.guard(),
            _ => None,
        }
    }

    /// Asks for nothing, and so whether it answers.
    pub(crate) async fn answers(&self) -> Result<(), StoreError> {
        Store::get(self, b"\0genfence").await.map(drop)
    }

    /// Waits until the store is connected to.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(clippy::unused_async, unused_variables, reason = "other stores connect")
    )]
    pub(crate) async fn ready(&self, within: Duration) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => store.ready(within).await,
            _ => Ok(()),
        }
    }
}

/// [`Store`] with its futures boxed, so that a store can be a trait object.
pub(crate) trait BoxedStore: Send + Sync {
    fn get<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Read>;
    fn get_many<'a>(&'a self, keys: &'a [Bytes]) -> Replies<'a, Read>;
    fn inspect<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Option<Snapshot>>;
    fn look<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Look>;
    fn look_many<'a>(&'a self, keys: &'a [Bytes]) -> Replies<'a, Look>;
    fn stamp<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Reply<'a, Answer<Hit>>;
    fn terms(&self) -> Terms;
    fn claim<'a>(&'a self, key: &'a [u8], claim: &'a Claim) -> Reply<'a, Answer<Grant>>;
    fn claim_many<'a>(&'a self, claims: &'a [(Bytes, Claim)]) -> Replies<'a, Answer<Grant>>;
    fn change<'a>(&'a self, key: &'a [u8], change: &'a Change) -> Reply<'a, Answer<()>>;
    fn change_many<'a>(&'a self, changes: &'a [(Bytes, Change)]) -> Replies<'a, Answer<()>>;
    fn diagnose<'a>(&'a self, needs: &'a Needs) -> Reply<'a, Diagnosis>;
    fn traffic(&self) -> Traffic;
}

type Replies<'a, T> = Pin<Box<dyn Future<Output = Vec<Result<T, StoreError>>> + Send + 'a>>;
type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl<S: Store> BoxedStore for S {
    fn get<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Read> {
        Box::pin(Store::get(self, key))
    }

    fn get_many<'a>(&'a self, keys: &'a [Bytes]) -> Replies<'a, Read> {
        Box::pin(Store::get_many(self, keys))
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Option<Snapshot>> {
        Box::pin(Store::inspect(self, key))
    }

    fn look<'a>(&'a self, key: &'a [u8]) -> Reply<'a, Look> {
        Box::pin(Store::look(self, key))
    }

    fn look_many<'a>(&'a self, keys: &'a [Bytes]) -> Replies<'a, Look> {
        Box::pin(Store::look_many(self, keys))
    }

    fn stamp<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Reply<'a, Answer<Hit>> {
        Box::pin(Store::stamp(self, key, stamp))
    }

    fn terms(&self) -> Terms {
        Store::terms(self)
    }

    fn claim<'a>(&'a self, key: &'a [u8], claim: &'a Claim) -> Reply<'a, Answer<Grant>> {
        Box::pin(Store::claim(self, key, claim))
    }

    fn claim_many<'a>(&'a self, claims: &'a [(Bytes, Claim)]) -> Replies<'a, Answer<Grant>> {
        Box::pin(Store::claim_many(self, claims))
    }

    fn change<'a>(&'a self, key: &'a [u8], change: &'a Change) -> Reply<'a, Answer<()>> {
        Box::pin(Store::change(self, key, change))
    }

    fn change_many<'a>(&'a self, changes: &'a [(Bytes, Change)]) -> Replies<'a, Answer<()>> {
        Box::pin(Store::change_many(self, changes))
    }

    fn diagnose<'a>(&'a self, needs: &'a Needs) -> Reply<'a, Diagnosis> {
        Box::pin(Store::diagnose(self, needs))
    }

    fn traffic(&self) -> Traffic {
        Store::traffic(self)
    }
}

impl Store for Backend {
    #[inline]
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        match self {
            Backend::Memory(store) => Ok(store.read(key)),
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::get(&**store, key).await,
            Backend::Custom(store) => store.get(key).await,
        }
    }

    async fn get_many(&self, keys: &[Bytes]) -> Vec<Result<Read, StoreError>> {
        match self {
            Backend::Memory(store) => Store::get_many(&**store, keys).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::get_many(&**store, keys).await,
            Backend::Custom(store) => store.get_many(keys).await,
        }
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        match self {
            Backend::Memory(store) => Store::inspect(&**store, key).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::inspect(&**store, key).await,
            Backend::Custom(store) => store.inspect(key).await,
        }
    }

    async fn look(&self, key: &[u8]) -> Result<Look, StoreError> {
        match self {
            Backend::Memory(store) => Store::look(&**store, key).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::look(&**store, key).await,
            Backend::Custom(store) => store.look(key).await,
        }
    }

    async fn look_many(&self, keys: &[Bytes]) -> Vec<Result<Look, StoreError>> {
        match self {
            Backend::Memory(store) => Store::look_many(&**store, keys).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::look_many(&**store, keys).await,
            Backend::Custom(store) => store.look_many(keys).await,
        }
    }

    async fn stamp(&self, key: &[u8], stamp: &Stamp) -> Result<Answer<Hit>, StoreError> {
        match self {
            Backend::Memory(store) => Store::stamp(&**store, key, stamp).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::stamp(&**store, key, stamp).await,
            Backend::Custom(store) => store.stamp(key, stamp).await,
        }
    }

    fn terms(&self) -> Terms {
        match self {
            Backend::Memory(store) => Store::terms(&**store),
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::terms(&**store),
            Backend::Custom(store) => store.terms(),
        }
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        match self {
            Backend::Memory(store) => Store::claim(&**store, key, claim).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::claim(&**store, key, claim).await,
            Backend::Custom(store) => store.claim(key, claim).await,
        }
    }

    async fn claim_many(
        &self,
        claims: &[(Bytes, Claim)],
    ) -> Vec<Result<Answer<Grant>, StoreError>> {
        match self {
            Backend::Memory(store) => Store::claim_many(&**store, claims).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::claim_many(&**store, claims).await,
            Backend::Custom(store) => store.claim_many(claims).await,
        }
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        match self {
            Backend::Memory(store) => Store::change(&**store, key, change).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::change(&**store, key, change).await,
            Backend::Custom(store) => store.change(key, change).await,
        }
    }

    async fn change_many(
        &self,
        changes: &[(Bytes, Change)],
    ) -> Vec<Result<Answer<()>, StoreError>> {
        match self {
            Backend::Memory(store) => Store::change_many(&**store, changes).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::change_many(&**store, changes).await,
            Backend::Custom(store) => store.change_many(changes).await,
        }
    }

    fn traffic(&self) -> Traffic {
        match self {
            Backend::Memory(store) => Store::traffic(&**store),
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::traffic(&**store),
            Backend::Custom(store) => store.traffic(),
        }
    }

    async fn diagnose(&self, needs: &Needs) -> Result<Diagnosis, StoreError> {
        match self {
            Backend::Memory(store) => Store::diagnose(&**store, needs).await,
            #[cfg(feature = "aerospike")]
            Backend::Aerospike(store) => Store::diagnose(&**store, needs).await,
            Backend::Custom(store) => store.diagnose(needs).await,
        }
    }
}
