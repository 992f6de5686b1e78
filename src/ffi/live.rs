//! What is alive across the boundary, counted, so that a test for leaks counts instead of guessing.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Cache,
    Queue,
    Lease,
    Reservation,
    Error,
    Value,
    ValueBytes,
    Pending,
}

static LIVE: [AtomicI64; 8] = [const { AtomicI64::new(0) }; 8];

pub(super) fn add(kind: Kind, count: usize) {
    LIVE[kind as usize].fetch_add(i64::try_from(count).unwrap_or(i64::MAX), SeqCst);
}

pub(super) fn sub(kind: Kind, count: usize) {
    LIVE[kind as usize].fetch_sub(i64::try_from(count).unwrap_or(i64::MAX), SeqCst);
}

/// What this process holds of this library: all zero when everything was freed.
#[repr(C)]
pub struct gf_live {
    /// Caches: gf_open, gf_tagged, gf_free.
    pub caches: i64,
    /// Queues: gf_queue_new, gf_queue_free.
    pub queues: i64,
    /// Leases that were not freed, used up or not.
    pub leases: i64,
    /// Reservations that were not freed, used up or not.
    pub reservations: i64,
    /// Errors.
    pub errors: i64,
    /// Values in results.
    pub values: i64,
    /// Their bytes.
    pub value_bytes: i64,
    /// Submitted operations whose completion was not taken out of its queue.
    pub pending: i64,
}

/// Counts what is alive.
///
/// # Safety
/// `live` is NULL (then nothing is done) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_live_count(live: *mut gf_live) {
    let count = |kind: Kind| LIVE[kind as usize].load(SeqCst);
    let counted = gf_live {
        caches: count(Kind::Cache),
        queues: count(Kind::Queue),
        leases: count(Kind::Lease),
        reservations: count(Kind::Reservation),
        errors: count(Kind::Error),
        values: count(Kind::Value),
        value_bytes: count(Kind::ValueBytes),
        pending: count(Kind::Pending),
    };
    if !live.is_null() {
        // SAFETY: the caller says that it may be written.
        unsafe { live.write(counted) };
    }
}
