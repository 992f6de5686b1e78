//! What has state across the boundary: a cache, a lease, a reservation.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, SeqCst},
};
use std::time::Duration;

use libc::size_t;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::abi::{GF_REGION_FENCED, GF_REGION_LEFT_OUT, GF_REGION_NONE, GF_REGION_OUT, gf_slice};
use super::error::Failure;
use super::fields::bytes_of;
use super::live::{self, Kind};
use super::op::released;
use super::runtime::Runtime;
use super::several::{HeldKeys, Several, Taken};
use crate::cache::{Held, Load};
use crate::{Cache, RegionOutcome, Reservation};

/// An open cache, or one of gf_tagged. All calls may be made from many threads at once, but for gf_free.
pub struct gf_cache {
    pub(super) cache: Cache,
    pub(super) runtime: Arc<Runtime>,
    /// Operations that were submitted and have not completed.
    pub(super) submitted: TaskTracker,
    /// Ends them, when closing takes too long.
    pub(super) cut: CancellationToken,
    /// The same, for who only looks: the token takes a lock.
    closed: Arc<AtomicBool>,
    /// Another handle of the cache closes it.
    pub(super) is_another: bool,
}

impl gf_cache {
    pub(super) fn new(cache: Cache, runtime: Arc<Runtime>) -> *mut gf_cache {
        let (submitted, cut) = (TaskTracker::new(), CancellationToken::new());
        let closed = Arc::default();
        gf_cache { cache, runtime, submitted, cut, closed, is_another: false }.into_raw()
    }

    /// Another handle of the same cache, with tags or a near time of its own.
    pub(super) fn another(&self, cache: Cache) -> *mut gf_cache {
        let (submitted, cut) = (self.submitted.clone(), self.cut.clone());
        let (runtime, closed) = (Arc::clone(&self.runtime), Arc::clone(&self.closed));
        gf_cache { cache, runtime, submitted, cut, closed, is_another: true }.into_raw()
    }

    fn into_raw(self) -> *mut gf_cache {
        live::add(Kind::Cache, 1);
        Box::into_raw(Box::new(self))
    }

    /// Nothing begins any more, and what is under way ends.
    pub(super) fn cut(&self) {
        self.closed.store(true, SeqCst);
        self.cut.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
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

/// A writer's claim on one key, or on several (gf_reserve_many). Used up by a commit, a release or an abort; freeing it unused leaves it
/// to expire, as nobody but the caller knows what became of the source. One thread at a time, but for
/// gf_remaining_ms and what says so.
pub struct gf_reservation(Of);

enum Of {
    One { unused: Mutex<Option<Reservation>>, held: Arc<Held> },
    Several(Arc<Several>),
}

/// What was taken out of a reservation, to be told what became of it.
pub(super) enum Claimed {
    One(Reservation),
    Several(Taken),
}

impl Claimed {
    /// A version is of one key.
    pub async fn release(self, version: Option<u64>) -> Result<i32, Failure> {
        match self {
            Claimed::One(one) => Ok(released(one.release(version).await?)),
            Claimed::Several(several) => Ok(several.release().await),
        }
    }

    pub async fn abort(self) {
        match self {
            Claimed::One(one) => one.abort().await,
            Claimed::Several(several) => several.abort().await,
        }
    }
}

impl gf_reservation {
    pub(super) fn new(reservation: Reservation) -> *mut gf_reservation {
        let held = reservation.held();
        gf_reservation(Of::One { unused: Mutex::new(Some(reservation)), held }).into_raw()
    }

    pub(super) fn of_several(several: Several) -> *mut gf_reservation {
        gf_reservation(Of::Several(Arc::new(several))).into_raw()
    }

    fn into_raw(self) -> *mut gf_reservation {
        live::add(Kind::Reservation, 1);
        Box::into_raw(Box::new(self))
    }

    pub(super) fn is_unused(&self) -> Result<(), Failure> {
        match &self.0 {
            Of::One { unused, .. } if unused.lock().is_some() => Ok(()),
            Of::One { .. } => Err(used("reservation")),
            Of::Several(several) => several.is_unused(),
        }
    }

    /// From now on it is used by whoever called this, and by nobody else.
    pub(super) fn take(&self) -> Result<Claimed, Failure> {
        match &self.0 {
            Of::One { .. } => self.take_one().map(Claimed::One),
            Of::Several(several) => several.take().map(Claimed::Several),
        }
    }

    /// The same of one key.
    pub(super) fn take_one(&self) -> Result<Reservation, Failure> {
        let taken = self.one()?.lock().take();
        taken.ok_or_else(|| used("reservation"))
    }

    pub(super) fn one(&self) -> Result<&Mutex<Option<Reservation>>, Failure> {
        match &self.0 {
            Of::One { unused, .. } => Ok(unused),
            Of::Several(_) => {
                Err(Failure::invalid("reservation", "is of several keys: see gf_commit_many"))
            }
        }
    }

    pub(super) fn several(&self) -> Result<&Arc<Several>, Failure> {
        match &self.0 {
            Of::One { .. } => {
                Err(Failure::invalid("reservation", "is of one key, must be of several"))
            }
            Of::Several(several) => Ok(several),
        }
    }

    pub(super) fn held(&self) -> HeldKeys {
        match &self.0 {
            Of::One { held, .. } => HeldKeys::One(Arc::clone(held)),
            Of::Several(several) => HeldKeys::Several(several.held()),
        }
    }
}

impl Drop for gf_reservation {
    fn drop(&mut self) {
        live::sub(Kind::Reservation, 1);
    }
}

pub(super) fn used(what: &'static str) -> Failure {
    Failure::invalid(what, "was used up already; a new one comes from the cache")
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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

/// Whether another caller of this process waits for what is loaded under a lease: 1 or 0. Whoever is to give up
/// a load may so let it go on for them. NULL is allowed. Any thread.
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

/// Whether a reservation was not used up yet: 1 or 0. One that is freed so is left to expire. NULL is allowed. Any
/// thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reservation_is_unused(reservation: *const gf_reservation) -> i32 {
    // SAFETY: by the function's own contract.
    let reservation = unsafe { reservation.as_ref() };
    i32::from(reservation.is_some_and(|reservation| reservation.is_unused().is_ok()))
}

/// How many milliseconds are left to change the source under this reservation: the transaction must
/// be over by then, so bound it. On a cluster it is no more than what is left of the lease on it
/// (cluster_guard_time), which goes on being prolonged: ask again just before COMMIT is sent. 0 if it is too
/// late, and for NULL. Of several keys it is the least of all, and UINT64_MAX where none is reserved yet. Any thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_remaining_ms(reservation: *const gf_reservation) -> u64 {
    // SAFETY: by the function's own contract.
    unsafe { reservation.as_ref() }.map_or(0, |reservation| millis(reservation.held().remaining()))
}

/// How a reservation stands in one of several regions, where the option `fence` is `all` or `home`: GF_REGION_FENCED,
/// GF_REGION_LEFT_OUT or GF_REGION_OUT. The own region, or the home that the key is read at, has index 0. GF_REGION_NONE where there is no region of
/// that index, and for NULL; so ask from 0 on.
/// `region` is set to its name, which is UTF-8, does not end in a zero byte, and lives as long as the reservation; or to
/// nothing. It may be NULL. Any thread, also after the reservation was used up. Of several keys there is each region that any of them is to be
/// held in, and it is as bad there as the worst.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet; `region` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reservation_region(
    reservation: *const gf_reservation,
    index: size_t,
    region: *mut gf_slice,
) -> i32 {
    // SAFETY: by the function's own contract.
    let reservation = unsafe { reservation.as_ref() };
    let found = reservation.and_then(|reservation| {
        let (held, mut all) = (reservation.held(), Vec::<(gf_slice, i32)>::new());
        for (name, outcome) in held.each().flat_map(|held| held.regions()) {
            let status = match outcome {
                RegionOutcome::Fenced => GF_REGION_FENCED,
                RegionOutcome::LeftOut => GF_REGION_LEFT_OUT,
                RegionOutcome::Out => GF_REGION_OUT,
            };
            // SAFETY: the names of regions live as long as what is held.
            let is_it = |(known, _): &&mut (gf_slice, i32)| {
                unsafe { bytes_of("region", *known) }.is_ok_and(|known| known == name.as_bytes())
            };
            match all.iter_mut().find(is_it) {
                Some((_, worst)) => *worst = status.max(*worst),
                None => all.push((gf_slice { data: name.as_ptr(), len: name.len() }, status)),
            }
        }
        all.get(index).copied()
    });
    let (name, status) = found.unwrap_or((gf_slice::EMPTY, GF_REGION_NONE));
    if !region.is_null() {
        // SAFETY: by the function's own contract.
        unsafe { region.write(name) };
    }
    status
}
