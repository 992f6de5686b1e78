//! No SIGPIPE reaches the host. A connection that the other side has closed answers a write with one, where
//! it goes past `send`, as a large value or TLS does; its default is to end the process.
//!
//! It is held back on the library's own threads for good, and on a thread of the host's while it runs a
//! command; one that came meanwhile is taken away. The host's own handling of it stays as it is. Apple's
//! systems are told at each socket to send none, and Windows has none (`no_sigpipe`).

use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use libc::{SIGPIPE, sigset_t};

/// Runs a part of a command on a thread of the host's.
pub fn held_back<T>(run: impl FnOnce() -> T) -> T {
    let _held = (!is_ignored()).then(Held::new);
    run()
}

/// For a thread of the library's own.
pub fn hold_back_for_good() {
    std::mem::forget(Held::new());
}

/// Whether the host ignores it already, as runtimes of managed languages do.
fn is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set; what is there is written to `action`.
    unsafe {
        libc::sigaction(SIGPIPE, null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// While it lives, SIGPIPE is held back on this thread.
struct Held {
    before: sigset_t,
    /// It was waiting before, so it is not this library's.
    was_pending: bool,
}

impl Held {
    fn new() -> Self {
        let (pipe, mut before) = (only_pipe(), only_pipe());
        let was_pending = is_pending();
        // SAFETY: both are sets of signals.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut before) };
        Held { before, was_pending }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.was_pending && is_pending() {
            let (pipe, now) = (only_pipe(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
            // SAFETY: it does not wait, and nothing is written.
            unsafe { libc::sigtimedwait(&raw const pipe, null_mut(), &raw const now) };
        }
        // SAFETY: it is the mask that was there.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, null_mut()) };
    }
}

fn only_pipe() -> sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call initialises it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGPIPE);
        set.assume_init()
    }
}

fn is_pending() -> bool {
    let mut set = only_pipe();
    // SAFETY: it is a set of signals, which is written.
    unsafe {
        libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, SIGPIPE) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a write to a closed connection does. Undone, this process ends here.
    fn raise() {
        // SAFETY: it goes to this thread.
        assert_eq!(unsafe { libc::raise(libc::SIGPIPE) }, 0);
    }

    #[test]
    fn the_signal_ends_no_process_and_leaves_nothing_behind() {
        // SAFETY: no other test of this program has a connection, or a thread that waits for it.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(held_back(|| (raise(), 7)).1, 7);
        let thread = std::thread::spawn(|| {
            hold_back_for_good();
            raise();
            held_back(raise);
        });
        thread.join().unwrap();
        // One more finds nothing pending, and the mask as it was.
        held_back(|| ());
        // SAFETY: nobody handles it, as in every program of Rust.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    }
}
