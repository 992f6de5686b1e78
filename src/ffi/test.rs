//! Exports for this library's own tests; not in a library that is shipped.

use super::abi::*;
use super::handles::gf_cache;
use super::queue::gf_queue;
use super::submit::submit_panic;
use super::{guard, results};

/// Panics within the library: the caller sees GF_E_PANIC.
///
/// # Safety
/// `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_test_panic(result: *mut gf_result) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { results::into(result, || panic!("on purpose")) }
}

/// Submits an operation that panics within its task: it completes with GF_E_PANIC.
///
/// # Safety
/// `cache` and `queue` are alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_test_submit_panic(
    cache: *const gf_cache,
    queue: *const gf_queue,
    user_data: u64,
) -> i32 {
    // SAFETY: by the function's own contract.
    let (cache, queue) = unsafe { (&*cache, &*queue) };
    let submitted = guard::guarded(|| submit_panic(cache, queue, user_data));
    submitted.map_or_else(|failure| failure.status, |()| GF_DONE)
}
