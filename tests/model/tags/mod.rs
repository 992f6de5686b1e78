//! Values that bear tags: groups of them are purged, or changed, by one record each.
//!
//! A tag's record is like any other. Its *nonce* is the token that its fill or commit left; a value carries those of all its
//! tags, and is a hit only while they are the same.
//!
//! | module | holds |
//! |---|---|
//! | `setup` | what a world is made of |
//! | `world` | the state, and every step it can take |
//! | `hits` | what may be served now |
//! | `clients` | the rules of callers, writers, writers of a group, purgers, and of who keeps copies |
//! | `mends` | the worlds; what can be undone, and where that does harm |
//! | `story` | a trace told |

mod clients;
mod hits;
mod mends;
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
        format!("tags: {}", self.name)
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
