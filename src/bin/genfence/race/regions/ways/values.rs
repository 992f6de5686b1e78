//! What both ways of genfence's share: a cache in each region, which nothing ships, and values that carry their version.

use std::convert::Infallible;
use std::sync::Arc;

use genfence::{Cache, CallError, Fresh};

use super::{Change, Changed, Failure, Key, Loader, Region, Version, World};

pub fn value(version: Version) -> Fresh {
    Fresh::new(version.to_string()).version(version)
}

fn version(value: &[u8]) -> Result<Version, Failure> {
    Ok(std::str::from_utf8(value)?.parse()?)
}

pub fn cache(world: &World, region: Region) -> &Cache {
    &world.caches[region as usize]
}

pub async fn read(
    world: &World,
    region: Region,
    key: Key,
    load: &Loader<'_>,
) -> Result<Version, Failure> {
    let loader = async || Ok::<_, Infallible>(value(load.run()));
    let name = world.records.name(region, key);
    let read: Result<_, CallError<Arc<Infallible>>> =
        cache(world, region).get_or_fill(name, loader).await;
    let found = read.map_err(|error| error.to_string())?;
    version(&found.ok_or("the cache says that a row is not there")?)
}

pub async fn write(
    world: &World,
    region: Region,
    key: Key,
    change: &Change<'_>,
) -> Result<(), Failure> {
    let reservation = cache(world, region).reserve(world.records.name(region, key)).await?;
    match change.commit(|| reservation.remaining()).await {
        Changed::Committed(version) => {
            let _: genfence::CommitOutcome = reservation.commit(value(version)).await?;
        }
        Changed::TooLate => reservation.abort().await,
        Changed::Crashed => drop(reservation),
    }
    Ok(())
}

pub async fn cached(world: &World, region: Region, key: Key) -> Result<Option<Version>, Failure> {
    let hit = cache(world, region).get(world.records.name(region, key)).await?;
    let value = hit.and_then(|hit| hit.value);
    value.map(|value| version(&value)).transpose()
}
