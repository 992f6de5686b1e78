//! The synchronous calls: each waits on the caller's thread until it is done.
//!
//! All take a gf_result to fill. What stood there is overwritten, not freed. They return its status.

use libc::size_t;

use super::abi::*;
use super::error::Failure;
use super::fields::{all_of, fits};
use super::guard;
use super::handles::{gf_cache, gf_lease, gf_reservation};
use super::op::{self, *};
use super::{results, runtime};

/// Checks, runs and waits for one operation.
///
/// # Safety
/// As the exported call says.
pub(super) unsafe fn call(cache: *const gf_cache, op: &gf_op, out: *mut gf_result) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe {
        results::into(out, || {
            let cache = cache.as_ref().ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
            op.check(&cache.cache)?;
            let begun = op.take()?.at_once(&cache.cache);
            Ok(begun.unwrap_or_else(|op| {
                let run = op.run(cache.cache.clone());
                runtime::wait(&cache.runtime, cache.is_networked(), run)
            }))
        })
    }
}

/// Does one operation, as gf_submit would, and waits for it on this thread. Any thread, and many at once.
///
/// Returns the status of `result`.
///
/// # Safety
/// `cache` is NULL or alive; `op` is NULL or an operation of `op_size` bytes (sizeof(gf_op)), whose slices are
/// readable and whose handles are alive; `result` is NULL or has `result_size` bytes (sizeof(gf_result)) and may
/// be written; where that size is another one, nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_call(
    cache: *const gf_cache,
    op: *const gf_op,
    op_size: size_t,
    result: *mut gf_result,
    result_size: size_t,
) -> i32 {
    if result_size != size_of::<gf_result>() {
        return GF_E_ABI;
    }
    // SAFETY: by the function's own contract.
    let op = if op_size == size_of::<gf_op>() { unsafe { op.as_ref() } } else { None };
    let Some(op) = op else {
        let refused = if op_size == size_of::<gf_op>() {
            Failure::invalid("op", "is NULL")
        } else {
            Failure::abi("op_size is not that of this library")
        };
        // SAFETY: by the function's own contract.
        return unsafe { results::into(result, || Err(refused)) };
    };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, op, result) }
}

/// Nothing but the number of the operation.
pub(super) fn only(op: u32) -> gf_op {
    gf_op {
        op,
        flags: 0,
        user_data: 0,
        key: gf_slice::EMPTY,
        value: gf_slice::EMPTY,
        version: 0,
        ttl_ms: 0,
        stamp: 0,
        lease: std::ptr::null_mut(),
        reservation: std::ptr::null_mut(),
        reserved: [0; 2],
    }
}

/// The operation with a value of the host's. Its reserved place is checked here, as gf_op has none.
pub(super) fn with_entry(op: gf_op, entry: gf_entry) -> gf_op {
    let gf_entry { value, version, ttl_ms, flags, reserved } = entry;
    gf_op { value, version, ttl_ms, flags, reserved: [reserved.into(), 0], ..op }
}

/// The value of a key, if the cache holds one: GF_HIT or GF_MISS. Takes no lease, waits for nobody.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_get(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_GET) }, result) }
}

/// Looks a key up: GF_HIT; GF_LEASED: read the source now, then gf_fill; or GF_BYPASS: read the source
/// and store nothing. Waits, at most for the option `wait`, while another caller fills.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_lookup(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_LOOKUP) }, result) }
}

/// Looks several keys up, with one read for all of them: each result is that of the key in the same
/// place, as gf_lookup's, or GF_PENDING where another caller fills the key: this call waits for nobody,
/// as two that hold leases could wait for each other. Fill what was leased, then look those up again. A
/// key that stands there twice has the same answer, and its lease the first time only; then GF_PENDING.
///
/// Returns GF_DONE, and every result is set; or an error, which stands in the first result, and the
/// others have its status alone. Where `results` is NULL or `result_size` is another, nothing is written.
///
/// # Safety
/// `cache` is NULL or alive; `keys` is an array of `count` readable slices; `results` has room for
/// `count` results of `result_size` bytes each (sizeof(gf_result)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_lookup_many(
    cache: *const gf_cache,
    keys: *const gf_slice,
    count: size_t,
    results: *mut gf_result,
    result_size: size_t,
) -> i32 {
    let looked_up = guard::guarded(|| {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        fits::<gf_result>("count", count)?;
        if result_size != size_of::<gf_result>() {
            return Err(Failure::abi("result_size is not that of this library"));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        if results.is_null() {
            return Err(Failure::invalid("results", "is NULL"));
        }
        // SAFETY: by the function's own contract.
        let keys = unsafe { all_of("keys", keys, count) }?;
        let looked_up =
            runtime::wait(&cache.runtime, cache.is_networked(), cache.cache.lookup_many(&keys))?;
        let looked_up = keys.iter().zip(looked_up);
        let found = |(key, lookup): (&&[u8], _)| op::found_or_pending(&cache.cache, key, lookup);
        Ok(looked_up.map(found).collect::<Vec<gf_result>>())
    });
    let (status, mut filled) = match looked_up {
        Ok(filled) => (GF_DONE, filled),
        Err(failure) => (failure.status, vec![gf_result::from(failure)]),
    };
    let room = result_size == size_of::<gf_result>() && fits::<gf_result>("count", count).is_ok();
    if results.is_null() || count == 0 || !room {
        for result in &mut filled {
            // SAFETY: just made, and nobody else's.
            unsafe { super::results::gf_result_free(result) };
        }
        return status;
    }
    let rest = (filled.len()..count).map(|_| gf_result::new(status));
    for (index, result) in filled.into_iter().chain(rest).enumerate() {
        // SAFETY: there is room for `count`, and there are as many.
        unsafe { results.add(index).write(result) };
    }
    status
}

/// Fills the key that was leased: GF_STORED, GF_REJECTED (the race was lost; gf_result.detail says why), GF_TOO_LARGE or
/// GF_IN_DOUBT. The value
/// is what the source was read to have **after** the lease came. Uses the lease up, also where the
/// value is refused as out of bounds after the call began; it must still be freed.
///
/// # Safety
/// `cache`, `lease` are NULL or alive; `entry` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_fill(
    cache: *const gf_cache,
    lease: *mut gf_lease,
    entry: gf_entry,
    result: *mut gf_result,
) -> i32 {
    let op = with_entry(gf_op { lease, ..only(GF_OP_FILL) }, entry);
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// Looks a key up for a caller who, if it comes to that, reads the source for all who wait in this process:
/// GF_HIT; GF_LEASED: read the source now, then gf_loaded, or gf_load_failed; GF_LOAD_FAILED: the read failed that
/// this call waited for, and gf_result.value is what gf_load_failed was given. In one process there is one load of
/// a key at a time, also where what is loaded is not to be stored (gf_result.detail is then GF_BYPASS_*, and there
/// is a lease all the same). Waits for it until it ends, or the option `load_time` is over, as then another caller
/// loads; for another process's fill at most for the option `wait`. (With GF_FLAG_UNREAD, by gf_call, the cache is not
/// read, and nothing stored.)
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_load(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_LOAD) }, result) }
}

/// The source was read **after** the lease came, and has this: GF_DONE. It goes to those who wait, and is stored
/// where it can be; what cannot (it is too large, it lost a race, the store gives no answer) is counted, and
/// logged. Waits at most 100 ms for the store, which is then told in the background. With GF_FLAG_UNSTORED it is not
/// stored in any case. Uses the lease up; it must still be freed.
///
/// # Safety
/// `cache`, `lease` are NULL or alive; `entry` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_loaded(
    cache: *const gf_cache,
    lease: *mut gf_lease,
    entry: gf_entry,
    result: *mut gf_result,
) -> i32 {
    let op = with_entry(gf_op { lease, ..only(GF_OP_LOADED) }, entry);
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// The source could not be read: GF_DONE, and gf_result.detail says how many callers were told: those who waited
/// since before the lease came, whose gf_load ends with GF_LOAD_FAILED and these bytes, whatever they mean to the
/// program. The next of the others loads. Uses the lease up; it must still be freed.
///
/// # Safety
/// `cache`, `lease` are NULL or alive; `failure` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_load_failed(
    cache: *const gf_cache,
    lease: *mut gf_lease,
    failure: gf_slice,
    result: *mut gf_result,
) -> i32 {
    let op = gf_op { lease, value: failure, ..only(GF_OP_LOAD_FAILED) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// Asks for the permission to load anew the value of a hit whose flags say GF_FLAG_DUE, as the option `refresh_at` has it, while it goes
/// on being served; `stamp` is that of the hit. GF_LEASED: read the source now, in the background, and then gf_fill (or gf_loaded);
/// where it cannot be read, gf_load_failed, or free the lease: then a while passes before the value is due again. GF_BUSY: another
/// caller is at it, or the value is another one by now; there is nothing to be done. The lease lasts for the option `load_time`,
/// nobody waits for what is loaded under it, and a gf_fill is GF_REJECTED where a writer has come.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_refresh(
    cache: *const gf_cache,
    key: gf_slice,
    stamp: u64,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, stamp, ..only(GF_OP_REFRESH) }, result) }
}

/// What this process last knew of a key to be right, for a caller who rather has an old value than none: where its load failed, or takes
/// longer than the option `soft_timeout` (see gf_load_times). GF_STALE: gf_result.value, and gf_result.remaining_ms says how long ago, in milliseconds; or
/// GF_MISS: nothing is known that is younger than the option `stale_for`. It is no hit, and must not be filled or committed. Waits for nobody.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_last_known(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_LAST_KNOWN) }, result) }
}

/// How long loads of this cache may take, which a program in C bounds itself, in milliseconds, rounded up; 0 where nothing is said.
/// `soft`: the option `soft_timeout`, after which a caller who takes a stale value asks gf_last_known, and lets the load go on. `hard`: the option
/// `hard_timeout`, after which a load is given up: gf_load_failed. Either may be NULL. GF_DONE, or GF_E_INVALID where `cache` is
/// NULL. Any thread.
///
/// # Safety
/// `cache` is NULL or alive; `soft` and `hard` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_load_times(
    cache: *const gf_cache,
    soft: *mut u64,
    hard: *mut u64,
) -> i32 {
    // SAFETY: by the function's own contract.
    let Some(cache) = (unsafe { cache.as_ref() }) else { return GF_E_INVALID };
    let told = cache.cache.load_times();
    for (place, time) in [(soft, told.0), (hard, told.1)] {
        let millis = time.map_or(0, |time| time.as_nanos().div_ceil(1_000_000));
        if !place.is_null() {
            // SAFETY: by the function's own contract.
            unsafe { place.write(u64::try_from(millis).unwrap_or(u64::MAX)) };
        }
    }
    GF_DONE
}

/// Reserves a key, before its source is changed: GF_RESERVED (gf_result.detail is 0, unless nothing is held). From now until the commit, the release or
/// the abort no reader is served a cached value. The change must be over within gf_remaining_ms.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_RESERVE) }, result) }
}

/// As gf_reserve, once no copies of the value are served any more (the option `near`), for which it waits at most for the option `near_max`: until then
/// the value is served, so that only the change itself is a time in which the source alone is read. gf_settled need not be called after it. Who has something to do
/// meanwhile calls gf_reserve, and gf_settled before COMMIT.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve_settled(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    let op = gf_op { key, flags: GF_FLAG_SETTLED, ..only(GF_OP_RESERVE) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// The source was changed and committed, and the key now has this value: GF_STORED; GF_PURGED if
/// another writer was there too, and the key is empty; GF_TOO_LARGE, and the key is empty; or GF_IN_DOUBT. With GF_FLAG_VERSION the source's
/// own order decides among crossing writers. Uses the reservation up; it must still be freed.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `entry` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_commit(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    entry: gf_entry,
    result: *mut gf_result,
) -> i32 {
    let op = with_entry(gf_op { reservation, ..only(GF_OP_COMMIT) }, entry);
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// The source was changed and committed, and the value is not at hand: GF_PURGED or GF_IN_DOUBT.
/// `version` counts where `flags` say GF_FLAG_VERSION. Uses the reservation up; it must still be freed.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_release(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    version: u64,
    flags: u32,
    result: *mut gf_result,
) -> i32 {
    let op = gf_op { flags, version, reservation, ..only(GF_OP_RELEASE) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// The source was certainly not changed, and will not be: GF_DONE. Where you do not know what became of
/// a COMMIT, free the reservation instead, and it expires. Uses the reservation up; it must still be
/// freed.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_abort(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { reservation, ..only(GF_OP_ABORT) }, result) }
}

/// More time for a reservation: GF_DONE, or GF_LOST if it came too late; then roll back, or release
/// after the change.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_renew(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { reservation, ..only(GF_OP_RENEW) }, result) }
}

/// Waits until no copy of the value is served any more, by this process or another (the option `near`), at most for the option
/// `near_max`: GF_DONE. To be called before COMMIT is sent; where no copies are kept it returns at once. It is part of the
/// time that gf_remaining_ms counts, of which gf_result.remaining_ms tells what is left.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_settled(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { reservation, ..only(GF_OP_SETTLED) }, result) }
}

/// Stores a value without asking the source; the last one wins: GF_STORED, GF_BUSY (a writer holds the
/// key), GF_TOO_LARGE or GF_IN_DOUBT. Outside the guarantee.
///
/// # Safety
/// `cache` is NULL or alive; `key` and `entry` are readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_set(
    cache: *const gf_cache,
    key: gf_slice,
    entry: gf_entry,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &with_entry(gf_op { key, ..only(GF_OP_SET) }, entry), result) }
}

/// Stores a value if the cache still holds the one that a hit had this `stamp` of: GF_STORED,
/// GF_CONFLICT, GF_TOO_LARGE or GF_IN_DOUBT. Outside the guarantee.
///
/// # Safety
/// `cache` is NULL or alive; `key` and `entry` are readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_replace(
    cache: *const gf_cache,
    key: gf_slice,
    stamp: u64,
    entry: gf_entry,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &with_entry(gf_op { key, stamp, ..only(GF_OP_REPLACE) }, entry), result) }
}

/// Says that somebody who did not reserve it changed the source of a key: GF_DONE. Removes the value, and
/// ends every fill under way. With a version (GF_FLAG_VERSION) older fills are refused from now on too,
/// and a value that is at least that new stays. Where the option `fence` is `all`, in every region, unless the flags say
/// GF_FLAG_OWN_REGION; where it is `home`, at the key's home.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_invalidate(
    cache: *const gf_cache,
    key: gf_slice,
    version: u64,
    flags: u32,
    result: *mut gf_result,
) -> i32 {
    let op = gf_op { flags, key, version, ..only(GF_OP_INVALIDATE) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// Sets the time to live of a value anew, in milliseconds, rounded up to whole seconds: GF_DONE or
/// GF_MISS.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_touch(
    cache: *const gf_cache,
    key: gf_slice,
    ttl_ms: u64,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ttl_ms, ..only(GF_OP_TOUCH) }, result) }
}

/// Looks at what the cache stands on: GF_DONE, and gf_result.value is JSON: {"findings": [{"check",
/// "level" (ok, warning, error), "found", "why", "advice"}]}. Takes some seconds at most.
///
/// # Safety
/// `cache` is NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_diagnose(cache: *const gf_cache, result: *mut gf_result) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &only(GF_OP_DIAGNOSE), result) }
}

/// All that the cache knows of a key, for an operator to look at: GF_DONE, and gf_result.value is JSON: `isStored`,
/// `valueBytes` (null where the source is known to have nothing), `version`, `floor` (the least version that may be
/// stored), `reservedMs` (what is left of each live reservation), `leasedMs`, `generation`, `expiresMs`. GF_MISS if it
/// knows nothing.
///
/// # Safety
/// `cache` is NULL or alive; `key` is readable; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_inspect(
    cache: *const gf_cache,
    key: gf_slice,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { key, ..only(GF_OP_INSPECT) }, result) }
}

/// Waits until the store is connected to, where that goes on in the background (option `background_connect`): GF_DONE; or
/// GF_E_STORE if it is not within so many milliseconds, at most 1 h, and why; it goes on all the same. Where the
/// cache was opened otherwise it is GF_DONE at once.
///
/// # Safety
/// `cache` is NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_ready(
    cache: *const gf_cache,
    within_ms: u64,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { ttl_ms: within_ms, ..only(GF_OP_READY) }, result) }
}

/// What whoever follows the source's stream of changes asks *before* it writes a heartbeat into the source, where the cache has the option
/// `stream_bound`: GF_DONE, and gf_result.stamp is to be kept with the heartbeat; gf_result.remaining_ms is that option.
/// Eight heartbeats in that time are well. GF_E_INVALID where the cache has no such option.
///
/// # Safety
/// `cache` is NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_beat(cache: *const gf_cache, result: *mut gf_result) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &only(GF_OP_BEAT), result) }
}

/// A heartbeat came by in the source's stream of changes, and all that stands before it was applied (gf_invalidate with GF_DONE):
/// GF_DONE. All programs of the cache's set may serve for the rest of the time. `stamp` is that of the gf_beat before it.
///
/// # Safety
/// `cache` is NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_heard(
    cache: *const gf_cache,
    stamp: u64,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { stamp, ..only(GF_OP_HEARD) }, result) }
}
