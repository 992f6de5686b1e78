//! Processes that keep copies of a value, and serve them without a command, for as long as its record says.
//!
//! | module | holds |
//! |---|---|
//! | `setup` | what a world is made of |
//! | `world` | the state, and every step it can take |
//! | `server` | the protocol's functions, and what a mend does there |
//! | `clients` | the rules of who keeps copies, writers, readers, and of who announces |
//! | `mends` | the worlds; what can be undone, and where that does harm |
//! | `story` | a trace told |

mod clients;
mod mends;
mod server;
mod setup;
mod story;
mod world;

use stateright::Path;

use crate::run::{Case, Extent};
pub use mends::{obligations, worlds};
use setup::Setup;
use world::{Action, World};

impl Case for Setup {
    fn title(&self) -> String {
        format!("near: {}", self.name)
    }

    fn bound(&self, extent: Extent) -> usize {
        match extent {
            Extent::Near => 250_000,
            Extent::Far => 8_000_000,
            Extent::Farther => 100_000_000,
        }
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        story::tell(self, path, broken)
    }
}
