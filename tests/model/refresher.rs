//! The refresher's rules: see a value, ask to refresh it, read the source, put what it said in the value's place.

use genfence::protocol::{Change, Claim, Grant, Token, get};

use crate::client::{Move, Stage, ttl, version};
use crate::cluster::SIDES;
use crate::mends::Mend;
use crate::network::Command;
use crate::setup::Setup;
use crate::world::World;

pub fn moves(setup: &Setup, world: &World, who: usize, versioned: bool, moves: &mut Vec<Move>) {
    let client = &world.clients[who];
    match (client.stage, client.held) {
        (Stage::Idle, _) if client.rounds < setup.rounds => {
            moves.extend(stamps(setup, world, who).into_iter().flatten().map(Move::See));
            if client.value.is_none() && setup.undoes(Mend::ValueSeenBeforeRead) {
                moves.push(Move::Read);
            }
        }
        (Stage::Asks, _) if client.value.is_none() && setup.undoes(Mend::GrantedBeforeRead) => {
            moves.push(Move::Read);
        }
        (Stage::Holds, Some(held)) => {
            if client.value.is_some() {
                if world.is_confirmed(setup, who, held.side) {
                    moves.push(Move::Fill);
                }
            } else {
                moves.push(Move::Read);
                if versioned && world.replica < world.source {
                    moves.push(Move::ReadReplica);
                }
            }
            if client.value.is_none() || !world.is_firm(setup, who, held.side) {
                moves.push(Move::Unlease);
            }
            let later = world.now.after(setup.lease()) > held.grant.deadline;
            if setup.prolongs && later && world.is_firm(setup, who, held.side) {
                moves.push(Move::Prolong);
            }
        }
        _ => {}
    }
}

/// Of the values that it may be given now.
fn stamps(setup: &Setup, world: &World, who: usize) -> [Option<Token>; SIDES.len()] {
    SIDES.map(|side| {
        let reads = world.serves(side) && world.holds(setup, who, side);
        let hit = get(world.record(side).filter(|_| reads), world.now);
        hit.map(|hit| hit.stamp)
    })
}

pub fn act(setup: &Setup, world: &mut World, who: usize, versioned: bool, act: Move) {
    match act {
        Move::See(stamp) => {
            world.begin_round(setup, who);
            world.clients[who].seen = Some(stamp);
            let (token, previous, time) = (world.draw(who), vec![], setup.lease());
            let until = world.claims_until(setup, who);
            let refresh = Claim::Refresh { token, previous, stamp, time, until };
            world.ask(who, Command::Claim(refresh));
        }
        Move::Fill => refill(setup, world, who, versioned),
        Move::Unlease => {
            let (token, held) = (world.token(who), world.clients[who].held);
            let side = held.expect("it holds a refresh").side;
            if setup.undoes(Mend::LateUnleaseIsRefused) {
                world.ask(who, Command::Change(Change::Unlease { token, until: None }));
            } else if world.is_firm(setup, who, side) {
                let until = world.counts_until(setup, who, side);
                world.ask(who, Command::Change(Change::Unlease { token, until }));
            } else {
                // It is left to lapse: nobody knows which cluster would hear of it.
                world.rest(setup, who);
            }
        }
        _ => crate::reader::act(setup, world, who, versioned, act),
    }
}

fn refill(setup: &Setup, world: &mut World, who: usize, versioned: bool) {
    let client = &world.clients[who];
    let (Some(value), Some(held), Some(stamp)) = (client.value, client.held, client.seen) else {
        return;
    };
    let (token, Grant { deadline, .. }) = (world.token(who), held.grant);
    let version = versioned.then(|| version(value));
    let until = world.counts_until(setup, who, held.side);
    let refill = Change::Refill { token, deadline, stamp, value, version, ttl: ttl(), until };
    world.ask(who, Command::Change(refill));
}
