//! **follow**: a cache that is told of changes by the stream that its source has of them.

mod gate;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use rand::RngExt;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::retry::jittered;
use super::{Cache, Error};
pub(super) use gate::Gate;

/// A change of the source, as its stream tells of it.
///
/// # Example
/// ```
/// use genfence::Changed;
///
/// let changed = Changed::new("user:1").version(7);
/// assert_eq!(changed.version, Some(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key, without the cache's prefix.
    pub key: Bytes,
    /// The version that the source gave the change. Needed where loaders read a replica that lags.
    pub version: Option<u64>,
}

impl Changed {
    /// Without a version: whatever the cache holds of the key is removed.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Changed { key: key.into(), version: None }
    }

    /// To this version.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }
}

/// A row that a follower writes into the source, to see it come by in the stream. Its two numbers are all that is written.
///
/// # Example
/// ```
/// use genfence::Heartbeat;
///
/// let beat = Heartbeat { follower: 1, number: 2 };
/// assert!(Heartbeat { follower: 1, number: 3 } > beat);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Heartbeat {
    /// Of which follower it is; others see it, too, and let it pass.
    pub follower: u64,
    /// Grows by one.
    pub number: u64,
}

/// A stretch of a stream of changes.
///
/// # Example
/// ```
/// use genfence::{Changed, ChangeBatch};
///
/// let batch = ChangeBatch { changes: vec![Changed::new("user:1").version(7)], heartbeats: vec![], position: 41 };
/// assert_eq!(batch.position, 41);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeBatch<P> {
    /// What was changed. Some of it may have been told before.
    pub changes: Vec<Changed>,
    /// The heartbeats that stand before its end.
    pub heartbeats: Vec<Heartbeat>,
    /// Where it ends, as the stream says it.
    pub position: P,
}

/// A source's stream of changes: an outbox table, a replication slot, a topic. Changes come in the order in which they were committed, or
/// later again; one that was committed must come, whatever came before.
///
/// # Example
/// ```
/// use genfence::{ChangeBatch, Changed, ChangeStream};
/// use std::convert::Infallible;
///
/// /// Changes of this process itself.
/// struct Local(tokio::sync::mpsc::Receiver<String>);
///
/// impl ChangeStream for Local {
///     type Position = ();
///     type Error = Infallible;
///
///     async fn next(&mut self) -> Result<Option<ChangeBatch<()>>, Infallible> {
///         let Some(key) = self.0.recv().await else { return Ok(None) };
///         Ok(Some(ChangeBatch { changes: vec![Changed::new(key)], heartbeats: vec![], position: () }))
///     }
///
///     async fn confirm(&mut self, (): ()) -> Result<(), Infallible> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = genfence::Cache::connect("memory://").await?;
/// let _ = cache.set("user:1", "old").await?;
/// let (told, changes) = tokio::sync::mpsc::channel(100);
/// told.send("user:1".to_owned()).await?;
/// drop(told);
/// cache.follow(Local(changes)).run().await?;
/// assert!(cache.get("user:1").await?.is_none());
/// # Ok(()) }
/// ```
pub trait ChangeStream: Send {
    /// Where a batch ends.
    type Position: Send;
    /// What can go wrong.
    type Error: Send;

    /// The next batch, as soon as there is something; `None` at the end of a stream that has one. Not asked for before the batch
    /// before was applied and confirmed, so a cache that is slow slows the stream. A batch of some thousand changes is best.
    fn next(
        &mut self,
    ) -> impl Future<Output = Result<Option<ChangeBatch<Self::Position>>, Self::Error>> + Send;

    /// All up to there was applied: a follower that starts again may start there. A stream that hands on what it was told of
    /// to nobody, or that is at its end anyway, has nothing to do.
    fn confirm(
        &mut self,
        position: Self::Position,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Writes heartbeats into the source, on a connection of its own.
///
/// # Example
/// A source that is a vector:
///
/// ```
/// use genfence::{Heartbeat, HeartbeatWriter};
/// use std::sync::{Arc, Mutex};
///
/// struct Rows(Arc<Mutex<Vec<Heartbeat>>>);
///
/// impl HeartbeatWriter<std::io::Error> for Rows {
///     async fn write(&mut self, heartbeat: Heartbeat) -> Result<(), std::io::Error> {
///         self.0.lock().unwrap().push(heartbeat);
///         Ok(())
///     }
/// }
/// ```
pub trait HeartbeatWriter<E>: Send {
    /// Commits a row with this heartbeat, where the stream tells of it. One that does not succeed is given up; the next comes soon.
    fn write(&mut self, heartbeat: Heartbeat) -> impl Future<Output = Result<(), E>> + Send;
}

/// No heartbeats: the stream's age is not known.
#[derive(Clone, Copy, Debug)]
pub struct NoHeartbeats;

impl<E: Send> HeartbeatWriter<E> for NoHeartbeats {
    async fn write(&mut self, _: Heartbeat) -> Result<(), E> {
        Ok(())
    }
}

/// Why a follower ended.
///
/// # Example
/// ```
/// use genfence::{Error, FollowError};
///
/// let error: FollowError<std::io::Error> = Error::ShutDown.into();
/// assert!(matches!(error, FollowError::Cache(Error::ShutDown)));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError<E> {
    /// The cache was closed, or the stream told of a key or a version out of bounds.
    #[error(transparent)]
    Cache(#[from] Error),
    /// The stream failed. What was not confirmed comes again in the next.
    #[error("{0}")]
    Stream(#[source] E),
}

/// Tells a cache of what its source's stream of changes says: see [`Cache::follow`].
#[must_use = "a follower does nothing until it runs"]
pub struct Follower<S, H = NoHeartbeats> {
    cache: Cache,
    stream: S,
    heartbeats: Option<H>,
    id: u64,
}

impl Cache {
    /// Follows a stream of the source's changes, and invalidates what it tells of: in the own region, and each key once in a batch, with the
    /// newest of its versions.
    ///
    /// So a region hears of what writers of other regions have changed, and a cache of writers who know of no cache. A position is
    /// confirmed once all before it was applied, and never before; a cache that does not answer is told again until it does.
    ///
    /// Where the cache has the option `stream_bound`, it serves only while [`heartbeats`](Follower::heartbeats) come by.
    ///
    /// # Example
    /// See [`ChangeStream`].
    pub fn follow<S: ChangeStream>(&self, stream: S) -> Follower<S> {
        // As a database has it, whose numbers have a sign.
        let id = rand::rng().random_range(1..=i64::MAX as u64);
        Follower { cache: self.clone(), stream, heartbeats: None, id }
    }
}

impl<S: ChangeStream, H> Follower<S, H> {
    /// Writes a heartbeat into the source eight times in `stream_bound`. When it comes by in the stream, all that was committed before it was
    /// applied, and all programs of the cache's set serve for the rest of that time. One follower is enough for a set, and several do
    /// no harm.
    pub fn heartbeats<W: HeartbeatWriter<S::Error>>(self, writer: W) -> Follower<S, W> {
        let Follower { cache, stream, id, .. } = self;
        Follower { cache, stream, heartbeats: Some(writer), id }
    }
}

/// Heartbeats that were written, and what the cluster's clock said before.
type Written = parking_lot::Mutex<VecDeque<(u64, u64)>>;

/// So many heartbeats are waited for: whoever is further behind has a closed gate, and one of these will come.
const AWAITED: usize = 1024;

/// Between two tries of telling a cache that does not answer: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

impl<S: ChangeStream, H: HeartbeatWriter<S::Error>> Follower<S, H>
where
    S::Error: fmt::Display,
{
    /// Follows until the stream ends, or fails, or the cache is closed. Dropped midway it has confirmed nothing that was not applied.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn run(self) -> Result<(), FollowError<S::Error>> {
        let Follower { cache, mut stream, heartbeats, id } = self;
        let written = Written::default();
        let bound = cache.0.gate.as_ref().map(|gate| gate.bound);
        let beating = async {
            match (heartbeats, bound) {
                (Some(writer), Some(bound)) => {
                    Box::pin(beat(&cache, writer, id, bound, &written)).await
                }
                _ => closed(&cache).await,
            }
        };
        let following = async {
            while let Some(batch) = stream.next().await.map_err(FollowError::Stream)? {
                let ChangeBatch { changes, heartbeats, position } = batch;
                // Boxed, as they are large, and are part of the caller's future.
                Box::pin(apply(&cache, changes)).await?;
                let own = heartbeats.iter().filter(|beat| beat.follower == id);
                if let Some(last) = own.map(|beat| beat.number).max() {
                    Box::pin(open(&cache, last, &written)).await;
                }
                stream.confirm(position).await.map_err(FollowError::Stream)?;
            }
            Ok(())
        };
        match select(pin!(following), pin!(beating)).await {
            Either::Left((ended, _)) => ended,
            Either::Right((error, _)) => Err(error.into()),
        }
    }
}

/// Tells the cache until it answers: a change that was missed would never be heard of again.
async fn apply<E>(cache: &Cache, changes: Vec<Changed>) -> Result<(), FollowError<E>> {
    let count = changes.len();
    let mut left = cache.newest(changes.into_iter().map(|change| (change.key, change.version)))?;
    let mut pause = PAUSES.0;
    while let Err(untold) = cache.tell_here(left).await {
        let Error::Store(error) = untold.error else { return Err(untold.error.into()) };
        left = untold.left;
        let changes = left.len();
        tracing::warn!(%error, changes, "the cache cannot be told of changes; it is tried again");
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(PAUSES.1);
    }
    cache.0.counters.changes_heard.add_many(count);
    Ok(())
}

/// Notes until when the cache may serve. If that does not succeed, the next heartbeat does.
async fn open(cache: &Cache, number: u64, written: &Written) {
    let mut found = None;
    {
        let mut written = written.lock();
        while let Some((first, beaten)) =
            written.front().copied().filter(|(first, _)| *first <= number)
        {
            found = (first == number).then_some(beaten).or(found);
            written.pop_front();
        }
    }
    if let Some(beaten) = found
        && let Err(error) = cache.heard(beaten).await
    {
        tracing::warn!(%error, "the stream's gate cannot be noted");
    }
}

/// Waits until the cache is closed, however silent the stream is.
async fn closed(cache: &Cache) -> Error {
    loop {
        if let Err(error) = cache.open_or_shut_down() {
            return error;
        }
        sleep(PAUSES.1).await;
    }
}

/// Writes heartbeats until the cache is closed.
async fn beat<E: fmt::Display, H: HeartbeatWriter<E>>(
    cache: &Cache,
    mut writer: H,
    follower: u64,
    bound: Duration,
    written: &Written,
) -> Error {
    let mut ticks = interval(bound / gate::TIMES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1.. {
        ticks.tick().await;
        let beaten = match cache.beat().await {
            Ok((beaten, _)) => beaten,
            Err(error @ (Error::ShutDown | Error::Invalid { .. })) => return error,
            Err(error) => {
                tracing::warn!(%error, "the cluster does not tell its time, so no heartbeat is written");
                continue;
            }
        };
        {
            let mut written = written.lock();
            written.push_back((number, beaten));
            if written.len() > AWAITED {
                written.pop_front();
            }
        }
        if let Err(error) = writer.write(Heartbeat { follower, number }).await {
            tracing::warn!(%error, "a heartbeat cannot be written into the source");
        }
    }
    Error::ShutDown
}

impl<S, H> fmt::Debug for Follower<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("id", &self.id).finish_non_exhaustive()
    }
}
