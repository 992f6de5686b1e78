//! Runs one case: explores a world, and says what was seen.

use std::fmt::Debug;
use std::hash::Hash;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

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

/// A world to explore.
pub trait Case:
    Model<
        State: Clone + Debug + Hash + PartialEq + Send + Sync,
        Action: Clone + Debug + PartialEq + Send + Sync,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// How it is called in reports and on the command line.
    fn title(&self) -> String;
    /// The states after which a run is called bounded.
    fn bound(&self, extent: Extent) -> usize {
        match extent {
            Extent::Near => 300_000,
            Extent::Far => 8_000_000,
            Extent::Farther => 100_000_000,
        }
    }
    /// A trace at whose end the promise of this name is broken, a sentence for each step.
    fn tell(&self, path: Trace<Self>, broken: &str) -> Vec<String>;
}

type Trace<C> = Path<<C as Model>::State, <C as Model>::Action>;

/// One mend undone, and the promise that must be seen broken.
pub struct Fault<C> {
    pub title: String,
    pub case: C,
    pub breaks: &'static str,
}

impl<C> Fault<C> {
    /// `letter` in the list of docs/protocol.md, with a digit where it names more than one fault; what is done wrong.
    pub fn new(letter: &str, fault: &str, breaks: &'static str, case: C) -> Self {
        Fault { title: format!("obligation {letter}: {fault}"), case, breaks }
    }
}

/// What was seen in one world.
struct Seen<C: Case> {
    states: usize,
    depth: usize,
    exhausted: bool,
    broken: Option<(&'static str, Trace<C>)>,
}

/// What a case came to.
pub struct Outcome {
    pub passed: bool,
    pub states: usize,
}

/// With every mend in, nothing may be found.
pub fn prove<C: Case>(case: &C, extent: Extent) -> Outcome {
    let started = Instant::now();
    let seen = explore(case, case.bound(extent), extent == Extent::Farther, &HasDiscoveries::Any);
    report(&seen, started, &case.title());
    if let Some((promise, path)) = seen.broken {
        println!("FAILED: {promise}");
        print(case, shortened(case, promise, path), promise);
        return Outcome { passed: false, states: seen.states };
    }
    Outcome { passed: true, states: seen.states }
}

/// With one mend undone, its harm must be found.
/// `tells`: how it comes about, with a trace that is as short as can be, which is as much work again.
pub fn refute<C: Case>(Fault { title, case, breaks }: &Fault<C>, tells: bool) -> Outcome {
    const ENOUGH: usize = 12_000_000;
    let started = Instant::now();
    let seen = explore(case, ENOUGH, false, &only(breaks));
    report(&seen, started, title);
    let Some((promise, path)) = seen.broken else {
        println!("FAILED: nobody sees \"{breaks}\" broken");
        return Outcome { passed: false, states: seen.states };
    };
    if tells {
        print(case, shortened(case, promise, path), promise);
    }
    Outcome { passed: promise == *breaks, states: seen.states }
}

fn only(promise: &'static str) -> HasDiscoveries {
    HasDiscoveries::AnyOf([promise].into())
}

/// Breadth first says that everything up to a depth was seen; depth first needs far less memory.
fn explore<C: Case>(case: &C, bound: usize, deep: bool, until: &HasDiscoveries) -> Seen<C> {
    let checker =
        case.clone().checker().threads(2).target_state_count(bound).finish_when(until.clone());
    if deep {
        watch(checker.spawn_dfs(), bound, until)
    } else {
        watch(checker.spawn_bfs(), bound, until)
    }
}

fn watch<C: Case>(mut checker: impl Checker<C>, bound: usize, until: &HasDiscoveries) -> Seen<C> {
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
        let wanted = match until {
            HasDiscoveries::AnyOf(names) => names.contains(name),
            _ => true,
        };
        wanted.then_some((name, path))
    });
    Seen {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        exhausted: broken.is_none() && checker.state_count() < bound,
        broken,
    }
}

/// Looks for a path as short, in one thread, so that the same is told each time; and for shorter ones, until there is none.
fn shortened<C: Case>(case: &C, promise: &'static str, mut path: Trace<C>) -> Trace<C> {
    const EFFORT: usize = 2_000_000;
    let mut below = path.clone().into_vec().len() + 1;
    loop {
        let checker = case
            .clone()
            .checker()
            .target_max_depth(below)
            .target_state_count(EFFORT)
            .finish_when(only(promise))
            .spawn_bfs()
            .join();
        let Some(shorter) = checker.discovery(promise) else { return path };
        path = shorter;
        below = path.clone().into_vec().len();
    }
}

fn report<C: Case>(seen: &Seen<C>, started: Instant, name: &str) {
    let how = match (&seen.broken, seen.exhausted) {
        (Some(_), _) => "found",
        (None, true) => "exhausted",
        (None, false) => "bounded",
    };
    let (states, depth) = (grouped(seen.states), seen.depth);
    let seconds = started.elapsed().as_secs_f64();
    println!("{how:<9} {states:>12} states, depth {depth:>3}, {seconds:>6.1} s  {name}");
}

fn print<C: Case>(case: &C, path: Trace<C>, broken: &str) {
    for (at, sentence) in case.tell(path, broken).iter().enumerate() {
        println!("    {:>2}. {sentence}", at + 1);
    }
}

/// A number with its thousands apart.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
