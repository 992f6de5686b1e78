//! Values in the form that a program uses, shared by all its callers as long as they may be served without a command.

use std::any::Any;
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
pub(super) struct Objects(EvictingMap<Bytes, Arc<Object>, Weigh, RandomState>);

/// What the source has.
pub(super) struct Known<T>(pub Option<Arc<T>>);

struct Object {
    /// `None`: the source has nothing.
    value: Option<Arc<dyn Any + Send + Sync>>,
    bytes: u64,
    copy: ValueCopy,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Bytes, Arc<Object>> for Weigh {
    fn weight(&self, key: &Bytes, object: &Arc<Object>) -> u64 {
        OBJECT + key.len() as u64 + object.bytes
    }
}

impl Objects {
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
    pub fn get<T: Any + Send + Sync>(&self, key: &[u8]) -> Option<Known<T>> {
        let object = self.0.get(key)?;
        // All are of one type.
        let value = object.value.clone().map(Arc::downcast).transpose().ok()?;
        match object.copy.counts() {
            Counts::No => return None,
            Counts::Yes => {}
            Counts::Due => object.copy.renew(),
        }
        object.copy.served();
        Some(Known(value))
    }

    pub fn keep<T: Any + Send + Sync>(
        &self,
        key: &[u8],
        value: Option<Arc<T>>,
        bytes: usize,
        copy: ValueCopy,
    ) {
        let value = value.map(|value| value as Arc<dyn Any + Send + Sync>);
        let object = Object { value, bytes: bytes as u64, copy };
        self.0.insert(Bytes::copy_from_slice(key), Arc::new(object));
    }
}
