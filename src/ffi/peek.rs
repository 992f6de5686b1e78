//! A look that takes nothing up: no place in a queue, no copy of the key.

use std::mem::size_of;

use libc::size_t;

use super::abi::*;
use super::fields::bytes_of;
use super::guard::guarded;
use super::handles::gf_cache;

/// Looks whether the value of a key is at hand in the embedded store (`memory://`). GF_HIT: `result` has it, is to be
/// freed, and it counts as a hit. GF_MISS says nothing, not even that the arguments are right, and nothing was
/// written: ask with gf_start or a call that waits. Any thread; it neither blocks nor fails.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` is NULL or has `result_size` bytes (sizeof(gf_result)) and may
/// be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_peek(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
    result_size: size_t,
) -> i32 {
    if result.is_null() || result_size != size_of::<gf_result>() {
        return GF_MISS;
    }
    let hit = guarded(|| {
        // SAFETY: by the function's own contract.
        let (cache, key) = unsafe { (cache.as_ref(), bytes_of("key", key)?) };
        let open = cache.filter(|cache| !cache.cut.is_cancelled());
        Ok(open.and_then(|cache| cache.cache.hit_at_once(key)).map(gf_result::hit))
    });
    match hit {
        Ok(Some(hit)) => {
            // SAFETY: the caller says that it may be written. What stood there is not freed.
            unsafe { result.write(hit) };
            GF_HIT
        }
        _ => GF_MISS,
    }
}
