//! Explores the protocol's pure functions together with the rules of its clients: packets applied
//! late or twice, lost answers, crashes, evictions, doubt at the source.
//!
//! Two kinds of cases. A *world* has all of the protocol's mends in, and no promise may be broken in
//! any of its states. An *obligation* has one mend undone, and the checker must see the harm: a
//! checker that cannot fail proves nothing.
//!
//! | module | holds |
//! |---|---|
//! | `setup`, `setups` | what a world is made of; the worlds |
//! | `world` | the state, and every step it can take |
//! | `server`, `network` | the protocol's functions; packets under way |
//! | `client`, `writer`, `reader`, `refresher`, `others` | the rules that clients keep |
//! | `properties` | what must hold in every state |
//! | `mends` | what can be undone, and where that does harm |
//! | `regions`, `stream`, `homes` | the same for several regions: fenced together, told of changes, each the home of its keys |
//! | `keys` | the same for several keys of one transaction |
//! | `near`, `tags` | the same for copies that processes serve by themselves, and for groups of values |
//! | `shipped` | two regions without any of it, and a link between their clusters |
//! | `story`, `run`, `options` | a trace told; a case run; the command line |

mod client;
mod cluster;
mod homes;
mod keys;
mod mends;
mod near;
mod network;
mod options;
mod others;
mod properties;
mod reader;
mod refresher;
mod regions;
mod run;
mod server;
mod setup;
mod setups;
mod shipped;
mod story;
mod stream;
mod tags;
mod world;
mod writer;

use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use run::{Case, Extent, Fault, Outcome, grouped, prove, refute};

/// What a whole run visits at least: near, and beyond.
const LEAST_STATES: [usize; 2] = [26_000_000, 210_000_000];

/// A case's title, and what runs it.
type Named = (String, Box<dyn FnOnce(How) -> Outcome>);

/// How the cases of a run are looked at.
#[derive(Clone, Copy)]
struct How {
    extent: Extent,
    /// Whether each rule that is undone tells its trace. Where all are run for a change, that they are found is enough.
    tells: bool,
}

fn cases<C: Case>(worlds: Vec<C>, faults: Vec<Fault<C>>) -> Vec<Named> {
    let proof =
        |case: C| -> Named { (case.title(), Box::new(move |how| prove(&case, how.extent))) };
    let refutation = |fault: Fault<C>| -> Named {
        (fault.title.clone(), Box::new(move |how| refute(&fault, how.tells)))
    };
    worlds.into_iter().map(proof).chain(faults.into_iter().map(refutation)).collect()
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let mut cases = cases(setups::setups(options.extent == Extent::Farther), mends::obligations());
    cases.extend(self::cases(keys::worlds(options.extent != Extent::Near), keys::obligations()));
    cases.extend(self::cases(regions::worlds(), regions::obligations()));
    cases.extend(self::cases(stream::worlds(), stream::obligations()));
    cases.extend(self::cases(homes::worlds(), homes::obligations()));
    cases.extend(self::cases(near::worlds(), near::obligations()));
    cases.extend(self::cases(tags::worlds(), tags::obligations()));
    cases.extend(self::cases(vec![], shipped::obligations()));
    cases.retain(|(title, _)| options.wants(title));
    if cases.is_empty() {
        eprintln!("no case has such a name; --list names them all");
        return ExitCode::from(2);
    }
    if options.list {
        for (title, _) in &cases {
            println!("{title}");
        }
        return ExitCode::SUCCESS;
    }

    let how = How {
        extent: options.extent,
        tells: options.extent != Extent::Near || !options.is_whole(),
    };
    let started = Instant::now();
    let (mut passed, mut failed, mut states) = (0, 0, 0);
    for outcome in cases.into_iter().map(|(_, run)| run(how)) {
        states += outcome.states;
        if outcome.passed {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    println!("{} states in {:.0} s", grouped(states), started.elapsed().as_secs_f64());
    // Worlds that shrink unnoticed would prove less than is claimed.
    let least = LEAST_STATES[usize::from(options.extent != Extent::Near)];
    if options.is_whole() && states < least {
        println!("FAILED: fewer than {} states", grouped(least));
        failed += 1;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
