//! What must hold in every state.

use genfence::protocol::get;
use stateright::Property;

use super::setup::Setup;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing older is served than what the region's own writers have committed, and what it was told of.
    Heard,
    /// Nothing is served that was changed longer ago than the bound.
    Bound,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Promise::Heard => "a region is no older than what it was told of",
            Promise::Bound => "a region is no older than the bound of its stream",
        }
    }

    pub fn properties() -> Vec<Property<Setup>> {
        let of = |promise: Promise, condition: fn(&Setup, &World) -> bool| {
            Property::always(promise.name(), condition)
        };
        vec![
            of(Promise::Heard, |setup, world| is_as_new_as(setup, world, world.told)),
            of(Promise::Bound, |setup, world| {
                let Some(bound) = setup.bound else { return true };
                let then = (world.now.as_nanos()).checked_sub(bound);
                // What the source held at the end of each tick, the first of which is 1.
                let then = then
                    .and_then(|tick| world.past.get(usize::try_from(tick).ok()?.checked_sub(1)?));
                is_as_new_as(setup, world, then.copied().unwrap_or_default())
            }),
        ]
    }
}

fn is_as_new_as(setup: &Setup, world: &World, version: u8) -> bool {
    let hit = get(world.slot.as_ref(), world.now);
    !world.serves(setup) || hit.is_none_or(|hit| hit.value >= version)
}
