use std::sync::Arc;

use super::values::{cached, read, write};
use super::{Change, Doing, Key, Loader, Region, Version, Way, World};

/// genfence, with the option `fence=all`: writers reserve in every region before they change the source.
pub struct All(Arc<World>);

impl All {
    pub fn new(world: &Arc<World>) -> Self {
        All(Arc::clone(world))
    }
}

impl Way for All {
    fn read<'a>(&'a self, region: Region, key: Key, load: &'a Loader<'a>) -> Doing<'a, Version> {
        Box::pin(read(&self.0, region, key, load))
    }

    fn write<'a>(&'a self, region: Region, key: Key, change: &'a Change<'a>) -> Doing<'a, ()> {
        Box::pin(write(&self.0, region, key, change))
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(cached(&self.0, region, key))
    }
}
