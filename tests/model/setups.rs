//! The worlds in which, with every mend in, nothing may be found.

use crate::mends::Mend;
use crate::properties::Promise;
use crate::setup::{Begins, CHECKED, Lag, Nodes, PLAIN, Role, Setup, UNCHECKED, WRAPPING};

const U: Role = Role::Writer { versioned: false };
const V: Role = Role::Writer { versioned: true };
const R: Role = Role::Reader { versioned: false };
const RV: Role = Role::Reader { versioned: true };
const I: Role = Role::Invalidator { versioned: false };
const IV: Role = Role::Invalidator { versioned: true };
const L: Role = Role::Looker;
const F: Role = Role::Foreigner { versioned: false };
const FV: Role = Role::Foreigner { versioned: true };
const X: Role = Role::Refresher { versioned: false };
const XV: Role = Role::Refresher { versioned: true };
const J: Role = Role::Waiter { flight: 0 };
const B: Role = Role::Blind;

/// Every world, each with the check of the generation and without it; and with a generation that
/// starts again, where records come and go.
pub fn setups(long: bool) -> Vec<Setup> {
    let tick = Setup { lag: Lag::Tick, ..PLAIN };
    let endless = Setup { lag: Lag::Endless, ..PLAIN };
    let twice = Setup { rounds: 2, ..PLAIN };
    let split = Setup {
        nodes: Nodes::Split,
        cluster_lease: 1,
        horizon: 3,
        retries: 0,
        reservation: 4,
        lease: 3,
        ..PLAIN
    };
    let worlds = [
        ("writer-reader, any faults", &[U, R][..], Setup { faults: 9, ..PLAIN }),
        ("versioned writer-reader, any faults", &[V, RV], Setup { faults: 9, ..tick.clone() }),
        ("two writers", &[U, U], Setup { faults: 3, ..PLAIN }),
        ("two versioned writers", &[V, V], Setup { faults: 3, ..PLAIN }),
        ("two writers, reader", &[U, U, R], Setup { faults: 1, ..PLAIN }),
        ("three writers", &[U, U, U], Setup { faults: 1, ..PLAIN }),
        ("three versioned writers", &[V, V, V], Setup { faults: 1, ..PLAIN }),
        ("versioned writers, lagging replica", &[V, V, RV], tick.clone()),
        ("mixed writers, reader", &[V, U, R], PLAIN),
        ("mixed writers", &[V, U, V], PLAIN),
        ("invalidator", &[U, R, I], PLAIN),
        ("versioned invalidator, lagging replica", &[V, RV, IV], tick.clone()),
        ("foreign writer", &[F, U, R], PLAIN),
        ("versioned foreign writer, endless lag", &[FV, V, RV], endless.clone()),
        ("waiters", &[R, J, J, U], PLAIN),
        ("waiters, again", &[R, J, U], Setup { horizon: 3, ..twice.clone() }),
        ("two readers, extending", &[R, R, U], Setup { prolongs: true, ..PLAIN }),
        ("writers, renewing", &[U, V], Setup { prolongs: true, faults: 2, ..PLAIN }),
        ("eviction", &[U, R, R], Setup { evicts: true, ..PLAIN }),
        ("eviction, versions", &[V, V, RV], Setup { evicts: true, ..tick.clone() }),
        ("doubt and crash, again", &[U, R], Setup { faults: 2, ..twice.clone() }),
        ("waiters, lagging replica", &[RV, J, V], tick.clone()),
        ("versioned writer, unversioned foreign writer", &[V, F, R], PLAIN),
        ("a copy that was away", &[R, U], Setup { nodes: Nodes::Away, faults: 2, ..twice.clone() }),
        ("a copy that was away, two writers", &[R, U, U], Setup { nodes: Nodes::Away, ..PLAIN }),
        (
            "a copy that was away, versions",
            &[RV, V, V],
            Setup { nodes: Nodes::Away, ..tick.clone() },
        ),
        ("a copy that was away, invalidator", &[R, U, I], Setup { nodes: Nodes::Away, ..PLAIN }),
        ("a split", &[L, U], Setup { begins: Begins::Stored, ..split.clone() }),
        ("a split, two writers", &[L, U, U], Setup { begins: Begins::Stored, ..split.clone() }),
        ("a split, filling", &[R, U], Setup { begins: Begins::Filling, ..split.clone() }),
        ("a split, reader", &[R, U], split.clone()),
        (
            "a split, a minority looks",
            &[L, U],
            Setup { begins: Begins::Stored, minority: Some(0), ..split.clone() },
        ),
        ("a restart", &[R, U], Setup { nodes: Nodes::Restart, ..split.clone() }),
        ("blind writer", &[B, U, R], Setup { evicts: true, horizon: 3, ..twice.clone() }),
    ];
    let mut setups = Vec::new();
    for (name, roles, setup) in worlds.into_iter().chain(refreshes(&split)) {
        let comes_and_goes = setup.evicts || setup.rounds > 1;
        let wrapping = comes_and_goes.then_some(WRAPPING);
        for generations in [UNCHECKED, CHECKED].into_iter().chain(wrapping) {
            let faults = setup.faults + u8::from(long);
            setups.push(Setup { name, roles, faults, generations, ..setup.clone() });
        }
    }
    setups
}

type World = (&'static str, &'static [Role], Setup);

/// A value is there in the beginning, and who sees it refreshes it.
fn refreshes(split: &Setup) -> Vec<World> {
    let stored = |setup: &Setup| Setup { begins: Begins::Stored, ..setup.clone() };
    let plain = stored(&PLAIN);
    let tick = Setup { lag: Lag::Tick, ..plain.clone() };
    let endless = Setup { lag: Lag::Endless, ..plain.clone() };
    let without = |mend| Setup { undone: Some(mend), ..plain.clone() };
    let mut worlds: Vec<World> = vec![
        ("refresh, any faults", &[X, U], Setup { faults: 9, ..plain.clone() }),
        ("refresh, again", &[X, U], Setup { rounds: 2, ..plain.clone() }),
        ("two refreshers", &[X, X, U], plain.clone()),
        ("refresh, two writers", &[X, U, U], plain.clone()),
        ("refresh, reader", &[X, U, R], Setup { prolongs: true, ..plain.clone() }),
        ("refresh, versions, lagging replica", &[XV, V, V], tick.clone()),
        ("refresh, versions, two refreshers", &[XV, XV, V], tick.clone()),
        ("refresh, mixed", &[X, XV, V], plain.clone()),
        ("refresh, invalidator", &[X, U, I], plain.clone()),
        ("refresh, versioned invalidator", &[XV, V, IV], tick.clone()),
        ("refresh, foreign writer", &[X, F, R], plain.clone()),
        ("refresh, versioned foreign writer", &[XV, FV, RV], endless.clone()),
        ("refresh, eviction", &[X, U, R], Setup { evicts: true, ..plain.clone() }),
        ("refresh, blind writer", &[X, B, U], plain.clone()),
        ("refresh, a copy that was away", &[X, U], Setup { nodes: Nodes::Away, ..plain.clone() }),
        ("refresh, a split", &[X, U], stored(split)),
        (
            "refresh, a split, under way",
            &[X, U],
            Setup { begins: Begins::Refreshing, faults: 0, horizon: 2, ..split.clone() },
        ),
        (
            "refresh, a split, under way to who is cut off",
            &[X, U],
            Setup { begins: Begins::Parted { returns: false }, horizon: 2, ..split.clone() },
        ),
        (
            "refresh, a split, given back to who is cut off",
            &[X, U],
            Setup { begins: Begins::Parted { returns: true }, horizon: 2, ..split.clone() },
        ),
        ("refresh, a restart", &[X, U], Setup { nodes: Nodes::Restart, ..stored(split) }),
    ];
    // One proof of two is enough.
    worlds.extend([
        ("refresh, that a reserve leaves", &[X, U, R][..], without(Mend::ReserveEndsRefresh)),
        ("refresh, that asks for no value", &[X, U, R], without(Mend::RefillAsksStamp)),
        ("refresh, read before it is granted", &[X, U, R], without(Mend::GrantedBeforeRead)),
        (
            "refresh, beside others",
            &[X, X, U],
            Setup {
                promises: &[Promise::Fresh, Promise::Settled, Promise::Truth],
                ..without(Mend::RefreshAsksLease)
            },
        ),
        (
            "refresh, a value without version takes the place of one with",
            &[X, FV, RV],
            without(Mend::RefillKeepsVersions),
        ),
    ]);
    worlds
}
