//! Other regions: each is a cache of its own, in front of the same source.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use super::builder::Place;
use super::follow::Gate;
use super::homes::{Home, Homes};
use super::{Cache, Error, FullKey, Room};
use crate::protocol::Epoch;
use crate::settings::{Fence, Options, UnreachableRegion};
use crate::store::{Diagnosis, Finding, Level};

/// Another region.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub region: Arc<str>,
    pub cache: Cache,
    /// Whether the program has opened it, and so closes it.
    is_lent: bool,
}

/// What a cache knows of the regions, where there are several.
pub(super) struct Regions {
    pub own: Arc<str>,
    fence: Fence,
    pub unreachable: UnreachableRegion,
    pub push: bool,
    /// The others.
    pub peers: Vec<Peer>,
    /// Where each key is at home in one of them.
    homes: Option<Homes>,
}

/// What is opened beside a cache.
#[derive(Default)]
pub(super) struct Others {
    pub peers: Vec<Peer>,
    pub homes: Option<Homes>,
    /// Where the cache serves only while it is told of changes. What it reads at another home is served under the same.
    pub gate: Option<Arc<Gate>>,
    /// Whether it takes no part in who may serve.
    pub looks: bool,
}

/// A place where a key is fenced: a region, and an epoch of it where it has some.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub region: Arc<str>,
    pub cache: Cache,
    pub epoch: Epoch,
}

impl Peer {
    pub fn opened(region: impl Into<String>, cache: Cache) -> Self {
        Peer { region: region.into().into(), cache, is_lent: true }
    }

    pub fn name(&self) -> &str {
        &self.region
    }

    /// Connects to those that writers fence, all at once.
    ///
    /// # Errors
    /// One of them cannot be reached, and no change may go on without it; or it is not fit.
    pub async fn connect_all(
        others: Vec<(String, Place)>,
        options: &Options,
        gate: Option<&Arc<Gate>>,
    ) -> Result<Vec<Self>, Error> {
        if options.fence == Fence::Own {
            return Ok(Vec::new());
        }
        // What is served from another cluster is served under the gate of the own one.
        let gate = gate.filter(|_| options.fence == Fence::Home).cloned();
        // The start follows what a change does without it; keys that are at home elsewhere do not notice.
        let comes_later =
            options.unreachable != UnreachableRegion::Fail || options.fence == Fence::Home;
        let options = Options {
            region: None,
            fence: Fence::Own,
            unreachable: UnreachableRegion::Fail,
            push: false,
            grantors: None,
            stream_bound: None,
            homes: None,
            ..options.clone()
        };
        let connect = |(region, place): (String, Place)| {
            let options = options.clone();
            let beside = Others { gate: gate.clone(), ..Others::default() };
            async move {
                let region: Arc<str> = region.into();
                let first = place.clone();
                let opening = async {
                    let store = first.open(true).await?;
                    store.must_be_fit().await.map(|()| store).map_err(Error::from)
                };
                let store = match opening.await {
                    // It may come later. What is wrong with it stays wrong, and is said now.
                    Err(Error::Store(error)) if comes_later && error.may_retry() => {
                        tracing::warn!(%region, %error, "a region does not answer yet; it is connected to in the background");
                        place.later().open(true).await
                    }
                    opened => opened,
                };
                let cache = store.and_then(|store| Cache::open(store, options, beside));
                let cache = cache.map_err(|error| in_region(&region, error))?;
                Ok(Peer { region, cache, is_lent: false })
            }
        };
        try_join_all(others.into_iter().map(connect)).await
    }
}

impl Regions {
    pub fn new(options: &mut Options, peers: Vec<Peer>, homes: Option<Homes>) -> Option<Self> {
        let own = options.region.take()?.into();
        let Options { fence, unreachable, push, .. } = *options;
        Some(Regions { own, fence, unreachable, push, peers, homes })
    }

    /// Where keys have homes: which.
    #[inline]
    pub fn homes(&self) -> Option<&Homes> {
        self.homes.as_ref()
    }

    /// Whether the source may be changed where that region does not answer.
    pub fn may_proceed(&self, region: &str, own: bool) -> bool {
        if *self.own == *region { own } else { self.unreachable == UnreachableRegion::Proceed }
    }

    /// The same error, and which region it is of, if of another.
    pub fn told_of(&self, region: &str, error: Error) -> Error {
        if *self.own == *region { error } else { in_region(region, error) }
    }

    /// The caches of others that were opened with this one.
    pub fn opened_here(&self) -> impl Iterator<Item = &Cache> {
        self.peers.iter().filter(|peer| !peer.is_lent).map(|peer| &peer.cache)
    }

    /// All there are, the own one first.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.own).chain(self.peers.iter().map(|peer| &peer.region))
    }

    /// Closes the caches of other regions, as the own one was.
    pub async fn close(&self, within: Duration) -> bool {
        join_all(self.opened_here().map(|cache| Box::pin(cache.close(within))))
            .await
            .into_iter()
            .all(|ended| ended)
    }
}

impl Cache {
    /// The cache of a region of that name.
    pub(super) fn of_region(&self, name: &str) -> Option<Cache> {
        self.in_region(name).cloned()
    }

    fn in_region(&self, name: &str) -> Option<&Cache> {
        let regions = self.0.regions.as_ref()?;
        if *regions.own == *name {
            return Some(self);
        }
        regions.peers.iter().find(|peer| *peer.region == *name).map(|peer| &peer.cache)
    }

    /// The regions, where a writer reserves in others than its own.
    pub(super) fn fenced(&self) -> Option<&Regions> {
        self.0.regions.as_ref().filter(|regions| regions.fence != Fence::Own)
    }

    /// Where each key is at home in one region.
    #[inline]
    pub(super) fn homes(&self) -> Option<&Homes> {
        self.0.regions.as_ref()?.homes()
    }

    /// Where `key` is fenced, unless that depends on who serves. Where it is read, or the own region, comes first.
    ///
    /// # Errors
    /// It is not known where the key is at home.
    pub(super) fn targets(&self, regions: &Regions, key: &[u8]) -> Result<Vec<Target>, Error> {
        Ok(match regions.homes() {
            None => regions.names().filter_map(|name| self.target(name, Epoch::NONE)).collect(),
            Some(homes) => {
                let homes = homes.fenced(key)?;
                homes.iter().filter_map(|home| self.target(&home.region, home.epoch)).collect()
            }
        })
    }

    pub(super) fn target(&self, region: &Arc<str>, epoch: Epoch) -> Option<Target> {
        let cache = self.of_region(region)?;
        Some(Target { region: Arc::clone(region), cache, epoch })
    }

    /// The cache that a key is read and filled in, and its name there.
    #[inline(never)]
    pub(super) fn key_at_home<'k>(
        &self,
        homes: &Homes,
        key: &'k [u8],
        room: &'k mut Room,
    ) -> Result<(&Cache, FullKey<'k>), Error> {
        let Home { region, epoch } = homes.of(key)?;
        let cache = self.in_region(&region).unwrap_or(self);
        if !Arc::ptr_eq(&self.0, &cache.0) {
            cache.check_key(key).map_err(|error| in_region(&region, error))?;
        }
        Ok((cache, cache.key_in(key, epoch, room)))
    }
}

const REGION: &str = "a writer that reserves in every region, or in a key's home, waits for it, and changes nothing, or not strictly, \
    where one is not there or not fit";

/// What was found of another region's cluster.
pub(super) fn finding(region: &str, looked: Result<Diagnosis, Error>, took: Duration) -> Finding {
    let (level, found, advice) = match looked {
        Err(error) => {
            let advice = "see that its cluster is up, and that the way there is open".to_owned();
            (Level::Error, format!("{region}: {error}"), Some(advice))
        }
        Ok(diagnosis) => {
            let level = diagnosis.level();
            let wrong = diagnosis.findings.iter().filter(|of| of.level > Level::Ok);
            let wrong: Vec<String> =
                wrong.map(|of| format!("{}: {} ({})", of.level, of.check, of.found)).collect();
            let told = if wrong.is_empty() { "all is well".to_owned() } else { wrong.join("; ") };
            let advice = (level > Level::Ok).then(|| {
                format!("run `genfence doctor` with the URL of {region}, and do what it says")
            });
            (level, format!("{region}: looked at in {took:.0?}; {told}"), advice)
        }
    };
    Finding { check: "region", level, found, why: REGION, advice }
}

/// The same error, and which region it is of.
pub(super) fn in_region(region: &str, error: Error) -> Error {
    error.at(&format!("region {region}"))
}
