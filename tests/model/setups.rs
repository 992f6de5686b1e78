//! The worlds in which, with every mend in, nothing may be found.

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
    for (name, roles, setup) in worlds {
        let comes_and_goes = setup.evicts || setup.rounds > 1;
        let wrapping = comes_and_goes.then_some(WRAPPING);
        for generations in [UNCHECKED, CHECKED].into_iter().chain(wrapping) {
            let faults = setup.faults + u8::from(long);
            setups.push(Setup { name, roles, faults, generations, ..setup.clone() });
        }
    }
    setups
}
