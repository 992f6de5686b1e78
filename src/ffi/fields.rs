//! What an operation reads out of a gf_op, field by field: how it is checked, and what it is once it was taken.

use std::time::Duration;

use bytes::Bytes;

use super::abi::*;
use super::error::Failure;
use super::handles::{Claimed, gf_lease, gf_reservation};
use super::several::{Adding, HeldKeys, Taken};
use crate::cache::Load;
use crate::protocol::Token;
use crate::{Cache, Fresh, Reservation};

/// One field, or several that belong together, under the name that it has in the table.
pub(super) trait Field {
    type Taken;

    /// The flags that go with it.
    const FLAGS: u32 = 0;

    /// Looks for what is wrong without using anything up.
    ///
    /// # Safety
    /// Slices are readable and handles alive.
    unsafe fn check(op: &gf_op, cache: &Cache) -> Result<(), Failure>;

    /// Copies what it points to, and uses up what it names.
    ///
    /// # Safety
    /// It was checked, and slices and handles are as they were then.
    unsafe fn take(op: &gf_op) -> Result<Self::Taken, Failure>;
}

macro_rules! fields {
    ($(
        $(#[$doc:meta])* $name:ident: $taken:ty $(, $flags:expr)?;
        check($check:ident, $cache:ident) $checks:block
        take($take:ident) $takes:block
    )*) => {$(
        $(#[$doc])*
        pub(super) enum $name {}

        impl Field for $name {
            type Taken = $taken;
            $(const FLAGS: u32 = $flags;)?

            unsafe fn check($check: &gf_op, $cache: &Cache) -> Result<(), Failure> $checks

            unsafe fn take($take: &gf_op) -> Result<$taken, Failure> $takes
        }
    )*};
}

fields! {
    key: Bytes;
    check(op, cache) {
        // SAFETY: by the function's own contract.
        Ok(cache.check_key(unsafe { bytes_of("key", op.key) }?)?)
    }
    take(op) {
        // SAFETY: by the function's own contract.
        unsafe { bytes_of("key", op.key) }.map(Bytes::copy_from_slice)
    }

    /// A tag, in the place of the key.
    tag: Bytes;
    check(op, cache) {
        // SAFETY: by the function's own contract.
        Ok(cache.check_tag(unsafe { bytes_of("tags", op.key) }?)?)
    }
    take(op) {
        // SAFETY: by the function's own contract.
        unsafe { bytes_of("tags", op.key) }.map(Bytes::copy_from_slice)
    }

    value: Bytes;
    check(op, _cache) {
        // SAFETY: by the function's own contract.
        unsafe { bytes_of("value", op.value) }.map(drop)
    }
    take(op) {
        // SAFETY: by the function's own contract.
        unsafe { bytes_of("value", op.value) }.map(Bytes::copy_from_slice)
    }

    /// The value, its version, its time to live.
    entry: Fresh, GF_FLAG_NOTHING | GF_FLAG_VERSION;
    check(op, _cache) {
        // SAFETY: by the function's own contract.
        unsafe { parts(op) }.map(drop)
    }
    take(op) {
        // SAFETY: by the function's own contract.
        let (value, version, ttl) = unsafe { parts(op) }?;
        let mut fresh = Fresh::from(value);
        if let Some(version) = version {
            fresh = fresh.version(version);
        }
        if let Some(ttl) = ttl {
            fresh = fresh.ttl(ttl);
        }
        Ok(fresh)
    }

    flags: u32;
    check(_op, _cache) { Ok(()) }
    take(op) { Ok(op.flags) }

    version: Option<u64>, GF_FLAG_VERSION;
    check(op, _cache) { version_of(op).map(drop) }
    take(op) { version_of(op) }

    ttl_ms: Duration;
    check(_op, _cache) { Ok(()) }
    take(op) { Ok(Duration::from_millis(op.ttl_ms)) }

    /// How long a caller waits until the cache is ready.
    within: Duration;
    check(op, _cache) {
        if op.ttl_ms > 3_600_000 {
            let problem = format!("{} ms, must be at most 3600000: 1 h", op.ttl_ms);
            return Err(Failure::invalid("ttl_ms", problem));
        }
        Ok(())
    }
    take(op) { Ok(Duration::from_millis(op.ttl_ms)) }

    stamp: Token;
    check(_op, _cache) { Ok(()) }
    take(op) { Ok(Token::new(op.stamp)) }

    /// What gf_beat said.
    beat: u64;
    check(_op, _cache) { Ok(()) }
    take(op) { Ok(op.stamp) }

    lease: Load;
    check(op, _cache) { given::<gf_lease>("lease", op.lease)?.is_unused() }
    take(op) { given::<gf_lease>("lease", op.lease)?.take() }

    /// A reservation, which is used up.
    reservation: Claimed;
    check(op, _cache) {
        let reservation = given::<gf_reservation>("reservation", op.reservation)?;
        if op.flags & GF_FLAG_VERSION != 0 && reservation.several().is_ok() {
            return Err(Failure::invalid("version", "is of one key, and the reservation of several"));
        }
        reservation.is_unused()
    }
    take(op) { given::<gf_reservation>("reservation", op.reservation)?.take() }

    /// The same of one key.
    sole: Reservation;
    check(op, _cache) {
        let reservation = given::<gf_reservation>("reservation", op.reservation)?;
        reservation.one()?;
        reservation.is_unused()
    }
    take(op) { given::<gf_reservation>("reservation", op.reservation)?.take_one() }

    /// The same of several keys.
    several: Taken;
    check(op, _cache) {
        given::<gf_reservation>("reservation", op.reservation)?.several()?.is_unused()
    }
    take(op) { given::<gf_reservation>("reservation", op.reservation)?.several()?.take() }

    /// A reservation of several keys, to which those are added that were named.
    adding: Adding;
    check(op, _cache) {
        given::<gf_reservation>("reservation", op.reservation)?.several()?.has_keys()
    }
    take(op) { given::<gf_reservation>("reservation", op.reservation)?.several()?.add() }

    /// A reservation, which is not used up.
    held: HeldKeys;
    check(op, _cache) { given::<gf_reservation>("reservation", op.reservation)?.is_unused() }
    take(op) {
        let reservation = given::<gf_reservation>("reservation", op.reservation)?;
        // Another operation of the same batch may have used it up since.
        reservation.is_unused()?;
        Ok(reservation.held())
    }
}

fn given<'h, T>(what: &'static str, handle: *mut T) -> Result<&'h T, Failure> {
    // SAFETY: not NULL, and alive by the caller's word: who submits an operation names handles that
    // were not freed.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::invalid(what, "is NULL"))
}

fn version_of(op: &gf_op) -> Result<Option<u64>, Failure> {
    match (op.flags & GF_FLAG_VERSION != 0, op.version) {
        (true, version) => Ok(Some(version)),
        (false, 0) => Ok(None),
        (false, _) => {
            Err(Failure::invalid("version", "is given, and the flags do not say GF_FLAG_VERSION"))
        }
    }
}

/// What a host's entry says, not copied yet: the value, its version, its time to live.
type Parts<'e> = (Option<&'e [u8]>, Option<u64>, Option<Duration>);

/// # Safety
/// As [`bytes_of`].
unsafe fn parts<'e>(op: &gf_op) -> Result<Parts<'e>, Failure> {
    // SAFETY: by the function's own contract.
    let value = unsafe { bytes_of("value", op.value) }?;
    let nothing = op.flags & GF_FLAG_NOTHING != 0;
    if nothing && !value.is_empty() {
        return Err(Failure::invalid("value", "has bytes, and the flags say GF_FLAG_NOTHING"));
    }
    let ttl = (op.ttl_ms != 0).then(|| Duration::from_millis(op.ttl_ms));
    Ok(((!nothing).then_some(value), version_of(op)?, ttl))
}

/// Reads the bytes of a slice.
///
/// # Safety
/// `slice` is NULL and 0, or readable.
pub(super) unsafe fn bytes_of<'s>(
    field: &'static str,
    slice: gf_slice,
) -> Result<&'s [u8], Failure> {
    if slice.data.is_null() {
        if slice.len == 0 {
            return Ok(&[]);
        }
        return Err(Failure::invalid(field, format!("NULL, with a length of {}", slice.len)));
    }
    if isize::try_from(slice.len).is_err() {
        return Err(Failure::invalid(field, format!("{} bytes, which no memory holds", slice.len)));
    }
    // SAFETY: not NULL, not too long, and readable by the caller's word.
    Ok(unsafe { std::slice::from_raw_parts(slice.data, slice.len) })
}

/// Reads the bytes of several slices.
///
/// # Safety
/// `slices` is NULL, or an array of `count` slices, each NULL and 0, or readable.
pub(super) unsafe fn all_of<'s>(
    field: &'static str,
    slices: *const gf_slice,
    count: usize,
) -> Result<Vec<&'s [u8]>, Failure> {
    fits::<gf_slice>("count", count)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if slices.is_null() {
        return Err(Failure::invalid(field, "is NULL"));
    }
    // SAFETY: not NULL, and of this length by the caller's word.
    let slices = unsafe { std::slice::from_raw_parts(slices, count) };
    // SAFETY: by the function's own contract.
    slices.iter().map(|slice| unsafe { bytes_of(field, *slice) }).collect()
}

/// Whether memory can hold so many.
pub(super) fn fits<T>(field: &'static str, count: usize) -> Result<(), Failure> {
    let bytes = count.checked_mul(size_of::<T>());
    if bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        Ok(())
    } else {
        Err(Failure::invalid(field, format!("{count}, which no memory holds")))
    }
}
