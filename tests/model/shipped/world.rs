//! Two regions, their source, and the link between them.

use stateright::{Model, Property};

use super::{Rule, SETTLED, Setup};

/// By number: eu, us.
pub type Region = usize;

pub const REGIONS: [Region; 2] = [0, 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub version: u8,
    /// How often it was written in its own cluster.
    pub generation: u8,
    /// When it was put: greater is later. What is shipped keeps it.
    updated: u8,
}

/// Where a region's writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writer {
    Begins,
    /// The generation that its put expects. 0: there was no record.
    Touched(u8),
    /// And the version that its COMMIT was given.
    Committed(u8, u8),
    Done {
        accepted: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub source: u8,
    pub records: [Option<Record>; 2],
    pub writers: [Writer; 2],
    /// How many puts of each region are still to be shipped.
    shipping: [u8; 2],
    updates: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Touch(Region),
    Commit(Region),
    Put(Region),
    /// A region's record is shipped to the other, as it is by then. What arrives is not shipped back.
    Ship(Region),
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let record = Record { version: 0, generation: 1, updated: 0 };
        vec![World {
            source: 0,
            records: [self.stored.then_some(record); 2],
            writers: [Writer::Begins; 2],
            shipping: [0; 2],
            updates: 0,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for region in REGIONS {
            match world.writers[region] {
                Writer::Begins => actions.push(Action::Touch(region)),
                Writer::Touched(_) => actions.push(Action::Commit(region)),
                Writer::Committed(..) => actions.push(Action::Put(region)),
                Writer::Done { .. } => {}
            }
            if world.shipping[region] > 0 {
                actions.push(Action::Ship(region));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Touch(region) => {
                world.writers[region] = Writer::Touched(world.generation(region));
            }
            Action::Commit(region) => {
                let Writer::Touched(expected) = world.writers[region] else { return None };
                world.source += 1;
                world.writers[region] = Writer::Committed(expected, world.source);
            }
            Action::Put(region) => {
                let Writer::Committed(expected, version) = world.writers[region] else {
                    return None;
                };
                let accepted = world.generation(region) == expected;
                world.writers[region] = Writer::Done { accepted };
                if accepted {
                    world.updates += 1;
                    world.write(region, version, world.updates);
                    world.shipping[region] += 1;
                }
            }
            Action::Ship(region) => {
                world.shipping[region] -= 1;
                let other = 1 - region;
                let shipped = world.records[region]?;
                if takes(self.rule, world.records[other], shipped) {
                    world.write(other, shipped.version, shipped.updated);
                }
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(SETTLED, |_, world: &World| {
            let accepted = Writer::Done { accepted: true };
            let rests = world.writers == [accepted; 2] && world.shipping == [0; 2];
            let newest = |record: &Option<Record>| {
                record.is_none_or(|record| record.version == world.source)
            };
            !rests || world.records.iter().all(newest)
        })]
    }
}

/// Whether a record that is shipped replaces the one that is there.
fn takes(rule: Rule, there: Option<Record>, shipped: Record) -> bool {
    there.is_none_or(|there| match rule {
        Rule::Overwrite => true,
        Rule::LastUpdate => shipped.updated > there.updated,
        Rule::Generation => shipped.generation > there.generation,
    })
}

impl World {
    fn generation(&self, region: Region) -> u8 {
        self.records[region].map_or(0, |record| record.generation)
    }

    fn write(&mut self, region: Region, version: u8, updated: u8) {
        let generation = self.generation(region) + 1;
        self.records[region] = Some(Record { version, generation, updated });
    }
}
