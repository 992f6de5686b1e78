//! The worlds of copies; the rules, each of which can be undone here; and where that does harm.

use stateright::Property;

use super::setup::{PLAIN, Role, Setup};
use super::world::World;
use crate::run::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    CopyFromSending,
    CopyIsShorter,
    WritersWait,
    WaitFromAnswer,
    WaitIsLonger,
    ReserveKeepsNear,
    StampAsksValue,
    MissingIsWaitedFor,
    UnsaidIsWaitedFor,
    LeaseLeavesMark,
    LostIsKnown,
    ShorterIsNoNews,
    LongestCounts,
    ClocksAreCounted,
    InvalidateWaits,
    RefusedInvalidateWaits,
    FillKeepsNear,
    AnswerIsToItsOwnAttempt,
    RenewalComparesStamp,
    LookTakesWhatIsLeft,
    LookIsBounded,
    CommitIsSentAfterWait,
    StampAsksLife,
    LifeIsNotShortened,
    LastKnownIsNotFilled,
    CopyEnds,
    HushIsFound,
    HushIsCompared,
    HushIsHeeded,
    HushStands,
    WhatIsProlongedStands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Neither the record nor a copy serves a stale hit.
    Fresh,
    /// Nothing older than what somebody said is seen everywhere.
    Heard,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "no copy is stale",
            Promise::Heard => "no copy is older than what was announced",
        }
    }

    pub fn properties() -> Vec<Property<Setup>> {
        let of = |promise: Promise, condition: fn(&Setup, &World) -> bool| {
            Property::always(promise.name(), condition)
        };
        vec![
            of(Promise::Fresh, |setup, world| {
                !setup.is_fenced() || world.hits().all(|value| value >= world.source)
            }),
            of(Promise::Heard, |_, world| world.hits().all(|value| value >= world.heard)),
        ]
    }
}

const H: Role = Role::Husher;
const K: Role = Role::Keeper { near: 2 };
const K3: Role = Role::Keeper { near: 3 };
const K1: Role = Role::Keeper { near: 1 };
const W: Role = Role::Writer;
const R: Role = Role::Reader;
const N: Role = Role::Announcer;
const S: Role = Role::Setter;
const T: Role = Role::Toucher;

/// A record may be lost before its time.
const EVICTS: Setup = Setup { evicts: true, ..PLAIN };
/// Another clock may count for the key's record.
const CLOCKS: Setup = Setup { clocks: 1, shifts: 1, ..PLAIN };
/// No record is lost before its time, and those that are missing say that nobody has a copy.
const EXPIRES: Setup = Setup { longest: 0, life: Some(4), ..PLAIN };

#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Fresh, Heard};

    let of = |mend, roles, setup: Setup| Setup { undone: Some(mend), roles, faults: 0, ..setup };
    let faulty = |setup| Setup { faults: 1, ..setup };
    let drifting = Setup { drifts: true, ..PLAIN };
    let versioned = Setup { versioned: true, ..EVICTS };

    [
        ("near 1", "a copy counts from the answer",
            Fresh, of(CopyFromSending, &[K, W], PLAIN)),
        ("near 2", "a copy's time has no margin for a clock that is slow",
            Fresh, of(CopyIsShorter, &[K, W], drifting.clone())),
        ("near 3", "a writer does not wait for copies",
            Fresh, of(WritersWait, &[K, W], PLAIN)),
        ("near 4", "a writer waits from before it sent its reserve",
            Fresh, of(WaitFromAnswer, &[K, W], PLAIN)),
        ("near 4b", "a writer's wait has no margin for a clock that is fast",
            Fresh, of(WaitIsLonger, &[K3, W], Setup { longest: 3, ..drifting })),
        ("near 5", "a reserve forgets the copies",
            Fresh, of(ReserveKeepsNear, &[K, W, W], PLAIN)),
        ("near 6", "a stamp gives leave where there is no value",
            Fresh, of(StampAsksValue, &[K, W], PLAIN)),
        ("near 7", "of a key whose record is missing nobody is taken to have a copy",
            Fresh, of(MissingIsWaitedFor, &[K, W], EVICTS)),
        ("near 8", "a lease that creates leaves no mark, and a reserve takes a record that says nothing for one without copies",
            Fresh, of(LostIsKnown, &[K, R, W], EVICTS)),
        ("near 9", "a shorter stamp takes time from a longer one",
            Fresh, of(ShorterIsNoNews, &[K, K1, W], PLAIN)),
        ("near 9b", "the longest time is that of the last stamp",
            Fresh, of(LongestCounts, &[K, K1, W], PLAIN)),
        ("near 10", "a wait does not count what clocks differ by",
            Fresh, of(ClocksAreCounted, &[K, W], CLOCKS)),
        ("near 11", "an invalidate returns while copies live",
            Heard, of(InvalidateWaits, &[K, N], PLAIN)),
        ("near 11b", "an invalidate that is refused returns while copies live",
            Heard, of(RefusedInvalidateWaits, &[K, R, N], versioned)),
        ("near 12", "a fill forgets the copies",
            Fresh, of(FillKeepsNear, &[K, R, W], EVICTS)),
        ("near 13", "an answer is counted from a later attempt",
            Fresh, faulty(of(AnswerIsToItsOwnAttempt, &[K, W], PLAIN))),
        ("near 14", "more time for a copy is taken of another value",
            Heard, of(RenewalComparesStamp, &[K, R, N], PLAIN)),
        ("near 15", "who looks takes the whole near time",
            Fresh, of(LookTakesWhatIsLeft, &[K, K, W], PLAIN)),
        ("near 15b", "who looks takes what is left on a clock that went back",
            Fresh, of(LookIsBounded, &[K, K, W], CLOCKS)),
        ("near 16", "a COMMIT that is in doubt was sent before the wait was over",
            Fresh, faulty(of(CommitIsSentAfterWait, &[K, W], PLAIN))),
        ("near 16b", "somebody keeps copies for longer than others reckon with",
            Fresh, Setup { undone: None, ..of(WritersWait, &[K, W], Setup { longest: 1, ..EVICTS }) }),
        ("near 17", "a stamp does not ask how long the record lives, and a missing record is taken to say that nobody has a copy",
            Fresh, of(StampAsksLife, &[K, W], EXPIRES)),
        ("near 18", "a command shortens a record's life, and a missing record is taken to say that nobody has a copy",
            Fresh, of(LifeIsNotShortened, &[K, T, W], EXPIRES)),
        ("near 19", "a value is set while copies live",
            Heard, Setup { undone: None, ..of(WritersWait, &[K, S], PLAIN) }),
        ("near 20", "a stamp is granted beside a hush",
            Fresh, of(HushIsHeeded, &[K, H], PLAIN)),
        ("near 20b", "who has hushed waits for nothing after its reserve, which found no hush",
            Fresh, of(HushIsFound, &[K, H], PLAIN)),
        ("near 20c", "who has hushed takes another hush for its own",
            Fresh, of(HushIsCompared, &[K, H, H], PLAIN)),
        ("near 20d", "a hush that may be over on another clock counts",
            Fresh, of(HushStands, &[K, H], CLOCKS)),
        ("near 20e", "a hush that may be over on another clock is prolonged",
            Fresh, of(WhatIsProlongedStands, &[K1, H, H], Setup { rounds: 1, longest: 1, horizon: 5, ..CLOCKS })),
        ("stale 1", "a last known value is filled",
            Fresh, of(LastKnownIsNotFilled, &[K, R, W], EVICTS)),
        ("stale 2", "a copy whose time is over is a hit",
            Fresh, of(CopyEnds, &[K, W], PLAIN)),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}

/// Every world, in which nothing may be found.
pub fn worlds() -> Vec<Setup> {
    let once = Setup { rounds: 1, ..PLAIN };
    let drifting = |setup| Setup { drifts: true, ..setup };
    let versioned = |setup| Setup { versioned: true, ..setup };
    let without = |mend, setup: Setup| Setup { undone: Some(mend), ..setup };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("a keeper, a writer", &[K, W], Setup { faults: 3, ..PLAIN }),
        ("a keeper, two writers", &[K, W, W], PLAIN),
        ("two keepers", &[K, K, W], PLAIN),
        ("two near times", &[K, K1, W], PLAIN),
        ("a reader", &[K, W, R], PLAIN),
        ("versions", &[K, W, W], versioned(PLAIN)),
        ("who hushes", &[K, H, W], Setup { horizon: 7, ..PLAIN }),
        ("who hushes, two keepers", &[K, K1, H], PLAIN),
        ("who hushes, records that are lost, clocks", &[K, H, R], Setup { evicts: true, ..CLOCKS }),
        ("who hushes, drift", &[K3, H], drifting(Setup { longest: 3, horizon: 9, ..PLAIN })),
        ("records that are lost", &[K, W, R], EVICTS),
        ("records that are lost, two keepers", &[K, K1, W], EVICTS),
        ("clocks", &[K, W], Setup { shifts: 2, rounds: 3, ..CLOCKS }),
        ("clocks, two keepers", &[K, K, W], CLOCKS),
        ("clocks, two near times", &[K, K1, W], Setup { shifts: 2, ..CLOCKS }),
        ("drift", &[K3, W], drifting(Setup { longest: 3, horizon: 7, ..PLAIN })),
        ("drift, two keepers", &[K, K, W], drifting(PLAIN)),
        ("drift, clocks", &[K, K1, W], drifting(CLOCKS)),
        ("who announces", &[K, R, N, N], once.clone()),
        ("who announces, versions", &[K, R, N, N], versioned(once)),
        ("who announces, records that are lost", &[K, R, N], versioned(EVICTS)),
        ("who announces, drift, clocks", &[K, N, R], drifting(CLOCKS)),
        ("records that expire", &[K, W, R], EXPIRES),
        ("records that expire, a touch", &[K, W, T], Setup { horizon: 8, ..EXPIRES }),
        ("records that expire, clocks", &[K, K1, W], Setup { clocks: 1, shifts: 1, ..EXPIRES }),
        // One of two is enough.
        ("a lease without a mark", &[K, R, W], without(Mend::LeaseLeavesMark, EVICTS)),
        ("a mark that only a lease leaves", &[K, R, W], without(Mend::UnsaidIsWaitedFor, EVICTS)),
    ];
    worlds.into_iter().map(|(name, roles, setup)| Setup { name, roles, ..setup }).collect()
}
