//! What must hold in every state.

use std::time::Duration;

use genfence::protocol::{Change, Claim, Stored, Terms, Time, Token, change, claim, get};
use stateright::Property;

use crate::client::{Client, Said, Stage, ttl};
use crate::others::BLIND;
use crate::setup::Setup;
use crate::world::World;

/// A promise of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A hit is never stale. A get is one read, and a value is removed before the source changes;
    /// so this holds for every get at every instant if a present value is always the latest.
    Fresh,
    /// Whatever changed the source: once the cache was told of a version, no older one is served.
    Heard,
    /// When no client is under way and no COMMIT is pending, a present value is the source's.
    Settled,
    /// Stored, Rejected and Purged are never lies.
    Truth,
    /// A waiter is never given a value older than its own call.
    Waiters,
    /// Once all deadlines have passed, the key can be leased or refreshed, and reserved and committed.
    Unstuck,
    /// Nobody is granted a lease beside another one, a value or a reservation, or a refresh beside a lease, a
    /// reservation, or another value than it has seen; no blind store overrides a reservation or a value it has not seen.
    Exclusive,
}

impl Promise {
    pub const ALL: [Promise; 7] = [
        Promise::Fresh,
        Promise::Heard,
        Promise::Settled,
        Promise::Truth,
        Promise::Waiters,
        Promise::Unstuck,
        Promise::Exclusive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "a hit is never stale",
            Promise::Heard => "nothing older than what was announced is served",
            Promise::Settled => "at rest a present value equals the source",
            Promise::Truth => "Stored, Rejected and Purged are never lies",
            Promise::Waiters => "a waiter's value is no older than its call",
            Promise::Unstuck => "no key is stuck once deadlines have passed",
            Promise::Exclusive => "no claim is granted beside another's",
        }
    }

    pub fn properties(promises: &[Promise]) -> Vec<Property<Setup>> {
        promises
            .iter()
            .map(|promise| {
                let condition: fn(&Setup, &World) -> bool = match promise {
                    Promise::Fresh => is_fresh,
                    Promise::Heard => |setup, world| served(setup, world) >= world.heard,
                    Promise::Settled => is_settled,
                    Promise::Truth => |setup, world| {
                        (0..world.clients.len()).all(|who| is_truthful(setup, world, who))
                    },
                    Promise::Waiters => |_, world| are_waiters_fresh(world),
                    Promise::Unstuck => |_, world| is_unstuck(world),
                    Promise::Exclusive => |_, world| !world.trespassed,
                };
                Property::always(promise.name(), condition)
            })
            .collect()
    }
}

/// What a get would answer now. Nothing, or a blind value, is as new as any: nobody promises more.
pub fn served(setup: &Setup, world: &World) -> u8 {
    let values = world.readable(setup).map(|record| get(record, world.now).map(|hit| hit.value));
    values.map(|value| value.unwrap_or(BLIND)).min().unwrap_or(BLIND)
}

fn is_latest(setup: &Setup, world: &World) -> bool {
    served(setup, world) >= world.source
}

fn is_fresh(setup: &Setup, world: &World) -> bool {
    !setup.is_fenced() || is_latest(setup, world)
}

fn is_settled(setup: &Setup, world: &World) -> bool {
    let rests = |client: &Client| {
        matches!(client.stage, Stage::Idle | Stage::Took { .. }) && client.pending.is_none()
    };
    let told = setup.is_fenced() || world.heard == world.source;
    !(told && world.clients.iter().all(rests)) || is_latest(setup, world)
}

/// Whether what a client has said is true, and still is.
pub fn is_truthful(setup: &Setup, world: &World, who: usize) -> bool {
    let client = &world.clients[who];
    match client.said {
        Said::Nothing => true,
        Said::Stored => client.landed,
        Said::Rejected => !client.landed,
        // Of the side that answered: another may bring it back, if it is still the latest.
        Said::Gone if setup.splits() => true,
        Said::Gone => {
            let hit = get(world.slot.as_ref(), world.now);
            hit.is_none_or(|hit| hit.stamp != world.token(who))
        }
    }
}

fn are_waiters_fresh(world: &World) -> bool {
    world.clients.iter().all(|client| match client.stage {
        Stage::Took { seen, value } => value >= seen,
        _ => true,
    })
}

/// What comes after the last deadline, each on its own copy of the record.
fn is_unstuck(world: &World) -> bool {
    let Some(record) = &world.slot else { return true };
    let now = Time::ZERO.after(Duration::from_secs(1));
    let (token, previous, time, ttl) = (Token::new(u64::MAX), vec![], Duration::MAX, ttl());

    let load = match &record.stored {
        Some(Stored { token: stamp, .. }) => {
            Claim::Refresh { token, previous: previous.clone(), stamp: *stamp, time, until: None }
        }
        None => Claim::Lease { token, previous: previous.clone(), time, ttl, over: None },
    };
    let loads = claim(&mut Some(record.clone()), now, &Terms::default(), &load).is_ok();

    let reserve = Claim::Reserve { token, previous, time, ttl };
    let mut slot = Some(record.clone());
    let committed = claim(&mut slot, now, &Terms::default(), &reserve).is_ok_and(|grant| {
        let (deadline, generation) = (grant.deadline, grant.generation);
        let commit = Change::Commit { token, deadline, generation, value: 0, ttl, until: None };
        change(&mut slot, now, &Terms::default(), &commit).is_ok()
    });
    loads && committed
}
