//! The locks that the waiting in this crate is built on, in one place so that a test can put
//! shuttle's in their stead and explore how threads interleave.

pub(crate) use parking_lot::Mutex;
