//! The C boundary: the only place with `extern "C"`. Its header is `include/genfence.h`.
//!
//! * Every export stops panics; numbers and flags are range-checked, so no host value is undefined
//!   behaviour; what the host passes is checked before anything is sent.
//! * What is submitted completes exactly once, through a queue that the host's own thread waits on.
//! * Who owns what stands at every function.
#![allow(unsafe_code, reason = "this is the boundary: raw pointers come and go here")]
#![allow(non_camel_case_types, reason = "these are the names that C sees")]
#![allow(missing_debug_implementations, clippy::missing_safety_doc, reason = "C has neither")]
#![allow(clippy::wildcard_imports, reason = "the numbers of the interface are many")]

mod abi;
mod cache;
mod calls;
mod copy;
mod error;
mod fields;
mod guard;
mod handles;
mod home;
mod inspection;
mod live;
mod log;
mod near;
mod numbers;
mod op;
mod operations;
mod peek;
mod queue;
mod results;
mod runtime;
mod several;
mod stats;
mod submit;
mod system;
mod tagged;
#[cfg(feature = "capi-test")]
mod test;

pub use abi::*;
pub use cache::*;
pub use calls::*;
pub use copy::*;
pub use error::{gf_error, gf_error_free};
pub use handles::*;
pub use live::*;
pub use log::*;
pub use near::*;
pub use op::*;
pub use peek::*;
pub use queue::*;
pub use results::*;
pub use several::*;
pub use stats::*;
pub use submit::*;
pub use tagged::*;
