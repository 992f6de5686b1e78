//! What a panic said.

use std::any::Any;

/// Its words, where it has any.
pub(crate) fn told(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
