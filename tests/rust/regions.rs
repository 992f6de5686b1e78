//! Several regions, each with a cache of its own, and writers that reserve in all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use genfence::RegionOutcome::{Fenced, LeftOut};
use genfence::store::{Clock, Read, Snapshot, Store as _};
use genfence::{
    Bypass, Cache, CommitOutcome, Error, Fence, Lookup, ReleaseOutcome, Reservation, SourceResult,
    UnreachableRegion, UpdateOutcome,
};
use tokio::sync::Semaphore;

use crate::support::{Fault, Faulty, Kind, settle};

/// Two regions, and the stores below them.
struct Two {
    eu: Cache,
    us: Cache,
    stores: [Faulty; 2],
}

impl Two {
    fn new() -> Self {
        Two::with(|builder| builder)
    }

    /// As `eu` is to be opened.
    fn with(options: impl FnOnce(genfence::Builder) -> genfence::Builder) -> Self {
        let stores = [Clock::manual(), Clock::manual()].map(Faulty::new);
        let us = Cache::builder().build(stores[1].clone()).unwrap();
        let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us.clone());
        let eu = options(eu).build(stores[0].clone()).unwrap();
        Two { eu, us, stores }
    }

    fn us_is_silent(&self, kind: Kind, times: usize) {
        self.stores[1].next_many(kind, &Fault::Lost, times);
    }

    async fn known(&self, region: usize) -> Snapshot {
        self.stores[region].inner().inspect(b"k").await.unwrap().expect("a record stays")
    }

    /// Whoever is told in the background was told.
    async fn all_told(&self) {
        assert!(self.eu.close(Duration::from_secs(30)).await);
    }
}

async fn value(cache: &Cache) -> Option<Vec<u8>> {
    Some(cache.get("k").await.unwrap()?.value.unwrap().to_vec())
}

fn regions(reservation: &Reservation) -> Vec<(&str, genfence::RegionOutcome)> {
    reservation.regions().collect()
}

#[tokio::test(start_paused = true)]
async fn no_region_serves_a_value_from_reserve_on_and_the_own_one_serves_what_was_committed() {
    let two = Two::new();
    for cache in [&two.eu, &two.us] {
        let _ = cache.set("k", "old").await.unwrap();
    }
    let writer = two.eu.reserve("k").await.unwrap();
    assert_eq!(regions(&writer), [("eu", Fenced), ("us", Fenced)]);
    for cache in [&two.eu, &two.us] {
        assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
    }
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    two.all_told().await;
    assert_eq!(value(&two.us).await, None);
    assert!(two.known(1).await.record.reservations.is_empty(), "whoever reads there may fill");
    assert!(matches!(two.us.lookup("k").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_pushed_where_that_is_asked_for() {
    let two = Two::with(|eu| eu.push(true));
    let writer = two.eu.reserve("k").await.unwrap();
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    two.all_told().await;
    assert_eq!(value(&two.us).await.as_deref(), Some(&b"new"[..]));
}

/// A fill from a replica that lags must find the floor in the other region as well.
#[tokio::test(start_paused = true)]
async fn the_version_of_a_change_comes_to_every_region() {
    for push in [false, true] {
        let two = Two::with(|eu| eu.push(push));
        let writer = two.eu.reserve("k").await.unwrap();
        let _ = writer.commit_versioned("new", 7).await.unwrap();
        let writer = two.eu.reserve("k").await.unwrap();
        writer.release(Some(8)).await.unwrap();
        two.all_told().await;
        let floor = two.known(1).await.record.floor;
        assert_eq!(floor.map(genfence::protocol::Version::get), Some(8), "push: {push}");
    }
}

/// The question that the thread ended on: there is no record anywhere, and both regions write.
#[tokio::test(start_paused = true)]
async fn writers_of_two_regions_that_cross_leave_both_caches_empty() {
    let stores = [Clock::manual(), Clock::manual()].map(Faulty::new);
    let plain = stores.clone().map(|store| Cache::builder().build(store).unwrap());
    let region = |own: usize, name, other| {
        let builder = Cache::builder().region(name).fence(Fence::All).push(true);
        builder.peer(other, plain[1 - own].clone()).build(stores[own].clone()).unwrap()
    };
    let (eu, us) = (region(0, "eu", "us"), region(1, "us", "eu"));
    let (one, other) = (eu.reserve("k").await.unwrap(), us.reserve("k").await.unwrap());
    assert_eq!(one.commit("1").await.unwrap(), CommitOutcome::Purged);
    assert_eq!(other.commit("2").await.unwrap(), CommitOutcome::Purged);
    assert!(eu.close(Duration::from_secs(30)).await && us.close(Duration::from_secs(30)).await);
    for store in &stores {
        assert_eq!(store.inner().get(b"k").await.unwrap(), Read::Free);
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_answer_keeps_the_source_as_it_is_and_gives_the_others_back() {
    let two = Two::new();
    two.us_is_silent(Kind::Reserve, 3);
    let change = async |_: &Reservation| -> Result<SourceResult, Infallible> {
        panic!("the source must not be changed")
    };
    let error = two.eu.update("k", change).await.unwrap_err().to_string();
    assert!(error.contains("region us: ") && error.contains("the test lost it"), "{error}");
    settle().await;
    assert!(two.known(0).await.record.reservations.is_empty());
    assert!(two.eu.reserve("k").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_a_region_may_have_reserved_is_given_back_when_the_own_one_fails() {
    let two = Two::new();
    two.stores[0].next_many(Kind::Reserve, &Fault::Lost, 3);
    two.stores[1].next(Kind::Reserve, Fault::ReplyLost);
    let Err(Error::Store(error)) = two.eu.reserve("k").await else { panic!("it was lost") };
    assert!(!error.to_string().contains("region"), "it is the own one: {error}");
    settle().await;
    assert!(two.known(1).await.record.reservations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reserve_that_is_given_up_midway_is_given_back_everywhere() {
    let two = Two::new();
    let gate = Arc::new(Semaphore::new(0));
    two.stores[1].next(Kind::Reserve, Fault::Held(Arc::clone(&gate)));
    let reserve = tokio::time::timeout(Duration::from_millis(10), two.eu.reserve("k"));
    assert!(reserve.await.is_err());
    gate.add_permits(1);
    settle().await;
    assert!(two.known(0).await.record.reservations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_region_may_be_left_out_and_hears_of_the_change_later() {
    let two = Two::with(|eu| eu.unreachable(UnreachableRegion::Proceed));
    let _ = two.us.set("k", "old").await.unwrap();
    two.us_is_silent(Kind::Reserve, 3);
    let writer = two.eu.reserve("k").await.unwrap();
    assert_eq!(regions(&writer), [("eu", Fenced), ("us", LeftOut)]);
    assert!(writer.is_held() && !writer.remaining().is_zero());
    assert_eq!(two.eu.stats().regions_left_out, 1);
    assert_eq!(value(&two.us).await.as_deref(), Some(&b"old"[..]), "that is the price");
    // The first time that it is told is lost, too.
    two.us_is_silent(Kind::Release, 3);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    two.all_told().await;
    assert_eq!(value(&two.us).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_changed_is_given_back_everywhere() {
    let two = Two::new();
    two.eu.reserve("k").await.unwrap().abort().await;
    let undone = async |_: &Reservation| Ok::<_, Infallible>(SourceResult::RolledBack);
    assert_eq!(two.eu.update("k", undone).await.unwrap(), UpdateOutcome::RolledBack);
    two.all_told().await;
    for region in [0, 1] {
        assert!(two.known(region).await.record.reservations.is_empty());
    }
}

/// The earliest deadline counts.
#[tokio::test(start_paused = true)]
async fn a_writer_goes_by_the_least_that_any_region_leaves() {
    let stores = [Clock::manual(), Clock::manual()].map(Faulty::new);
    let short = Cache::builder().reservation_time(Duration::from_secs(4));
    let us = short.build(stores[1].clone()).unwrap();
    let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us);
    let eu = eu.build(stores[0].clone()).unwrap();
    let writer = eu.reserve("k").await.unwrap();
    assert!(writer.remaining() <= Duration::from_secs(3));
    assert!(writer.renew().await.unwrap());
    stores[1].next_many(Kind::Renew, &Fault::Lost, 3);
    let error = writer.renew().await.unwrap_err().to_string();
    assert!(error.contains("region us: "), "{error}");
    assert_eq!(writer.release(None).await.unwrap(), ReleaseOutcome::Purged);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_one_region_has_lost_is_lost() {
    let (here, there) = (Clock::manual(), Clock::manual());
    let stores = [Faulty::new(here), Faulty::new(there.clone())];
    let us = Cache::builder().build(stores[1].clone()).unwrap();
    let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us);
    let eu = eu.build(stores[0].clone()).unwrap();
    let writer = eu.reserve("k").await.unwrap();
    there.advance(Duration::from_secs(60));
    assert!(!writer.renew().await.unwrap());
    assert!(writer.remaining().is_zero());
    writer.release(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_changed_the_source_behind_the_caches_back_tells_every_region() {
    let two = Two::new();
    for cache in [&two.eu, &two.us] {
        let _ = cache.set("k", "old").await.unwrap();
    }
    two.eu.invalidate_many([("k", None)]).await.unwrap();
    for cache in [&two.eu, &two.us] {
        assert_eq!(value(cache).await, None);
    }
    two.us_is_silent(Kind::Other, 3);
    let error = two.eu.invalidate("k", Some(3)).await.unwrap_err().to_string();
    assert!(error.contains("region us: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_fences_its_own_region_asks_no_other() {
    let two = Two::with(|eu| eu.fence(Fence::Own));
    let writer = two.eu.reserve("k").await.unwrap();
    assert!(regions(&writer).is_empty());
    assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Stored);
    two.eu.invalidate("k", None).await.unwrap();
    assert!(two.stores[1].sent().is_empty());
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_by_name() {
    let us = Cache::connect("memory://").await.unwrap();
    let with = |region: &str, peers: &[&str]| {
        let builder = Cache::builder().region(region);
        peers.iter().fold(builder, |builder, peer| builder.peer(*peer, us.clone()))
    };
    for (builder, told) in [
        (with("eu", &[]), "region: there are no `peers`"),
        (with("eu", &["eu"]), "peers: eu is there twice"),
        (with("eu", &["us", "us"]), "peers: us is there twice"),
        (with("eu", &["US"]), "peer: a region's name must be of"),
        (with("", &["us"]), "region: 0 is out of bounds, must be 1 to 32"),
        (Cache::builder().peer("us", us.clone()), "region: is missing"),
        (Cache::builder().fence(Fence::All), "fence: there are no regions"),
        (with("eu", &["us"]).push(true), "push: has a meaning where `fence` is `all` alone"),
    ] {
        let error = builder.connect("memory://").await.unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
    let error = with("eu", &["us"]).peers("eu@a,us@b").connect("memory://").await.unwrap_err();
    assert!(error.to_string().starts_with("peers: is an option of aerospike:// alone"), "{error}");
}
