//! The worlds of tags; the rules, each of which can be undone here; and where that does harm.

use std::time::Duration;

use genfence::protocol::{Claim, Time, Token, claim};
use stateright::Property;

use super::setup::{PLAIN, Role, Setup};
use super::world::{Key, World};
use crate::client::ttl;
use crate::run::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    NoncesBeforeSource,
    RefillBearsNonces,
    PurgeBringsNothing,
    AbsentDiffers,
    NonceIsToken,
    ReserveDropsNonce,
    OpenAsksReservations,
    PurgeWaits,
    RefusedPurgeWaits,
    WritersWait,
    NoncesOfTheCall,
    AllTagsAreCompared,
    LeaseOverPurged,
    MissingIsWaitedFor,
    NoReleaseInDoubt,
    CopyAsksNonce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// No call is given what was not the latest at any instant of it.
    Fresh,
    /// Nothing older than what was announced before the call.
    Heard,
    /// Once all deadlines have passed, a value that was purged can be loaded anew.
    Unstuck,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "no tagged value is stale",
            Promise::Heard => "no tagged value is older than what was announced",
            Promise::Unstuck => "no purged value is stuck",
        }
    }

    pub fn properties() -> Vec<Property<Setup>> {
        let of = |promise: Promise, condition: fn(&Setup, &World) -> bool| {
            Property::always(promise.name(), condition)
        };
        vec![
            of(Promise::Fresh, |setup, world| {
                let latest = |(of, value): (usize, u8)| value >= world.sources[of];
                let all = || world.hits(setup).into_iter().all(latest);
                !setup.is_fenced() || !world.stale && all()
            }),
            of(Promise::Heard, |setup, world| {
                let told = |(of, value): (usize, u8)| value >= world.heard[of];
                !world.unheard && world.hits(setup).into_iter().all(told)
            }),
            of(Promise::Unstuck, is_unstuck),
        ]
    }
}

fn is_unstuck(setup: &Setup, world: &World) -> bool {
    let now = Time::ZERO.after(Duration::from_secs(1));
    (0..setup.values.len()).all(|value| {
        let Some(hit) = world.hit(Key::Value(value)) else { return true };
        if world.are_nonces(setup, value, &hit.value.nonces) {
            return true;
        }
        let over = (!setup.undoes(Mend::LeaseOverPurged)).then_some(hit.stamp);
        let (token, previous, time, ttl) = (Token::new(1), vec![], Duration::MAX, ttl());
        let lease = Claim::Lease { token, previous, time, ttl, over };
        let mut slot = world.slots.get(&Key::Value(value)).cloned();
        claim(&mut slot, now, &setup.terms(), &lease).is_ok()
    })
}

const C: Role = Role::Caller { value: 0 };
const C1: Role = Role::Caller { value: 1 };
const X: Role = Role::Refresher { value: 0 };
const W: Role = Role::Writer { value: 0 };
const G: Role = Role::Group { tag: 0 };
const G1: Role = Role::Group { tag: 1 };
const P: Role = Role::Purger { tag: 0 };
const P1: Role = Role::Purger { tag: 1 };
const K: Role = Role::Keeper { value: 0 };

/// A value with two tags.
const BOTH: Setup = Setup { values: &[&[0, 1]], ..PLAIN };
/// Two values with one tag.
const GROUP: Setup = Setup { values: &[&[0], &[0]], ..PLAIN };
/// Processes keep copies.
const NEAR: Setup = Setup { near: 2, rounds: 2, horizon: 5, reservation: 6, ..PLAIN };

#[rustfmt::skip]
pub fn obligations() -> Vec<Fault<Setup>> {
    #[allow(clippy::enum_glob_use, reason = "a table of all of them")]
    use Mend::*;
    use Promise::{Fresh, Heard, Unstuck};

    let of = |mend, roles, setup: Setup| Setup { undone: Some(mend), roles, faults: 0, ..setup };
    let faulty = |setup| Setup { faults: 1, ..setup };
    let evicting = |setup| Setup { evicts: true, ..setup };
    let again = |setup| Setup { rounds: 2, ..setup };

    [
        ("tag 1", "a caller has the nonce after it has read the source",
            Fresh, of(NoncesBeforeSource, &[C, G], PLAIN)),
        ("tag 2", "a writer has the nonce after its change",
            Fresh, of(NoncesBeforeSource, &[W, G], PLAIN)),
        ("tag 2b", "a refresher has the nonce after it has read the source",
            Fresh, of(NoncesBeforeSource, &[X, G], PLAIN)),
        ("tag 2c", "a refill bears no nonces",
            Fresh, of(RefillBearsNonces, &[X, G], PLAIN)),
        ("tag 3", "a purge brings a nonce, and is applied once more",
            Heard, Setup { twice: true, ..again(faulty(of(PurgeBringsNothing, &[C, P, P], PLAIN))) }),
        ("tag 5", "a nonce that is absent is taken for the same",
            Fresh, of(AbsentDiffers, &[G], PLAIN)),
        ("tag 6", "a nonce is a counter of the record",
            Fresh, evicting(of(NonceIsToken, &[C, G], PLAIN))),
        ("tag 7", "a group's reserve keeps the nonce",
            Fresh, of(ReserveDropsNonce, &[G], PLAIN)),
        ("tag 8", "a tag is opened beside a live reservation",
            Fresh, of(OpenAsksReservations, &[C, G], PLAIN)),
        ("tag 9", "a purge returns while copies of the nonce live",
            Heard, of(PurgeWaits, &[K, P], NEAR)),
        ("tag 10", "a group's writer does not wait for copies of the nonce",
            Fresh, of(WritersWait, &[K, G], NEAR)),
        ("tag 11", "a value is compared with nonces from before the call",
            Fresh, of(NoncesOfTheCall, &[C, G], PLAIN)),
        ("tag 12", "not all of a value's tags are compared",
            Fresh, of(AllTagsAreCompared, &[G1], BOTH)),
        ("tag 13", "no lease is taken over a value that was purged",
            Unstuck, of(LeaseOverPurged, &[P], PLAIN)),
        ("tag 14", "of a tag whose record is missing nobody is taken to have a copy",
            Fresh, evicting(of(MissingIsWaitedFor, &[K, G], NEAR))),
        ("tag 15", "a purge of a tag whose record is missing returns while copies of the nonce live",
            Heard, evicting(of(RefusedPurgeWaits, &[K, P], NEAR))),
        ("tag 16", "a group's writer releases while its COMMIT is in doubt",
            Fresh, faulty(of(NoReleaseInDoubt, &[G, C], PLAIN))),
        ("tag 18", "a writer does not wait for copies of a tagged value",
            Fresh, of(WritersWait, &[K, W], NEAR)),
        ("tag 19", "a copy of a value is served without its nonce",
            Fresh, of(CopyAsksNonce, &[K, G], NEAR)),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}

/// Every world, in which nothing may be found.
pub fn worlds() -> Vec<Setup> {
    let twice = |setup| Setup { twice: true, ..setup };
    let evicts = |setup| Setup { evicts: true, ..setup };
    let empty = |setup| Setup { empty: true, ..setup };
    let again = |setup| Setup { rounds: 2, ..setup };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("a group's writer", &[C, G], again(Setup { faults: 2, ..PLAIN })),
        ("a group's writer, nothing yet", &[C, G], again(empty(PLAIN))),
        ("two of a group's writers", &[C, G, G], PLAIN),
        ("a writer, a group's writer", &[C, W, G], PLAIN),
        ("two values", &[C, C1, G], GROUP),
        ("two tags", &[C, G, G1], BOTH),
        ("two tags, purges", &[C, G, P1], BOTH),
        ("a purge", &[C, C, P], again(PLAIN)),
        ("a purge beside a group's writer", &[C, P, G], again(PLAIN)),
        ("a purge beside a writer", &[C, W, P], PLAIN),
        ("a refresher", &[X, C, G], PLAIN),
        ("a refresher, a purge", &[X, C, P], PLAIN),
        ("a refresher, a purge beside a group's writer", &[X, P, G], PLAIN),
        ("a refresher, two tags", &[X, G, P1], BOTH),
        ("copies, a refresher", &[K, X, G], NEAR),
        ("records that are lost", &[C, G], evicts(again(PLAIN))),
        ("records that are lost, a purge", &[C, P, W], evicts(PLAIN)),
        ("applied twice", &[C, G], twice(empty(again(Setup { faults: 2, ..PLAIN })))),
        ("applied twice, a purge", &[C, P, P], twice(again(PLAIN))),
        ("copies", &[K, C, G], NEAR),
        ("copies, a purge", &[K, C, P], NEAR),
        ("copies, a writer", &[K, W, G], NEAR),
        ("copies, two tags", &[K, G, G1], Setup { values: BOTH.values, rounds: 3, ..NEAR }),
        ("copies, records that are lost", &[K, C, G], evicts(NEAR)),
    ];
    worlds.into_iter().map(|(name, roles, setup)| Setup { name, roles, ..setup }).collect()
}
