//! What stands for a value that a program keeps in a form of its own: it can ask whether it still is the one to serve.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::near::{Counts, Kept};
use super::{Cache, FullKey};
use crate::protocol::{Epoch, Time, Token};
use crate::store::{Backend, Mark};

/// Of one value, as long as that may be served without a command.
pub(crate) struct ValueCopy {
    cache: Cache,
    epoch: Epoch,
    of: Of,
}

enum Of {
    /// In the embedded store.
    Embedded(Mark, Time),
    /// Beside a store that other processes use.
    Near(Bytes, Arc<Kept>),
}

impl Cache {
    /// Whether there may be any.
    pub(crate) fn keeps_copies(&self) -> bool {
        self.0.options.near.is_some() && self.0.tagging.is_none()
    }

    /// A copy of the value that has this stamp. None where it may not be kept, or is not what is at hand now.
    pub(crate) fn copy(&self, key: &[u8], stamp: Token) -> Option<ValueCopy> {
        // One that bears tags would have to ask of them, too.
        let time = self.0.options.near.filter(|_| self.keeps_copies())?;
        let (cache, key) = self.key(key).ok()?;
        let of = cache.copy_of(&key, stamp, time)?;
        Some(ValueCopy { cache: cache.clone(), epoch: key.epoch, of })
    }

    fn copy_of(&self, key: &FullKey<'_>, stamp: Token, time: Duration) -> Option<Of> {
        if let Some(near) = &self.0.near {
            return Some(Of::Near(Bytes::copy_from_slice(key), self.kept_of(near, key, stamp)?));
        }
        let Backend::Memory(store) = &self.0.store else { return None };
        let (mark, until) = store.mark(key, stamp, time)?;
        Some(Of::Embedded(mark, until))
    }
}

impl ValueCopy {
    /// Whether the value may be served now. One that does not count any more never counts again: another one of the same value may.
    #[inline]
    pub(crate) fn counts(&self) -> Counts {
        let cache = &self.cache;
        if cache.open_or_shut_down().is_err() || cache.serves(self.epoch).is_err() {
            return Counts::No;
        }
        match (&self.of, &cache.0.near, &cache.0.store) {
            (Of::Near(_, kept), Some(near), _) => cache.counts(near, kept),
            (Of::Embedded(mark, until), _, Backend::Memory(store)) => {
                if store.counts((*mark, *until)) { Counts::Yes } else { Counts::No }
            }
            _ => Counts::No,
        }
    }

    /// Asks for more time, in the background.
    pub(crate) fn renew(&self) {
        if let Of::Near(key, kept) = &self.of {
            self.cache.renew(key.clone(), kept);
        }
    }

    /// It was served.
    #[inline]
    pub(crate) fn served(&self) {
        self.cache.0.counters.hits.add();
        self.cache.0.counters.near_hits.add();
    }
}
