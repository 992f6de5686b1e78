//! What a cache has done, as C sees it.

use std::mem::size_of;

use super::abi::GF_DONE;
use super::error::Failure;
use super::guard::guarded;
use super::handles::gf_cache;
use crate::Cache;

/// What a cache has done since it was opened: counts.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct gf_stats {
    /// sizeof(gf_stats), as the program was compiled: set it before the call.
    pub struct_size: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Misses that took the value from another caller's fill in this process.
    pub shared: u64,
    /// Leases that were granted.
    pub leases: u64,
    /// Leases that were prolonged for their holder.
    pub extensions: u64,
    /// Leases that were given back unused.
    pub leases_returned: u64,
    /// Lookups that ended in a bypass.
    pub bypasses: u64,
    /// Fills that stored.
    pub fills_stored: u64,
    /// Fills that lost a race and stored nothing.
    pub fills_rejected: u64,
    /// Loaded values that were too large to store.
    pub oversized: u64,
    /// Reservations that were taken.
    pub reservations: u64,
    /// Reservations that were left to expire.
    pub reservations_left: u64,
    /// Commits that stored.
    pub commits_stored: u64,
    /// Commits that could not store, and releases: they left their key empty.
    pub purges: u64,
    /// Changes that nobody answered.
    pub in_doubt: u64,
    /// Commands that failed after all tries.
    pub failures: u64,
}

fn counted(cache: &Cache) -> gf_stats {
    let stats = cache.stats();
    gf_stats {
        struct_size: size_of::<gf_stats>() as u64,
        hits: stats.hits,
        misses: stats.misses,
        shared: stats.shared,
        leases: stats.leases,
        extensions: stats.extensions,
        leases_returned: stats.leases_returned,
        bypasses: stats.bypasses,
        fills_stored: stats.fills_stored,
        fills_rejected: stats.fills_rejected,
        oversized: stats.oversized,
        reservations: stats.reservations,
        reservations_left: stats.reservations_left,
        commits_stored: stats.commits_stored,
        purges: stats.purges,
        in_doubt: stats.in_doubt,
        failures: stats.failures,
    }
}

/// Counts. Any thread. Returns GF_DONE, GF_E_INVALID for NULL, GF_E_ABI where `struct_size` is not one
/// that this library knows.
///
/// # Safety
/// `cache` is NULL or alive; `stats` is NULL or may be read and written for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_stats_read(cache: *const gf_cache, stats: *mut gf_stats) -> i32 {
    let read = guarded(|| {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        if stats.is_null() {
            return Err(Failure::invalid("stats", "is NULL"));
        }
        // SAFETY: the size stands first in every version.
        let size = unsafe { (&raw const (*stats).struct_size).read() };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size < size_of::<u64>() || size > size_of::<gf_stats>() || size % size_of::<u64>() != 0 {
            return Err(Failure::abi(format!("struct_size of gf_stats: {size}")));
        }
        let mut now = counted(&cache.cache);
        now.struct_size = size as u64;
        // SAFETY: the caller says that there are `size` bytes, and ours has as many.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const now).cast::<u8>(), stats.cast::<u8>(), size);
        }
        Ok(())
    });
    read.map_or_else(|failure| failure.status, |()| GF_DONE)
}
