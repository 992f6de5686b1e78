//! What stands for a value that a program keeps in a form of its own: it can ask whether it still is the one to serve.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::near::{Counts, Kept};
use super::{Cache, FullKey, Room};
use crate::protocol::{Epoch, Time, Token};
use crate::store::{Backend, Mark, MemoryStore, going_on};

/// Of one value, as long as that may be served without a command.
pub(crate) struct ValueCopy {
    cache: Cache,
    epoch: Epoch,
    of: Of,
}

/// The value first; after it the records of its tags, as it may be served beside those only.
enum Of {
    /// In the embedded store.
    Embedded(SmallVec<[Mark; 2]>, Time),
    /// Beside a store that other processes use.
    Near(Copies),
}

type Copies = SmallVec<[(Bytes, Arc<Kept>); 1]>;

impl Cache {
    /// Whether there may be any.
    #[cfg(feature = "capi")]
    pub(crate) fn keeps_copies(&self) -> bool {
        !self.near_time().is_zero()
    }

    /// A copy of the value that has this stamp. None where it may not be kept, or is not what is at hand now.
    pub(crate) fn copy(&self, key: &[u8], stamp: Token) -> Option<ValueCopy> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room).ok()?;
        let time = Some(cache.near_time()).filter(|time| !time.is_zero())?;
        let of = match (&cache.0.near, &cache.0.store) {
            (Some(_), _) => Of::Near(cache.kept_copies(&key, stamp)?),
            (None, Backend::Memory(store)) => cache.marks(store, &key, stamp, time)?,
            _ => return None,
        };
        Some(ValueCopy { cache: cache.clone(), epoch: key.epoch, of })
    }

    fn kept_copies(&self, key: &FullKey<'_>, stamp: Token) -> Option<Copies> {
        let near = self.0.near.as_ref()?;
        let (kept, stored) = self.kept_of(near, key, stamp)?;
        let mut all: Copies = smallvec![(Bytes::copy_from_slice(key), kept)];
        for (tag, nonce) in self.borne(key, &stored)? {
            let (kept, _) = self.kept_of(near, &tag, nonce)?;
            all.push((tag, kept));
        }
        Some(all)
    }

    fn marks(
        &self,
        store: &MemoryStore,
        key: &FullKey<'_>,
        stamp: Token,
        time: Duration,
    ) -> Option<Of> {
        let (mark, mut until) = store.mark(key, stamp, time)?;
        let mut marks = smallvec![mark];
        let stored = store.read(key).hit().filter(|stored| stored.stamp == stamp)?;
        for (tag, nonce) in self.borne(key, &stored)? {
            let (mark, ends) = store.mark(&tag, nonce, time)?;
            marks.push(mark);
            until = until.min(ends);
        }
        Some(Of::Embedded(marks, until))
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
            (Of::Near(all), Some(near), _) => {
                let (now, mut counts) = (going_on(), Counts::Yes);
                for (_, kept) in all {
                    match cache.counts_at(near, kept, now) {
                        Counts::No => return Counts::No,
                        Counts::Yes => {}
                        Counts::Due => counts = Counts::Due,
                    }
                }
                counts
            }
            (Of::Embedded(marks, until), _, Backend::Memory(store)) => {
                if store.counts(marks, *until) { Counts::Yes } else { Counts::No }
            }
            _ => Counts::No,
        }
    }

    /// Asks for more time, in the background.
    pub(crate) fn renew(&self) {
        let (Of::Near(all), Some(near)) = (&self.of, &self.cache.0.near) else { return };
        for (key, kept) in all {
            if self.cache.counts(near, kept) == Counts::Due {
                self.cache.renew(key.clone(), kept);
            }
        }
    }

    /// It was served.
    #[inline]
    pub(crate) fn served(&self) {
        self.cache.0.counters.hits.add();
        self.cache.0.counters.near_hits.add();
    }
}
