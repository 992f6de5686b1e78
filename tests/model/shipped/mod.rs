//! What genfence does not do: the plain idea in two regions, and a link that ships what was put in one to the other. A put is
//! stored if the generation is still that of the touch, in its own cluster. Whatever rule the link has for conflicts, an update
//! is lost: so there are no worlds here, only what must be found.

mod world;

use stateright::Path;

use crate::run::{Case, Fault};
use world::{Action, REGIONS, Region, World, Writer};

/// Which of two records is kept when one is shipped to where the other is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Who arrives last.
    Overwrite,
    /// What was put last.
    LastUpdate,
    /// What was written more often.
    Generation,
}

/// A writer in each region puts the same key, once.
#[derive(Clone, Debug)]
pub struct Setup {
    rule: Rule,
    /// Whether both regions have the source's value in the beginning; else there is no record.
    stored: bool,
}

const SETTLED: &str = "where every put is accepted no region is left with an old value";

pub fn obligations() -> Vec<Fault<Setup>> {
    [
        ("link 1", "no record anywhere, the link overwrites", Rule::Overwrite, false),
        ("link 2", "no record anywhere, the last update wins", Rule::LastUpdate, false),
        ("link 3", "no record anywhere, the higher generation wins", Rule::Generation, false),
        ("link 4", "records everywhere, the link overwrites", Rule::Overwrite, true),
        ("link 5", "records everywhere, the last update wins", Rule::LastUpdate, true),
        ("link 6", "records everywhere, the higher generation wins", Rule::Generation, true),
    ]
    .map(|(letter, fault, rule, stored)| Fault::new(letter, fault, SETTLED, Setup { rule, stored }))
    .into()
}

impl Case for Setup {
    fn title(&self) -> String {
        unreachable!("there are no worlds")
    }

    fn tell(&self, path: Path<World, Action>, _: &str) -> Vec<String> {
        let steps = path.into_vec();
        let mut story = Vec::new();
        for pair in steps.windows(2) {
            let [(before, Some(action)), (after, _)] = pair else { continue };
            story.push(sentence(self, before, *action, after));
        }
        if let Some((world, _)) = steps.last() {
            let held = REGIONS.map(|of| format!("{} holds {}", name(of), version(world, of)));
            let [one, other] = held;
            story.push(format!(
                "LOST: nothing is under way, and no put was refused; the source is at version {}, {one}, {other}",
                world.source
            ));
        }
        story
    }
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Touch(region) => match after.writers[region] {
            Writer::Touched(0) => format!(
                "{}: a writer touches the key: there is no record, so its put is to be the first (generation 0)",
                name(region)
            ),
            Writer::Touched(generation) => {
                format!("{}: a writer touches the key: generation {generation}", name(region))
            }
            other => unreachable!("a touch leads to {other:?}"),
        },
        Action::Commit(region) => {
            format!("{}: its COMMIT lands in the source: version {}", name(region), after.source)
        }
        Action::Put(region) => {
            let put = version(after, region);
            let now = after.records[region].map_or(0, |record| record.generation);
            format!("{}: its put is accepted: {put}, generation {now}", name(region))
        }
        Action::Ship(from) => {
            let to = 1 - from;
            let shipped = version(before, from);
            let taken = before.records[to] != after.records[to];
            let there = version(before, to);
            let said = match (taken, setup.rule) {
                (true, _) if before.records[to].is_none() => "it is stored".into(),
                (true, _) => format!("it is stored, over {there}"),
                (false, Rule::LastUpdate) => format!("{there} was put later, and stays"),
                (false, _) => format!("{there} has no lower generation, and stays"),
            };
            format!("the link brings what {} holds to {}: {shipped}; {said}", name(from), name(to))
        }
    }
}

fn version(world: &World, region: Region) -> String {
    world.records[region].map_or("nothing".into(), |record| format!("version {}", record.version))
}

fn name(region: Region) -> &'static str {
    ["eu", "us"][region]
}
