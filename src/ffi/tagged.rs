//! Values that bear tags, and groups of them that are purged, or reserved, by one command each.

use libc::size_t;

use super::abi::*;
use super::calls::{call, only};
use super::error::{Failure, gf_error};
use super::fields::all_of;
use super::handles::gf_cache;
use super::op::GF_OP_RESERVE_TAG;
use super::{guard, results, runtime};

/// A handle of the same cache whose values bear these tags, beside those that `cache`'s bear: all that is stored through it, by
/// gf_lookup, gf_load, gf_refresh, gf_reserve, gf_set, gf_replace and what follows on them, called or submitted. A value is found, and
/// a lease or a reservation used, through any handle. The option `tags` must be on.
///
/// `tags` are at most 32, one that is there twice being one, each of 1 to 256 bytes and none of them `*`, which every value bears;
/// they are copied. Any thread; it waits for nothing.
///
/// Returns GF_DONE and sets `tagged`, which the caller frees by gf_free, before or after `cache`; or an error, and then `error`,
/// if it is not NULL, is set to a gf_error that the caller frees.
///
/// # Safety
/// `cache` is NULL or alive; `tags` is an array of `count` readable slices; `tagged` may be written; `error` is NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_tagged(
    cache: *const gf_cache,
    tags: *const gf_slice,
    count: size_t,
    tagged: *mut *mut gf_cache,
    error: *mut *mut gf_error,
) -> i32 {
    let make = || {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        // SAFETY: by the function's own contract.
        let tags = unsafe { all_of("tags", tags, count) }?;
        Ok(cache.another(cache.cache.tagged(tags)?))
    };
    // SAFETY: each is NULL or may be written.
    unsafe { guard::give(("tagged", tagged, std::ptr::null_mut()), error, make) }
}

/// Says that the source of all values that bear one of these tags was changed, by somebody who did not reserve them: GF_DONE. None
/// of them is a hit any more, in any process, and none that is being loaded now is stored so that it would be one. One command for
/// each tag, sent together; waits until no copies of the tags are served any more (the option `near`). All are tried, also where one
/// fails: GF_E_STORE, and then say all again.
///
/// # Safety
/// `cache` is NULL or alive; `tags` is an array of `count` readable slices; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_purge_tags(
    cache: *const gf_cache,
    tags: *const gf_slice,
    count: size_t,
    result: *mut gf_result,
) -> i32 {
    let purge = || {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        // SAFETY: by the function's own contract.
        let tags = unsafe { all_of("tags", tags, count) }?;
        let purged = Box::pin(cache.cache.purge_tags(tags));
        runtime::wait(&cache.runtime, cache.is_networked(), purged)?;
        Ok(gf_result::new(GF_DONE))
    };
    // SAFETY: it is NULL or may be written.
    unsafe { results::into(result, purge) }
}

/// Purges all values there are, those of every key with the cache's prefix: as gf_purge_tags of `*`, which every value bears.
///
/// # Safety
/// `cache` is NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_purge_all(cache: *const gf_cache, result: *mut gf_result) -> i32 {
    let everything = gf_slice { data: b"*".as_ptr(), len: 1 };
    // SAFETY: by the function's own contract, and one slice, which lives as long as the process.
    unsafe { gf_purge_tags(cache, &raw const everything, 1, result) }
}

/// Reserves all values that bear a tag, before their source is changed: GF_RESERVED, as gf_reserve does for one key, with one
/// command. Until the commit, the release or the abort none of them is a hit, and none is stored. There is nothing to store: the value
/// of a gf_commit is not looked at. `*` reserves everything.
///
/// # Safety
/// `cache` is NULL or alive; `tag` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve_tag(
    cache: *const gf_cache,
    tag: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key: tag, ..only(GF_OP_RESERVE_TAG) }, result) }
}

/// As gf_reserve_tag, once no copies of the tag are served any more: see gf_reserve_settled.
///
/// # Safety
/// `cache` is NULL or alive; `tag` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve_tag_settled(
    cache: *const gf_cache,
    tag: gf_slice,
    result: *mut gf_result,
) -> i32 {
    let op = gf_op { key: tag, flags: GF_FLAG_SETTLED, ..only(GF_OP_RESERVE_TAG) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}
