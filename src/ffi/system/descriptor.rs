//! Unix: a descriptor that is readable or not.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Sign;

/// A pipe, which holds one byte or none. One thread sets it at a time.
pub struct Readable {
    read: OwnedFd,
    write: OwnedFd,
    is_set: AtomicBool,
}

impl Readable {
    pub fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
        for end in [&read, &write] {
            // SAFETY: it is open, and takes numbers only.
            if unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Readable { read, write, is_set: AtomicBool::new(false) })
    }

    pub fn told_by(&self) -> Sign {
        Sign::Descriptor(self.read.as_raw_fd())
    }

    pub fn set(&self, readable: bool) {
        if self.is_set.swap(readable, Relaxed) == readable {
            return;
        }
        let mut one = [1_u8];
        // SAFETY: one byte. It never blocks, and has room, as there is one at a time.
        let moved = unsafe {
            if readable {
                libc::write(self.write.as_raw_fd(), one.as_ptr().cast(), one.len())
            } else {
                libc::read(self.read.as_raw_fd(), one.as_mut_ptr().cast(), one.len())
            }
        };
        debug_assert_eq!(moved, 1, "{}", io::Error::last_os_error());
    }
}
