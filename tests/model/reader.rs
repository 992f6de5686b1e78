//! The reader's rules: lease, read the source, fill.

use genfence::protocol::{Change, Claim, Grant};

use crate::client::{Move, Stage, ttl, version};
use crate::mends::Mend;
use crate::network::Command;
use crate::setup::Setup;
use crate::world::World;

pub fn moves(setup: &Setup, world: &World, who: usize, versioned: bool, moves: &mut Vec<Move>) {
    let client = &world.clients[who];
    if client.stage == Stage::Heard {
        moves.push(Move::Finish);
    }
    let (Stage::Holds, Some(held)) = (client.stage, client.held) else { return };
    if client.value.is_some() {
        if world.is_confirmed(setup, who, held.side) {
            moves.push(Move::Fill);
        }
        if !world.is_firm(setup, who, held.side) {
            moves.push(Move::Unlease);
        }
    } else {
        moves.extend([Move::Read, Move::Unlease]);
        if versioned && world.replica < world.source {
            moves.push(Move::ReadReplica);
        }
    }
    // Also after the read: the read that the value comes from may have begun before.
    if setup.prolongs && world.now.after(setup.lease()) > held.grant.deadline {
        moves.push(Move::Prolong);
    }
}

pub fn act(setup: &Setup, world: &mut World, who: usize, versioned: bool, act: Move) {
    match act {
        Move::Read => world.clients[who].value = Some(world.source),
        Move::ReadReplica => world.clients[who].value = Some(world.replica),
        Move::Fill => fill(setup, world, who, versioned),
        Move::Unlease => {
            let token = world.token(who);
            world.ask(who, Command::Change(Change::Unlease { token, until: None }));
        }
        Move::Prolong => {
            let held = world.clients[who].held.expect("it holds a lease");
            let (token, deadline, time) = (world.token(who), held.grant.deadline, setup.lease());
            let until = world.counts_until(setup, who, held.side);
            world.ask(
                who,
                Command::Claim(Claim::Extend { token, deadline, time, ttl: ttl(), until }),
            );
        }
        Move::Finish => world.rest(setup, who),
        _ => unreachable!("a reader does not {act:?}"),
    }
}

pub fn lease(setup: &Setup, world: &mut World, who: usize) {
    let token = world.draw(who);
    let lease =
        Claim::Lease { token, previous: vec![], time: setup.lease(), ttl: ttl(), over: None };
    world.ask(who, Command::Claim(lease));
}

fn fill(setup: &Setup, world: &mut World, who: usize, versioned: bool) {
    let client = &world.clients[who];
    let (Some(value), Some(held)) = (client.value, client.held) else { return };
    let (token, Grant { deadline, generation, .. }) = (world.token(who), held.grant);
    let version = versioned.then(|| version(value));
    let until = world.counts_until(setup, who, held.side);
    let fill = Change::Fill { token, deadline, generation, value, version, ttl: ttl(), until };
    world.ask(who, Command::Change(fill));
}

/// The lease is gone, and with it the right to store what was read under it.
pub fn lost(setup: &Setup, world: &mut World, who: usize) {
    let client = &world.clients[who];
    // Undone, the old read is kept for a new lease: once is enough to do harm.
    if setup.undoes(Mend::LeaseAsksNewRead) && client.drawn == 1 {
        lease(setup, world, who);
    } else {
        world.rest(setup, who);
    }
}

/// The reader knows what became of its fill. Only waiters can see time pass between that and the
/// end of the flight.
pub fn concluded(setup: &Setup, world: &mut World, who: usize) {
    if setup.has_waiters() {
        world.clients[who].stage = Stage::Heard;
    } else {
        world.rest(setup, who);
    }
}
