//! Errors as C sees them.

use std::ffi::CString;

use libc::c_char;

use super::live::{self, Kind};
use super::numbers::{GF_E_ABI, GF_E_INVALID, GF_E_SHUT_DOWN, GF_E_STORE};
use crate::Error;

/// Why a call failed. Freed by gf_result_free or gf_error_free; until then its texts are there.
#[repr(C)]
pub struct gf_error {
    /// GF_E_*
    pub status: i32,
    /// What the Aerospike server answered, or 0 if it did not answer, or was not asked.
    pub server_code: i32,
    /// What is wrong and what to do, in UTF-8, ending in a zero byte. Holds no secret.
    pub message: *const c_char,
    /// Of GF_E_INVALID: the argument, option or field. Else empty.
    pub field: *const c_char,
    /// What lies behind it, in UTF-8, ending in a zero byte. Else empty.
    pub cause: *const c_char,
    /// Whether what was sent may have been applied, or may still be: 1 or 0.
    pub in_doubt: i32,
    /// Whether another try makes sense: 1 or 0.
    pub may_retry: i32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// An error within this library, before it crosses.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub status: i32,
    pub server_code: i32,
    pub field: &'static str,
    pub message: String,
    pub cause: String,
    pub in_doubt: bool,
    pub may_retry: bool,
}

impl Failure {
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        let message = format!("{field}: {}", problem.into());
        Failure { field, ..Failure::with(GF_E_INVALID, message) }
    }

    pub fn abi(message: impl Into<String>) -> Self {
        Failure::with(GF_E_ABI, message)
    }

    pub fn with(status: i32, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), ..Failure::default() }
    }

    /// As a gf_error that the caller owns.
    pub fn into_raw(self) -> *mut gf_error {
        let text = |text: &str| {
            // A zero byte would end the text early; none of ours has one, but a path of the caller's may.
            let text = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
            text.into_raw().cast_const()
        };
        live::add(Kind::Error, 1);
        Box::into_raw(Box::new(gf_error {
            status: self.status,
            server_code: self.server_code,
            message: text(&self.message),
            field: text(self.field),
            cause: text(&self.cause),
            in_doubt: self.in_doubt.into(),
            may_retry: self.may_retry.into(),
            reserved: [0; 2],
        }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Invalid { field, .. } => {
                Failure { field, ..Failure::with(GF_E_INVALID, message) }
            }
            Error::Store(store) => Failure {
                server_code: store.server_code().unwrap_or(0),
                cause: causes(&store),
                in_doubt: store.in_doubt(),
                may_retry: store.may_retry(),
                ..Failure::with(GF_E_STORE, message)
            },
            Error::ShutDown => Failure::with(GF_E_SHUT_DOWN, message),
            // Only a loader in Rust can answer for a key of its own, or be given up here.
            Error::UnexpectedKey | Error::LoadTimedOut | Error::TransactionTimedOut { .. } => {
                Failure::with(GF_E_INVALID, message)
            }
        }
    }
}

/// All that lies behind an error, one after the other.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(error.source(), |cause| cause.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Frees an error. NULL is allowed.
///
/// # Safety
/// `error` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_error_free(error: *mut gf_error) {
    if error.is_null() {
        return;
    }
    // SAFETY: it is a box of ours, and its texts are of ours.
    unsafe {
        let error = Box::from_raw(error);
        drop(CString::from_raw(error.message.cast_mut()));
        drop(CString::from_raw(error.field.cast_mut()));
        drop(CString::from_raw(error.cause.cast_mut()));
    }
    live::sub(Kind::Error, 1);
}
