//! The link between the regions: what was changed in one is shipped to the other, late, and as it is by then. It asks
//! nobody whether that is still right, and what it brings is not shipped back. So does XDR, by default.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::background::until_done;
use super::sites::{Each, Region};
use super::world::World;
use super::{Failure, Key};

#[derive(Clone)]
pub struct Link {
    world: Arc<World>,
    /// What is shipped of one key in one direction does not overtake itself.
    lanes: Arc<Each<Box<[Mutex<()>]>>>,
}

/// What the log of a region says of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    Written,
    Deleted,
}

impl Link {
    pub fn new(world: &Arc<World>) -> Self {
        let lanes = || (0..world.keys).map(|_| Mutex::default()).collect();
        Link { world: Arc::clone(world), lanes: Arc::new([lanes(), lanes()]) }
    }

    /// The record of a key was changed in this region, and by no link.
    pub fn changed(&self, region: Region, key: Key, logged: Logged) {
        let since = self.world.story.now();
        let link = self.clone();
        self.world.background.after(self.world.any_lag(), async move {
            until_done(|| link.ship(region, key, logged, since)).await
        });
    }

    async fn ship(
        &self,
        from: Region,
        key: Key,
        logged: Logged,
        since: Duration,
    ) -> Result<(), Failure> {
        let World { records, story, conflict, .. } = &*self.world;
        let _turn = self.lanes[from as usize][key].lock().await;
        match records.read(from, key).await? {
            Some(record) => {
                let accepted = records.receive(from.other(), key, &record, *conflict).await?;
                story.shipped(key, from, since, record.version, accepted);
            }
            None if logged == Logged::Deleted => records.delete(from.other(), key).await?,
            // It is gone by now.
            None => {}
        }
        Ok(())
    }
}
