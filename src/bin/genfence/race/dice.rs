//! Chance: one seeded generator per thread, for the load and for the network alike.

use std::cell::RefCell;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

thread_local! {
    static DICE: RefCell<SmallRng> = RefCell::new(SmallRng::seed_from_u64(0));
}

/// Gives this thread dice of its own.
pub fn seed(seed: u64) {
    DICE.set(SmallRng::seed_from_u64(seed));
}

/// One of the first `count` numbers.
pub fn pick(count: usize) -> usize {
    DICE.with_borrow_mut(|dice| dice.random_range(..count))
}

/// True in this share of throws.
pub fn chance(share: f64) -> bool {
    DICE.with_borrow_mut(|dice| dice.random_bool(share))
}

/// A number in this range.
#[cfg(feature = "aerospike")]
pub fn between(range: Range<f64>) -> f64 {
    DICE.with_borrow_mut(|dice| dice.random_range(range))
}

/// A span in this range of microseconds.
pub fn micros(micros: Range<u64>) -> Duration {
    Duration::from_micros(DICE.with_borrow_mut(|dice| dice.random_range(micros)))
}

/// Sleeps for a span in this range of microseconds.
pub fn sleep(range: Range<u64>) {
    thread::sleep(micros(range));
}
