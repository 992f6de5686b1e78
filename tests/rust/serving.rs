//! Regions that serve only while the grantors let them, so that writers can go on without one that is cut off.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genfence::protocol::{Claim, Grant};
use genfence::store::{Answer, Change, Clock, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{
    Bypass, Cache, CommitOutcome, Fence, Fresh, Lookup, RegionOutcome, Reservation, SourceResult,
    UnreachableRegion, UnreachableReserve,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::ROOM;

const LEASE: Duration = Duration::from_millis(400);
const RESERVATION: Duration = Duration::from_millis(600);
const NAMES: [&str; 3] = ["eu", "us", "ap"];

/// A region's cluster, which may start again empty.
#[derive(Clone)]
struct Cluster(Arc<Mutex<Arc<MemoryStore>>>);

impl Cluster {
    fn new() -> Self {
        Cluster(Arc::new(Mutex::new(Cluster::empty())))
    }

    fn empty() -> Arc<MemoryStore> {
        Arc::new(MemoryStore::with_clock(ROOM, Clock::default()))
    }

    fn starts_again_empty(&self) {
        *self.0.lock().unwrap() = Cluster::empty();
    }
}

/// The way of one region's processes to a cluster, which may be cut.
#[derive(Clone)]
struct Way {
    to: Cluster,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    fn arrive(&self) -> Result<Arc<MemoryStore>, StoreError> {
        if self.is_cut.load(SeqCst) {
            return Err(StoreError::unavailable("the way is cut"));
        }
        Ok(Arc::clone(&self.to.0.lock().unwrap()))
    }

    /// An answer comes back the same way.
    fn back<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.is_cut.load(SeqCst) {
            Err(StoreError::doubtful("the way is cut"))
        } else {
            Ok(answer)
        }
    }
}

impl Store for Way {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        self.back(self.arrive()?.get(key).await?)
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        self.back(self.arrive()?.inspect(key).await?)
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        must_be_ours(key)?;
        self.back(self.arrive()?.claim(key, claim).await?)
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        must_be_ours(key)?;
        self.back(self.arrive()?.change(key, change).await?)
    }
}

/// The key of a record that is somebody else's, which no command can change.
const FOREIGN: &[u8] = b"foreign";

fn must_be_ours(key: &[u8]) -> Result<(), StoreError> {
    if key.ends_with(FOREIGN) {
        return Err(StoreError::refused("the record is somebody else's"));
    }
    Ok(())
}

/// Regions, and the ways between them.
struct World {
    clusters: Vec<Cluster>,
    ways: Vec<Vec<Way>>,
    grantors: &'static str,
}

impl World {
    fn new(regions: usize, grantors: &'static str) -> Self {
        let clusters: Vec<Cluster> = (0..regions).map(|_| Cluster::new()).collect();
        let way = |to: &Cluster| Way { to: to.clone(), is_cut: Arc::default() };
        let ways = (0..regions).map(|_| clusters.iter().map(way).collect()).collect();
        World { clusters, ways, grantors }
    }

    /// A program of that region.
    fn opens(&self, own: usize) -> Cache {
        let settings = || {
            Cache::builder()
                .reservation_time(RESERVATION)
                .reservation_margin(Duration::from_millis(10))
                .lease_time(Duration::from_millis(200))
                .wait(Duration::ZERO)
                .attempts(2)
        };
        let mut builder = settings()
            .region(NAMES[own])
            .fence(Fence::All)
            .unreachable(UnreachableRegion::Wait)
            .grantors(self.grantors)
            .serving_lease(LEASE);
        for (to, way) in self.ways[own].iter().enumerate().filter(|(to, _)| *to != own) {
            builder = builder.peer(NAMES[to], settings().build(way.clone()).unwrap());
        }
        builder.build(self.ways[own][own].clone()).unwrap()
    }

    /// Cuts a region's programs off from all other clusters, and all others from its cluster; or heals that.
    fn cut(&self, region: usize, is_cut: bool) {
        for (from, ways) in self.ways.iter().enumerate() {
            for (to, way) in ways.iter().enumerate().filter(|(to, _)| *to != from) {
                if from == region || to == region {
                    way.is_cut.store(is_cut, SeqCst);
                }
            }
        }
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..6000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to this: {what}");
}

async fn value(cache: &Cache) -> Option<Bytes> {
    cache.get("k").await.unwrap()?.value
}

/// Until what is loaded is stored, and served.
async fn serves(cache: &Cache, what: &'static str) {
    until("it serves what it loads", async || {
        cache.get_or_fill("k", async || Ok::<_, Infallible>(what)).await.unwrap();
        value(cache).await.is_some_and(|value| value == what)
    })
    .await;
}

async fn writes(cache: &Cache, what: &'static str) -> Vec<RegionOutcome> {
    let mut stood = Vec::new();
    let change = async |reservation: &Reservation| {
        stood = reservation.regions().map(|(_, outcome)| outcome).collect();
        Ok::<_, Infallible>(SourceResult::Committed(Fresh::from(what)))
    };
    let _ = cache.update("k", change).await.unwrap();
    stood
}

#[tokio::test]
async fn regions_serve_once_their_epochs_are_founded_and_go_on_serving() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    assert!(matches!(us.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    for cache in [&eu, &us] {
        serves(cache, "v").await;
    }
    let start = Instant::now();
    while start.elapsed() < LEASE * 5 {
        assert!(value(&eu).await.is_some() && value(&us).await.is_some());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Another program of a region serves at once what is there.
    let other = world.opens(1);
    until("it serves, too", async || value(&other).await.is_some()).await;
    let stood = writes(&eu, "new").await;
    assert_eq!(stood, [RegionOutcome::Fenced, RegionOutcome::Fenced]);
    assert_eq!(value(&eu).await.unwrap(), "new");
    assert_eq!((value(&us).await, value(&other).await), (None, None));
    serves(&us, "new").await;
}

#[tokio::test]
async fn writers_go_on_without_a_region_that_is_cut_off_once_it_serves_no_more() {
    for grantors in ["eu", "eu,us,ap"] {
        let world = World::new(3, grantors);
        let (eu, us, _ap) = (world.opens(0), world.opens(1), world.opens(2));
        for cache in [&eu, &us] {
            serves(cache, "old").await;
        }
        world.cut(1, true);
        assert_eq!(value(&us).await.unwrap(), "old", "it does not know yet");
        let reading = {
            let us = us.clone();
            tokio::spawn(async move {
                while value(&us).await.is_some() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        };
        let stood = writes(&eu, "new").await;
        assert_eq!(stood[0], RegionOutcome::Fenced, "{stood:?}");
        assert_eq!(stood[1], RegionOutcome::Out, "{stood:?}");
        assert_eq!(value(&us).await, None, "it has stopped by itself");
        reading.await.unwrap();
        assert_eq!(value(&eu).await.unwrap(), "new");
        // The next need not wait.
        assert_eq!(writes(&eu, "newer").await[1], RegionOutcome::Out);
        let told = eu.regions().await.unwrap();
        assert_eq!(told.iter().map(|of| &*of.region).collect::<Vec<_>>(), ["eu", "us", "ap"]);
        let (here, there) = (&told[0], &told[1]);
        assert!(here.is_own && here.problem.is_none() && here.epoch > 0, "{here:?}");
        assert!(
            here.grants.iter().any(|grant| !grant.left.is_zero() && !grant.is_barred),
            "{here:?}"
        );
        assert!(there.problem.as_ref().unwrap().contains("the way is cut"), "{there:?}");
        assert!(
            there.grants.iter().any(|grant| grant.is_barred && grant.left.is_zero()),
            "{there:?}"
        );
        assert!(eu.stats().regions_barred >= 1, "{:?}", eu.stats());
        world.cut(1, false);
        serves(&us, "newer").await;
        let stats = us.stats();
        assert!(stats.regions_lapsed >= 1 && stats.regions_founded >= 1, "{stats:?}");
        assert!(stats.unserved_micros > 0, "{stats:?}");
        assert_eq!(writes(&eu, "newest").await[1], RegionOutcome::Fenced);
    }
}

#[tokio::test]
async fn a_region_that_never_reached_a_grantor_serves_nothing_and_says_why() {
    let world = World::new(2, "eu");
    world.cut(1, true);
    let us = world.opens(1);
    until("it says why", async || {
        matches!(us.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable))
    })
    .await;
    let error = us.reserve("k").await.unwrap_err().to_string();
    assert!(error.contains("region eu: ") && error.contains("the way is cut"), "{error}");
}

/// Writers may be held up by each new epoch, so there is a pause before the next; one that is there is kept alive meanwhile.
#[tokio::test]
async fn a_region_whose_new_epoch_was_lost_before_it_served_serves_in_the_next() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    until("it is new", async || us.stats().regions_founded == 1).await;
    world.cut(1, true);
    until("it is over", async || {
        let told = eu.regions().await.unwrap();
        told[1].grants.iter().all(|grant| grant.left.is_zero())
    })
    .await;
    world.cut(1, false);
    serves(&us, "v").await;
    assert_eq!(us.stats().regions_founded, 2);
}

/// What a grantor does not know is waited out once, and not by every writer.
#[tokio::test]
async fn a_region_without_programs_is_noted_so_that_it_is_waited_out_once() {
    let world = World::new(2, "eu");
    let eu = world.opens(0);
    serves(&eu, "old").await;
    assert_eq!(writes(&eu, "new").await, [RegionOutcome::Fenced, RegionOutcome::Out]);
    let told = eu.regions().await.unwrap();
    let [noted] = &told[1].grants[..] else { panic!("{told:?}") };
    assert!(noted.is_barred && noted.left.is_zero(), "{told:?}");
    assert_eq!(value(&eu).await.unwrap(), "new");
}

#[tokio::test]
async fn a_cluster_that_starts_again_empty_serves_under_a_new_epoch() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    for cache in [&eu, &us] {
        serves(cache, "old").await;
    }
    let epoch = async || us.regions().await.unwrap()[0].epoch;
    let before = epoch().await;
    assert!(before > 0);
    // Of transactions that are under way it has forgotten the reservations.
    world.clusters[1].starts_again_empty();
    assert_eq!(value(&us).await, None);
    until("it has a new epoch", async || epoch().await > before).await;
    serves(&us, "v").await;
    let stood = writes(&us, "new").await;
    assert_eq!(stood, [RegionOutcome::Fenced, RegionOutcome::Fenced]);
    // So has a grantor forgotten who may serve.
    world.clusters[0].starts_again_empty();
    assert_eq!(writes(&us, "newer").await.len(), 2);
    for cache in [&eu, &us] {
        serves(cache, "newer").await;
    }
}

/// It answers, and so it would be barred again and again for one record.
#[tokio::test]
async fn a_region_that_refuses_one_record_is_not_taken_for_one_that_does_not_answer() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    for cache in [&eu, &us] {
        serves(cache, "v").await;
    }
    let errors = [
        eu.reserve(FOREIGN).await.map(drop).unwrap_err(),
        eu.invalidate(FOREIGN, None).await.unwrap_err(),
        eu.invalidate_many([(FOREIGN, None)]).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("somebody else's"), "{error}");
    }
    assert_eq!(eu.stats().regions_barred, 0);
    assert!(us.regions().await.unwrap().iter().all(|region| !region.grants[0].is_barred));
    assert_eq!(writes(&us, "new").await, [RegionOutcome::Fenced, RegionOutcome::Fenced]);
}

#[tokio::test]
async fn a_reservation_is_renewed_only_where_it_is_held_wherever_regions_serve() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    serves(&eu, "old").await;
    serves(&us, "old").await;
    let writer = eu.reserve("k").await.unwrap();
    assert!(writer.renew().await.unwrap());
    // Its records are all there, and it serves in another epoch after that.
    world.cut(1, true);
    until("it lapsed", async || {
        us.regions().await.is_ok() && value(&us).await.is_none() && us.stats().regions_lapsed > 0
    })
    .await;
    world.cut(1, false);
    until("the region has a new epoch", async || us.stats().regions_founded > 1).await;
    assert!(!writer.renew().await.unwrap(), "it is not held there");
    writer.abort().await;
}

/// What it brings is good for those who came while the region served.
#[tokio::test]
async fn a_load_that_began_while_the_region_served_is_for_nobody_who_came_after_that() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    serves(&eu, "old").await;
    serves(&us, "old").await;
    us.invalidate("k", None).await.unwrap();
    let (reads, goes_on) =
        (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let slow = {
        let (us, reads, goes_on) = (us.clone(), Arc::clone(&reads), Arc::clone(&goes_on));
        tokio::spawn(async move {
            let load = async || {
                reads.add_permits(1);
                let _ = goes_on.acquire().await.unwrap();
                Ok::<_, Infallible>("old")
            };
            us.get_or_fill("k", load).await.unwrap()
        })
    };
    let _ = reads.acquire().await.unwrap();
    world.cut(1, true);
    assert_eq!(writes(&eu, "new").await[1], RegionOutcome::Out);
    let late = async || Ok::<_, Infallible>("new");
    let late = tokio::time::timeout(Duration::from_secs(20), us.get_or_fill("k", late)).await;
    assert_eq!(late.expect("it waits for nobody").unwrap().unwrap(), "new");
    goes_on.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap(), "old");
    assert_eq!(value(&us).await, None);
}

#[tokio::test]
async fn what_is_told_behind_the_caches_back_comes_to_every_region_that_serves() {
    let world = World::new(2, "eu");
    let (eu, us) = (world.opens(0), world.opens(1));
    serves(&eu, "old").await;
    serves(&us, "old").await;
    eu.invalidate("k", None).await.unwrap();
    assert_eq!((value(&eu).await, value(&us).await), (None, None));
    world.cut(1, true);
    eu.invalidate("k", None).await.unwrap();
    assert_eq!(value(&us).await, None);
}

#[tokio::test]
async fn contradictions_are_refused_by_name() {
    let us = Cache::connect("memory://").await.unwrap();
    let wait = || {
        let builder = Cache::builder().region("eu").peer("us", us.clone()).fence(Fence::All);
        builder.unreachable(UnreachableRegion::Wait)
    };
    let second = Duration::from_secs(1);
    for (builder, told) in [
        (wait(), "grantors: is missing"),
        (wait().grantors("eu,us"), "grantors: are two"),
        (wait().grantors("ap"), "grantors: ap is no region; these are us, eu"),
        (wait().grantors("eu,eu"), "grantors: one is there twice"),
        (wait().grantors("eu,"), "grantors: 0 is out of bounds, must be 1 to 32"),
        (
            wait().grantors("eu").unreachable_reserve(UnreachableReserve::Proceed),
            "unreachable_reserve: proceed cannot be",
        ),
        (wait().grantors("eu").push(true), "push: cannot be"),
        (
            wait().grantors("eu").serving_lease(second * 3),
            "serving_lease: 3s is out of bounds, must be 4s",
        ),
        (
            wait().grantors("eu").reservation_time(second * 7),
            "reservation_time: 7s is out of bounds, must be 8s",
        ),
        (
            Cache::builder().region("eu").peer("us", us.clone()).fence(Fence::All).grantors("eu"),
            "grantors: has a meaning",
        ),
    ] {
        let error = builder.connect("memory://").await.unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

/// Writers and readers of two regions on few keys, while regions are cut off and clusters start again empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_region_serves_a_stale_value_whatever_befalls_it() {
    for (grantors, seed) in [("eu", 1), ("eu,us,ap", 2)] {
        storm(grantors, seed).await;
    }
}

const KEYS: usize = 4;

#[derive(Default)]
struct Source {
    /// Of each key: the version, under a lock; and one that was certainly committed.
    rows: [(tokio::sync::Mutex<u64>, AtomicU64); KEYS],
    hits: [AtomicU64; 3],
    stale: AtomicU64,
    changes: AtomicU64,
}

impl Source {
    async fn reads(&self, cache: &Cache, region: usize, key: usize) {
        let latest = self.rows[key].1.load(SeqCst);
        let loads = AtomicBool::new(false);
        let load = async || {
            loads.store(true, SeqCst);
            Ok::<_, Infallible>(self.rows[key].0.lock().await.to_string())
        };
        let Ok(Some(value)) = cache.get_or_fill(key.to_string(), load).await else { return };
        if !loads.load(SeqCst) {
            self.hits[region].fetch_add(1, SeqCst);
            let version: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
            self.stale.fetch_add(u64::from(version < latest), SeqCst);
        }
    }

    async fn writes(&self, cache: &Cache, key: usize, crashes: bool) {
        let Ok(reservation) = cache.reserve(key.to_string()).await else { return };
        let changed = {
            let mut row = self.rows[key].0.lock().await;
            if reservation.remaining().is_zero() {
                None
            } else {
                *row += 1;
                Some(*row)
            }
        };
        let Some(version) = changed else { return reservation.abort().await };
        // One that was held up between the two, by a busy machine, changed what it does not hold any more: nothing is promised then.
        if !reservation.remaining().is_zero() {
            self.rows[key].1.fetch_max(version, SeqCst);
        }
        self.changes.fetch_add(1, SeqCst);
        if !crashes {
            let _: CommitOutcome = reservation.commit(version.to_string()).await.unwrap();
        }
    }
}

async fn storm(grantors: &'static str, seed: u64) {
    let world = World::new(3, grantors);
    let source = Arc::new(Source::default());
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for region in 0..3 {
        for caller in 0..4 {
            let (cache, source, over) =
                (world.opens(region), Arc::clone(&source), Arc::clone(&over));
            let mut dice = SmallRng::seed_from_u64(seed * 100 + region as u64 * 10 + caller);
            callers.spawn(async move {
                while !over.load(SeqCst) {
                    let key = dice.random_range(..KEYS);
                    if caller > 0 {
                        source.reads(&cache, region, key).await;
                        tokio::time::sleep(Duration::from_micros(200)).await;
                    } else {
                        source.writes(&cache, key, dice.random_bool(0.02)).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            });
        }
    }
    let mut dice = SmallRng::seed_from_u64(seed);
    for _ in 0..4 {
        let region = dice.random_range(..3);
        tokio::time::sleep(LEASE.mul_f64(dice.random_range(2.0..4.0))).await;
        if dice.random_bool(0.7) {
            world.cut(region, true);
            tokio::time::sleep(LEASE.mul_f64(dice.random_range(0.2..3.0))).await;
            world.cut(region, false);
        } else {
            world.clusters[region].starts_again_empty();
        }
    }
    tokio::time::sleep(LEASE * 3 + RESERVATION).await;
    over.store(true, SeqCst);
    while callers.join_next().await.is_some() {}
    let [hits, stale, changes] = [
        source.hits.iter().map(|hits| hits.load(SeqCst)).min().unwrap(),
        source.stale.load(SeqCst),
        source.changes.load(SeqCst),
    ];
    println!("{grantors}: {changes} changes, {:?} hits, {stale} stale", source.hits);
    assert_eq!(stale, 0);
    assert!(hits > 50 && changes > 50, "{hits} hits, {changes} changes");
}
