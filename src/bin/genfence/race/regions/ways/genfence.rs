use std::sync::Arc;

use super::values::{cache, cached, read, write};
use super::{Change, Doing, Failure, Key, Loader, Region, Version, Way, World, until_done};

/// genfence. What its writers fence is the caches' own matter.
pub struct Genfence {
    world: Arc<World>,
    /// Whether each region follows the source's stream of changes, which comes late: where writers fence their own alone.
    follows: bool,
}

impl Genfence {
    pub fn own(world: &Arc<World>) -> Self {
        Genfence { world: Arc::clone(world), follows: true }
    }

    /// With the option `fence=all`, whatever is to happen where a region does not answer, or `fence=home`.
    pub fn all(world: &Arc<World>) -> Self {
        Genfence { world: Arc::clone(world), follows: false }
    }
}

impl Way for Genfence {
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version> {
        Box::pin(read(&self.world, region, key, load))
    }

    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()> {
        Box::pin(write(&self.world, region, key, change))
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(cached(&self.world, region, key))
    }

    /// Both regions follow, so that a writer which is gone has told its own as well.
    fn committed(&self, key: Key, version: Version) {
        for region in Region::BOTH.into_iter().filter(|_| self.follows) {
            let world = Arc::clone(&self.world);
            self.world.background.after(self.world.any_lag(), async move {
                until_done(|| follow(&world, region, key, version)).await
            });
        }
    }
}

/// What a region does with a change that it hears of.
async fn follow(world: &World, region: Region, key: Key, version: Version) -> Result<(), Failure> {
    let name = world.records.name(region, key);
    cache(world, region).invalidate_many([(name, Some(version))]).await?;
    world.measure.told(region, key, version);
    Ok(())
}
