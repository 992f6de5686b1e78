//! A handle that tells whether a value which the program keeps may still be served.

use super::fields::bytes_of;
use super::guard::guarded;
use super::handles::{gf_cache, millis};
use super::{abi::gf_slice, handles::gf_reservation};
use crate::cache::{Counts, ValueCopy};
use crate::protocol::Token;

/// The value may not be served any more. Ask the cache.
pub const GF_COPY_OVER: i32 = 0;
/// The value may be served.
pub const GF_COPY_COUNTS: i32 = 1;
/// The value may be served, and it is time for gf_copy_renew, without which it is over soon.
pub const GF_COPY_DUE: i32 = 2;

/// Of one value that the program keeps in a form of its own. All calls may be made from many threads at once, but for
/// gf_copy_free.
pub struct gf_copy(ValueCopy);

/// A copy of the value of a hit, by its gf_result.stamp, so that the program may serve what it has made of it without reading
/// it again. NULL where the value is not at hand any more, or the option `near` is not set. Free it with gf_copy_free,
/// which may be after the cache was freed. Any thread; it neither blocks nor fails.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_copy_new(
    cache: *const gf_cache,
    key: gf_slice,
    stamp: u64,
) -> *mut gf_copy {
    let copy = guarded(|| {
        // SAFETY: by the function's own contract.
        let (cache, key) = unsafe { (cache.as_ref(), bytes_of("key", key)?) };
        let open = cache.filter(|cache| !cache.is_closed());
        Ok(open.and_then(|cache| cache.cache.copy(key, Token::new(stamp))))
    });
    match copy {
        Ok(Some(copy)) => Box::into_raw(Box::new(gf_copy(copy))),
        _ => std::ptr::null_mut(),
    }
}

/// Whether a copy may be served now, which then counts as a hit: GF_COPY_COUNTS, GF_COPY_DUE, or GF_COPY_OVER, also for NULL.
/// What is over stays over; another copy of the same value may count. Any thread; it takes no lock and calls no system
/// but for the time, so that a runtime need not take notice of it.
///
/// # Safety
/// `copy` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_copy_counts(copy: *const gf_copy) -> i32 {
    // SAFETY: by the function's own contract.
    let Some(gf_copy(copy)) = (unsafe { copy.as_ref() }) else { return GF_COPY_OVER };
    let counts = match copy.counts() {
        Counts::No => return GF_COPY_OVER,
        Counts::Yes => GF_COPY_COUNTS,
        Counts::Due => GF_COPY_DUE,
    };
    copy.served();
    counts
}

/// Asks for more time for the key of a copy, in the background: the next copy of it is at hand before this one is over. Any
/// thread; it does not wait.
///
/// # Safety
/// `copy` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_copy_renew(copy: *const gf_copy) {
    // SAFETY: by the function's own contract.
    if let Some(gf_copy(copy)) = unsafe { copy.as_ref() } {
        let _ = guarded(|| {
            copy.renew();
            Ok(())
        });
    }
}

/// Frees a copy. NULL is fine. Nobody may use it any more.
///
/// # Safety
/// `copy` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_copy_free(copy: *mut gf_copy) {
    if !copy.is_null() {
        // SAFETY: by the function's own contract it is a box of this library's.
        let copy = unsafe { Box::from_raw(copy) };
        let _ = guarded(|| {
            drop(copy);
            Ok(())
        });
    }
}

/// How many milliseconds copies of the reserved value may still be served, by this process or another: COMMIT must not be
/// sent before; gf_settled waits for it. 0 where there are none, and for NULL. Any thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_unsettled_ms(reservation: *const gf_reservation) -> u64 {
    // SAFETY: by the function's own contract.
    let reservation = unsafe { reservation.as_ref() };
    // Rounded up: what is left is not over.
    reservation.map_or(0, |reservation| {
        let left = reservation.held().unsettled();
        millis(left) + u64::from(left.subsec_nanos() % 1_000_000 > 0)
    })
}
