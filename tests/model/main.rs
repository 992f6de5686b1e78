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
//! | `client`, `writer`, `reader`, `others` | the rules that clients keep |
//! | `properties` | what must hold in every state |
//! | `mends` | what can be undone, and where that does harm |
//! | `story`, `run`, `options` | a trace told; a case run; the command line |

mod client;
mod cluster;
mod mends;
mod network;
mod options;
mod others;
mod properties;
mod reader;
mod run;
mod server;
mod setup;
mod setups;
mod story;
mod world;
mod writer;

use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use run::{Extent, grouped, prove, refute};

/// What a whole run visits at least: near, and beyond.
const LEAST_STATES: [usize; 2] = [2_000_000, 10_000_000];

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let mut worlds = setups::setups(options.extent == Extent::Farther);
    worlds.retain(|setup| options.wants(&setup.name()));
    let mut obligations = mends::obligations();
    obligations.retain(|obligation| options.wants(&obligation.name()));
    if worlds.is_empty() && obligations.is_empty() {
        eprintln!("no case has such a name; --list names them all");
        return ExitCode::from(2);
    }
    if options.list {
        for setup in &worlds {
            println!("{}", setup.name());
        }
        for obligation in &obligations {
            println!("{}", obligation.name());
        }
        return ExitCode::SUCCESS;
    }

    let started = Instant::now();
    let (mut passed, mut failed, mut states) = (0, 0, 0);
    let proofs = worlds.iter().map(|setup| prove(setup, options.extent));
    for outcome in proofs.chain(obligations.iter().map(refute)) {
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
