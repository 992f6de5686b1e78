//! A function of the host's that says in which region a key is at home.

use std::ffi::CStr;

use libc::{c_char, c_void};

use super::abi::*;
use super::error::Failure;
use super::fields::bytes_of;
use crate::Builder;

/// What the host gave.
struct Host {
    of: unsafe extern "C" fn(gf_slice, *mut c_char, *mut c_void) -> i32,
    user_data: *mut c_void,
}

// SAFETY: the host says that the function may be called with it on any thread, by giving it.
unsafe impl Send for Host {}
// SAFETY: and on several at the same time.
unsafe impl Sync for Host {}

impl Host {
    /// A name that is none is no region's, which is said then.
    fn region(&self, key: &[u8]) -> String {
        const SIZE: usize = GF_REGION_SIZE as usize;
        let mut name: [c_char; SIZE] = [0; SIZE];
        let key = gf_slice { data: key.as_ptr(), len: key.len() };
        // SAFETY: by the host's word; there is so much place.
        let status = unsafe { (self.of)(key, name.as_mut_ptr(), self.user_data) };
        if status != GF_DONE {
            return String::new();
        }
        name[SIZE - 1] = 0;
        // SAFETY: it ends in a zero byte.
        unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
    }
}

/// # Safety
/// `home` is NULL or readable, and its function may be called.
pub(super) unsafe fn with_home(builder: Builder, home: *const gf_home) -> Result<Builder, Failure> {
    // SAFETY: by the function's own contract.
    let Some(home) = (unsafe { home.as_ref() }) else { return Ok(builder) };
    let of = home.of.ok_or_else(|| Failure::invalid("home", "has no function"))?;
    // SAFETY: by the function's own contract.
    let name = unsafe { bytes_of("home", home.name) }?;
    let name =
        std::str::from_utf8(name).map_err(|_| Failure::invalid("home", "its name is no UTF-8"))?;
    let host = Host { of, user_data: home.user_data };
    Ok(builder.home(name, move |key: &[u8]| host.region(key)))
}
