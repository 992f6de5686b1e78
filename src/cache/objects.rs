//! Values in the form that a program uses, shared by all its callers as long as they may be served without a command.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use quick_cache::sync::{Cache as EvictingMap, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::copy::ValueCopy;
use super::near::Counts;

/// What an object takes beside what its bytes took.
const OBJECT: u64 = 256;

/// Objects by key, the least of them known by how many bytes they were read from.
pub(super) struct Objects<T>(EvictingMap<Bytes, Arc<Object<T>>, Weigh, RandomState>);

/// What the source has.
pub(super) struct Known<T>(pub Option<Arc<T>>);

struct Object<T> {
    /// `None`: the source has nothing.
    value: Option<Arc<T>>,
    bytes: u64,
    copy: ValueCopy,
}

#[derive(Clone)]
struct Weigh;

impl<T> Weighter<Bytes, Arc<Object<T>>> for Weigh {
    fn weight(&self, key: &Bytes, object: &Arc<Object<T>>) -> u64 {
        OBJECT + key.len() as u64 + object.bytes
    }
}

impl<T> Objects<T> {
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / (4 * OBJECT)).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(items.clamp(16, 1 << 20))
            .build()
            .expect("both sizes are given");
        let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        Objects(EvictingMap::with_options(options, Weigh, hasher, lifecycle))
    }

    /// The object of a key, if it may be served.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Known<T>> {
        let object = self.0.get(key)?;
        match object.copy.counts() {
            Counts::No => return None,
            Counts::Yes => {}
            Counts::Due => object.copy.renew(),
        }
        object.copy.served();
        Some(Known(object.value.clone()))
    }

    pub fn keep(&self, key: &[u8], value: Option<Arc<T>>, bytes: usize, copy: ValueCopy) {
        let object = Object { value, bytes: bytes as u64, copy };
        self.0.insert(Bytes::copy_from_slice(key), Arc::new(object));
    }
}
