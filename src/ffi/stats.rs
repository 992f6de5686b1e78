//! What a cache has done, as C sees it.

use std::mem::size_of;

use super::abi::GF_DONE;
use super::error::Failure;
use super::guard::guarded;
use super::handles::gf_cache;
use crate::Cache;
use crate::cache::counters;

macro_rules! define_stats {
    ($($(#[$doc:meta])* $name:ident: $counter:ident $metric:literal;)*) => {
        /// What a cache has done since it was opened: counts.
        #[repr(C)]
        #[derive(Clone, Copy, Default)]
        pub struct gf_stats {
            /// sizeof(gf_stats), as the program was compiled: set it before the call.
            pub struct_size: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        fn counted(cache: &Cache) -> gf_stats {
            let stats = cache.stats();
            gf_stats { struct_size: size_of::<gf_stats>() as u64, $($name: stats.$name,)* }
        }
    };
}
counters!(define_stats);

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
