//! The worlds of several regions; the rules that their clients keep, each of which can be undone here; and where that does
//! harm.

use super::promises::Promise;
use super::setup::{Befalls, Leases, PLAIN, Role, Setup};
use crate::run::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    EarliestDeadline,
    MajorityOfGrantors,
    OwnClusterGrants,
    EpochInKey,
    FoundedOnce,
    QuarantineFillsNothing,
    QuarantineCommitsNothing,
    EveryLiveEpoch,
    MissingIsWaitedOut,
    NoEpochIsNotRenewed,
    MissingIsNotJoined,
    OnlyNewerIsOut,
    LeaseFromSending,
    LapsedIsNotRenewed,
    NewEpoch,
    Quarantine,
    LapseIsWaitedFor,
    ClockBeforeTable,
    Bars,
    RenewIsInTime,
    SeenIsReplaced,
    LeaseFromLook,
}

/// Writers in A and in B that fence both regions; that fence one alone; with versions. Readers.
const UA: Role = Role::Writer { at: 0, fences: &[0, 1], versioned: false };
const UB: Role = Role::Writer { at: 1, fences: &[0, 1], versioned: false };
const A_IN_A: Role = Role::Writer { at: 0, fences: &[0], versioned: false };
const B_IN_A: Role = Role::Writer { at: 0, fences: &[1], versioned: false };
const B_IN_B: Role = Role::Writer { at: 1, fences: &[1], versioned: false };
const VA: Role = Role::Writer { at: 0, fences: &[0, 1], versioned: true };
const VB: Role = Role::Writer { at: 1, fences: &[0, 1], versioned: true };
const B_IN_A_V: Role = Role::Writer { at: 0, fences: &[1], versioned: true };
const RA: Role = Role::Reader { at: 0, versioned: false };
const RB: Role = Role::Reader { at: 1, versioned: false };
const LB: Role = Role::Reader { at: 1, versioned: true };

/// One grantor, apart from both regions; or three.
const fn one(agents: &'static [usize]) -> Leases {
    Leases { grantors: &[2], agents, founders: &[2], left: 2, renews: true, in_steps: false }
}
const fn three(agents: &'static [usize], founders: &'static [usize]) -> Leases {
    Leases { grantors: &[0, 1, 2], agents, founders, left: 2, renews: true, in_steps: false }
}
const ALL: &[usize] = &[0, 1, 2];
/// The same, in two steps.
const fn in_steps(leases: Leases) -> Leases {
    Leases { in_steps: true, ..leases }
}

/// A lease that is over soon, and is not renewed.
const LAPSING: Leases = Leases {
    grantors: &[2],
    agents: &[1],
    founders: &[2],
    left: 1,
    renews: false,
    in_steps: false,
};

#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Fresh, Unheld};

    let plain = |roles| Setup { roles, ..PLAIN };
    // B alone is read, and holds a value; the writer is in A.
    let leased = |mend, leases, roles| Setup {
        undone: Some(mend), leases: Some(leases), roles, reads: &[1], stored: true, horizon: 9, ..PLAIN
    };
    let calm = |setup| Setup { faults: 0, ..setup };
    // It lapses, and takes a new epoch, while a writer in A has seen neither.
    let lapsing = |mend, roles| Setup {
        span: 3, horizon: 5, stored: false, ..calm(leased(mend, LAPSING, roles))
    };

    [
        ("g9", "a writer fences its own region alone",
            Fresh, calm(plain(&[A_IN_A, RB]))),
        ("g10", "a writer goes by the latest of its deadlines",
            Fresh, Setup { undone: Some(EarliestDeadline), ..calm(plain(&[UA, RB])) }),
        ("g11", "one of three grantors is enough",
            Fresh, leased(MajorityOfGrantors, three(&[1], ALL), &[B_IN_A])),
        ("g12", "a region's own cluster has no say, and it starts again empty",
            Fresh, Setup { befalls: Befalls::Restart(1), reservation: 4, ..leased(OwnClusterGrants, one(&[1]), &[B_IN_A, RB]) }),
        ("g13", "a new epoch purges, and is no part of the key",
            Fresh, lapsing(EpochInKey, &[RB, B_IN_A])),
        ("g14", "grantors are added to an epoch that was founded",
            Fresh, calm(leased(FoundedOnce, three(&[1], &[0, 1]), &[B_IN_A]))),
        ("g15", "a region in quarantine fills",
            Fresh, lapsing(QuarantineFillsNothing, &[B_IN_A, RB])),
        ("g16", "a writer commits into a region in quarantine",
            Fresh, lapsing(QuarantineCommitsNothing, &[B_IN_A, B_IN_B])),
        ("g17", "a writer reserves in the newest epoch alone",
            Fresh, calm(leased(EveryLiveEpoch, three(&[1, 1], ALL), &[B_IN_A]))),
        ("g18", "a writer takes a missing grant for one that is over",
            Fresh, Setup { befalls: Befalls::Forget(2), ..leased(MissingIsWaitedOut, one(&[1]), &[B_IN_A]) }),
        ("g18b", "what names no epoch is taken for one, and renewed",
            Fresh, Setup { befalls: Befalls::Forget(2), ..leased(NoEpochIsNotRenewed, one(&[1]), &[B_IN_A]) }),
        ("g19", "who joins takes a missing grant for one that is over",
            Fresh, Setup { befalls: Befalls::Forget(2), ..leased(MissingIsNotJoined, one(&[1, 1]), &[B_IN_A]) }),
        ("g20", "a grantor that has another epoch says that one is out",
            Fresh, Setup { befalls: Befalls::Forget(2), ..leased(OnlyNewerIsOut, one(&[1]), &[B_IN_A]) }),
        ("g21", "a serving lease counts from the answer",
            Fresh, leased(LeaseFromSending, one(&[1]), &[B_IN_A])),
        ("g22", "a lapsed lease is renewed",
            Fresh, leased(LapsedIsNotRenewed, one(&[1]), &[B_IN_A])),
        ("g23", "a region that had lapsed takes its old epoch again",
            Fresh, leased(NewEpoch, one(&[1]), &[B_IN_A])),
        ("g24", "a new epoch serves at once",
            Fresh, lapsing(Quarantine, &[B_IN_A, RB])),
        ("g25", "a writer does not wait until the lease of who does not answer is over",
            Fresh, leased(LapseIsWaitedFor, one(&[1]), &[B_IN_A])),
        ("g26", "a writer's time begins after it has read who serves",
            Fresh, lapsing(ClockBeforeTable, &[B_IN_A, RB])),
        ("g27", "a region that does not answer a writer is not barred",
            Unheld, leased(Bars, one(&[1]), &[B_IN_A])),
        ("g29", "a renew that comes late finds the lease lapsed, and is done",
            Fresh, leased(RenewIsInTime, in_steps(one(&[1])), &[B_IN_A])),
        ("g30", "what a cluster keeps of a region is replaced, whatever stands there now",
            Unheld, leased(SeenIsReplaced, in_steps(one(&[1])), &[B_IN_A])),
        ("g31", "a serving lease counts from the replace, and not from the look",
            Fresh, Setup { span: 3, ..leased(LeaseFromLook, in_steps(Leases { left: 3, ..one(&[1]) }), &[B_IN_A]) }),
        // An assumption, about clocks.
        ("g28", "a grantor's clock jumps further than clocks may differ by",
            Fresh, Setup { undone: None, befalls: Befalls::Jump(2, 1), ..leased(Bars, one(&[1]), &[B_IN_A]) }),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}

/// Every world, in which nothing may be found.
pub fn worlds() -> Vec<Setup> {
    let waiting = Setup { stored: true, horizon: 8, leases: Some(one(&[1])), reads: &[1], ..PLAIN };
    let both = Setup { leases: Some(one(&[0, 1])), reads: &[0, 1], ..waiting.clone() };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("all, a writer each", &[UA, UB, RA], PLAIN),
        ("all, readers", &[UA, RA, RB], PLAIN),
        ("all, versions, lagging replica", &[VA, VB, LB], Setup { lags: true, ..PLAIN }),
        ("all, push", &[VA, VB, LB], Setup { push: true, lags: true, ..PLAIN }),
        (
            "home, reserved in both, the old is read",
            &[A_IN_A, UB, RA],
            Setup { reads: &[0], ..PLAIN },
        ),
        (
            "home, reserved in both, the new is read",
            &[B_IN_A, UB, RB],
            Setup { reads: &[1], ..PLAIN },
        ),
        ("wait, one grantor", &[UA, RB], waiting.clone()),
        ("wait, one grantor, both regions", &[UA, RB], both.clone()),
        ("wait, two writers", &[UA, UB], waiting.clone()),
        ("wait, a writer in the region that lapses", &[UB, RB], waiting.clone()),
        (
            "wait, three grantors",
            &[B_IN_A],
            Setup { leases: Some(three(&[1], ALL)), ..waiting.clone() },
        ),
        ("wait, two processes", &[B_IN_A], Setup { leases: Some(one(&[1, 1])), ..waiting.clone() }),
        (
            "wait, three grantors, two processes",
            &[B_IN_A],
            Setup { leases: Some(three(&[1, 1], ALL)), horizon: 6, ..waiting.clone() },
        ),
        (
            "wait, a grantor forgets",
            &[B_IN_A, RB],
            Setup { befalls: Befalls::Forget(2), ..waiting.clone() },
        ),
        (
            "wait, one of three forgets",
            &[B_IN_A],
            Setup {
                leases: Some(three(&[1], ALL)),
                befalls: Befalls::Forget(2),
                ..waiting.clone()
            },
        ),
        (
            "wait, a region starts again empty",
            &[B_IN_A, RB],
            Setup { befalls: Befalls::Restart(1), ..waiting.clone() },
        ),
        (
            "wait, a clock jumps",
            &[B_IN_A, RB],
            Setup { befalls: Befalls::Jump(2, 1), margin: 1, span: 3, ..waiting.clone() },
        ),
        (
            "wait, in two steps",
            &[UA, RB],
            Setup { leases: Some(in_steps(one(&[1]))), ..waiting.clone() },
        ),
        (
            "wait, in two steps, two processes",
            &[B_IN_A],
            Setup { leases: Some(in_steps(one(&[1, 1]))), horizon: 6, ..waiting.clone() },
        ),
        (
            "wait, in two steps, three grantors",
            &[B_IN_A],
            Setup { leases: Some(in_steps(three(&[1], ALL))), horizon: 6, ..waiting.clone() },
        ),
        (
            "wait, in two steps, a grantor forgets",
            &[B_IN_A, RB],
            Setup {
                leases: Some(in_steps(one(&[1]))),
                befalls: Befalls::Forget(2),
                ..waiting.clone()
            },
        ),
        (
            "wait, in two steps, a clock jumps",
            &[B_IN_A, RB],
            Setup {
                leases: Some(in_steps(one(&[1]))),
                befalls: Befalls::Jump(2, 1),
                margin: 1,
                span: 3,
                ..waiting.clone()
            },
        ),
        ("wait, lagging replica", &[B_IN_A_V, LB], Setup { lags: true, ..waiting }),
    ];
    worlds.into_iter().map(|(name, roles, setup)| Setup { name, roles, ..setup }).collect()
}
