//! What a hit costs the allocator: nothing, with a prefix as without.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use futures_util::FutureExt as _;
use genfence::Cache;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all it does is the system's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: by the function's own contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the function's own contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn a_hit_allocates_nothing() {
    for prefix in ["", "a prefix of some length:"] {
        let cache = Cache::builder().prefix(prefix).connect("memory://").await.unwrap();
        let _set = cache.set("key", "value").await.unwrap();
        let before = ALLOCATED.get();
        for _ in 0..100 {
            let hit = cache.get("key").now_or_never().expect("it need not wait").unwrap();
            assert!(hit.is_some());
        }
        assert_eq!(ALLOCATED.get() - before, 0, "with the prefix {prefix:?}");
    }
}
