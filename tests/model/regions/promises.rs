//! What must hold in every state.

use genfence::protocol::Epoch;
use stateright::Property;

use super::clients::{State, Target};
use super::setup::{Befalls, Setup};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A hit in a region that serves is never stale.
    Fresh,
    /// A region that does not answer holds no writer up for longer than a serving lease lasts.
    Unheld,
}

impl Promise {
    pub const ALL: [Promise; 2] = [Promise::Fresh, Promise::Unheld];

    pub fn name(self) -> &'static str {
        match self {
            Promise::Fresh => "no region serves a stale hit",
            Promise::Unheld => "a silent region holds nobody up",
        }
    }

    pub fn properties() -> Vec<Property<Setup>> {
        let condition = |promise| -> fn(&Setup, &World) -> bool {
            match promise {
                Promise::Fresh => is_fresh,
                Promise::Unheld => is_unheld,
            }
        };
        let all = Promise::ALL.into_iter();
        all.map(|promise| Property::always(promise.name(), condition(promise))).collect()
    }
}

fn is_fresh(setup: &Setup, world: &World) -> bool {
    let fresh = |region, epoch| {
        let value = world.value(setup, region, epoch);
        !setup.reads.contains(&region) || value.is_none_or(|value| value >= world.source)
    };
    if setup.leases.is_none() {
        return setup.reads.iter().all(|region| fresh(*region, Epoch::NONE));
    }
    let mut serving = world.agents.iter().filter(|agent| world.serves(setup, agent));
    serving.all(|agent| fresh(agent.region, agent.epoch))
}

/// Whether each writer that has barred a region would find it out by now, had it asked.
fn is_unheld(setup: &Setup, world: &World) -> bool {
    // Who has forgotten the bar is told again, which takes as long as the writer takes to ask.
    if world.befallen && matches!(setup.befalls, Befalls::Forget(_)) {
        return true;
    }
    let is_out = |target: &Target| {
        let State::Silent { out, since: Some(since), .. } = &target.state else { return true };
        let until = since.after(setup.span());
        let says = |place: &&usize| out[**place] || world.is_out(setup, **place, target);
        let out = setup.grantors().iter().filter(says).count();
        world.now < until || out >= setup.majority()
    };
    world.clients.iter().all(|client| client.targets.iter().all(is_out))
}
