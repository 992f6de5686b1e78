//! One operation: read out of what the host passed, run, and told back. The synchronous calls and
//! gf_submit share it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::abi::*;
use super::error::Failure;
use super::handles::{Claimed, gf_lease, gf_reservation, millis};
use super::queue::Completion;
use crate::cache::{Load, ToLoad};
use crate::protocol::Token;
use crate::{Bypass, Cache, Commit, Fill, Fresh, Lookup, Release, Replace, Set, Touch};

/// An operation that owns all it needs.
pub(super) enum Op {
    Get(Bytes),
    GetStrictly(Bytes),
    Lookup(Bytes),
    Fill(Load, Fresh),
    Load(Bytes),
    LoadUnread(Bytes),
    Loaded(Load, Fresh),
    LoadedUnstored(Load, Fresh),
    LoadFailed(Load, Bytes),
    Reserve(Bytes),
    Commit(Arc<Claimed>, Fresh),
    Release(Arc<Claimed>, Option<u64>),
    Abort(Arc<Claimed>),
    Renew(Arc<Claimed>),
    Set(Bytes, Fresh),
    Replace(Bytes, Token, Fresh),
    Invalidate(Bytes, Option<u64>),
    Touch(Bytes, Duration),
    Diagnose,
    LookupMany(Bytes),
    Ready(Duration),
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

/// Whether memory can hold so many.
pub(super) fn fits<T>(field: &'static str, count: usize) -> Result<(), Failure> {
    let bytes = count.checked_mul(size_of::<T>());
    if bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        Ok(())
    } else {
        Err(Failure::invalid(field, format!("{count}, which no memory holds")))
    }
}

/// What a host's entry says, not copied yet: the value, its version, its time to live.
type Parts<'e> = (Option<&'e [u8]>, Option<u64>, Option<Duration>);

/// # Safety
/// As [`bytes_of`].
unsafe fn parts<'e>(entry: gf_entry, also: u32) -> Result<Parts<'e>, Failure> {
    flags(entry.flags, GF_FLAG_NOTHING | GF_FLAG_VERSION | also)?;
    if entry.reserved != 0 {
        return Err(Failure::invalid("reserved", "must be 0"));
    }
    // SAFETY: by the function's own contract.
    let value = unsafe { bytes_of("value", entry.value) }?;
    let nothing = entry.flags & GF_FLAG_NOTHING != 0;
    if nothing && !value.is_empty() {
        return Err(Failure::invalid("value", "has bytes, and the flags say GF_FLAG_NOTHING"));
    }
    let ttl = (entry.ttl_ms != 0).then(|| Duration::from_millis(entry.ttl_ms));
    Ok(((!nothing).then_some(value), version(entry.flags, entry.version)?, ttl))
}

/// A value of the host's, copied. It was checked.
///
/// # Safety
/// As [`bytes_of`].
unsafe fn fresh(entry: gf_entry) -> Result<Fresh, Failure> {
    // SAFETY: by the function's own contract.
    let (value, version, ttl) = unsafe { parts(entry, GF_FLAG_UNSTORED) }?;
    let mut fresh = Fresh::from(value);
    if let Some(version) = version {
        fresh = fresh.version(version);
    }
    if let Some(ttl) = ttl {
        fresh = fresh.ttl(ttl);
    }
    Ok(fresh)
}

fn version(flags: u32, version: u64) -> Result<Option<u64>, Failure> {
    match (flags & GF_FLAG_VERSION != 0, version) {
        (true, version) => Ok(Some(version)),
        (false, 0) => Ok(None),
        (false, _) => {
            Err(Failure::invalid("version", "is given, and the flags do not say GF_FLAG_VERSION"))
        }
    }
}

fn flags(given: u32, known: u32) -> Result<(), Failure> {
    if given & !known == 0 {
        Ok(())
    } else {
        Err(Failure::invalid("flags", format!("{given:#x}, only {known:#x} is known here")))
    }
}

fn given<'h, T>(what: &'static str, handle: *mut T) -> Result<&'h T, Failure> {
    // SAFETY: not NULL, and alive by the caller's word: who submits an operation names handles that
    // were not freed.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::invalid(what, "is NULL"))
}

impl gf_op {
    /// Looks for everything that is wrong without using anything up.
    ///
    /// # Safety
    /// Slices are readable and handles alive.
    pub(super) unsafe fn check(&self, cache: &Cache) -> Result<(), Failure> {
        if self.reserved != [0; 2] {
            return Err(Failure::invalid("reserved", "must be 0"));
        }
        if let GF_OP_GET | GF_OP_LOOKUP | GF_OP_RESERVE | GF_OP_SET | GF_OP_REPLACE
        | GF_OP_INVALIDATE | GF_OP_TOUCH | GF_OP_LOOKUP_MANY | GF_OP_LOAD = self.op
        {
            // SAFETY: by the function's own contract.
            cache.check_key(unsafe { bytes_of("key", self.key) }?)?;
        }
        match self.op {
            GF_OP_GET => flags(self.flags, GF_FLAG_STRICT),
            GF_OP_LOAD => flags(self.flags, GF_FLAG_UNREAD),
            GF_OP_LOOKUP | GF_OP_RESERVE | GF_OP_TOUCH | GF_OP_DIAGNOSE | GF_OP_LOOKUP_MANY => {
                flags(self.flags, 0)
            }
            GF_OP_READY => {
                flags(self.flags, 0)?;
                self.within().map(drop)
            }
            GF_OP_LOAD_FAILED => {
                flags(self.flags, 0)?;
                given::<gf_lease>("lease", self.lease)?.is_unused()?;
                // SAFETY: by the function's own contract.
                unsafe { bytes_of("value", self.value) }.map(drop)
            }
            GF_OP_FILL | GF_OP_LOADED | GF_OP_COMMIT | GF_OP_SET | GF_OP_REPLACE => {
                if self.op == GF_OP_FILL || self.op == GF_OP_LOADED {
                    given::<gf_lease>("lease", self.lease)?.is_unused()?;
                } else if self.op == GF_OP_COMMIT {
                    given::<gf_reservation>("reservation", self.reservation)?.0.is_unused()?;
                }
                let also = if self.op == GF_OP_LOADED { GF_FLAG_UNSTORED } else { 0 };
                // SAFETY: by the function's own contract.
                unsafe { parts(self.entry(), also) }.map(drop)
            }
            GF_OP_RELEASE | GF_OP_ABORT | GF_OP_RENEW => {
                given::<gf_reservation>("reservation", self.reservation)?.0.is_unused()?;
                let known = if self.op == GF_OP_RELEASE { GF_FLAG_VERSION } else { 0 };
                flags(self.flags, known)?;
                version(self.flags, self.version).map(drop)
            }
            GF_OP_INVALIDATE => {
                flags(self.flags, GF_FLAG_VERSION)?;
                version(self.flags, self.version).map(drop)
            }
            other => Err(Failure::invalid("op", format!("{other} is no operation of GF_OP_*"))),
        }
    }

    /// How long a caller waits until the cache is ready.
    fn within(&self) -> Result<Duration, Failure> {
        if self.ttl_ms > 3_600_000 {
            let problem = format!("{} ms, must be at most 3600000: 1 h", self.ttl_ms);
            return Err(Failure::invalid("ttl_ms", problem));
        }
        Ok(Duration::from_millis(self.ttl_ms))
    }

    fn entry(&self) -> gf_entry {
        let (value, version, ttl_ms, flags) = (self.value, self.version, self.ttl_ms, self.flags);
        gf_entry { value, version, ttl_ms, flags, reserved: 0 }
    }

    /// Copies what it points to, and uses up the lease or the reservation it names.
    ///
    /// # Safety
    /// It was checked, and slices and handles are as they were then.
    pub(super) unsafe fn take(&self) -> Result<Op, Failure> {
        // SAFETY: by the function's own contract.
        let key = || unsafe { bytes_of("key", self.key) }.map(Bytes::copy_from_slice);
        // SAFETY: by the function's own contract.
        let fresh = || unsafe { fresh(self.entry()) };
        let claimed = || Ok::<_, Failure>(Arc::clone(&given("reservation", self.reservation)?.0));
        let load = || given::<gf_lease>("lease", self.lease)?.take();
        let used_up = || {
            let claimed = claimed()?;
            claimed.use_up()?;
            Ok::<_, Failure>(claimed)
        };
        let version = version(self.flags, self.version);
        Ok(match self.op {
            GF_OP_GET if self.flags & GF_FLAG_STRICT != 0 => Op::GetStrictly(key()?),
            GF_OP_GET => Op::Get(key()?),
            GF_OP_LOOKUP => Op::Lookup(key()?),
            GF_OP_FILL => {
                let fresh = fresh()?;
                Op::Fill(load()?, fresh)
            }
            GF_OP_LOAD if self.flags & GF_FLAG_UNREAD != 0 => Op::LoadUnread(key()?),
            GF_OP_LOAD => Op::Load(key()?),
            GF_OP_LOADED => {
                let fresh = fresh()?;
                if self.flags & GF_FLAG_UNSTORED != 0 {
                    return Ok(Op::LoadedUnstored(load()?, fresh));
                }
                Op::Loaded(load()?, fresh)
            }
            GF_OP_LOAD_FAILED => {
                // SAFETY: by the function's own contract.
                let failure = Bytes::copy_from_slice(unsafe { bytes_of("value", self.value) }?);
                Op::LoadFailed(load()?, failure)
            }
            GF_OP_RESERVE => Op::Reserve(key()?),
            GF_OP_COMMIT => {
                let fresh = fresh()?;
                Op::Commit(used_up()?, fresh)
            }
            GF_OP_RELEASE => Op::Release(used_up()?, version?),
            GF_OP_ABORT => Op::Abort(used_up()?),
            GF_OP_RENEW => Op::Renew(claimed()?),
            GF_OP_SET => Op::Set(key()?, fresh()?),
            GF_OP_REPLACE => Op::Replace(key()?, Token::new(self.stamp), fresh()?),
            GF_OP_INVALIDATE => Op::Invalidate(key()?, version?),
            GF_OP_TOUCH => Op::Touch(key()?, Duration::from_millis(self.ttl_ms)),
            GF_OP_DIAGNOSE => Op::Diagnose,
            GF_OP_READY => Op::Ready(self.within()?),
            GF_OP_LOOKUP_MANY => Op::LookupMany(key()?),
            other => {
                return Err(Failure::invalid("op", format!("{other} is no operation of GF_OP_*")));
            }
        })
    }
}

impl Op {
    /// Does what needs no waiting, on the caller's thread: a hit of the embedded store. Else gives the
    /// operation back.
    pub fn at_once(self, cache: &Cache) -> Result<gf_result, Op> {
        if let Op::Get(key) | Op::GetStrictly(key) | Op::Lookup(key) | Op::Load(key) = &self
            && let Some(hit) = cache.hit_at_once(key)
        {
            return Ok(gf_result::hit(hit));
        }
        Err(self)
    }

    /// Runs it to its end. What reads is a future of its own, as one that can be any operation is more than
    /// twice as large, and is moved and allocated for each.
    pub fn run(self, cache: Cache) -> Pin<Box<dyn Future<Output = gf_result> + Send>> {
        match self {
            Op::Get(key) => Box::pin(async move {
                match cache.get(&key).await {
                    Ok(Some(hit)) => gf_result::hit(hit),
                    Ok(None) => gf_result::new(GF_MISS),
                    Err(error) => Failure::from(error).into(),
                }
            }),
            Op::Load(key) => Box::pin(async move {
                cache.begin_load(&key).await.map_or_else(|error| Failure::from(error).into(), begun)
            }),
            Op::Lookup(key) => Box::pin(async move {
                cache.lookup(&key).await.map_or_else(|error| Failure::from(error).into(), found)
            }),
            other => {
                Box::pin(async move { other.outcome(&cache).await.unwrap_or_else(gf_result::from) })
            }
        }
    }

    async fn outcome(self, cache: &Cache) -> Result<gf_result, Failure> {
        let status = match self {
            Op::Get(_) | Op::Lookup(_) | Op::Load(_) => unreachable!("they run by themselves"),
            Op::GetStrictly(key) => {
                let hit = cache.get_strictly(&key).await?;
                return Ok(hit.map_or_else(|| gf_result::new(GF_MISS), gf_result::hit));
            }
            Op::Fill(load, fresh) => match load.fill(fresh).await? {
                Fill::Stored => GF_STORED,
                Fill::Rejected(_) => GF_REJECTED,
                Fill::InDoubt => GF_IN_DOUBT,
            },
            Op::Loaded(load, fresh) => {
                cache.end_load(load, fresh).await?;
                GF_DONE
            }
            Op::LoadUnread(key) => return Ok(begun(cache.begin_load_unread(&key).await?)),
            Op::LoadedUnstored(load, fresh) => {
                load.share(&fresh).await;
                GF_DONE
            }
            Op::LoadFailed(load, failure) => {
                let told = load.fail(Arc::new(failure));
                let detail = i32::try_from(told).unwrap_or(i32::MAX);
                return Ok(gf_result { detail, ..gf_result::new(GF_DONE) });
            }
            Op::Reserve(key) => {
                let reservation = cache.reserve(&key).await?;
                let mut result = gf_result::new(GF_RESERVED);
                result.remaining_ms = millis(reservation.remaining());
                result.reservation = gf_reservation::new(reservation);
                return Ok(result);
            }
            Op::Commit(claimed, fresh) => match taken(&claimed).await?.commit(fresh).await? {
                Commit::Stored => GF_STORED,
                Commit::Purged => GF_PURGED,
                Commit::InDoubt => GF_IN_DOUBT,
            },
            Op::Release(claimed, version) => match taken(&claimed).await?.release(version).await? {
                Release::Purged => GF_PURGED,
                Release::InDoubt => GF_IN_DOUBT,
            },
            Op::Abort(claimed) => {
                taken(&claimed).await?.abort().await;
                GF_DONE
            }
            Op::Renew(claimed) => return renewed(&claimed).await,
            Op::Set(key, fresh) => match cache.set(&key, fresh).await? {
                Set::Stored => GF_STORED,
                Set::Busy => GF_BUSY,
                Set::InDoubt => GF_IN_DOUBT,
            },
            Op::Replace(key, stamp, fresh) => match cache.replace(&key, stamp, fresh).await? {
                Replace::Stored => GF_STORED,
                Replace::Conflict => GF_CONFLICT,
                Replace::InDoubt => GF_IN_DOUBT,
            },
            Op::Invalidate(key, version) => {
                cache.invalidate(&key, version).await?;
                GF_DONE
            }
            Op::Touch(key, ttl) => match cache.touch(&key, ttl).await? {
                Touch::Done => GF_DONE,
                Touch::Missing => GF_MISS,
            },
            Op::LookupMany(key) => {
                let looked_up = Box::pin(cache.lookup_many(&[key])).await?.pop();
                return Ok(found_or_pending(looked_up.flatten()));
            }
            Op::Ready(within) => {
                Box::pin(cache.ready(within)).await?;
                GF_DONE
            }
            Op::Diagnose => {
                let diagnosis = Box::pin(cache.diagnose()).await?;
                let json = serde_json::to_vec(&diagnosis).unwrap_or_default();
                let mut result = gf_result::new(GF_DONE);
                result.value = gf_bytes::new(json.into());
                return Ok(result);
            }
        };
        Ok(gf_result::new(status))
    }
}

fn found(lookup: Lookup) -> gf_result {
    match lookup {
        Lookup::Hit(hit) => gf_result::hit(hit),
        Lookup::Lease(lease) => leased(Load::Leased(lease), None),
        Lookup::Bypass(why) => gf_result { detail: detail(why), ..gf_result::new(GF_BYPASS) },
    }
}

fn begun(load: ToLoad) -> gf_result {
    match load {
        ToLoad::Hit(hit) => gf_result::hit(hit),
        ToLoad::Load(load, bypass) => leased(load, bypass),
        ToLoad::Failed(failure) => {
            let said =
                failure.downcast::<Bytes>().map_or_else(|_| Bytes::new(), Arc::unwrap_or_clone);
            gf_result { value: gf_bytes::new(said), ..gf_result::new(GF_LOAD_FAILED) }
        }
    }
}

fn leased(load: Load, bypass: Option<Bypass>) -> gf_result {
    let lease = gf_lease::new(load);
    gf_result { lease, detail: bypass.map_or(0, detail), ..gf_result::new(GF_LEASED) }
}

fn detail(bypass: Bypass) -> i32 {
    match bypass {
        Bypass::Reserved => GF_BYPASS_RESERVED,
        Bypass::Slow => GF_BYPASS_SLOW,
        Bypass::Unreachable => GF_BYPASS_UNREACHABLE,
    }
}

pub(super) fn found_or_pending(lookup: Option<Lookup>) -> gf_result {
    lookup.map_or_else(|| gf_result::new(GF_PENDING), found)
}

/// Looks keys up together, and gives a completion for each.
pub(super) async fn lookup_many(cache: &Cache, keys: &[Bytes]) -> Vec<Completion> {
    match cache.lookup_many(keys).await {
        Ok(found) => found.into_iter().map(found_or_pending).map(Completion).collect(),
        Err(error) => {
            let failed = || Completion(Failure::from(error.clone()).into());
            keys.iter().map(|_| failed()).collect()
        }
    }
}

async fn taken(claimed: &Claimed) -> Result<crate::Reservation, Failure> {
    let reservation = claimed.reservation.lock().await.take();
    reservation.ok_or_else(|| Failure::invalid("reservation", "was used up already"))
}

async fn renewed(claimed: &Claimed) -> Result<gf_result, Failure> {
    let held = claimed.reservation.lock().await;
    let Some(reservation) = held.as_ref() else {
        return Err(Failure::invalid("reservation", "was used up already"));
    };
    let renewed = reservation.renew().await?;
    claimed.renewed(reservation.remaining());
    let remaining_ms = millis(reservation.remaining());
    let status = if renewed { GF_DONE } else { GF_LOST };
    Ok(gf_result { remaining_ms, ..gf_result::new(status) })
}
