//! Exports for this library's own tests; not in a library that is shipped.

use std::mem::{align_of, offset_of, size_of};

use libc::size_t;

use super::abi::*;
use super::error::gf_error;
use super::gf_stats;
use super::guard;
use super::handles::gf_cache;
use super::live::gf_live;
use super::queue::gf_queue;
use super::submit::submit_panic;

/// Panics within the library: the caller sees GF_E_PANIC.
///
/// # Safety
/// `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_test_panic(result: *mut gf_result) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { guard::into(result, || panic!("on purpose")) }
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

macro_rules! layout {
    ($($kind:ty { $($field:ident),* $(,)? })*) => {
        /// Every size, alignment and offset of the structs that cross, in the order of the list below; of
        /// gf_stats, which is counters all through, some offsets. Returns how many numbers there are; fills at most
        /// `capacity` of them.
        ///
        /// # Safety
        /// `numbers` has room for `capacity`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn gf_test_layout(numbers: *mut size_t, capacity: size_t) -> size_t {
            let all = [$(size_of::<$kind>(), align_of::<$kind>(), $(offset_of!($kind, $field)),*),*];
            for (index, number) in all.iter().take(capacity).enumerate() {
                // SAFETY: there is room for it.
                unsafe { numbers.add(index).write(*number) };
            }
            all.len()
        }
    };
}

layout! {
    gf_slice { data, len }
    gf_bytes { data, len, owner }
    gf_options { struct_size, abi_major, abi_minor, worker_threads, prefix, flags, reserved }
    gf_entry { value, version, ttl_ms, flags, reserved }
    gf_op {
        op, flags, user_data, key, value, version, ttl_ms, stamp, lease, reservation, reserved,
    }
    gf_result {
        user_data, status, detail, flags, reserved, value, version, stamp, remaining_ms, lease,
        reservation, error,
    }
    gf_error { status, server_code, message, field, reserved }
    gf_live { caches, queues, leases, reservations, errors, values, value_bytes, pending }
    gf_stats { struct_size, hits, misses, failures }
}
