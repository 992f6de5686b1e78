//! Runs one case: explores a world, and says what was seen.

use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::mends::Obligation;
use crate::properties::Promise;
use crate::setup::{Setup, UNCHECKED};
use crate::story::tell;
use crate::world::{Action, World};

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What every change is tested with: every obligation, and the worlds up to a bound.
    Near,
    /// What docs/guarantee.md claims.
    Far,
    /// By hand.
    Farther,
}

impl Extent {
    /// The steps after which a run is called bounded.
    fn bound(self, setup: &Setup) -> usize {
        match self {
            // Without the check of the generation more is possible, and fewer states are different.
            Extent::Near if setup.generations == UNCHECKED => 1_000_000,
            Extent::Near => 100_000,
            Extent::Far if setup.generations == UNCHECKED => 10_000_000,
            Extent::Far => 1_000_000,
            Extent::Farther => 100_000_000,
        }
    }
}

/// What was seen in one world.
struct Seen {
    states: usize,
    depth: usize,
    exhausted: bool,
    broken: Option<(Promise, Path<World, Action>)>,
}

/// What a case came to.
pub struct Outcome {
    pub passed: bool,
    pub states: usize,
}

/// With every mend in, nothing may be found.
pub fn prove(setup: &Setup, extent: Extent) -> Outcome {
    let started = Instant::now();
    let seen = explore(setup, extent.bound(setup), extent == Extent::Farther, &HasDiscoveries::Any);
    report(&seen, started, &setup.name());
    if let Some((promise, path)) = seen.broken {
        println!("FAILED: {}", promise.name());
        print(setup, shortened(setup, promise, path), promise);
        return Outcome { passed: false, states: seen.states };
    }
    Outcome { passed: true, states: seen.states }
}

/// With one mend undone, its harm must be found.
pub fn refute(obligation: &Obligation) -> Outcome {
    const ENOUGH: usize = 6_000_000;
    let Obligation { setup, fault, breaks, .. } = obligation;
    let started = Instant::now();
    let seen = explore(setup, ENOUGH, false, &only(*breaks));
    report(&seen, started, &format!("{}: {fault}", obligation.name()));
    let Some((promise, path)) = seen.broken else {
        println!("FAILED: nobody sees \"{}\" broken", breaks.name());
        return Outcome { passed: false, states: seen.states };
    };
    print(setup, shortened(setup, promise, path), promise);
    Outcome { passed: promise == *breaks, states: seen.states }
}

fn only(promise: Promise) -> HasDiscoveries {
    HasDiscoveries::AnyOf([promise.name()].into())
}

/// Breadth first says that everything up to a depth was seen; depth first needs far less memory.
fn explore(setup: &Setup, bound: usize, deep: bool, until: &HasDiscoveries) -> Seen {
    let checker =
        setup.clone().checker().threads(2).target_state_count(bound).finish_when(until.clone());
    if deep {
        watch(checker.spawn_dfs(), bound, until)
    } else {
        watch(checker.spawn_bfs(), bound, until)
    }
}

fn watch(mut checker: impl Checker<Setup>, bound: usize, until: &HasDiscoveries) -> Seen {
    const NEWS: Duration = Duration::from_secs(30);
    let mut news = Instant::now();
    let threads = checker.handles();
    while !threads.iter().all(JoinHandle::is_finished) {
        sleep(Duration::from_millis(5));
        if news.elapsed() >= NEWS {
            news = Instant::now();
            println!("… {} states", grouped(checker.unique_state_count()));
        }
    }
    for thread in threads {
        thread.join().expect("the model does not panic");
    }
    let broken = checker.discoveries().into_iter().find_map(|(name, path)| {
        let promise = Promise::ALL.into_iter().find(|promise| promise.name() == name)?;
        let wanted = match until {
            HasDiscoveries::AnyOf(names) => names.contains(name),
            _ => true,
        };
        wanted.then_some((promise, path))
    });
    Seen {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        exhausted: broken.is_none() && checker.state_count() < bound,
        broken,
    }
}

/// Looks for a shorter path to the same harm, until there is none.
fn shortened(
    setup: &Setup,
    promise: Promise,
    mut path: Path<World, Action>,
) -> Path<World, Action> {
    const EFFORT: usize = 2_000_000;
    loop {
        let length = path.clone().into_vec().len();
        let checker = setup
            .clone()
            .checker()
            .target_max_depth(length)
            .target_state_count(EFFORT)
            .finish_when(only(promise))
            .spawn_bfs()
            .join();
        match checker.discovery(promise.name()) {
            Some(shorter) => path = shorter,
            None => return path,
        }
    }
}

fn report(seen: &Seen, started: Instant, name: &str) {
    let how = match (&seen.broken, seen.exhausted) {
        (Some(_), _) => "found",
        (None, true) => "exhausted",
        (None, false) => "bounded",
    };
    let (states, depth) = (grouped(seen.states), seen.depth);
    let seconds = started.elapsed().as_secs_f64();
    println!("{how:<9} {states:>12} states, depth {depth:>3}, {seconds:>6.1} s  {name}");
}

fn print(setup: &Setup, path: Path<World, Action>, broken: Promise) {
    for sentence in tell(setup, path, broken) {
        println!("    {sentence}");
    }
}

/// A number with its thousands apart.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
