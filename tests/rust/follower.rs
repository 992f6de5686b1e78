//! A cache that is told of changes by the stream of its source.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genfence::store::{Clock, Store as _};
use genfence::{
    Builder, Bypass, Cache, ChangeBatch, ChangeStream, Changed, Error, FollowError, Heartbeat,
    HeartbeatWriter, Lookup, UnreachableRead,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::support::{Fault, Faulty, Kind};

/// A stream that a test writes, and what was confirmed of it.
struct Stream {
    batches: Receiver<ChangeBatch<u64>>,
    confirmed: Arc<Mutex<Vec<u64>>>,
}

impl ChangeStream for Stream {
    type Position = u64;
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<ChangeBatch<u64>>, Infallible> {
        Ok(self.batches.recv().await)
    }

    async fn confirm(&mut self, position: u64) -> Result<(), Infallible> {
        self.confirmed.lock().unwrap().push(position);
        Ok(())
    }
}

/// What is written comes by at once, unless the test holds it back.
struct Loop {
    stream: Sender<ChangeBatch<u64>>,
    is_cut: Arc<Mutex<bool>>,
    /// Instead of the follower's own.
    as_of: Option<u64>,
}

impl HeartbeatWriter<Infallible> for Loop {
    async fn write(&mut self, heartbeat: Heartbeat) -> Result<(), Infallible> {
        let follower = self.as_of.unwrap_or(heartbeat.follower);
        let heartbeats = vec![Heartbeat { follower, ..heartbeat }];
        if !*self.is_cut.lock().unwrap() {
            let batch = ChangeBatch { changes: vec![], heartbeats, position: 0 };
            // Full is as good as lost.
            let _full = self.stream.try_send(batch);
        }
        Ok(())
    }
}

struct Source {
    stream: Sender<ChangeBatch<u64>>,
    confirmed: Arc<Mutex<Vec<u64>>>,
}

fn source() -> (Source, Stream) {
    let (stream, batches) = channel(64);
    let confirmed: Arc<Mutex<Vec<u64>>> = Arc::default();
    (Source { stream, confirmed: Arc::clone(&confirmed) }, Stream { batches, confirmed })
}

impl Source {
    async fn says(&self, position: u64, changes: Vec<Changed>) {
        self.stream.send(ChangeBatch { changes, heartbeats: vec![], position }).await.unwrap();
    }

    fn confirmed(&self) -> Vec<u64> {
        self.confirmed.lock().unwrap().iter().copied().filter(|position| *position > 0).collect()
    }
}

fn faulty(builder: Builder) -> (Cache, Faulty) {
    let store = Faulty::new(Clock::default());
    (builder.build(store.clone()).unwrap(), store)
}

fn changed(key: &'static str, version: u64) -> Changed {
    Changed::new(key).version(version)
}

/// Until it is so: at most half a minute, on a machine that is busy.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

async fn floor(store: &Faulty, key: &str) -> Option<u64> {
    let known = store.inner().inspect(key.as_bytes()).await.unwrap()?;
    known.record.floor.map(genfence::protocol::Version::get)
}

#[tokio::test]
async fn each_key_of_a_batch_is_told_once_and_what_comes_again_does_no_harm() {
    let (cache, store) = faulty(Cache::builder());
    let (source, stream) = source();
    let batch = || vec![changed("a", 3), changed("b", 1), changed("a", 5), changed("a", 4)];
    source.says(1, batch()).await;
    source.says(2, vec![changed("a", 2)]).await;
    source.says(3, batch()).await;
    let Source { stream: ending, confirmed } = source;
    drop(ending);
    cache.follow(stream).run().await.unwrap();
    assert_eq!(*confirmed.lock().unwrap(), [1, 2, 3]);
    assert_eq!((floor(&store, "a").await, floor(&store, "b").await), (Some(5), Some(1)));
    assert_eq!(store.sent().len(), 2 + 1 + 2);
    assert_eq!(cache.stats().changes_heard, 9);
}

#[tokio::test(start_paused = true)]
async fn a_position_is_confirmed_once_all_before_it_was_applied_however_long_that_takes() {
    let (cache, store) = faulty(Cache::builder());
    let (source, stream) = source();
    // Twenty times as often as a command is sent before it is given up.
    store.next_many(Kind::Other, &Fault::Lost, 60);
    source.says(1, vec![changed("a", 3)]).await;
    let following = tokio::spawn(cache.follow(stream).run());
    until("the second is asked for", async || {
        assert!(source.confirmed().is_empty() || store.pending_faults() == 0, "too early");
        source.confirmed() == [1]
    })
    .await;
    assert_eq!(floor(&store, "a").await, Some(3));
    drop(source);
    following.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_follower_that_is_dropped_midway_has_confirmed_nothing_that_was_not_applied() {
    let (cache, store) = faulty(Cache::builder());
    let (source, stream) = source();
    store.next_many(Kind::Other, &Fault::Lost, 1_000_000);
    source.says(1, vec![changed("a", 3)]).await;
    let following = tokio::spawn(cache.follow(stream).run());
    until("it tries", async || store.pending_faults() < 999_990).await;
    following.abort();
    assert!(following.await.unwrap_err().is_cancelled());
    assert!(source.confirmed().is_empty());
}

#[tokio::test]
async fn what_is_out_of_bounds_ends_it_by_name_and_is_not_confirmed() {
    let (cache, _) = faulty(Cache::builder());
    for (change, field) in [(Changed::new(""), "key"), (changed("a", u64::MAX), "version")] {
        let (source, stream) = source();
        source.says(1, vec![changed("b", 1), change]).await;
        match cache.follow(stream).run().await {
            Err(FollowError::Cache(Error::Invalid { field: named, .. })) => {
                assert_eq!(named, field);
            }
            other => panic!("{other:?}"),
        }
        assert!(source.confirmed().is_empty());
    }
}

#[tokio::test]
async fn a_cache_that_is_closed_ends_its_follower() {
    let (cache, _) = faulty(Cache::builder());
    let (source, stream) = source();
    let following = tokio::spawn(cache.follow(stream).run());
    tokio::task::yield_now().await;
    assert!(cache.close(Duration::from_secs(1)).await);
    // The stream is silent, and has not ended.
    let ended =
        tokio::time::timeout(Duration::from_secs(20), following).await.expect("it ends").unwrap();
    drop(source);
    assert!(matches!(ended, Err(FollowError::Cache(Error::ShutDown))), "{ended:?}");
}

/// A cache with a gate, and a follower with heartbeats.
struct Gated {
    cache: Cache,
    store: Faulty,
    source: Source,
    is_cut: Arc<Mutex<bool>>,
    following: JoinHandle<Result<(), FollowError<Infallible>>>,
}

/// The clock of the store is the same for all.
fn with_gate(builder: Builder) -> Builder {
    let millis = Duration::from_millis;
    builder.stream_bound(millis(400)).reservation_margin(millis(1))
}

impl Gated {
    fn new(builder: Builder, as_of: Option<u64>) -> Self {
        let (cache, store) = faulty(with_gate(builder));
        let (source, stream) = source();
        let is_cut: Arc<Mutex<bool>> = Arc::default();
        let beats = Loop { stream: source.stream.clone(), is_cut: Arc::clone(&is_cut), as_of };
        let following = tokio::spawn(cache.follow(stream).heartbeats(beats).run());
        Gated { cache, store, source, is_cut, following }
    }

    fn cut(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap() = is_cut;
    }

    async fn serves(&self) -> bool {
        self.cache.get("k").await.unwrap().is_some()
    }

    /// Stores what is served while the gate is open.
    async fn filled(&self) {
        until("a value is stored and served", async || {
            let _: Result<_, _> = self.cache.set("k", "v").await;
            self.serves().await
        })
        .await;
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.following.abort();
    }
}

#[tokio::test]
async fn a_cache_serves_while_heartbeats_come_by_and_not_while_the_stream_is_silent() {
    let gated = Gated::new(Cache::builder(), None);
    gated.filled().await;
    gated.cut(true);
    until("it bypasses", async || !gated.serves().await).await;
    assert!(matches!(gated.cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    let load = async || Ok::<_, Infallible>("loaded");
    assert_eq!(gated.cache.get_or_fill("k", load).await.unwrap().unwrap(), "loaded");
    let many = async |_: Vec<bytes::Bytes>| Ok::<_, Infallible>([("k", "many")]);
    let many = gated.cache.get_or_fill_many(["k"], many).await.unwrap();
    assert_eq!(many[0].as_deref(), Some(&b"many"[..]));
    gated.cut(false);
    until("it serves again", async || gated.serves().await).await;
    assert_eq!(
        gated.cache.get("k").await.unwrap().unwrap().value.unwrap(),
        "v",
        "nothing was stored"
    );
}

#[tokio::test]
async fn a_closed_gate_is_an_error_where_the_options_say_so() {
    let gated = Gated::new(Cache::builder().unreachable_read(UnreachableRead::Error), None);
    gated.cut(true);
    until("it is closed", async || gated.cache.get("k").await.is_err()).await;
    let error = gated.cache.lookup("k").await.unwrap_err().to_string();
    assert!(error.contains("does a follower run"), "{error}");
}

#[tokio::test]
async fn heartbeats_of_another_follower_open_nothing() {
    let gated = Gated::new(Cache::builder(), Some(7));
    let _ = gated.cache.set("k", "v").await.unwrap();
    until("some came by", async || gated.source.confirmed.lock().unwrap().len() > 20).await;
    assert!(!gated.serves().await);
}

/// The position of a heartbeat says nothing while what stands before it was not applied.
#[tokio::test]
async fn a_gate_does_not_open_before_what_stands_before_the_heartbeat_was_applied() {
    let gated = Gated::new(Cache::builder(), None);
    gated.filled().await;
    gated.store.next_many(Kind::Other, &Fault::Lost, 1_000_000);
    gated.source.says(9, vec![changed("other", 1)]).await;
    until("it bypasses", async || !gated.serves().await).await;
    for _ in 0..50 {
        assert!(!gated.serves().await && gated.source.confirmed().is_empty());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Another program of the set serves by what the follower has noted there.
#[tokio::test]
async fn every_program_of_a_set_serves_by_the_one_follower() {
    let gated = Gated::new(Cache::builder(), None);
    gated.filled().await;
    let other = with_gate(Cache::builder()).build(gated.store.clone()).unwrap();
    until("it serves, too", async || other.get("k").await.unwrap().is_some()).await;
    gated.cut(true);
    until("it bypasses, too", async || other.get("k").await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_bound_that_is_too_short_is_refused_by_name() {
    let error = Cache::connect("memory://?stream_bound=10ms").await.unwrap_err().to_string();
    assert!(
        error.starts_with("stream_bound: 10ms is out of bounds, must be 100ms to 1h"),
        "{error}"
    );
    let url = "aerospike://127.0.0.1:1/test/cache?stream_bound=1s&reservation_margin=1s";
    let error = Cache::builder().check(url).map(drop);
    if cfg!(feature = "aerospike") {
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("stream_bound: 1s is out of bounds, must be 1s 500ms to 1h"),
            "{error}"
        );
    }
}
