//! Several regions over the wire: what a URL says of them, a cluster that is not there, and what all programs of a set say alike.

use std::convert::Infallible;
use std::time::Duration;

use genfence::RegionOutcome::{Fenced, LeftOut, Out};
use genfence::store::{AerospikeSettings, AerospikeStore};
use genfence::{Cache, CommitOutcome, Error, Fence};
use genfence_wire::{Action, Kind, Rule, Server, Then};

const FENCED: &str = "fence=all&timeout=200ms&attempts=1&connect_timeout=300ms&cluster_guard=off";

/// A server for each region.
struct Two {
    eu: Server,
    us: Server,
}

impl Two {
    async fn start() -> Self {
        Two { eu: Server::start().await.unwrap(), us: Server::start().await.unwrap() }
    }

    fn peers(&self) -> String {
        format!("eu@{},us@{}", self.eu.address(), self.us.address())
    }

    /// As a program of that region opens it.
    async fn open(&self, region: &str, options: &str) -> Result<Cache, Error> {
        let own = if region == "eu" { self.eu.address() } else { self.us.address() };
        let peers = self.peers();
        let url = format!("aerospike://{own}/test/cache?region={region}&peers={peers}&{options}");
        Cache::connect(&url).await
    }
}

async fn value(cache: &Cache) -> Option<Vec<u8>> {
    Some(cache.get("k").await.unwrap()?.value.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_two_regions_fence_each_other() {
    let two = Two::start().await;
    let eu = two.open("eu", FENCED).await.unwrap();
    let us = two.open("us", FENCED).await.unwrap();
    let load = async || Ok::<_, Infallible>("old");
    for cache in [&eu, &us] {
        cache.get_or_fill("k", load).await.unwrap();
    }
    let writer = us.reserve("k").await.unwrap();
    assert_eq!(writer.regions().collect::<Vec<_>>(), [("us", Fenced), ("eu", Fenced)]);
    assert_eq!((value(&eu).await, value(&us).await), (None, None));
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(value(&us).await.as_deref(), Some(&b"new"[..]));
    assert!(us.close(Duration::from_secs(10)).await, "the other region was told");
    assert_eq!(
        eu.get_or_fill("k", async || Ok::<_, Infallible>("new")).await.unwrap().unwrap(),
        "new"
    );
    assert_eq!(value(&eu).await.as_deref(), Some(&b"new"[..]), "so it could be filled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_down_at_the_start_is_named_where_nothing_goes_on_without_it() {
    let two = Two::start().await;
    let peers = format!("eu@{},us@127.0.0.1:1", two.eu.address());
    let url = |more: &str| {
        let own = two.eu.address();
        format!("aerospike://{own}/test/cache?region=eu&peers={peers}&{FENCED}{more}")
    };
    let error = Cache::connect(&url("")).await.unwrap_err().to_string();
    assert!(error.contains("region us: ") && error.contains("127.0.0.1:1"), "{error}");

    let cache = Cache::connect(&url("&unreachable=proceed")).await.unwrap();
    let writer = cache.reserve("k").await.unwrap();
    assert_eq!(writer.regions().collect::<Vec<_>>(), [("eu", Fenced), ("us", LeftOut)]);
    assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(value(&cache).await.as_deref(), Some(&b"v"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_hangs_costs_hits_nothing() {
    let two = Two::start().await;
    let cache = two.open("eu", FENCED).await.unwrap();
    cache.get_or_fill("k", async || Ok::<_, Infallible>("v")).await.unwrap();
    // Nothing is answered there from now on, and nothing of it is asked.
    let asked = two.us.faults().add(Rule::new(Action::DropRequest(Then::Close)).always());
    for _ in 0..100 {
        assert_eq!(value(&cache).await.as_deref(), Some(&b"v"[..]));
    }
    assert_eq!(asked.happened(), 0);
    let error = cache.reserve("k").await.unwrap_err().to_string();
    assert!(error.contains("region us: "), "{error}");
}

/// The guarantee holds where all writers fence alike, and not where one does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fences_otherwise_than_the_others_of_its_set_is_refused() {
    for guard in ["", "&cluster_guard=members"] {
        let two = Two::start().await;
        let options = format!("{FENCED}{guard}");
        let own = options.replace("fence=all", "fence=own");
        let plain = format!("aerospike://{}/test/cache?timeout=2s{guard}", two.eu.address());
        two.open("eu", &options).await.unwrap();
        for (other, told) in [
            (two.open("eu", &own).await, "eu of eu,us, fence=own"),
            (Cache::connect(&plain).await, "one region"),
        ] {
            let error = other.unwrap_err().to_string();
            for told in [told, "eu of eu,us, fence=all", "genfence contract"] {
                assert!(error.contains(told), "{error}");
            }
        }
        // Nothing that was refused has changed what they say.
        two.open("eu", &options).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_programs_that_know_of_no_regions_is_not_taken_over() {
    for guard in ["off", "members"] {
        let two = Two::start().await;
        let plain = format!("aerospike://{}/test/cache?cluster_guard={guard}", two.eu.address());
        drop(Cache::connect(&plain).await.unwrap());
        let error = two.open("eu", FENCED).await.unwrap_err().to_string();
        assert!(error.contains("\"one region\""), "{error}");
    }
}

/// By another name it cannot be seen in the URL.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_the_own_cluster_is_refused() {
    let two = Two::start().await;
    let port = two.eu.address().port();
    let peers = format!("eu@127.0.0.1:{port},us@localhost:{port}");
    let url = format!("aerospike://127.0.0.1:{port}/test/cache?region=eu&peers={peers}&{FENCED}");
    let error = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("eu of eu,us") && error.contains("us of eu,us"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_release_is_lost_elsewhere_is_told_again() {
    let two = Two::start().await;
    let eu = two.open("eu", &FENCED.replace("attempts=1", "attempts=2")).await.unwrap();
    let writer = eu.reserve("k").await.unwrap();
    let lost =
        two.us.faults().add(Rule::new(Action::DropRequest(Then::Close)).on(Kind::Operate).times(3));
    assert_eq!(writer.commit("v").await.unwrap(), CommitOutcome::Stored);
    assert!(eu.close(Duration::from_secs(10)).await);
    assert_eq!(lost.happened(), 3);
    let settings =
        AerospikeSettings::new("test", "cache").host("127.0.0.1", two.us.address().port());
    let us = Cache::builder().build(AerospikeStore::connect(&settings).await.unwrap()).unwrap();
    let known = us.inspect("k").await.unwrap().expect("a record stays");
    assert!(known.record.reservations.is_empty(), "{known:?}");
}

/// What is in a cache is not told by those who open it by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_the_program_opened_stays_open() {
    let (eu, us) = (Server::start().await.unwrap(), Server::start().await.unwrap());
    let us = Cache::connect(&format!("aerospike://{}/test/cache", us.address())).await.unwrap();
    let builder = Cache::builder().region("eu").fence(Fence::All).peer("us", us.clone());
    let url = format!("aerospike://{}/test/cache", eu.address());
    let cache = builder.connect(&url).await.unwrap();
    cache.reserve("k").await.unwrap().release(None).await.unwrap();
    assert!(cache.close(Duration::from_secs(10)).await);
    assert!(us.get("k").await.unwrap().is_none());
}

/// The records that serving leases stand in are plain ones, so it is the same on a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_without_a_region_whose_cluster_hangs_once_it_serves_no_more() {
    let two = Two::start().await;
    let options = "fence=all&unreachable=wait&grantors=eu&serving_lease=400ms&reservation_margin=20ms&reservation_time=1s\
        &timeout=200ms&attempts=1&connect_timeout=300ms&cluster_guard=off";
    let eu = two.open("eu", options).await.unwrap();
    let us = two.open("us", options).await.unwrap();
    let load = async || Ok::<_, Infallible>("old");
    for cache in [&eu, &us] {
        for _ in 0..1000 {
            cache.get_or_fill("k", load).await.unwrap();
            if value(cache).await.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(value(cache).await.as_deref(), Some(&b"old"[..]));
    }
    two.us.faults().add(Rule::new(Action::DropRequest(Then::Close)).always());
    let writer = eu.reserve("k").await.unwrap();
    assert_eq!(writer.regions().collect::<Vec<_>>(), [("eu", Fenced), ("us", Out)]);
    assert_eq!(value(&us).await, None);
    assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(value(&eu).await.as_deref(), Some(&b"new"[..]));
}

/// What is wrong with a region is not taken for a region that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_another_than_it_should_be_is_refused_also_where_it_may_be_left_out() {
    for unreachable in ["proceed", "wait&grantors=eu"] {
        let two = Two::start().await;
        drop(
            Cache::connect(&format!("aerospike://{}/test/cache", two.us.address())).await.unwrap(),
        );
        let refused = two.open("eu", &format!("fence=all&unreachable={unreachable}")).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("region us: ") && error.contains("one region"), "{error}");
    }
}
