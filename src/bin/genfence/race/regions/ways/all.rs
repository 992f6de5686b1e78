use std::sync::Arc;
use std::time::Duration;

use super::values::{cache, cached, read, value};
use super::{Change, Changed, Doing, Key, Loader, Region, Version, Way, World};

/// genfence, with writers that reserve in every region before they change the source.
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
        Box::pin(async move {
            let reserve = |region| cache(&self.0, region).reserve(self.0.records.name(region, key));
            // Where one fails, the other is dropped, and expires.
            let (own, other) = tokio::try_join!(reserve(region), reserve(region.other()))?;
            let remaining = || own.remaining().min(other.remaining());
            match change.commit(remaining).await {
                Changed::Committed(version) => {
                    // The other region has its version while the writer goes on. Unanswered, it expires.
                    self.0.background.after(Duration::ZERO, async move {
                        other.release(Some(version)).await?;
                        Ok(())
                    });
                    let _: genfence::CommitOutcome = own.commit(value(version)).await?;
                }
                Changed::TooLate => {
                    tokio::join!(own.abort(), other.abort());
                }
                Changed::Crashed => drop((own, other)),
            }
            Ok(())
        })
    }

    fn cached(&self, region: Region, key: Key) -> Doing<'_, Option<Version>> {
        Box::pin(cached(&self.0, region, key))
    }
}
