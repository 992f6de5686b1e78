//! Several keys of one transaction, which changes the source of all of them at once: docs/transactions.md.
//!
//! The source is *rows*, and a key's value is made of one or more of them. A transaction locks the rows that it changes until its COMMIT
//! has landed or it is rolled back, and reads others as they were last committed.
//!
//! | module | holds |
//! |---|---|
//! | `setup` | what a world is made of |
//! | `world` | the state, and every step it can take |
//! | `writer`, `reader` | the rules of who changes several keys, and of who reads one after the other |
//! | `mends` | the worlds; what can be undone, and where that does harm |
//! | `story` | a trace told |

mod mends;
mod reader;
mod setup;
mod story;
mod world;
mod writer;

use stateright::Path;

use crate::run::{Case, Extent};
pub use mends::{obligations, worlds};
use setup::Setup;
use world::{Action, World};

impl Case for Setup {
    fn title(&self) -> String {
        format!("keys: {}", self.name)
    }

    fn bound(&self, extent: Extent) -> usize {
        match extent {
            Extent::Near => 1_500_000,
            Extent::Far => 20_000_000,
            Extent::Farther => 100_000_000,
        }
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        story::tell(self, path, broken)
    }
}
