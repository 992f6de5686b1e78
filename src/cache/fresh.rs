use std::time::Duration;

use bytes::Bytes;

use super::{Cache, Error};
use crate::protocol::{MAX_VERSION, Ttl, Version};
use crate::store::Value;

/// What the source says of a key: a value, or that it has none; how long to keep it; its version.
///
/// Bytes, strings, and options of them turn into it, so that most loaders just return their bytes.
///
/// ```
/// use genfence::Fresh;
/// use std::time::Duration;
///
/// let plain = Fresh::from("value");
/// let absent = Fresh::nothing().ttl(Duration::from_secs(5));
/// let versioned = Fresh::from(vec![1, 2, 3]).version(42);
/// # let _ = (plain, absent, versioned);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    pub(crate) value: Value,
    pub(crate) version: Option<u64>,
    pub(crate) ttl: Option<Duration>,
}

impl Fresh {
    /// A value.
    #[must_use]
    pub fn new(value: impl Into<Bytes>) -> Self {
        Fresh { value: Some(value.into()), version: None, ttl: None }
    }

    /// The source has nothing for the key. It is remembered for `negative_ttl`.
    #[must_use]
    pub fn nothing() -> Self {
        Fresh { value: None, version: None, ttl: None }
    }

    /// The version the source gave it: at most [`MAX_VERSION`], only growing per key and never
    /// restarting. Writers and fills of one key all pass versions or none do.
    ///
    /// Versions let crossing writers store, and let loaders read replicas that lag, if every fill,
    /// commit, release and invalidation of the key carries one, and the options `replica_lag` and
    /// `reservation_margin` are above the lag: a writer that died after its COMMIT has left no
    /// version behind, so nothing but time keeps an old fill out.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// How long to keep it, instead of the cache's own time: above 0 (from the option `replica_lag`
    /// on, where that is above 1 s) to ten years, rounded up to whole seconds, taken without
    /// jitter.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The value, or `None` where the source has nothing.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl Cache {
    /// A value within its bounds, with its time to live drawn; `None` if it is too large, which is counted and
    /// logged: what the source has is no mistake of the caller's.
    pub(super) fn fit(&self, fresh: Fresh) -> Result<Option<Checked>, Error> {
        let (size, options) = (fresh.size(), &self.0.options);
        if size > options.max_value_bytes {
            self.0.counters.oversized.add();
            let most = options.max_value_bytes;
            tracing::warn!(
                size,
                most,
                "a value is too large to be stored; raise `max_value_bytes`"
            );
            return Ok(None);
        }
        let ttl = match fresh.ttl {
            Some(ttl) => options.check_ttl("ttl", ttl)?,
            None if fresh.value.is_some() => options.draw_ttl(options.ttl),
            None => options.draw_ttl(options.negative_ttl),
        };
        let version = fresh.version.map(check_version).transpose()?;
        Ok(Some(Checked { value: fresh.value, version, ttl }))
    }

    /// What is out of bounds of its time to live and its version.
    pub(super) fn check_fresh(&self, fresh: &Fresh) -> Result<(), Error> {
        fresh.ttl.map(|ttl| self.0.options.check_ttl("ttl", ttl)).transpose()?;
        fresh.version.map(check_version).transpose().map(drop)
    }
}

pub(super) fn check_version(version: u64) -> Result<Version, Error> {
    Version::new(version).ok_or_else(|| {
        Error::invalid("version", format!("{version}, at most {MAX_VERSION} is allowed"))
    })
}

/// A [`Fresh`] within its bounds.
#[derive(Clone)]
pub(super) struct Checked {
    pub value: Value,
    pub version: Option<Version>,
    pub ttl: Ttl,
}

macro_rules! fresh_from_bytes {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Fresh {
            fn from(value: $kind) -> Self {
                Fresh::new(value)
            }
        }
    )*};
}
fresh_from_bytes!(Bytes, Box<[u8]>);

/// Without its spare capacity, which would be held as long as the value and is counted nowhere.
impl From<Vec<u8>> for Fresh {
    fn from(value: Vec<u8>) -> Self {
        Fresh::new(value.into_boxed_slice())
    }
}

impl From<String> for Fresh {
    fn from(value: String) -> Self {
        value.into_bytes().into()
    }
}

impl From<&[u8]> for Fresh {
    fn from(value: &[u8]) -> Self {
        Fresh::new(Bytes::copy_from_slice(value))
    }
}

impl From<&str> for Fresh {
    fn from(value: &str) -> Self {
        value.as_bytes().into()
    }
}

/// `None` is [`Fresh::nothing`].
impl<T: Into<Fresh>> From<Option<T>> for Fresh {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Fresh::nothing, Into::into)
    }
}
