use std::sync::Arc;

use super::{Change, Doing, Expect, Key, Link, Loader, Logged, Region, Version, Way, World};

/// Touch the key and take its generation, 0 where there is no record; change the source; store if the generation is
/// still the same. The link ships what is stored, and touches, which are writes too.
pub struct PlainGeneration {
    world: Arc<World>,
    link: Link,
}

impl PlainGeneration {
    pub fn new(world: &Arc<World>) -> Self {
        PlainGeneration { world: Arc::clone(world), link: Link::new(world) }
    }
}

impl Way for PlainGeneration {
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version> {
        Box::pin(async move {
            let records = &self.world.records;
            if let Some(version) = records.get(region, key).await? {
                return Ok(version);
            }
            let version = load.run();
            if records.put(region, key, version, Expect::Missing).await? {
                self.link.changed(region, key, Logged::Written);
            }
            Ok(version)
        })
    }

    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()> {
        Box::pin(async move {
            let World { records, story, .. } = &*self.world;
            let generation = records.touch(region, key).await?;
            story.touched(key, region, generation);
            if generation.is_some() {
                self.link.changed(region, key, Logged::Written);
            }
            let expect = generation.map_or(Expect::Missing, Expect::Generation);
            let Some(version) = change.commit_any_time().await else { return Ok(()) };
            let accepted = records.put(region, key, version, expect).await?;
            story.put(key, region, version, accepted);
            if accepted {
                self.link.changed(region, key, Logged::Written);
            }
            Ok(())
        })
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(self.world.records.get(region, key))
    }
}
