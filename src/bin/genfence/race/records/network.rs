//! The network that an embedded cache has not got.

use std::ops::Range;

use super::dice;

/// How long a packet travels, in microseconds.
const WAY: Range<u64> = 0..200;

/// A command on its way to the cache and back: it arrives when [`Trip::begin`] returns, and the
/// answer when this is dropped.
pub struct Trip(());

impl Trip {
    pub fn begin() -> Self {
        dice::sleep(WAY);
        Trip(())
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        dice::sleep(WAY);
    }
}
