//! The worlds of several keys; the rules, each of which can be undone here; and where that does harm.

use stateright::Property;

use super::setup::{PLAIN, Role, Setup, Transaction};
use super::world::World;
use crate::run::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    AllOrNone,
    ReservedBeforeSent,
    ReservedBeforeRead,
    LockedBeforeRead,
    LeastOfAll,
    EveryRenewalCounts,
    NoReleaseInDoubt,
    RolledBackIsAborted,
    ChangedIsNotAborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Each key by itself: a hit is the source's latest, as of one key.
    Fresh,
    /// Who reads one key after the other: the later value is of no instant before the earlier one.
    Ordered,
    /// He sees both of one instant. *Not* promised: only here to be found.
    OneInstant,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "of no key is a hit stale",
            Promise::Ordered => "who has seen a transaction in one key sees it in the next",
            Promise::OneInstant => "what is read of two keys is of one instant",
        }
    }

    pub fn properties(promises: &[Promise]) -> Vec<Property<Setup>> {
        let of = |promise: &Promise| {
            let condition: fn(&Setup, &World) -> bool = match promise {
                Promise::Fresh => |setup, world| world.is_fresh(setup),
                Promise::Ordered => |_, world| !world.backwards,
                Promise::OneInstant => |_, world| !world.torn,
            };
            Property::always(promise.name(), condition)
        };
        promises.iter().map(of).collect()
    }
}

const NONE: Transaction = Transaction { rows: &[], locks: &[], early: &[], late: &[], stores: &[] };
/// Changes both rows, and stores both keys.
const BOTH: Transaction = Transaction { rows: &[0, 1], early: &[0, 1], stores: &[0, 1], ..NONE };
/// Changes one row of the two that a value is made of, and stores the value.
const FIRST: Transaction = Transaction { rows: &[0], early: &[0], stores: &[0], ..NONE };
const SECOND: Transaction = Transaction { rows: &[1], ..FIRST };
/// The same, where the key is reserved in the last moment.
const FIRST_LATE: Transaction = Transaction { early: &[], late: &[0], ..FIRST };
const SECOND_LATE: Transaction = Transaction { rows: &[1], ..FIRST_LATE };

const W: Role = Role::Writer(BOTH);
/// Of the second key alone.
const W1: Role = Role::Writer(Transaction { rows: &[1], early: &[1], stores: &[1], ..NONE });
/// Adds the second key, and releases that.
const A: Role = Role::Writer(Transaction { early: &[0], late: &[1], stores: &[0], ..BOTH });
/// Reserves both in the last moment, and releases them; or stores what it has locked.
const L: Role = Role::Writer(Transaction { early: &[], late: &[0, 1], stores: &[], ..BOTH });
const K: Role = Role::Writer(Transaction { early: &[], late: &[0, 1], ..BOTH });
/// Each of a row of one value (where that is made of one row, of the first key alone); late; late, with both rows locked.
const X: Role = Role::Writer(FIRST);
const Y: Role = Role::Writer(SECOND);
const XL: Role = Role::Writer(FIRST_LATE);
const YL: Role = Role::Writer(SECOND_LATE);
const XK: Role = Role::Writer(Transaction { locks: &[1], ..FIRST_LATE });
const YK: Role = Role::Writer(Transaction { locks: &[0], ..SECOND_LATE });
/// Changes a row, whose key and list it stores; or adds the list, and releases that.
const I: Role = Role::Writer(Transaction { rows: &[0], ..BOTH });
const IA: Role = Role::Writer(Transaction { early: &[0], late: &[1], rows: &[0], ..BOTH });

const R: Role = Role::Reader(&[0]);
const R1: Role = Role::Reader(&[1]);
const R01: Role = Role::Reader(&[0, 1]);
const R10: Role = Role::Reader(&[1, 0]);
const R010: Role = Role::Reader(&[0, 1, 0]);

/// One key, whose value is made of two rows.
const OF_TWO: Setup = Setup { values: &[&[0, 1]], ..PLAIN };
/// A row, and the list that it stands in.
const LISTED: Setup = Setup { values: &[&[0], &[0, 1]], ..PLAIN };

#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Fresh, OneInstant, Ordered};

    let world = |roles| Setup { roles, faults: 0, ..PLAIN };
    let calm = |mend, roles| Setup { undone: Some(mend), ..world(roles) };
    let faulty = |mend, roles| Setup { faults: 1, ..calm(mend, roles) };

    [
        ("keys 1", "a key is reserved after COMMIT was sent",
            Fresh, calm(ReservedBeforeSent, &[L])),
        ("keys 1b", "a key that becomes known in the transaction is reserved after COMMIT was sent",
            Ordered, calm(ReservedBeforeSent, &[A, R01])),
        ("keys 2", "a value is committed that was read before its key was reserved, and the locks do not hold all that it is made of",
            Fresh, Setup { values: OF_TWO.values, ..calm(ReservedBeforeRead, &[XL, YL]) }),
        ("keys 2b", "a value is committed that was read before its key was reserved, and before all that it is made of was locked",
            Fresh, Setup { values: OF_TWO.values, ..calm(LockedBeforeRead, &[XK, YK]) }),
        ("keys 3", "a key that could not be reserved is changed with the others",
            Fresh, faulty(AllOrNone, &[W])),
        ("keys 3b", "the same, seen by who reads both",
            Ordered, faulty(AllOrNone, &[W, R01])),
        ("keys 4", "a transaction takes as long as one of its reservations, and another has expired",
            Fresh, calm(LeastOfAll, &[A, R])),
        ("keys 5", "of a renewal what was renewed counts, and another has expired",
            Fresh, Setup { renews: true, ..calm(EveryRenewalCounts, &[A, R]) }),
        ("keys 6", "the keys are released while COMMIT is in doubt",
            Fresh, faulty(NoReleaseInDoubt, &[W, R])),
        ("keys 7", "of a transaction that was rolled back a key is committed",
            Fresh, calm(RolledBackIsAborted, &[W])),
        ("keys 8", "of a transaction that was committed a key is aborted, beside a versioned writer of it",
            Fresh, Setup { versioned: true, ..calm(ChangedIsNotAborted, &[A, W1]) }),
        // Not a mend but the assumption, of several keys.
        ("keys 9", "not all keys that a transaction changes are reserved",
            Ordered, world(&[Role::Writer(Transaction { early: &[0], ..BOTH }), R01])),
        // Nor promised.
        ("keys 10", "two keys are taken to be of one instant",
            OneInstant, Setup { promises: &[OneInstant], ..world(&[W, R01]) }),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}

/// Every world, in which nothing may be found: each to its end. `far`: with a fault more, and for a tick longer.
pub fn worlds(far: bool) -> Vec<Setup> {
    let faults = |faults, setup| Setup { faults, ..setup };
    let renews = |setup| Setup { renews: true, ..setup };
    let versioned = |setup| Setup { versioned: true, ..setup };
    let calm = Setup { faults: 0, horizon: 3, ..PLAIN };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("a writer, a reader of both", &[W, R01], faults(4, PLAIN)),
        ("a writer, readers of both and of one", &[W, R010, R1], PLAIN),
        ("a writer, readers of both, the other way round", &[W, R01, R10], calm.clone()),
        ("a key is added", &[A, R01], faults(4, PLAIN)),
        ("a key is added, two readers", &[A, R10, R1], PLAIN),
        ("more time is asked for", &[A, R01], renews(faults(2, PLAIN))),
        ("two writers of both", &[W, W, R01], calm.clone()),
        ("two writers, one key in common", &[W, W1, R01], faults(0, PLAIN)),
        ("two writers, one adds the common key", &[A, W1, R10], faults(0, PLAIN)),
        ("three writers", &[W, X, W1], calm.clone()),
        ("versions, two writers of both", &[W, W, R01], versioned(calm.clone())),
        ("versions, one key in common", &[A, W1, R01], versioned(faults(0, PLAIN))),
        ("reserved late, released", &[L, R01, R1], PLAIN),
        ("reserved late, released, two writers", &[L, L, R01], calm.clone()),
        ("reserved late, released, beside one that stores", &[L, W, R10], calm.clone()),
        ("reserved late, stored, as rows are locked", &[K, W, R01], calm),
        ("a value of two rows", &[X, Y, R], faults(2, OF_TWO)),
        ("a value of two rows, three writers", &[X, Y, Y], OF_TWO),
        ("a value of two rows, reserved late, released", &[XL, YL, R], faults(2, OF_TWO)),
        ("a value of two rows, one reserved late", &[X, YL, R], faults(2, OF_TWO)),
        ("a value of two rows, reserved late, both locked", &[XK, YK, R], faults(2, OF_TWO)),
        ("a row and its list", &[I, W1, R01], faults(0, LISTED)),
        ("a row and its list, added", &[IA, W1, R10], faults(0, LISTED)),
    ];
    let farther = |setup: Setup| Setup {
        faults: setup.faults + u8::from(far),
        horizon: setup.horizon + u64::from(far),
        ..setup
    };
    let world = |(name, roles, setup)| Setup { name, roles, ..farther(setup) };
    worlds.into_iter().map(world).collect()
}
