//! The keys of one transaction: a reservation of several.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::join_all;
use libc::size_t;
use parking_lot::Mutex;

use super::abi::*;
use super::calls::{call, only, with_entry};
use super::error::{Failure, gf_error};
use super::fields::{Field, all_of, bytes_of, entry};
use super::handles::{gf_cache, gf_reservation, used};
use super::op::{GF_OP_COMMIT_MANY, GF_OP_RESERVE_MANY, released, update_status};
use super::{guard, results};
use crate::cache::{Held, Keys, no_keys, renew_all};
use crate::{Error, Reservations, SourceResult};

/// What a reservation of several keys is.
pub(super) struct Several(Mutex<State>);

struct State {
    unused: Option<Reservations>,
    /// Each key, in the order in which they were reserved; none ever leaves.
    held: Vec<(Bytes, Arc<Held>)>,
    /// What is to be reserved next.
    named: Vec<Bytes>,
    all_named: Keys,
    /// What is known of them once the source is committed.
    known: HashMap<Bytes, SourceResult, RandomState>,
    /// What became of each, once it is known.
    told: Vec<i32>,
}

/// Keys that are to be added to a reservation.
pub(super) struct Adding {
    to: Arc<Several>,
    reservations: Reservations,
    keys: Vec<Bytes>,
}

/// Reservations of several keys that are being used up.
pub(super) struct Taken {
    of: Arc<Several>,
    reservations: Reservations,
    known: HashMap<Bytes, SourceResult, RandomState>,
}

impl Several {
    fn new(reservations: Reservations) -> Self {
        Several(Mutex::new(State {
            unused: Some(reservations),
            held: Vec::new(),
            named: Vec::new(),
            all_named: Keys::default(),
            known: HashMap::default(),
            told: Vec::new(),
        }))
    }

    pub fn is_unused(&self) -> Result<(), Failure> {
        self.0.lock().unused().map(drop)
    }

    /// All of them or none.
    fn name(&self, keys: &[&[u8]]) -> Result<(), Failure> {
        let mut state = self.0.lock();
        let added = state.unused()?.newly(&state.all_named, keys)?;
        state.all_named.extend(added.iter().cloned());
        state.named.extend(added);
        Ok(())
    }

    fn know(&self, key: &[u8], result: SourceResult) -> Result<(), Failure> {
        let mut state = self.0.lock();
        state.unused()?.check(key, &result)?;
        state.known.insert(Bytes::copy_from_slice(key), result);
        Ok(())
    }

    /// Whether there is anything to be reserved.
    pub fn has_keys(&self) -> Result<(), Failure> {
        let state = self.0.lock();
        state.unused()?;
        if state.held.is_empty() && state.named.is_empty() { Err(no_keys().into()) } else { Ok(()) }
    }

    /// What was named is not named any more, whatever comes of it.
    pub fn add(self: &Arc<Self>) -> Result<Adding, Failure> {
        let mut state = self.0.lock();
        let reservations = state.unused()?.beside();
        state.all_named.clear();
        Ok(Adding { to: Arc::clone(self), reservations, keys: std::mem::take(&mut state.named) })
    }

    /// From now on they are used by whoever called this, and by nobody else.
    pub fn take(self: &Arc<Self>) -> Result<Taken, Failure> {
        let mut state = self.0.lock();
        let reservations = state.unused.take().ok_or_else(|| used("reservation"))?;
        Ok(Taken { of: Arc::clone(self), reservations, known: std::mem::take(&mut state.known) })
    }

    pub fn held(&self) -> Vec<(Bytes, Arc<Held>)> {
        self.0.lock().held.clone()
    }

    fn tell(&self, told: impl Iterator<Item = i32>) {
        self.0.lock().told.extend(told);
    }
}

impl State {
    fn unused(&self) -> Result<&Reservations, Failure> {
        self.unused.as_ref().ok_or_else(|| used("reservation"))
    }
}

impl Adding {
    /// What is left of all of them then, and whether all are held.
    pub async fn reserve(self, flags: u32) -> Result<HeldKeys, Failure> {
        let Adding { to, mut reservations, keys } = self;
        reservations.add_all(keys, flags & GF_FLAG_SETTLED != 0).await?;
        let gone = {
            let mut state = to.0.lock();
            let State { unused, held, .. } = &mut *state;
            match unused {
                Some(unused) => {
                    unused.join(reservations);
                    held.extend(unused.held(held.len()));
                    None
                }
                None => Some(reservations),
            }
        };
        if let Some(reservations) = gone {
            reservations.abort().await;
            return Err(used("reservation"));
        }
        Ok(HeldKeys::Several(to.held()))
    }
}

impl Taken {
    /// The status of all.
    pub async fn commit(self) -> Result<i32, Failure> {
        let results = self.known.into_iter().collect();
        let (mut first, mut all) = (None, Vec::new());
        for (_, outcome) in self.reservations.tell(results).await {
            all.push(match outcome {
                Ok(outcome) => update_status(outcome),
                Err(error) => {
                    let failure = Failure::from(error);
                    let status = failure.status;
                    first.get_or_insert(failure);
                    status
                }
            });
        }
        self.of.tell(all.into_iter());
        first.map_or(Ok(GF_DONE), Err)
    }

    /// The status of all: what is in doubt of one is so of all.
    pub async fn release(self) -> i32 {
        let all = self.reservations.release().await;
        let told: Vec<i32> = all.into_iter().map(|(_, outcome)| released(outcome)).collect();
        self.of.tell(told.iter().copied());
        told.into_iter().max().unwrap_or(GF_PURGED)
    }

    pub async fn abort(self) {
        let count = self.of.0.lock().held.len();
        self.reservations.abort().await;
        self.of.tell(std::iter::repeat_n(GF_DONE, count));
    }
}

/// What goes on to be asked of a reservation while it is used up.
pub(super) enum HeldKeys {
    One(Arc<Held>),
    Several(Vec<(Bytes, Arc<Held>)>),
}

impl HeldKeys {
    pub fn each(&self) -> impl Iterator<Item = &Arc<Held>> {
        let (one, several) = match self {
            HeldKeys::One(held) => (Some(held), &[][..]),
            HeldKeys::Several(several) => (None, &several[..]),
        };
        one.into_iter().chain(several.iter().map(|(_, held)| held))
    }

    /// The least of all.
    pub fn remaining(&self) -> Duration {
        self.each().map(|held| held.remaining()).min().unwrap_or(Duration::MAX)
    }

    pub fn unsettled(&self) -> Duration {
        self.each().map(|held| held.unsettled()).max().unwrap_or_default()
    }

    pub fn are_held(&self) -> bool {
        self.each().all(|held| held.is_held())
    }

    pub async fn settled(&self) {
        join_all(self.each().map(|held| held.settled())).await;
    }

    pub async fn renew(&self) -> Result<bool, Error> {
        match self {
            HeldKeys::One(held) => held.renew().await,
            HeldKeys::Several(all) => renew_all(all.iter().map(|(key, held)| (key, &**held))).await,
        }
    }
}

/// # Safety
/// `reservation` is NULL or alive.
unsafe fn several<'r>(reservation: *const gf_reservation) -> Result<&'r Arc<Several>, Failure> {
    // SAFETY: by the function's own contract.
    let reservation = unsafe { reservation.as_ref() };
    reservation.ok_or_else(|| Failure::invalid("reservation", "is NULL"))?.several()
}

/// A reservation of several keys, the keys of one transaction, of which there is none yet: for who learns of them on the way. Keys are
/// named by gf_name, and reserved by gf_reserve_more, or GF_OP_RESERVE_MANY, before COMMIT is sent. Any thread; it waits for nothing.
///
/// It is a gf_reservation, so what is there for one key counts for all of them: gf_remaining_ms is the least of all, gf_renew renews all,
/// gf_settled waits for all; gf_release, gf_abort and gf_commit_many tell all and use it up; and freed unused it leaves all to expire.
///
/// Returns GF_DONE and sets `reservation`, which the caller frees by gf_reservation_free; or an error, and then `error`, if it is not
/// NULL, is set to a gf_error that the caller frees.
///
/// # Safety
/// `cache` is NULL or alive; `reservation` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reservation_new(
    cache: *const gf_cache,
    reservation: *mut *mut gf_reservation,
    error: *mut *mut gf_error,
) -> i32 {
    let make = || {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        Ok(gf_reservation::of_several(Several::new(cache.cache.reservations())))
    };
    // SAFETY: each is NULL or may be written.
    unsafe { guard::give(("reservation", reservation, std::ptr::null_mut()), error, make) }
}

/// Names keys, copied, that the next gf_reserve_more or GF_OP_RESERVE_MANY of this reservation is to reserve; one that is reserved or named
/// already is so once. All of them are named or none. They are of the cache that the reservation was made of, and at most 10,000 with those
/// that there are. Sends nothing.
///
/// Returns GF_DONE; or an error, and then `error`, if it is not NULL, is set to a gf_error that the caller frees.
///
/// # Safety
/// `reservation` is NULL or alive, and of several keys; `keys` is an array of `count` readable slices; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_name(
    reservation: *mut gf_reservation,
    keys: *const gf_slice,
    count: size_t,
    error: *mut *mut gf_error,
) -> i32 {
    let named = guard::guarded(|| {
        // SAFETY: by the function's own contract.
        let (reservation, keys) = unsafe { (several(reservation)?, all_of("keys", keys, count)?) };
        reservation.name(&keys)
    });
    // SAFETY: by the function's own contract.
    unsafe { guard::tell(named, error) }.0
}

/// Reserves all keys of one transaction, before their source is changed: GF_RESERVED, and gf_result.reservation is of all of them (see
/// gf_reservation_new); gf_result.detail as of gf_reserve. Each key once, 1 to 10,000. They are sent together. If one cannot be reserved those that
/// were are aborted, the error names the key, and the source must not be changed. `flags`: GF_FLAG_SETTLED, see gf_reserve_settled; or 0.
///
/// Who commits a value reserves before it *reads* anything that the value is made of and that its locks do not hold.
///
/// # Safety
/// `cache` is NULL or alive; `keys` is an array of `count` readable slices; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve_many(
    cache: *const gf_cache,
    keys: *const gf_slice,
    count: size_t,
    flags: u32,
    result: *mut gf_result,
) -> i32 {
    let reserve = || {
        let mut reservation = std::ptr::null_mut();
        let mut error = std::ptr::null_mut();
        let mut added = gf_result::new(GF_DONE);
        // SAFETY: by the function's own contract, and what is made here.
        unsafe {
            if gf_reservation_new(cache, &raw mut reservation, &raw mut error) == GF_DONE {
                gf_reserve_more(cache, reservation, keys, count, flags, &raw mut added);
            } else {
                added = gf_result { status: (*error).status, error, ..added };
            }
        }
        if added.status == GF_DONE {
            added.status = GF_RESERVED;
            added.reservation = reservation;
        } else {
            // SAFETY: NULL, or made above.
            unsafe { super::handles::gf_reservation_free(reservation) };
        }
        Ok(added)
    };
    // SAFETY: it is NULL or may be written.
    unsafe { results::into(result, reserve) }
}

/// Reserves these keys too, and those of gf_name, before COMMIT is sent: GF_DONE, and gf_result.remaining_ms is the least of all;
/// gf_result.detail as of gf_reserve, where one of all is not held. They are of the cache that the reservation was made of. If one cannot be reserved
/// none of these is, and the others are still. A value that was made of what was read before must not be committed under a key that came later.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `keys` is an array of `count` readable slices; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reserve_more(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    keys: *const gf_slice,
    count: size_t,
    flags: u32,
    result: *mut gf_result,
) -> i32 {
    let name = || {
        if cache.is_null() {
            return Err(Failure::invalid("cache", "is NULL"));
        }
        // SAFETY: by the function's own contract.
        let (reservation, keys) = unsafe { (several(reservation)?, all_of("keys", keys, count)?) };
        reservation.name(&keys)
    };
    if let Err(failure) = guard::guarded(name) {
        // SAFETY: it is NULL or may be written.
        return unsafe { results::into(result, || Err(failure)) };
    }
    let op = gf_op { flags, reservation, ..only(GF_OP_RESERVE_MANY) };
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &op, result) }
}

/// Says which value a reserved key has once the source is committed, for gf_commit_many; the last word counts. The value is copied. Sends nothing.
///
/// Returns GF_DONE; or an error, of the key or of what is out of bounds, and then `error`, if it is not NULL, is set to a gf_error that the
/// caller frees.
///
/// # Safety
/// `reservation` is NULL or alive, and of several keys; `key` and `entry` are readable; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_value_of(
    reservation: *mut gf_reservation,
    key: gf_slice,
    entry: gf_entry,
    error: *mut *mut gf_error,
) -> i32 {
    let said = guard::guarded(|| {
        // SAFETY: by the function's own contract.
        let (reservation, key) = unsafe { (several(reservation)?, bytes_of("key", key)?) };
        let op = with_entry(only(GF_OP_COMMIT_MANY), entry);
        op.is_zero()?;
        op.check_flags(entry::FLAGS)?;
        // SAFETY: by the function's own contract.
        reservation.know(key, SourceResult::Committed(unsafe { entry::take(&op) }?))
    });
    // SAFETY: by the function's own contract.
    unsafe { guard::tell(said, error) }.0
}

/// Says that a reserved key is released, with the version that the source gave its change, for gf_commit_many; the last word counts. A key of which
/// nothing is said is released without one. Sends nothing.
///
/// Returns as gf_value_of.
///
/// # Safety
/// `reservation` is NULL or alive, and of several keys; `key` is readable; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_version_of(
    reservation: *mut gf_reservation,
    key: gf_slice,
    version: u64,
    error: *mut *mut gf_error,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { know(reservation, key, SourceResult::Changed(Some(version)), error) }
}

/// Says that the source of a reserved key was certainly not changed, though that of others was: gf_commit_many aborts it. The last word counts.
/// Sends nothing.
///
/// Returns as gf_value_of.
///
/// # Safety
/// `reservation` is NULL or alive, and of several keys; `key` is readable; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_unchanged_of(
    reservation: *mut gf_reservation,
    key: gf_slice,
    error: *mut *mut gf_error,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { know(reservation, key, SourceResult::RolledBack, error) }
}

/// # Safety
/// As of gf_unchanged_of.
unsafe fn know(
    reservation: *mut gf_reservation,
    key: gf_slice,
    result: SourceResult,
    error: *mut *mut gf_error,
) -> i32 {
    let said = guard::guarded(|| {
        // SAFETY: by the function's own contract.
        let (reservation, key) = unsafe { (several(reservation)?, bytes_of("key", key)?) };
        reservation.know(key, result)
    });
    // SAFETY: by the function's own contract.
    unsafe { guard::tell(said, error) }.0
}

/// The source was changed and committed: keys with a value of gf_value_of are committed, those of
/// gf_unchanged_of aborted, the others released. GF_DONE, and gf_told says
/// what became of each. They are sent together, and every key is told, whatever is wrong with another. Uses the reservation up; it must still be freed.
///
/// # Safety
/// `cache`, `reservation` are NULL or alive; `result` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_commit_many(
    cache: *const gf_cache,
    reservation: *mut gf_reservation,
    result: *mut gf_result,
) -> i32 {
    // SAFETY: by the function's own contract.
    unsafe { call(cache, &gf_op { reservation, ..only(GF_OP_COMMIT_MANY) }, result) }
}

/// How many keys a reservation of several is of, those that are only named not counted. 0 for another, and for NULL. Any thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_reservation_count(reservation: *const gf_reservation) -> size_t {
    // SAFETY: by the function's own contract.
    unsafe { several(reservation) }.map_or(0, |several| several.0.lock().held.len())
}

/// What became of the key in this place of a reservation of several, in the order in which they were reserved: after gf_commit_many as of
/// gf_commit or gf_release, after gf_release and gf_abort as of those; an error's status, where a value was refused. GF_RESERVED until then, and where it
/// was not told; GF_MISS where there is no such place, and for NULL. `key` is set to the key, which lives as long as the reservation, or to nothing. It may
/// be NULL. Any thread.
///
/// # Safety
/// `reservation` is NULL or was given by this library and not freed yet; `key` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_told(
    reservation: *const gf_reservation,
    index: size_t,
    key: *mut gf_slice,
) -> i32 {
    // SAFETY: by the function's own contract.
    let found = unsafe { several(reservation) }.ok().and_then(|several| {
        let state = several.0.lock();
        let (name, _) = state.held.get(index)?;
        let name = gf_slice { data: name.as_ptr(), len: name.len() };
        Some((name, state.told.get(index).copied().unwrap_or(GF_RESERVED)))
    });
    let (name, status) = found.unwrap_or((gf_slice::EMPTY, GF_MISS));
    if !key.is_null() {
        // SAFETY: by the function's own contract.
        unsafe { key.write(name) };
    }
    status
}
