//! genfence
pub mod protocol;
pub mod store;

mod cache;
mod sync;

pub use cache::*;
