//! No panic crosses the boundary.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{Failure, gf_error};
use super::numbers::{GF_DONE, GF_E_PANIC};
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

/// For an export that makes one thing and puts it into `place`, which is `field` to the host; `none` stands there where
/// it made nothing. Panics stop here, as in [`guarded`]. Returns the status.
///
/// # Safety
/// `place` and `error` are NULL or may be written.
pub(super) unsafe fn give<T>(
    (field, place, none): (&'static str, *mut T, T),
    error: *mut *mut gf_error,
    make: impl FnOnce() -> Result<T, Failure>,
) -> i32 {
    let made =
        guarded(|| if place.is_null() { Err(Failure::invalid(field, "is NULL")) } else { make() });
    // SAFETY: by the function's own contract.
    unsafe {
        let (status, made) = tell(made, error);
        if !place.is_null() {
            place.write(made.unwrap_or(none));
        }
        status
    }
}

pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let said = panics::told(panic).unwrap_or("without a message");
    Failure::with(GF_E_PANIC, format!("a fault of genfence's own, please report it: {said}"))
}
