//! Those with simple rules: waiters of a reader's flight, invalidators, blind writers.

use genfence::protocol::Change;

use crate::client::{Move, Phase, Said, Stage, ttl, version};
use crate::mends::Mend;
use crate::network::Command;
use crate::setup::{Role, Setup};
use crate::world::World;

/// A value that no source knows.
pub const BLIND: u8 = u8::MAX;

pub fn waiter_moves(
    setup: &Setup,
    world: &World,
    who: usize,
    flight: usize,
    moves: &mut Vec<Move>,
) {
    let client = &world.clients[who];
    let flies = world.clients[flight].stage != Stage::Idle;
    if client.stage == Stage::Idle && client.rounds < setup.rounds && flies {
        moves.push(Move::Join);
    }
}

pub fn join(world: &mut World, who: usize, flight: usize) {
    let reader = &world.clients[flight];
    let sent = matches!(reader.stage, Stage::Doubts | Stage::Heard)
        || world.network.awaited(flight).is_some_and(|packet| packet.command.stores());
    let since = match reader.value {
        _ if sent => Phase::Sent,
        Some(_) => Phase::Unsent,
        None => Phase::Unread,
    };
    let client = &mut world.clients[who];
    client.rounds += 1;
    client.stage = Stage::Joined { seen: world.source, since };
}

/// A flight has ended: who waited for it takes the value, or looks up again.
pub fn settle(setup: &Setup, world: &mut World, flight: usize) {
    let reader = &world.clients[flight];
    let (value, stored) = (reader.value, reader.said == Said::Stored);
    let versioned = setup.roles[flight] == Role::Reader { versioned: true };
    let asks_floor = versioned && !setup.undoes(Mend::RejectedVersionIsNotShared);
    for (client, role) in world.clients.iter_mut().zip(setup.roles) {
        let Stage::Joined { seen, since } = client.stage else { continue };
        if *role != (Role::Waiter { flight }) {
            continue;
        }
        let takes = match since {
            // What the floor has rejected is older than what the cache was told of.
            Phase::Unread => stored || !asks_floor,
            Phase::Unsent => stored,
            Phase::Sent => stored && setup.undoes(Mend::LateWaiterLooksUp),
        };
        client.stage = match value {
            Some(value) if takes => Stage::Took { seen, value },
            _ => Stage::Idle,
        };
    }
}

/// Tells the cache that the source changed.
pub fn announce(world: &mut World, who: usize, versioned: bool) {
    let version = versioned.then(|| version(world.source));
    world.clients[who].value = Some(world.source);
    world.ask(who, Command::Change(Change::Invalidate { version, ttl: ttl() }));
}

/// First a set; then a replace of the value that was set.
pub fn store(world: &mut World, who: usize) {
    let stamp = world.token(who);
    let token = world.draw(who);
    let store = if world.clients[who].rounds == 1 {
        Change::Set { token, value: BLIND, ttl: ttl() }
    } else {
        Change::Replace { stamp, token, value: BLIND, ttl: ttl(), until: None }
    };
    world.ask(who, Command::Change(store));
}
