//! One operation: read out of what the host passed, run, and told back. The synchronous calls and
//! gf_submit share it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::abi::*;
use super::error::Failure;
use super::fields::{self, Field};
use super::handles::{gf_lease, gf_reservation, millis};
use super::inspection;
use super::operations::operations;
use super::queue::Completion;
use super::several::HeldKeys;
use crate::cache::{Load, ToLoad};
use crate::protocol::Refusal;
use crate::store::Hit;
use crate::{
    Answer, Bypass, Cache, CommitOutcome, FillOutcome, Fresh, Lookup, Refresh, ReleaseOutcome,
    ReplaceOutcome, Reservation, SetOutcome, TouchOutcome, UpdateOutcome,
};

macro_rules! define_operations {
    ($($(#[$doc:meta])* $number_name:ident $name:ident = $number:literal {
        $($field:ident $(($flag:ident))?),*
    })*) => {
        $(
            #[doc = concat!("Reads ", $(stringify!($field), " ",)* "of a gf_op.")]
            pub const $number_name: u32 = $number;
        )*

        /// An operation that owns all it needs.
        pub(super) enum Op {
            $($name { $($field: <fields::$field as Field>::Taken),* },)*
        }

        impl gf_op {
            /// Looks for everything that is wrong without using anything up.
            ///
            /// # Safety
            /// Slices are readable and handles alive.
            pub(super) unsafe fn check(&self, cache: &Cache) -> Result<(), Failure> {
                self.is_zero()?;
                match self.op {
                    $($number_name => {
                        self.check_flags(0 $(| fields::$field::FLAGS $(| $flag)?)*)?;
                        // SAFETY: by the function's own contract.
                        $(unsafe { fields::$field::check(self, cache) }?;)*
                        Ok(())
                    })*
                    other => Err(unknown(other)),
                }
            }

            /// Copies what it points to, and uses up the lease or the reservation it names.
            ///
            /// # Safety
            /// It was checked, and slices and handles are as they were then.
            pub(super) unsafe fn take(&self) -> Result<Op, Failure> {
                // SAFETY: by the function's own contract.
                Ok(match self.op {
                    $($number_name => Op::$name {
                        $($field: unsafe { fields::$field::take(self) }?),*
                    },)*
                    other => return Err(unknown(other)),
                })
            }
        }
    };
}
operations!(define_operations);

impl gf_op {
    /// Whether the reserved places are.
    pub(super) fn is_zero(&self) -> Result<(), Failure> {
        if self.reserved == [0; 2] {
            Ok(())
        } else {
            Err(Failure::invalid("reserved", "must be 0"))
        }
    }

    pub(super) fn check_flags(&self, known: u32) -> Result<(), Failure> {
        if self.flags & !known == 0 {
            return Ok(());
        }
        let problem = format!("{:#x}, only {known:#x} is known here", self.flags);
        Err(Failure::invalid("flags", problem))
    }
}

fn unknown(op: u32) -> Failure {
    Failure::invalid("op", format!("{op} is no operation of GF_OP_*"))
}

impl Op {
    /// Does what needs no waiting, on the caller's thread: a hit of the embedded store. Else gives the
    /// operation back.
    #[expect(clippy::result_large_err, reason = "what is not done is what was given")]
    pub fn at_once(self, cache: &Cache) -> Result<gf_result, Op> {
        let key = match &self {
            Op::LastKnown { key } => return Ok(stale(cache, key)),
            Op::Get { key, .. } | Op::Lookup { key } => key,
            Op::Load { key, flags } if flags & GF_FLAG_UNREAD == 0 => key,
            _ => return Err(self),
        };
        cache.hit_at_once(key).map(|found| hit(cache, key, found)).ok_or(self)
    }

    /// Runs it to its end. What reads is a future of its own, as one that can be any operation is more than
    /// twice as large, and is moved and allocated for each.
    pub fn run(self, cache: Cache) -> Pin<Box<dyn Future<Output = gf_result> + Send>> {
        match self {
            Op::Get { key, flags } if flags & GF_FLAG_STRICT == 0 => Box::pin(async move {
                match cache.get(&key).await {
                    Ok(found) => hit_or_miss(&cache, &key, found),
                    Err(error) => Failure::from(error).into(),
                }
            }),
            Op::Load { key, flags } if flags & GF_FLAG_UNREAD == 0 => Box::pin(async move {
                match cache.begin_load(&key).await {
                    Ok(load) => begun(&cache, &key, load),
                    Err(error) => Failure::from(error).into(),
                }
            }),
            Op::Lookup { key } => Box::pin(async move {
                match cache.lookup(&key).await {
                    Ok(lookup) => found(&cache, &key, lookup),
                    Err(error) => Failure::from(error).into(),
                }
            }),
            Op::LastKnown { key } => Box::pin(async move { stale(&cache, &key) }),
            other => {
                Box::pin(async move { other.outcome(&cache).await.unwrap_or_else(gf_result::from) })
            }
        }
    }

    async fn outcome(self, cache: &Cache) -> Result<gf_result, Failure> {
        let status = match self {
            Op::Get { key, .. } => {
                return Ok(hit_or_miss(cache, &key, cache.get_strictly(&key).await?));
            }
            Op::Lookup { .. } | Op::LastKnown { .. } => unreachable!("it runs by itself"),
            Op::Fill { entry, lease } => return Ok(filled(lease.fill(entry).await?)),
            Op::Load { key, .. } => {
                return Ok(begun(cache, &key, cache.begin_load_unread(&key).await?));
            }
            Op::Refresh { key, stamp } => {
                return Ok(refreshing(cache.begin_refresh(&key, stamp, None).await?));
            }
            Op::Loaded { entry, flags, lease } => {
                loaded(cache, lease, entry, flags).await?;
                GF_DONE
            }
            Op::LoadFailed { value, lease } => {
                let told = lease.fail(Arc::new(value));
                let detail = i32::try_from(told).unwrap_or(i32::MAX);
                return Ok(gf_result { detail, ..gf_result::new(GF_DONE) });
            }
            Op::Reserve { key, flags } => return Ok(reserved(reserve(cache, &key, flags).await?)),
            Op::ReserveTag { tag, flags } => {
                return Ok(reserved(reserve_tag(cache, &tag, flags).await?));
            }
            Op::PurgeTag { tag } => {
                cache.purge_tag(&tag).await?;
                GF_DONE
            }
            Op::ReserveMany { adding, flags } => return Ok(added(&adding.reserve(flags).await?)),
            Op::CommitMany { several } => several.commit().await?,
            Op::Commit { entry, sole } => match sole.commit(entry).await? {
                CommitOutcome::Stored => GF_STORED,
                CommitOutcome::Purged => GF_PURGED,
                CommitOutcome::TooLarge => GF_TOO_LARGE,
                CommitOutcome::InDoubt => GF_IN_DOUBT,
            },
            Op::Release { version, reservation } => reservation.release(version).await?,
            Op::Beat {} => {
                return Ok(beaten(cache.beat().await?));
            }
            Op::Heard { beat } => {
                cache.heard(beat).await?;
                GF_DONE
            }
            Op::Abort { reservation } => {
                reservation.abort().await;
                GF_DONE
            }
            Op::Renew { held } => {
                let status = if held.renew().await? { GF_DONE } else { GF_LOST };
                return Ok(left_of(&held, status));
            }
            Op::Settled { held } => {
                held.settled().await;
                return Ok(left_of(&held, GF_DONE));
            }
            Op::Set { key, entry } => match cache.set(&key, entry).await? {
                SetOutcome::Stored => GF_STORED,
                SetOutcome::Busy => GF_BUSY,
                SetOutcome::TooLarge => GF_TOO_LARGE,
                SetOutcome::InDoubt => GF_IN_DOUBT,
            },
            Op::Replace { key, stamp, entry } => match cache.replace(&key, stamp, entry).await? {
                ReplaceOutcome::Stored => GF_STORED,
                ReplaceOutcome::Conflict => GF_CONFLICT,
                ReplaceOutcome::TooLarge => GF_TOO_LARGE,
                ReplaceOutcome::InDoubt => GF_IN_DOUBT,
            },
            Op::Invalidate { key, version, flags } => {
                invalidate(cache, &key, version, flags).await?;
                GF_DONE
            }
            Op::Touch { key, ttl_ms } => match cache.touch(&key, ttl_ms).await? {
                TouchOutcome::Done => GF_DONE,
                TouchOutcome::Missing => GF_MISS,
            },
            Op::LookupMany { key } => {
                let looked_up = Box::pin(cache.lookup_many(&[&key])).await?.pop();
                return Ok(found_or_pending(cache, &key, looked_up.flatten()));
            }
            Op::Ready { within } => {
                Box::pin(cache.ready(within)).await?;
                GF_DONE
            }
            Op::Inspect { key } => {
                let known = cache.inspect(&key).await?;
                let told = known.map(|snapshot| told(inspection::json(&snapshot)));
                return Ok(told.unwrap_or_else(|| gf_result::new(GF_MISS)));
            }
            Op::Diagnose {} => {
                let diagnosis = Box::pin(cache.diagnose()).await?;
                return Ok(told(serde_json::to_vec(&diagnosis).unwrap_or_default()));
            }
        };
        Ok(gf_result::new(status))
    }
}

/// What became of one of several keys.
pub(super) fn update_status(outcome: UpdateOutcome) -> i32 {
    match outcome {
        UpdateOutcome::Stored => GF_STORED,
        UpdateOutcome::Purged => GF_PURGED,
        UpdateOutcome::TooLarge => GF_TOO_LARGE,
        UpdateOutcome::InDoubt => GF_IN_DOUBT,
        UpdateOutcome::RolledBack => GF_DONE,
    }
}

async fn loaded(cache: &Cache, load: Load, fresh: Fresh, flags: u32) -> Result<(), crate::Error> {
    if flags & GF_FLAG_UNSTORED == 0 {
        return cache.end_load(load, fresh).await;
    }
    load.share(&fresh).await;
    Ok(())
}

async fn invalidate(
    cache: &Cache,
    key: &Bytes,
    version: Option<u64>,
    flags: u32,
) -> Result<(), crate::Error> {
    if flags & GF_FLAG_OWN_REGION == 0 {
        cache.invalidate(key, version).await
    } else {
        cache.invalidate_in_own_region(key.clone(), version).await
    }
}

fn filled(outcome: FillOutcome) -> gf_result {
    match outcome {
        FillOutcome::Stored => gf_result::new(GF_STORED),
        FillOutcome::Rejected(refusal) => {
            gf_result { detail: refused(refusal), ..gf_result::new(GF_REJECTED) }
        }
        FillOutcome::TooLarge => gf_result::new(GF_TOO_LARGE),
        FillOutcome::InDoubt => gf_result::new(GF_IN_DOUBT),
    }
}

async fn reserve(cache: &Cache, key: &[u8], flags: u32) -> Result<Reservation, crate::Error> {
    if flags & GF_FLAG_SETTLED == 0 {
        cache.reserve(key).await
    } else {
        cache.reserve_settled(key).await
    }
}

async fn reserve_tag(cache: &Cache, tag: &[u8], flags: u32) -> Result<Reservation, crate::Error> {
    if flags & GF_FLAG_SETTLED == 0 {
        cache.reserve_tag(tag).await
    } else {
        cache.reserve_tag_settled(tag).await
    }
}

fn reserved(reservation: Reservation) -> gf_result {
    gf_result {
        remaining_ms: millis(reservation.remaining()),
        detail: if reservation.is_held() { 0 } else { GF_BYPASS_UNREACHABLE },
        reservation: gf_reservation::new(reservation),
        ..gf_result::new(GF_RESERVED)
    }
}

/// What is left of several keys, now that there are more.
fn added(held: &HeldKeys) -> gf_result {
    let detail = if held.are_held() { 0 } else { GF_BYPASS_UNREACHABLE };
    gf_result { detail, ..left_of(held, GF_DONE) }
}

pub(super) fn released(outcome: ReleaseOutcome) -> i32 {
    match outcome {
        ReleaseOutcome::Purged => GF_PURGED,
        ReleaseOutcome::InDoubt => GF_IN_DOUBT,
    }
}

/// What became of a reservation that goes on, and what is left of it.
fn left_of(held: &HeldKeys, status: i32) -> gf_result {
    gf_result { remaining_ms: millis(held.remaining()), ..gf_result::new(status) }
}

fn beaten((stamp, bound): (u64, Duration)) -> gf_result {
    gf_result { stamp, remaining_ms: millis(bound), ..gf_result::new(GF_DONE) }
}

fn told(json: Vec<u8>) -> gf_result {
    gf_result { value: gf_bytes::new(json.into()), ..gf_result::new(GF_DONE) }
}

/// A hit, and whether its caller may load it anew.
fn hit(cache: &Cache, key: &[u8], found: Hit) -> gf_result {
    let due = if cache.is_due(key, &found) { GF_FLAG_DUE } else { 0 };
    let mut result = gf_result::hit(found);
    result.flags |= due;
    result
}

fn hit_or_miss(cache: &Cache, key: &[u8], found: Option<Hit>) -> gf_result {
    found.map_or_else(|| gf_result::new(GF_MISS), |found| hit(cache, key, found))
}

fn stale(cache: &Cache, key: &[u8]) -> gf_result {
    let known = cache.last_known(key, &"the program asked");
    let Some(Answer::Stale { value, age }) = known else { return gf_result::new(GF_MISS) };
    let mut result = gf_result { remaining_ms: millis(age), ..gf_result::new(GF_STALE) };
    match value {
        Some(value) => result.value = gf_bytes::new(value),
        None => result.flags |= GF_FLAG_NOTHING,
    }
    result
}

fn refreshing(granted: Option<Refresh>) -> gf_result {
    match granted {
        Some(refresh) => leased(Load::Refresh(Box::new(refresh)), None),
        None => gf_result::new(GF_BUSY),
    }
}

fn found(cache: &Cache, key: &[u8], lookup: Lookup) -> gf_result {
    match lookup {
        Lookup::Hit(found) => hit(cache, key, found),
        Lookup::Leased(lease) => leased(Load::Leased(lease), None),
        Lookup::Bypass(why) => gf_result { detail: detail(why), ..gf_result::new(GF_BYPASS) },
    }
}

fn begun(cache: &Cache, key: &[u8], load: ToLoad) -> gf_result {
    match load {
        ToLoad::Hit(found) => hit(cache, key, found),
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

fn refused(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::Missing => GF_REFUSED_MISSING,
        Refusal::Generation => GF_REFUSED_GENERATION,
        Refusal::Condition => GF_REFUSED_CONDITION,
    }
}

pub(super) fn found_or_pending(cache: &Cache, key: &[u8], lookup: Option<Lookup>) -> gf_result {
    lookup.map_or_else(|| gf_result::new(GF_PENDING), |lookup| found(cache, key, lookup))
}

/// Looks keys up together, and gives a completion for each.
pub(super) async fn lookup_many(cache: &Cache, keys: &[Bytes]) -> Vec<Completion> {
    match cache.lookup_many(keys).await {
        Ok(found) => {
            let found = keys.iter().zip(found);
            found.map(|(key, lookup)| Completion(found_or_pending(cache, key, lookup))).collect()
        }
        Err(error) => {
            let failed = || Completion(Failure::from(error.clone()).into());
            keys.iter().map(|_| failed()).collect()
        }
    }
}
