//! Reads built libraries, of every format there is a package for, and says what is wrong with them.

mod header;
mod library;
mod rules;
mod signature;
mod targets;

pub use header::declared;
pub use library::{Library, symbols};
pub use rules::{Built, problems};
pub use targets::{Target, targets};
