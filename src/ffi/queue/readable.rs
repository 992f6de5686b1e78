//! A descriptor that is readable or not, as it is told.

#[cfg(not(unix))]
pub(super) use none::Readable;
#[cfg(unix)]
pub(super) use unix::Readable;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Both ends of a pipe, or an event counter twice. One thread sets it at a time.
    pub struct Readable {
        read: OwnedFd,
        write: OwnedFd,
        is_set: AtomicBool,
    }

    impl Readable {
        pub fn new() -> io::Result<Self> {
            let (read, write) = ends()?;
            Ok(Readable { read, write, is_set: AtomicBool::new(false) })
        }

        pub fn descriptor(&self) -> i32 {
            self.read.as_raw_fd()
        }

        pub fn set(&self, readable: bool) {
            if self.is_set.swap(readable, Relaxed) == readable {
                return;
            }
            // The size that an event counter takes. A pipe gives back as many bytes as went in.
            let mut one = 1_u64.to_ne_bytes();
            // SAFETY: as many bytes as there are. It never blocks, and has room, as there is one at a time.
            let moved = unsafe {
                if readable {
                    libc::write(self.write.as_raw_fd(), one.as_ptr().cast(), one.len())
                } else {
                    libc::read(self.read.as_raw_fd(), one.as_mut_ptr().cast(), one.len())
                }
            };
            debug_assert_eq!(moved, 8, "{}", io::Error::last_os_error());
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn ends() -> io::Result<(OwnedFd, OwnedFd)> {
        // SAFETY: it takes numbers only.
        let made = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let counter = unsafe { OwnedFd::from_raw_fd(made) };
        Ok((counter.try_clone()?, counter))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn ends() -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = io::pipe()?;
        let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
        for end in [&read, &write] {
            // SAFETY: it is open, and takes numbers only.
            if unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok((read, write))
    }
}

/// Where an event loop waits for something else than descriptors.
#[cfg(not(unix))]
mod none {
    use std::io;

    pub enum Readable {}

    impl Readable {
        pub fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn descriptor(&self) -> i32 {
            match *self {}
        }

        pub fn set(&self, _: bool) {}
    }
}
