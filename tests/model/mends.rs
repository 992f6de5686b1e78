//! The mends of the protocol, each of which can be undone here, in the model only.
//!
//! Every one stands for a *proof obligation*: with it undone the checker must find the harm, or it
//! proves nothing when it finds none.

use crate::properties::Promise;
use crate::run::Fault;
use crate::setup::{Begins, CHECKED, Lag, Nodes, PLAIN, Role, Setup, UNCHECKED, WRAPPING};

/// A mend that is undone: in the server's commands, in the clients' rules, or in what may befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    OneTokenPerPacket,
    NoReleaseInDoubt,
    NoAbortInDoubt,
    CommitCountsDead,
    ReserveKeepsDead,
    ReleaseLeavesMark,
    LeaseAsksNewRead,
    CommitAsksAlone,
    TokensBesideGeneration,
    RefusedRetryFirst,
    InvalidateCreates,
    InvalidateDropsUnversioned,
    ReserveRemovesValue,
    MissingIsRefused,
    NoOverrun,
    NoEvictionOfReserved,
    EarlierOnly,
    LateWaiterLooksUp,
    PurgedWhenReleased,
    RejectedVersionIsNotShared,
    InvalidateLeavesMark,
    ReadsAskAllCopies,
    AbortProvesItself,
    RecordsStay,
    LateIsRefused,
    HitsAskLease,
    ChangesWait,
    RemainingWithinLease,
    MajorityCounts,
    LeaseFromSending,
    ClaimsAreConfirmed,
    ReserveEndsRefresh,
    RefillAsksStamp,
    EndedOrStamped,
    ValueSeenBeforeRead,
    GrantedBeforeRead,
    RefreshAsksLease,
    LateUnleaseIsRefused,
    RefillKeepsVersions,
}

const U: Role = Role::Writer { versioned: false };
const V: Role = Role::Writer { versioned: true };
const R: Role = Role::Reader { versioned: false };
const RV: Role = Role::Reader { versioned: true };
const X: Role = Role::Refresher { versioned: false };
const J: Role = Role::Waiter { flight: 0 };
const L: Role = Role::Looker;
const F: Role = Role::Foreigner { versioned: false };
const FV: Role = Role::Foreigner { versioned: true };

/// Every fault, in a world that is just large enough for its harm.
#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Exclusive, Fresh, Heard, Truth, Waiters};

    let world = |faults, roles| Setup { roles, faults, ..PLAIN };
    let calm = |mend, roles| Setup { undone: Some(mend), ..world(0, roles) };
    let faulty = |mend, roles| Setup { undone: Some(mend), ..world(2, roles) };
    let lagging = |lag, setup| Setup { lag, ..setup };
    let stored = |setup| Setup { begins: Begins::Stored, ..setup };
    let evicting = |setup| Setup { evicts: true, ..setup };
    let forking = |setup| Setup { nodes: Nodes::Away, ..setup };
    let split = |cluster_lease, setup| Setup { cluster_lease, nodes: Nodes::Split, horizon: 5, reservation: 4, lease: 3, ..setup };
    let seen = |setup| Setup { begins: Begins::Stored, ..split(1, setup) };
    let twice = |setup| Setup { rounds: 2, retries: 0, ..setup };
    let counting = |generations, setup| Setup { generations, ..setup };

    [
        ("a", "a retried lease or reserve keeps its token",
            Fresh, evicting(counting(CHECKED, faulty(OneTokenPerPacket, &[R, U])))),
        ("b1", "a writer releases while its COMMIT is in doubt",
            Fresh, calm(NoReleaseInDoubt, &[U, R])),
        ("b2", "a writer aborts while its COMMIT is in doubt",
            Fresh, calm(NoAbortInDoubt, &[U, R])),
        ("c1", "a versioned commit does not count the dead entries of its overlap",
            Fresh, calm(CommitCountsDead, &[V, V])),
        ("c2", "a reserve drops the dead entries while others are live",
            Fresh, calm(ReserveKeepsDead, &[V, V, U])),
        ("d", "an unversioned release leaves no mark beside a versioned writer",
            Fresh, calm(ReleaseLeavesMark, &[V, U])),
        ("e", "a reader that lost its lease takes a new one and goes on with its old read",
            Fresh, calm(LeaseAsksNewRead, &[R, U])),
        ("f1", "a commit does not ask whether its reservation was alone",
            Fresh, counting(CHECKED, calm(CommitAsksAlone, &[U, U]))),
        ("f2", "the generation alone proves a claim, and it starts again",
            Fresh, counting(WRAPPING, twice(faulty(TokensBesideGeneration, &[R, U])))),
        ("g", "a store that timed out is judged by the stamp, without a refused retry",
            Truth, faulty(RefusedRetryFirst, &[R])),
        ("h1", "a versioned invalidate creates no record",
            Heard, lagging(Lag::Endless, calm(InvalidateCreates, &[FV, RV]))),
        ("h2", "a versioned invalidate keeps a value that has no version",
            Heard, calm(InvalidateDropsUnversioned, &[FV, R])),
        ("i", "a reserve keeps the value",
            Fresh, calm(ReserveRemovesValue, &[R, U])),
        ("j", "a command's condition is skipped where the record is missing",
            Fresh, evicting(counting(UNCHECKED, calm(MissingIsRefused, &[R, U])))),
        ("k", "a writer changes the source after its deadline",
            Fresh, calm(NoOverrun, &[U, R])),
        ("l", "the server evicts a record with a live reservation",
            Fresh, evicting(calm(NoEvictionOfReserved, &[U, R]))),
        ("m", "an attempt removes later attempts of its own",
            Fresh, twice(faulty(EarlierOnly, &[U, R]))),
        ("n", "a waiter that joined after the fill was sent takes the value",
            Waiters, calm(LateWaiterLooksUp, &[R, J, U])),
        ("o", "a writer that was in doubt says Rejected before its release was answered",
            Truth, faulty(PurgedWhenReleased, &[V, V])),
        ("r", "a waiter takes a value that the floor has rejected",
            Waiters, lagging(Lag::Tick, calm(RejectedVersionIsNotShared, &[RV, J, V]))),
        ("s", "an unversioned invalidate leaves no mark beside a versioned writer",
            Heard, calm(InvalidateLeavesMark, &[V, F])),
        ("refresh 1", "a reserve leaves the refresh of the value that it removes, and a refill does not ask for that value",
            Fresh, stored(calm(EndedOrStamped, &[X, U]))),
        ("refresh 2", "the source is read before the value is seen that is refreshed",
            Fresh, stored(calm(ValueSeenBeforeRead, &[X, U]))),
        ("refresh 3", "a refresh is granted beside another",
            Exclusive, stored(calm(RefreshAsksLease, &[X, X]))),
        ("refresh 4", "a refresh that a paused node had not yet read is done later",
            Fresh, Setup { begins: Begins::Parted { returns: false }, retries: 0, horizon: 2, ..split(1, calm(LateIsRefused, &[X, U])) }),
        ("refresh 5", "a refresh is given back by what a paused node had not yet read, later",
            Fresh, Setup { begins: Begins::Parted { returns: true }, retries: 0, horizon: 2, ..split(1, calm(LateUnleaseIsRefused, &[X, U])) }),
        ("cluster 1", "reads ask one copy, while another may be newer",
            Fresh, forking(calm(ReadsAskAllCopies, &[R, U]))),
        ("cluster 2", "an abort without its own reservation writes, and makes a forgotten copy the newest",
            Fresh, forking(twice(calm(AbortProvesItself, &[R, U])))),
        ("cluster 3", "a record that a command leaves empty vanishes, and a forgotten copy is back",
            Fresh, forking(faulty(RecordsStay, &[R, U]))),
        ("cluster 4", "a fill or commit that a paused node had not yet read is done later",
            Fresh, Setup { begins: Begins::Filling, faults: 1, retries: 0, horizon: 2, ..split(1, faulty(LateIsRefused, &[R, U])) }),
        ("cluster 5", "hits while the nodes disagree who is in the cluster",
            Fresh, seen(calm(HitsAskLease, &[L, U]))),
        ("cluster 6", "who sees a new cluster changes the source at once",
            Fresh, seen(calm(ChangesWait, &[L, U]))),
        ("cluster 7", "a writer goes on after its lease on the cluster",
            Fresh, Setup { nodes: Nodes::Restart, ..split(1, calm(RemainingWithinLease, &[R, U])) }),
        ("cluster 8", "a minority counts",
            Fresh, Setup { minority: Some(0), ..seen(calm(MajorityCounts, &[L, U])) }),
        ("cluster 9", "a lease on the cluster counts from the answer",
            Fresh, Setup { horizon: 3, ..seen(calm(LeaseFromSending, &[L, U])) }),
        ("cluster 10", "a claim counts that another cluster may have granted",
            Fresh, seen(calm(ClaimsAreConfirmed, &[L, U]))),
        // Not mends but assumptions, about the replicas that fills may read.
        ("p", "a replica lags beyond the deadline of a writer that left",
            Fresh, lagging(Lag::Endless, world(0, &[V, RV]))),
        ("q1", "fills read a lagging replica, and a writer passes no version",
            Fresh, lagging(Lag::Tick, world(2, &[U, RV]))),
        ("q2", "fills read a lagging replica, and an invalidation has no version",
            Heard, lagging(Lag::Endless, world(0, &[F, RV]))),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}
