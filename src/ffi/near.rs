//! Near times of single handles.

use std::time::Duration;

use super::error::{Failure, gf_error};
use super::guard;
use super::handles::gf_cache;

/// A handle of the same cache with another near time than the option `near` says: for so long copies are kept of what is read through it, called
/// or submitted, of its tags too, and so long a writer waits for them. With 0 none are kept, and none is served: each hit is read of the store.
/// Copies are the process's own, whichever handle left them: one that serves copies serves also those which are kept for longer.
///
/// `near_ms` is 0, or 10 to the option `near_max` (`near`, where that is not set); there must be one of them, and `fence` must not be `home`.
/// Any thread; it waits for nothing.
///
/// Returns GF_DONE and sets `handle`, which the caller frees by gf_free, before or after `cache`; or an error, and then `error`, if it is not
/// NULL, is set to a gf_error that the caller frees.
///
/// # Safety
/// `cache` is NULL or alive; `handle` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_near(
    cache: *const gf_cache,
    near_ms: u64,
    handle: *mut *mut gf_cache,
    error: *mut *mut gf_error,
) -> i32 {
    let make = || {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        Ok(cache.another(cache.cache.near(Duration::from_millis(near_ms))?))
    };
    // SAFETY: each is NULL or may be written.
    unsafe { guard::give(("handle", handle, std::ptr::null_mut()), error, make) }
}
