//! Windows: an event that is set or not.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;

use windows_sys::Win32::System::Threading::{CreateEventW, ResetEvent, SetEvent};

use super::Sign;

/// Reset by hand: it stays set for as many as wait for it.
pub struct Readable(OwnedHandle);

impl Readable {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no attributes and no name; it takes numbers else.
        let made = unsafe { CreateEventW(null(), 1, 0, null()) };
        if made.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        Ok(Readable(unsafe { OwnedHandle::from_raw_handle(made) }))
    }

    pub fn told_by(&self) -> Sign {
        Sign::Event(self.0.as_raw_handle())
    }

    pub fn set(&self, readable: bool) {
        let event = self.0.as_raw_handle();
        // SAFETY: it is an event, and open.
        let done = unsafe { if readable { SetEvent(event) } else { ResetEvent(event) } };
        debug_assert_ne!(done, 0, "{}", io::Error::last_os_error());
    }
}
