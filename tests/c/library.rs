//! The library that the tests in C and C# load: every export of the C interface, and those that only
//! tests call.

#![allow(unsafe_code, reason = "an export, as those of the library")]

pub use genfence::ffi;

use std::mem::{align_of, offset_of, size_of};

macro_rules! layout {
    ($($kind:ident { $($field:ident),* })*) => {
        /// Every size, alignment and offset of the structs that cross, in the order of `layout.rs`. Returns how many
        /// numbers there are; fills at most `capacity` of them.
        ///
        /// # Safety
        /// `numbers` has room for `capacity`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn gf_test_layout(numbers: *mut usize, capacity: usize) -> usize {
            let all = [
                $(size_of::<ffi::$kind>(), align_of::<ffi::$kind>(), $(offset_of!(ffi::$kind, $field)),*),*
            ];
            for (index, number) in all.iter().take(capacity).enumerate() {
                // SAFETY: there is room for it.
                unsafe { numbers.add(index).write(*number) };
            }
            all.len()
        }
    };
}

include!("layout.rs");
