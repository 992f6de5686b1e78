//! The worlds of homes that move; the rules, each of which can be undone here; and where that does harm.

use stateright::Property;

use super::setup::{
    BACK, BACK_READ_NEW, BACK_READ_OLD, NEW, OLD, PLAIN, Phase, READ_NEW, READ_OLD, Role, Setup,
};
use super::world::World;
use crate::run::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    NeighboursOnly,
    ReservationIsWaitedOut,
    StoresWhereItReads,
    NumberInKey,
    AnnouncedEverywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// No program is given a stale hit, in whichever phase it is.
    Fresh,
    /// Nothing older than what was announced.
    Heard,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "no home serves a stale hit",
            Promise::Heard => "no home serves what is older than was announced",
        }
    }

    pub fn properties() -> Vec<Property<Setup>> {
        let of = |promise: Promise, condition: fn(&Setup, &World) -> bool| {
            Property::always(promise.name(), condition)
        };
        vec![
            of(Promise::Fresh, |setup, world| {
                !setup.is_fenced() || world.hits(setup).all(|(_, value)| value >= world.source)
            }),
            of(Promise::Heard, |setup, world| {
                world.hits(setup).all(|(_, value)| value >= world.heard)
            }),
        ]
    }
}

const W: Role = Role::Writer;
const R: Role = Role::Reader;
const N: Role = Role::Announcer;

/// The list changes, and changes back.
const THERE_AND_BACK: &[Phase] =
    &[OLD, READ_OLD, READ_NEW, NEW, BACK_READ_OLD, BACK_READ_NEW, BACK];
/// The second phase is gone back from.
const CALLED_OFF: &[Phase] = &[OLD, READ_OLD, READ_NEW, READ_OLD, OLD];
/// And the same change begins again, under the same number; or under another.
const AGAIN: &[Phase] = &[OLD, READ_OLD, READ_NEW, READ_OLD, OLD, READ_OLD, READ_NEW];
const AGAIN_ANEW: &[Phase] = &[
    OLD,
    READ_OLD,
    READ_NEW,
    READ_OLD,
    OLD,
    Phase { reads: &[0], writes: &[0, 3] },
    Phase { reads: &[3], writes: &[0, 3] },
    Phase { reads: &[3], writes: &[3] },
];
/// The list changes again before only the new one is fenced.
const ON: &[Phase] = &[OLD, READ_OLD, READ_NEW, BACK_READ_OLD, BACK_READ_NEW, BACK];
/// Every region had a cache of its own, and all were fenced; or will have.
const FROM_ALL: &[Phase] = &[
    Phase { reads: &[4, 5], writes: &[4, 5] },
    Phase { reads: &[4, 5], writes: &[0, 4, 5] },
    Phase { reads: &[0], writes: &[0, 4, 5] },
    OLD,
];
const TO_ALL: &[Phase] = &[
    OLD,
    Phase { reads: &[0], writes: &[0, 4, 5] },
    Phase { reads: &[4, 5], writes: &[0, 4, 5] },
    Phase { reads: &[4, 5], writes: &[4, 5] },
];
/// The first phase is gone back from, and begins again under the same number.
const EARLY: &[Phase] = &[OLD, READ_OLD, OLD, READ_OLD, READ_NEW, NEW];
/// The third phase is gone back from.
const TOO_LATE: &[Phase] = &[OLD, READ_OLD, READ_NEW, NEW, READ_NEW, READ_OLD];

#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Fresh, Heard};

    let calm = |roles, phases| Setup { roles, phases, faults: 0, horizon: 9, ..PLAIN };
    let once = |mend, roles| Setup { undone: Some(mend), ..calm(roles, PLAIN.phases) };
    let back = |setup| Setup { undone: Some(NumberInKey), ..setup };

    [
        ("home 1", "the list changes at once",
            Fresh, calm(&[W], &[OLD, NEW])),
        ("home 2", "the new home is read while some fence the old one alone",
            Fresh, calm(&[R, W], &[OLD, READ_NEW])),
        ("home 3", "some fence the new home alone while the old one is read",
            Fresh, calm(&[R, W], &[OLD, READ_OLD, NEW])),
        ("home 4", "a phase begins while programs are in the one before the last",
            Fresh, once(NeighboursOnly, &[W, R])),
        ("home 5", "the new home is read while a COMMIT may land of who fenced the old one alone",
            Fresh, Setup { faults: 1, ..once(ReservationIsWaitedOut, &[W, R]) }),
        ("home 6", "the new home is read from a replica that lags behind who fenced the old one alone",
            Fresh, Setup { versioned: true, lag: 1, ..once(ReservationIsWaitedOut, &[W, R]) }),
        ("home 7", "a writer stores in the home that it does not read",
            Fresh, once(StoresWhereItReads, &[W, W])),
        ("home 8", "the list comes back, and its homes have what they had before",
            Fresh, back(calm(&[W], THERE_AND_BACK))),
        ("home 8b", "a late fill lands in a home that has moved, and moves back",
            Fresh, Setup { purged: Some(2), ..back(calm(&[W, R], THERE_AND_BACK)) }),
        ("home 8c", "a home is purged when it is fenced again",
            Fresh, Setup { purged: Some(5), ..back(calm(&[W, R], THERE_AND_BACK)) }),
        ("home 9", "a change that was called off begins again under its number",
            Fresh, calm(&[R, W], AGAIN)),
        ("home 10", "a change is called off when some fence the new home alone",
            Fresh, calm(&[W], TOO_LATE)),
        ("home 11", "an announcement goes to one of two homes",
            Heard, once(AnnouncedEverywhere, &[R, N])),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}

/// Every world, in which nothing may be found.
pub fn worlds() -> Vec<Setup> {
    let long = Setup { horizon: 6, ..PLAIN };
    let back = Setup { phases: THERE_AND_BACK, ..long.clone() };
    let purged = |at| Setup { undone: Some(Mend::NumberInKey), purged: Some(at), ..back.clone() };
    let versioned = Setup { versioned: true, lag: 1, ..PLAIN };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("a writer, readers", &[W, R, R], PLAIN),
        ("two writers, a reader", &[W, W, R], PLAIN),
        ("versions, a lagging replica", &[W, W, R], versioned.clone()),
        ("there and back", &[W, R], back.clone()),
        ("there and back, two writers", &[W, W, R], back.clone()),
        ("there and back, purged once the old home is not read", &[W, R], purged(3)),
        ("there and back, purged before the old home is fenced again", &[W, R], purged(4)),
        ("called off", &[W, R], Setup { phases: CALLED_OFF, ..long.clone() }),
        ("called off early, and again", &[W, R], Setup { phases: EARLY, ..PLAIN }),
        ("called off, and anew", &[W, R], Setup { phases: AGAIN_ANEW, horizon: 7, ..PLAIN }),
        ("on from the second phase", &[W, R], Setup { phases: ON, ..long }),
        ("from all regions to a home", &[W, R], Setup { phases: FROM_ALL, ..PLAIN }),
        ("from a home to all regions", &[W, R], Setup { phases: TO_ALL, ..PLAIN }),
        ("who announces", &[N, R, R], versioned),
    ];
    worlds.into_iter().map(|(name, roles, setup)| Setup { name, roles, ..setup }).collect()
}
