//! Several regions, each with a cache of its own, in front of one source. Its writers fence the other regions, too; a region
//! that is cut off stops serving by itself before they go on without it.
//!
//! | module | holds |
//! |---|---|
//! | `setup` | what a world is made of |
//! | `world` | the state, and every step it can take |
//! | `agents`, `clients` | the rules of who keeps a region's serving leases; of writers and readers |
//! | `replaces` | what they ask grantors, in two steps |
//! | `promises` | what must hold in every state |
//! | `mends` | the worlds; what can be undone, and where that does harm |
//! | `story` | a trace told |

mod agents;
mod clients;
mod mends;
mod promises;
mod replaces;
mod setup;
mod story;
mod world;

use stateright::Path;

use crate::run::Case;
pub use mends::{obligations, worlds};
use promises::Promise;
use setup::Setup;
use world::{Action, World};

impl Case for Setup {
    fn title(&self) -> String {
        format!("regions: {}", self.name)
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        let promise = Promise::ALL.into_iter().find(|promise| promise.name() == broken);
        story::tell(self, path, promise.expect("it is one of them"))
    }
}
