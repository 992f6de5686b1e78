//! The library that the tests in C and C# load: every export of the C interface, and those that only
//! tests call.

pub use genfence::ffi;
