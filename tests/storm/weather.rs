//! What befalls the regions: one thing after another, and processes that are stopped meanwhile.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};

use super::paths::State;
use super::ways::LEASE;
use super::world::{EACH, NAMES, World};

/// As the link is late at most.
const MOST_LAG: Duration = Duration::from_secs(3);
/// How late it is between that.
const SOME_LAG: Duration = Duration::from_millis(150);
/// How long it is as late as it is.
const LAG_LASTS: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A region is cut off from all others; what was sent arrives later.
    Cut,
    /// A region is cut off, and its connections are closed.
    CutOff,
    /// What goes from region to region is late.
    Late,
    /// The cluster of a region is away, and comes back empty.
    Restart(usize),
}

/// How long an event lasts, in parts of a lease. What a cluster has forgotten nobody serves any more: it is away for longer than one.
const LASTS: Range<f64> = 1.5..2.5;
/// So long at most is waited until all serve again, as who serves nothing cannot serve what is stale; and what follows until the next.
const PATIENCE: Duration = Duration::from_secs(4);
const RESTS: Range<f64> = 0.5..1.5;

/// All events there are, each once, in any order; again and again until that time is over.
pub async fn blows(world: &World, seed: u64, for_at_least: Duration) {
    let until = world.record.elapsed() + for_at_least;
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut deck = vec![Event::Cut, Event::CutOff, Event::Late];
    deck.extend((0..world.regions()).map(Event::Restart));
    loop {
        deck.shuffle(&mut dice);
        for event in &deck {
            strikes(world, &mut dice, *event).await;
        }
        if world.record.elapsed() >= until {
            return;
        }
    }
}

/// The link is more or less late, all the time.
pub async fn lags(world: &World, seed: u64) {
    let mut dice = SmallRng::seed_from_u64(seed);
    loop {
        for link in &world.record.links {
            link.lags(if dice.random_bool(0.3) { MOST_LAG } else { SOME_LAG });
        }
        sleep(LAG_LASTS).await;
    }
}

pub fn clears(world: &World) {
    for link in &world.record.links {
        link.lags(Duration::ZERO);
    }
}

async fn strikes(world: &World, dice: &mut SmallRng, event: Event) {
    let region = dice.random_range(0..EACH);
    let process = &world.processes[dice.random_range(0..world.processes.len())];
    let [lasts, stopped] = [LASTS; 2].map(|span| LEASE.mul_f64(dice.random_range(span)));
    let stops_after = lasts.mul_f64(dice.random_range(0.0..0.8));
    let rests = LEASE.mul_f64(dice.random_range(RESTS));
    let name = NAMES[region];
    let told = match event {
        Event::Cut => format!("{name} is cut off"),
        Event::CutOff => format!("{name} is cut off, connections are closed"),
        Event::Late => format!("between regions all is up to {MOST_LAG:?} late"),
        Event::Restart(cluster) => {
            format!("{}'s cluster is away, and comes back empty", NAMES[cluster])
        }
    };
    println!(
        "{:>5.1} s, for {lasts:.1?}: {told}; {} stops for {stopped:.1?}",
        world.record.elapsed().as_secs_f64(),
        process.name
    );
    let harm = async {
        match event {
            Event::Cut => world.between(region, State::Held),
            Event::CutOff => world.between(region, State::Closed),
            Event::Late => world.between(region, State::Open(MOST_LAG)),
            Event::Restart(cluster) => world.goes_down(cluster),
        }
        sleep(lasts).await;
        match event {
            Event::Cut | Event::CutOff | Event::Late => world.between(region, State::FINE),
            Event::Restart(cluster) => world.comes_up_empty(cluster),
        }
    };
    let stop = async {
        sleep(stops_after).await;
        process.signal("-STOP").await;
        sleep(stopped).await;
        process.signal("-CONT").await;
    };
    let both = timeout(Duration::from_secs(60), async { tokio::join!(harm, stop) }).await;
    both.expect("both end by themselves");
    let ended = world.record.elapsed();
    while !world.all_serve_since(ended) && world.record.elapsed() < ended + PATIENCE {
        sleep(LEASE / 20).await;
    }
    sleep(rests).await;
}
