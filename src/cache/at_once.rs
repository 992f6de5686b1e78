//! Hits that need no waiting: of the embedded store, and of copies.

use super::{Cache, Room};
#[cfg(feature = "capi")]
use crate::protocol::{Stored, Token, Version};
#[cfg(feature = "capi")]
use crate::store::Value;
use crate::store::{Backend, Hit};

impl Cache {
    /// A hit that needs no waiting, as the embedded store is asked without it, and a copy is at hand. `None` says nothing.
    pub(crate) fn hit_at_once(&self, key: &[u8]) -> Option<Hit> {
        if !self.has_hits_at_once() {
            return None;
        }
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room).ok()?;
        cache.serves(key.epoch).ok()?;
        if let Some(near) = cache.copies() {
            return cache.served_at_once(near, &key);
        }
        if cache.bears_tags(&key) {
            return cache.tagged_at_once(&key);
        }
        let Backend::Memory(store) = &cache.0.store else { return None };
        let begun = cache.begun();
        let hit = store.read(&key).hit()?;
        cache.count_hit(&key, &hit, begun);
        Some(hit)
    }

    /// As [`hit_at_once`](Cache::hit_at_once), of a value that is looked at where it stands, if nothing but that is to be done.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn hit_in_place<T>(
        &self,
        key: &[u8],
        tell: impl FnOnce(&Value, Token, Option<Version>) -> T,
    ) -> Option<T> {
        let all = &self.0;
        let is_plain = all.tagging.is_none() && all.last_known.is_none() && all.regions.is_none();
        let store = match &all.store {
            Backend::Memory(store) if is_plain => store,
            _ => return self.hit_at_once(key).map(|hit| tell(&hit.value, hit.stamp, hit.version)),
        };
        self.check_key(key).ok()?;
        let epoch = self.epoch();
        self.serves(epoch).ok()?;
        let tell = |stored: &Stored<Value>| tell(&stored.value, stored.token, stored.version);
        let told = store.read_in_place(&self.key_in(key, epoch, &mut Room::default()), tell);
        told.inspect(|_| all.counters.hits.add())
    }

    /// Whether there may be such a hit.
    pub(crate) fn has_hits_at_once(&self) -> bool {
        self.is_embedded() || self.copies().is_some()
    }
}
