//! What has state across the boundary: a cache, a lease, a reservation, and what a result owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::abi::{GF_FLAG_NOTHING, GF_FLAG_VERSION, GF_HIT, gf_bytes, gf_owner, gf_result};
use super::error::{Failure, gf_error_free};
use super::live::{self, Kind};
use crate::cache::Load;
use crate::store::Hit;
use crate::{Cache, Reservation};

/// An open cache. All calls may be made from many threads at once, but for gf_free.
pub struct gf_cache {
    pub(super) cache: Cache,
    pub(super) runtime: &'static Handle,
    /// Operations that were submitted and have not completed.
    pub(super) submitted: TaskTracker,
    /// Ends them, when closing takes too long.
    pub(super) cut: CancellationToken,
}

impl gf_cache {
    pub(super) fn new(cache: Cache, runtime: &'static Handle) -> *mut gf_cache {
        live::add(Kind::Cache, 1);
        let (submitted, cut) = (TaskTracker::new(), CancellationToken::new());
        Box::into_raw(Box::new(gf_cache { cache, runtime, submitted, cut }))
    }

    /// Whether its commands go through connections.
    pub(super) fn is_networked(&self) -> bool {
        !self.cache.is_embedded()
    }
}

impl Drop for gf_cache {
    fn drop(&mut self) {
        live::sub(Kind::Cache, 1);
    }
}

/// The permission to fill one key, or to load it. Used up by a fill; freeing it unused gives the permission back,
/// or hands it to another caller of this process. One thread at a time.
pub struct gf_lease(Mutex<Option<Load>>);

impl gf_lease {
    pub(super) fn new(load: Load) -> *mut gf_lease {
        live::add(Kind::Lease, 1);
        Box::into_raw(Box::new(gf_lease(Mutex::new(Some(load)))))
    }

    pub(super) fn is_unused(&self) -> Result<(), Failure> {
        if self.0.lock().is_some() { Ok(()) } else { Err(used("lease")) }
    }

    pub(super) fn take(&self) -> Result<Load, Failure> {
        self.0.lock().take().ok_or_else(|| used("lease"))
    }
}

impl Drop for gf_lease {
    fn drop(&mut self) {
        live::sub(Kind::Lease, 1);
    }
}

/// A writer's claim on one key. Used up by a commit, a release or an abort; freeing it unused leaves it
/// to expire, as nobody but the caller knows what became of the source. One thread at a time, but for
/// gf_remaining_ms.
pub struct gf_reservation(pub(super) Arc<Claimed>);

/// A reservation, shared by its handle and what was submitted with it.
pub(super) struct Claimed {
    /// Held while a renew is under way, so that a commit waits for it.
    pub reservation: tokio::sync::Mutex<Option<Reservation>>,
    used: AtomicBool,
    until: Mutex<Instant>,
}

impl gf_reservation {
    pub(super) fn new(reservation: Reservation) -> *mut gf_reservation {
        live::add(Kind::Reservation, 1);
        let claimed = Claimed {
            used: AtomicBool::new(false),
            until: Mutex::new(Instant::now() + reservation.remaining()),
            reservation: tokio::sync::Mutex::new(Some(reservation)),
        };
        Box::into_raw(Box::new(gf_reservation(Arc::new(claimed))))
    }
}

impl Drop for gf_reservation {
    fn drop(&mut self) {
        live::sub(Kind::Reservation, 1);
    }
}

impl Claimed {
    pub fn is_unused(&self) -> Result<(), Failure> {
        if self.used.load(SeqCst) { Err(used("reservation")) } else { Ok(()) }
    }

    /// From now on it can be used by whoever called this, and by nobody else.
    pub fn use_up(&self) -> Result<(), Failure> {
        if self.used.swap(true, SeqCst) { Err(used("reservation")) } else { Ok(()) }
    }

    pub fn remaining(&self) -> Duration {
        self.until.lock().saturating_duration_since(Instant::now())
    }

    pub fn renewed(&self, remaining: Duration) {
        *self.until.lock() = Instant::now() + remaining;
    }
}

fn used(what: &'static str) -> Failure {
    Failure::invalid(what, "was used up already; a new one comes from the cache")
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl gf_bytes {
    pub(super) fn new(bytes: Bytes) -> Self {
        live::add(Kind::Value, 1);
        live::add(Kind::ValueBytes, bytes.len());
        let (data, len) = (bytes.as_ptr(), bytes.len());
        gf_bytes { data, len, owner: Box::into_raw(Box::new(gf_owner(bytes))) }
    }
}

impl Drop for gf_owner {
    fn drop(&mut self) {
        live::sub(Kind::Value, 1);
        live::sub(Kind::ValueBytes, self.0.len());
    }
}

impl gf_result {
    pub(super) fn hit(hit: Hit) -> Self {
        let mut result = gf_result::new(GF_HIT);
        match hit.value {
            Some(bytes) => result.value = gf_bytes::new(bytes),
            None => result.flags |= GF_FLAG_NOTHING,
        }
        result.stamp = hit.stamp.bits();
        if let Some(version) = hit.version {
            result.flags |= GF_FLAG_VERSION;
            result.version = version.get();
        }
        result
    }
}

/// Frees what a result owns, and forgets it: freeing a result twice is harmless. A lease that is
/// still in it is given back, a reservation is left to expire. NULL is allowed.
///
/// # Safety
/// `result` is NULL or was filled by this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_result_free(result: *mut gf_result) {
    // SAFETY: by the function's own contract.
    let Some(result) = (unsafe { result.as_mut() }) else { return };
    let value = std::mem::replace(&mut result.value, gf_bytes::NONE);
    let lease = std::mem::replace(&mut result.lease, std::ptr::null_mut());
    let reservation = std::mem::replace(&mut result.reservation, std::ptr::null_mut());
    let error = std::mem::replace(&mut result.error, std::ptr::null_mut());
    // SAFETY: each is NULL or a box of ours that was in nobody else's hands.
    unsafe {
        if !value.owner.is_null() {
            drop(Box::from_raw(value.owner));
        }
        gf_lease_free(lease);
        gf_reservation_free(reservation);
        gf_error_free(error);
    }
}

/// Frees the results of an array, as gf_result_free does with one.
///
/// # Safety
/// `results` is NULL or an array of `count` results that this library filled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_results_free(results: *mut gf_result, count: libc::size_t) {
    if results.is_null() {
        return;
    }
    for index in 0..count {
        // SAFETY: within the array, by the function's own contract.
        unsafe { gf_result_free(results.add(index)) };
    }
}

/// Frees a lease. One that was not used is given back, so that another caller may fill. NULL is
/// allowed.
///
/// # Safety
/// `lease` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_lease_free(lease: *mut gf_lease) {
    if !lease.is_null() {
        // SAFETY: a box of ours, by the function's own contract.
        let lease = unsafe { Box::from_raw(lease) };
        let _stopped = super::guard::guarded(|| {
            drop(lease);
            Ok(())
        });
    }
}

/// Whether another caller of this process waits for what is loaded under a lease: 1 or 0. Who is to give up a
/// load may so let it go on for them. NULL is allowed. Any thread.
///
/// # Safety
/// `lease` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_lease_is_awaited(lease: *const gf_lease) -> i32 {
    // SAFETY: by the function's own contract.
    let lease = unsafe { lease.as_ref() };
    i32::from(lease.is_some_and(|lease| lease.0.lock().as_ref().is_some_and(Load::is_awaited)))
}

/// Frees a reservation. One that was not used is left to expire: the key is bypassed until then. NULL
/// is allowed.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reservation_free(reservation: *mut gf_reservation) {
    if !reservation.is_null() {
        // SAFETY: a box of ours, by the function's own contract.
        let reservation = unsafe { Box::from_raw(reservation) };
        let _stopped = super::guard::guarded(|| {
            drop(reservation);
            Ok(())
        });
    }
}

/// How many milliseconds are left to change the source under this reservation: the transaction must
/// be over by then, so bound it. 0 if it is too late, and for NULL. Any thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_remaining_ms(reservation: *const gf_reservation) -> u64 {
    // SAFETY: by the function's own contract.
    unsafe { reservation.as_ref() }.map_or(0, |reservation| millis(reservation.0.remaining()))
}
