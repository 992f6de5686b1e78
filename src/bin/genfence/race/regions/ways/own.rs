use std::sync::Arc;

use super::values::{cache, cached, read, write};
use super::{Change, Doing, Failure, Key, Loader, Region, Version, Way, World, until_done};

/// genfence, with writers that fence the cache of their own region. Each region follows the source's stream of changes,
/// which comes late.
pub struct Own(Arc<World>);

impl Own {
    pub fn new(world: &Arc<World>) -> Self {
        Own(Arc::clone(world))
    }
}

impl Way for Own {
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version> {
        Box::pin(read(&self.0, region, key, load))
    }

    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()> {
        Box::pin(write(&self.0, region, key, change))
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(cached(&self.0, region, key))
    }

    /// Both regions follow, so that a writer which is gone has told its own as well.
    fn committed(&self, key: Key, version: Version) {
        for region in Region::BOTH {
            let world = Arc::clone(&self.0);
            self.0.background.after(self.0.any_lag(), async move {
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
