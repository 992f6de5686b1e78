//! What differs from system to system in this layer, and nothing else: the signal that no host may get, what
//! an event loop waits for, and the allocator. What is chosen here has the same functions on each.

#[cfg(target_env = "musl")]
mod allocator;
#[cfg(unix)]
mod descriptor;
#[cfg(windows)]
mod event;
#[cfg(any(windows, target_vendor = "apple"))]
mod no_sigpipe;
#[cfg(not(any(windows, target_vendor = "apple")))]
mod sigpipe;

use std::ffi::c_void;

#[cfg(unix)]
pub use descriptor::Readable;
#[cfg(windows)]
pub use event::Readable;
#[cfg(any(windows, target_vendor = "apple"))]
pub use no_sigpipe::{held_back, hold_back_for_good};
#[cfg(not(any(windows, target_vendor = "apple")))]
pub use sigpipe::{held_back, hold_back_for_good};

/// What an event loop waits for; it is the `Readable`'s own, and as good as long as that lives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code, reason = "each system makes one of them")]
pub enum Sign {
    Descriptor(i32),
    /// The handle of an event, which stays set until it is told otherwise.
    Event(*mut c_void),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_is_one_thing_and_may_be_told_twice() {
        let readable = Readable::new().unwrap();
        let sign = readable.told_by();
        for told in [true, true, false, false, true, false] {
            readable.set(told);
        }
        assert_eq!(readable.told_by(), sign);
        assert_ne!(sign, Readable::new().unwrap().told_by());
    }

    #[test]
    fn what_runs_held_back_gives_its_result() {
        assert_eq!(held_back(|| 7), 7);
        std::thread::spawn(hold_back_for_good).join().unwrap();
    }
}
