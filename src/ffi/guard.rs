//! No panic crosses the boundary.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::abi::{GF_DONE, GF_E_PANIC, gf_result};
use super::error::{Failure, gf_error};
use crate::panics;

/// Runs an export's body. A panic ends as an error; what was locked is not poisoned
/// (`parking_lot`), and what was half done is dropped, which is safe for every handle there is.
pub(super) fn guarded<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(of_panic(&*panic)))
}

/// The status of a call, and what it made. Its error goes where the caller wants it; NULL is written
/// there if there is none.
///
/// # Safety
/// `error` is NULL or may be written.
pub(super) unsafe fn tell<T>(
    made: Result<T, Failure>,
    error: *mut *mut gf_error,
) -> (i32, Option<T>) {
    let (status, made, failed) = match made {
        Ok(made) => (GF_DONE, Some(made), None),
        Err(failure) => (failure.status, None, Some(failure)),
    };
    if !error.is_null() {
        // SAFETY: by the function's own contract.
        unsafe { error.write(failed.map_or(std::ptr::null_mut(), Failure::into_raw)) };
    }
    (status, made)
}

/// The same as [`guarded`], for an export that fills a result. Returns its status.
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
    unsafe { super::results::gf_result_free(&raw mut result) };
}

pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let said = panics::told(panic).unwrap_or("without a message");
    Failure::with(GF_E_PANIC, format!("a fault of genfence's own, please report it: {said}"))
}
