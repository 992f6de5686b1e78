//! A key has one home, a region whose cluster alone has its record. Which one, a list of regions says; and the list
//! changes in phases, while programs run.
//!
//! | module | holds |
//! |---|---|
//! | `setup` | what a world is made of: the lists, and the phases of a change |
//! | `world` | the state, and every step it can take |
//! | `clients` | the rules of writers, readers, and of who announces |
//! | `mends` | the worlds; what can be undone, and where that does harm |
//! | `story` | a trace told |

mod clients;
mod mends;
mod setup;
mod story;
mod world;

use stateright::Path;

use crate::run::Case;
pub use mends::{obligations, worlds};
use setup::Setup;
use world::{Action, World};

impl Case for Setup {
    fn title(&self) -> String {
        format!("homes: {}", self.name)
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        story::tell(self, path, broken)
    }
}
