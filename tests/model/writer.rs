//! The writer's rules: reserve, change the source, commit; and never open the key too early.

use genfence::protocol::{Change, Claim, Grant};

use crate::client::{Move, Said, Stage, ttl, version};
use crate::cluster::Side;
use crate::mends::Mend;
use crate::network::Command;
use crate::setup::{Role, Setup};
use crate::world::World;

pub fn moves(setup: &Setup, world: &World, who: usize, moves: &mut Vec<Move>) {
    let client = &world.clients[who];
    let overruns = setup.undoes(Mend::NoOverrun);
    if client.pending.is_some_and(|end| world.now < end || overruns) {
        moves.push(Move::Land);
    }
    let (Stage::Holds, Some(held)) = (client.stage, client.held) else { return };
    moves.push(Move::RollBack);
    // A writer finishes within its reservation: the assumption that the guarantee rests on.
    let may = world.may_change_until(setup, who, held.side);
    if world.now < held.grant.deadline && may.is_some_and(|end| world.now < end) || overruns {
        moves.push(Move::Change);
        if client.pending.is_none() {
            moves.push(Move::Leave);
        }
    }
    let later = world.now.after(setup.reservation()) > held.grant.deadline;
    if setup.prolongs && held.storable && later && world.now < held.grant.deadline {
        moves.push(Move::Prolong);
    }
}

pub fn act(setup: &Setup, world: &mut World, who: usize, versioned: bool, act: Move) {
    match act {
        Move::Change => {
            world.source += 1;
            world.clients[who].value = Some(world.source);
            commit(setup, world, who, versioned);
        }
        Move::Leave => {
            let held = world.clients[who].held.expect("it holds a reservation");
            let until = world.may_change_until(setup, who, held.side);
            let client = &mut world.clients[who];
            client.pending = until.map(|until| until.min(held.grant.deadline));
            match setup.undone {
                Some(Mend::NoReleaseInDoubt) => release(setup, world, who),
                Some(Mend::NoAbortInDoubt) => abort(world, who),
                _ => world.rest(setup, who),
            }
        }
        Move::Land => {
            world.source += 1;
            world.clients[who].pending = None;
        }
        Move::RollBack => abort(world, who),
        Move::Prolong => renew(setup, world, who),
        _ => unreachable!("a writer does not {act:?}"),
    }
}

pub fn is(setup: &Setup, who: usize) -> bool {
    matches!(setup.roles[who], Role::Writer { .. })
}

pub fn reserve(setup: &Setup, world: &mut World, who: usize) {
    let token = world.draw(who);
    let time = setup.reservation();
    let reserve = Claim::Reserve { token, previous: vec![], time, ttl: ttl() };
    world.ask(who, Command::Claim(reserve));
}

pub fn granted(setup: &Setup, world: &mut World, who: usize, grant: Grant, side: Side) {
    let versioned = setup.roles[who] == Role::Writer { versioned: true };
    let storable = grant.alone || versioned || setup.undoes(Mend::CommitAsksAlone);
    world.hold(who, grant, storable, side);
}

fn renew(setup: &Setup, world: &mut World, who: usize) {
    let held = world.clients[who].held.expect("it holds a reservation");
    let (token, deadline, time) = (world.token(who), held.grant.deadline, setup.reservation());
    let until = world.counts_until(setup, who, held.side);
    let renew = Claim::Renew { token, deadline, time, ttl: ttl(), until };
    world.ask(who, Command::Claim(renew));
}

/// Which deadline is in force is not known any more: nothing can be stored under it.
pub fn not_renewed(world: &mut World, who: usize) {
    let client = &mut world.clients[who];
    client.stage = Stage::Holds;
    if let Some(held) = &mut client.held {
        held.storable = false;
    }
}

fn commit(setup: &Setup, world: &mut World, who: usize, versioned: bool) {
    let client = &world.clients[who];
    let (Some(value), Some(held)) = (client.value, client.held) else { return };
    let (token, Grant { deadline, generation, .. }) = (world.token(who), held.grant);
    if !held.storable {
        return release(setup, world, who);
    }
    let until = world.counts_until(setup, who, held.side);
    let commit = if versioned {
        Change::CommitVersioned {
            token,
            deadline,
            value,
            version: version(value),
            ttl: ttl(),
            until,
        }
    } else {
        Change::Commit { token, deadline, generation, value, ttl: ttl(), until }
    };
    world.ask(who, Command::Change(commit));
}

/// The source was changed and nothing can be stored. (In doubt there is no version to pass.)
pub fn release(setup: &Setup, world: &mut World, who: usize) {
    let versioned = setup.roles[who] == Role::Writer { versioned: true };
    let version = world.clients[who].value.filter(|_| versioned).map(version);
    let token = world.token(who);
    world.ask(who, Command::Change(Change::Release { token, version, ttl: ttl() }));
}

/// The release was answered: whatever became of the commit, its value is not there now.
pub fn released(world: &mut World, who: usize) {
    let said = &mut world.clients[who].said;
    if *said == Said::Nothing {
        *said = Said::Gone;
    }
}

/// The source was certainly not changed and will not be.
pub fn abort(world: &mut World, who: usize) {
    let (token, previous) = (world.token(who), world.previous(who));
    world.ask(who, Command::Change(Change::Abort { token, previous }));
}
