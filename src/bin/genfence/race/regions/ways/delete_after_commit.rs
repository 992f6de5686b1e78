use std::sync::Arc;

use super::{Change, Doing, Expect, Key, Link, Loader, Logged, Region, Version, Way, World};

/// What most programs do: change the source, then delete the key. The link ships deletes, and what readers fill.
pub struct DeleteAfterCommit {
    world: Arc<World>,
    link: Link,
}

impl DeleteAfterCommit {
    pub fn new(world: &Arc<World>) -> Self {
        DeleteAfterCommit { world: Arc::clone(world), link: Link::new(world) }
    }
}

impl Way for DeleteAfterCommit {
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version> {
        Box::pin(async move {
            let records = &self.world.records;
            if let Some(version) = records.get(region, key).await? {
                return Ok(version);
            }
            let version = load.run();
            records.put(region, key, version, Expect::Anything).await?;
            self.link.changed(region, key, Logged::Written);
            Ok(version)
        })
    }

    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()> {
        Box::pin(async move {
            if change.commit_any_time().await.is_some() {
                self.world.records.delete(region, key).await?;
                self.link.changed(region, key, Logged::Deleted);
            }
            Ok(())
        })
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(self.world.records.get(region, key))
    }
}
