//! **invalidate**: of keys whose source was changed by somebody who did not reserve them, one or many.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::{join, join_all};

use super::fresh::check_version;
use super::homes::Home;
use super::regions::{Regions, Target, in_region};
use super::retry::{Settled, Unsettled};
use super::serving::{Serves, Table};
use super::{Cache, Error, Room};
use crate::protocol::{Epoch, Version};
use crate::store::{Change, StoreError};

/// How many are sent and confirmed together: enough that a pause between two such lots is none that counts, and few enough
/// that a node which is slow takes all within the time-out of one.
const TOGETHER: usize = 4096;

/// A change of the source that was heard of, and is within its bounds.
pub(super) type Heard = (Bytes, Option<Version>);

/// A place, and what is to be told there.
type HeardAt<'h> = (Target, Cow<'h, [Heard]>);

/// What was not applied, and why.
pub(super) struct Untold {
    pub left: Vec<Heard>,
    pub error: Error,
}

impl Cache {
    /// Says that the source of `key` was changed by somebody who did not reserve it: removes the
    /// value, and ends any fill under way.
    ///
    /// With the version that the source gave the change, older fills are refused from now on too,
    /// and a value that is at least that new stays.
    ///
    /// Where the option `fence` is `all`, in every region: whoever changed the source behind the cache's back told none. Where it is `home`,
    /// at the key's home.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key or a version out of bounds; [`Error::Store`] if the store did not answer, or its
    /// cluster changed again and again meanwhile: say it again; [`Error::ShutDown`].
    pub async fn invalidate(
        &self,
        key: impl AsRef<[u8]>,
        version: Option<u64>,
    ) -> Result<(), Error> {
        let key = key.as_ref();
        self.check_key(key)?;
        let version = version.map(check_version).transpose()?;
        match self.fenced() {
            None => self.invalidate_one(key, version).await,
            Some(regions) => {
                let heard = vec![(Bytes::copy_from_slice(key), version)];
                let told = Box::pin(self.tell_everywhere(regions, heard)).await;
                told.map_err(|untold| untold.error)
            }
        }
    }

    /// The same for many changes, as a stream of the source's changes brings them: sent together, and each key once, with the
    /// newest of its versions. Their order does not matter, and to say them again does no harm.
    ///
    /// Once this has returned without an error every one was applied, and never before: so then the stream's position may be
    /// confirmed. After an error, or where this is dropped, some were, and all are to be said again.
    ///
    /// # Errors
    /// As [`invalidate`](Cache::invalidate); of keys and versions before anything is sent.
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// # let mut stream = std::iter::once((vec![("user:1", 7), ("user:2", 8), ("user:1", 9)], 9_u64));
    /// # fn confirm(_position: u64) {}
    /// while let Some((changes, position)) = stream.next() {
    ///     cache.invalidate_many(changes.into_iter().map(|(key, version)| (key, Some(version)))).await?;
    ///     confirm(position);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn invalidate_many<K: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<u64>)>,
    ) -> Result<(), Error> {
        let copied = changes
            .into_iter()
            .map(|(key, version)| (Bytes::copy_from_slice(key.as_ref()), version));
        let heard = self.newest(copied)?;
        let told = match self.fenced() {
            None => Box::pin(self.invalidate_here(&heard, self.epoch())).await,
            Some(regions) => Box::pin(self.tell_everywhere(regions, heard)).await,
        };
        told.map_err(|untold| untold.error)
    }

    /// In the own region alone, of what [`newest`](Cache::newest) made.
    pub(super) async fn tell_here(&self, heard: Vec<Heard>) -> Result<(), Untold> {
        // Another process may serve in an epoch that this one does not know: all that there are. A key is known at its home alone.
        match self.fenced().filter(|_| self.0.serves.is_some() || self.homes().is_some()) {
            Some(regions) => {
                Box::pin(self.tell_everywhere(regions, with_homes(regions, heard))).await
            }
            None => Box::pin(self.invalidate_here(&heard, Epoch::NONE)).await,
        }
    }

    /// The same, of one change.
    #[cfg(feature = "capi")]
    pub(crate) async fn invalidate_in_own_region(
        &self,
        key: Bytes,
        version: Option<u64>,
    ) -> Result<(), Error> {
        let heard = self.newest([(key, version)])?;
        self.tell_here(heard).await.map_err(|untold| untold.error)
    }

    /// Each key once, with the newest of its versions.
    ///
    /// # Errors
    /// One of them is out of bounds.
    pub(super) fn newest(
        &self,
        changes: impl IntoIterator<Item = (Bytes, Option<u64>)>,
    ) -> Result<Vec<Heard>, Error> {
        let changes = changes.into_iter();
        // What has no version is something else than what has one: it removes whatever there is.
        let mut newest: HashMap<(Bytes, bool), Option<Version>, RandomState> =
            HashMap::with_capacity_and_hasher(changes.size_hint().0, RandomState::default());
        for (key, version) in changes {
            self.check_key(&key)?;
            let version = version.map(check_version).transpose()?;
            let known = newest.entry((key, version.is_some())).or_default();
            *known = version.max(*known);
        }
        let mut newest: Vec<Heard> =
            newest.into_iter().map(|((key, _), version)| (key, version)).collect();
        // What is alike but for its key is said once, where it stands together.
        newest.sort_unstable_by_key(|(_, version)| *version);
        Ok(newest)
    }

    /// In every region, or at each key's home, with nothing in between.
    async fn tell_everywhere(&self, regions: &Regions, heard: Vec<Heard>) -> Result<(), Untold> {
        let Some(serves) = &self.0.serves else {
            return self.tell_at(regions, heard).await;
        };
        for (nth, some) in heard.chunks(TOGETHER).enumerate() {
            if let Err(error) = self.invalidate_where_served(regions, serves, some).await {
                return Err(Untold { left: heard[nth * TOGETHER..].to_vec(), error });
            }
        }
        Ok(())
    }

    /// What one place meets costs no other.
    async fn tell_at(&self, regions: &Regions, heard: Vec<Heard>) -> Result<(), Untold> {
        let told = match self.heard_at(regions, &heard) {
            Ok(told) => told,
            Err(error) => return Err(Untold { left: heard, error }),
        };
        let telling = told.iter().map(async |(Target { region, cache, epoch }, heard)| {
            let told = cache.invalidate_here(heard, *epoch).await;
            told.map_err(|Untold { left, error }| Untold {
                left,
                error: regions.told_of(region, error),
            })
        });
        let failed = join_all(telling).await.into_iter().filter_map(Result::err);
        let all = failed.reduce(|mut all, more| {
            all.left.extend(more.left);
            all
        });
        let Some(Untold { mut left, error }) = all else { return Ok(()) };
        // Several regions may have missed the same.
        left.sort_unstable();
        left.dedup();
        Err(Untold { left, error })
    }

    /// In every epoch that a region serves in. One that does not answer is waited for until it serves no more.
    async fn invalidate_where_served(
        &self,
        regions: &Regions,
        serves: &Serves,
        heard: &[Heard],
    ) -> Result<(), Error> {
        let Table { targets, waits } = self.table(regions, serves).await?;
        let telling = targets.iter().map(async |target| {
            match target.cache.invalidate_here(heard, target.epoch).await {
                Err(Untold { error: Error::Store(error), .. }) if error.may_retry() => {
                    self.wait_out(serves, target).await
                }
                told => told.map_err(|untold| in_region(&target.region, untold.error)),
            }
        });
        let (told, ()) = join(join_all(telling), tokio::time::sleep(waits)).await;
        told.into_iter().collect()
    }

    /// What is to be told where: all of it in every region, or each key at its homes.
    ///
    /// # Errors
    /// It is not known where one of them is at home.
    fn heard_at<'h>(
        &self,
        regions: &Regions,
        heard: &'h [Heard],
    ) -> Result<Vec<HeardAt<'h>>, Error> {
        let Some(homes) = regions.homes() else {
            let targets = regions.names().filter_map(|name| self.target(name, Epoch::NONE));
            return Ok(targets.map(|target| (target, Cow::Borrowed(heard))).collect());
        };
        let mut at: HashMap<Home, Vec<Heard>> = HashMap::new();
        for one in heard {
            for home in homes.fenced(&one.0)? {
                at.entry(home).or_default().push(one.clone());
            }
        }
        let told = at.into_iter().filter_map(|(Home { region, epoch }, heard)| {
            Some((self.target(&region, epoch)?, Cow::Owned(heard)))
        });
        Ok(told.collect())
    }

    /// One change, in this cache's own store.
    async fn invalidate_one(&self, key: &[u8], version: Option<Version>) -> Result<(), Error> {
        let room = &mut Room::default();
        let key = self.key_in(key, self.epoch(), room);
        self.forget(&key);
        let change = self.invalidation(version);
        let mut tries = self.tries();
        loop {
            let standing = self.may_reserve().await?;
            // Refused means that there is no record, or a value that is new enough.
            match self.settle(&key, &change, None).await? {
                Settled::Applied | Settled::Refused(_) => {}
                Settled::InDoubt(error) => return Err(self.unanswered(INVALIDATE, error)),
            }
            if self.is_still(standing).await {
                let unknown = self.outlive_copies([&*key].into_iter()).await;
                return unknown.into_iter().next().map_or(Ok(()), |(_, error)| Err(error.into()));
            }
            let again = tries.again(changed()).await;
            again.map_err(|error| self.unanswered(INVALIDATE, error))?;
        }
    }

    /// Many, in this cache's own store. What one of them meets costs no other.
    async fn invalidate_here(&self, heard: &[Heard], epoch: Epoch) -> Result<(), Untold> {
        let (mut left, mut first) = (Vec::new(), None);
        for (nth, some) in heard.chunks(TOGETHER).enumerate() {
            let failed = self.invalidate_some(some, epoch).await;
            let none = failed.len() == some.len();
            left.extend(failed.iter().map(|(place, _)| some[*place].clone()));
            first = first.or(failed.into_iter().next());
            if none {
                // The store does not answer.
                left.extend_from_slice(&heard[heard.len().min((nth + 1) * TOGETHER)..]);
                break;
            }
        }
        match first {
            None => Ok(()),
            Some((_, error)) => Err(Untold { left, error }),
        }
    }

    /// Sends changes under a lease on the cluster, where the store has one, and makes sure that it was this cluster that
    /// answered: what a node was told that had been cut off is lost. Of those that failed: their places, and why.
    async fn invalidate_some(&self, heard: &[Heard], epoch: Epoch) -> Vec<(usize, Error)> {
        let all = |error: &Error| (0..heard.len()).map(|place| (place, error.clone())).collect();
        if let Err(error) = self.open_or_shut_down() {
            return all(&error);
        }
        let change =
            |(key, version): &Heard| (self.owned_key_in(key, epoch), self.invalidation(*version));
        self.invalidate_changes(&heard.iter().map(change).collect::<Vec<_>>()).await
    }

    /// The same of changes by their full keys, so many as are sent together.
    pub(super) async fn invalidate_changes(
        &self,
        changes: &[(Bytes, Change)],
    ) -> Vec<(usize, Error)> {
        let all = |error: &Error| (0..changes.len()).map(|place| (place, error.clone())).collect();
        let mut tries = self.tries();
        loop {
            let standing = match self.may_reserve().await {
                Ok(standing) => standing,
                Err(error) => return all(&error.into()),
            };
            for (key, _) in changes {
                self.forget(key);
            }
            let unsettled = self.settle_many(changes).await;
            if unsettled.len() == changes.len() || self.is_still(standing).await {
                let failed = |Unsettled { place, doubted, error }| {
                    let failed =
                        if doubted { self.unanswered(INVALIDATE, error) } else { error.into() };
                    (place, failed)
                };
                let mut failed: Vec<(usize, Error)> = unsettled.into_iter().map(failed).collect();
                let unknown = self.outlive_copies(changes.iter().map(|(key, _)| &**key)).await;
                for (place, error) in unknown {
                    if !failed.iter().any(|(known, _)| *known == place) {
                        failed.push((place, error.into()));
                    }
                }
                return failed;
            }
            if let Err(error) = tries.again(changed()).await {
                return all(&self.unanswered(INVALIDATE, error));
            }
        }
    }

    pub(super) fn invalidation(&self, version: Option<Version>) -> Change {
        Change::Invalidate { version, ttl: self.0.options.claim_ttl() }
    }

    /// A key that was checked, with all that stands before it.
    fn owned_key_in(&self, key: &Bytes, epoch: Epoch) -> Bytes {
        if self.is_named_as_given(epoch) {
            return key.clone();
        }
        Bytes::copy_from_slice(&self.key_in(key, epoch, &mut Room::default()))
    }
}

const INVALIDATE: &str = "an invalidate";

/// Those whose home is known. The others are in no cache, as nobody can ask for them.
fn with_homes(regions: &Regions, mut heard: Vec<Heard>) -> Vec<Heard> {
    if let Some(homes) = regions.homes() {
        heard.retain(|(key, _)| {
            let home = homes.fenced(key);
            if let Err(error) = &home {
                tracing::warn!(%error, "a change of a key that has no home is left out");
            }
            home.is_ok()
        });
    }
    heard
}

fn changed() -> StoreError {
    StoreError::doubtful("the cluster changed while it was told of a change")
}
