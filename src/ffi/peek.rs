//! A look that takes nothing up: no place in a queue, no copy of the key.

use std::mem::size_of;

use bytes::Bytes;
use libc::size_t;

use super::abi::*;
use super::fields::bytes_of;
use super::guard::guarded;
use super::handles::gf_cache;
use crate::store::Value;

/// gf_peek may find something: in the embedded store, or where copies are kept.
pub const GF_PEEK_HITS: i32 = 1;
/// gf_copy_new may give a copy: where the option `near` is set.
pub const GF_PEEK_COPIES: i32 = 2;

/// What there is to look for without waiting: GF_PEEK_HITS, GF_PEEK_COPIES, both or 0, which does not change. 0 for NULL. Any thread.
///
/// # Safety
/// `cache` is NULL or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_peeks(cache: *const gf_cache) -> i32 {
    // SAFETY: by the function's own contract.
    let Some(gf_cache { cache, .. }) = (unsafe { cache.as_ref() }) else { return 0 };
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    flag(cache.has_hits_at_once(), GF_PEEK_HITS) | flag(cache.keeps_copies(), GF_PEEK_COPIES)
}

/// Looks whether the value of a key is at hand: in the embedded store (`memory://`), or as a copy of this process's own
/// (the option `near`). GF_HIT: `result` has it, is to be
/// freed, and it counts as a hit; a value of at most `room_len` bytes is copied to `room`, where `result` says it is, and
/// then there is nothing to be freed. GF_MISS says nothing, not even that the arguments are right, and nothing was
/// written: ask with gf_start or a call that waits. Any thread; it neither blocks nor fails.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `room` is NULL or has `room_len` bytes that may be written; `result`
/// is NULL or has `result_size` bytes (sizeof(gf_result)) and may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_peek(
    cache: *const gf_cache,
    key: gf_slice,
    room: *mut u8,
    room_len: size_t,
    result: *mut gf_result,
    result_size: size_t,
) -> i32 {
    if result.is_null() || result_size != size_of::<gf_result>() {
        return GF_MISS;
    }
    let copied = |bytes: &Bytes| {
        if room.is_null() || bytes.len() > room_len {
            return gf_bytes::new(bytes.clone());
        }
        // SAFETY: there is room, by the caller's word.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len()) };
        gf_bytes { data: room, len: bytes.len(), owner: std::ptr::null_mut() }
    };
    let tell = |value: &Value, stamp, version, flags| {
        let mut told = gf_result::told(value.as_ref().map(copied), stamp, version);
        told.flags |= flags;
        // SAFETY: the caller says that it may be written. What stood there is not freed.
        unsafe { result.write(told) };
    };
    let told = guarded(|| {
        // SAFETY: by the function's own contract.
        let (cache, key) = unsafe { (cache.as_ref(), bytes_of("key", key)?) };
        let Some(gf_cache { cache, .. }) = cache else { return Ok(None) };
        if !cache.may_be_due() {
            return Ok(
                cache.hit_in_place(key, |value, stamp, version| tell(value, stamp, version, 0))
            );
        }
        let Some(hit) = cache.hit_at_once(key) else { return Ok(None) };
        let due = if cache.is_due(key, &hit) { GF_FLAG_DUE } else { 0 };
        tell(&hit.value, hit.stamp, hit.version, due);
        Ok(Some(()))
    });
    if let Ok(Some(())) = told { GF_HIT } else { GF_MISS }
}
