//! Results: what they are made of, and how what they own is freed.

use bytes::Bytes;

use super::abi::*;
use super::error::{Failure, gf_error_free};
use super::guard::guarded;
use super::handles::{gf_lease_free, gf_reservation_free};
use super::live::{self, Kind};
use crate::protocol::{Token, Version};
use crate::store::Hit;

impl From<Failure> for gf_result {
    fn from(failure: Failure) -> Self {
        let status = failure.status;
        gf_result { error: failure.into_raw(), ..gf_result::new(status) }
    }
}

impl gf_bytes {
    pub(super) fn new(bytes: Bytes) -> Self {
        live::add(Kind::Value, 1);
        live::add(Kind::ValueBytes, bytes.len());
        let (data, len) = (bytes.as_ptr(), bytes.len());
        gf_bytes { data, len, owner: Box::into_raw(Box::new(gf_owner(bytes))) }
    }
}

impl Drop for gf_owner {
    fn drop(&mut self) {
        live::sub(Kind::Value, 1);
        live::sub(Kind::ValueBytes, self.0.len());
    }
}

impl gf_result {
    pub(super) fn hit(hit: Hit) -> Self {
        gf_result::told(hit.value.map(gf_bytes::new), hit.stamp, hit.version)
    }

    /// A hit, whose value is given out already.
    #[inline]
    pub(super) fn told(value: Option<gf_bytes>, stamp: Token, version: Option<Version>) -> Self {
        let mut result = gf_result::new(GF_HIT);
        match value {
            Some(value) => result.value = value,
            None => result.flags |= GF_FLAG_NOTHING,
        }
        result.stamp = stamp.bits();
        if let Some(version) = version {
            result.flags |= GF_FLAG_VERSION;
            result.version = version.get();
        }
        result
    }
}

/// As [`guarded`], for an export that fills a result. Returns its status.
///
/// # Safety
/// `out` is NULL or may be written.
pub(super) unsafe fn into(
    out: *mut gf_result,
    body: impl FnOnce() -> Result<gf_result, Failure>,
) -> i32 {
    let result = guarded(body).unwrap_or_else(gf_result::from);
    let status = result.status;
    if out.is_null() {
        drop_result(result);
    } else {
        // SAFETY: the caller says that it may be written. What stood there is not freed.
        unsafe { out.write(result) };
    }
    status
}

fn drop_result(mut result: gf_result) {
    // SAFETY: it was just made, and all that it owns is its own.
    unsafe { gf_result_free(&raw mut result) };
}

/// Frees what a result owns, and forgets it: freeing a result twice is harmless. A lease that is
/// still in it is given back, a reservation is left to expire. NULL is allowed.
///
/// # Safety
/// `result` is NULL or was filled by this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_result_free(result: *mut gf_result) {
    // SAFETY: by the function's own contract.
    let Some(result) = (unsafe { result.as_mut() }) else { return };
    let value = std::mem::replace(&mut result.value, gf_bytes::NONE);
    let lease = std::mem::replace(&mut result.lease, std::ptr::null_mut());
    let reservation = std::mem::replace(&mut result.reservation, std::ptr::null_mut());
    let error = std::mem::replace(&mut result.error, std::ptr::null_mut());
    // SAFETY: each is NULL or a box of ours that was in nobody else's hands.
    unsafe {
        if !value.owner.is_null() {
            drop(Box::from_raw(value.owner));
        }
        gf_lease_free(lease);
        gf_reservation_free(reservation);
        gf_error_free(error);
    }
}

/// Frees the results of an array, as gf_result_free does with one.
///
/// # Safety
/// `results` is NULL or an array of `count` results that this library filled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_results_free(results: *mut gf_result, count: libc::size_t) {
    if results.is_null() {
        return;
    }
    for index in 0..count {
        // SAFETY: within the array, by the function's own contract.
        unsafe { gf_result_free(results.add(index)) };
    }
}
