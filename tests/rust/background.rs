//! A cache that is opened before its cluster is there, and one on a client that the program has already.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use genfence::store::{AerospikeSettings, AerospikeStore};
use genfence::{Bypass, Cache, Error, Lookup, UnreachableReserve};
use genfence_wire::{Action, Clock, Config, Rule, Server, Then};

const SOON: Duration = Duration::from_secs(20);

/// A port that nobody listens on.
async fn free_port() -> u16 {
    Server::start().await.unwrap().address().port()
}

async fn at(port: u16) -> Server {
    Server::start_with(Config::default(), Clock::system(), port).await.unwrap()
}

async fn connect(port: u16, options: &str) -> Result<Cache, Error> {
    let options = format!("background_connect=true&connect_timeout=500ms&{options}");
    Cache::connect(&format!("aerospike://127.0.0.1:{port}/test/cache?{options}")).await
}

#[tokio::test]
async fn a_cluster_that_comes_later_is_used_when_it_is_there() {
    let port = free_port().await;
    let cache = connect(port, "").await.unwrap();
    let load = async || Ok::<_, Infallible>("from the source");
    assert_eq!(cache.get_or_fill("k", load).await.unwrap().unwrap(), "from the source");
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    assert!(matches!(cache.reserve("k").await, Err(Error::Store(_))));
    let error = cache.ready(Duration::from_millis(200)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(cache.diagnose().await.is_err());

    let _server = at(port).await;
    cache.ready(SOON).await.unwrap();
    assert!(cache.diagnose().await.is_ok());
    let _loaded = cache.get_or_fill("k", load).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "from the source");
}

#[tokio::test]
async fn reserves_follow_their_option_while_there_is_no_cluster() {
    let builder = Cache::builder().unreachable_reserve(UnreachableReserve::Proceed);
    let url = format!("aerospike://127.0.0.1:{}/test/cache", free_port().await);
    let cache = builder.background_connect(true).connect(&url).await.unwrap();
    assert!(cache.reserve("k").await.is_ok());
}

/// Commands wait for the first try, so that a program whose cluster is there need not know of any of this.
#[tokio::test]
async fn the_first_commands_wait_until_the_cluster_is_connected_to() {
    let server = at(0).await;
    let cache = connect(server.address().port(), "").await.unwrap();
    let _set = cache.set("k", "v").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
}

#[tokio::test]
async fn a_cluster_that_is_silent_at_first_holds_no_command_longer_than_the_time_out() {
    let server = at(0).await;
    server.faults().add(Rule::new(Action::DropRequest(Then::Silence)).always());
    let cache = connect(server.address().port(), "timeout=100ms&attempts=1").await.unwrap();
    let start = Instant::now();
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    assert!(start.elapsed() < Duration::from_secs(5));
    server.faults().clear();
    cache.ready(SOON).await.unwrap();
}

/// One that is there and not fit is none.
#[tokio::test]
async fn an_unfit_cluster_is_not_used_until_it_is_fit() {
    let server = at(0).await;
    let port = server.address().port();
    let url = format!("aerospike://127.0.0.1:{port}/elsewhere/cache?background_connect=true");
    let cache = Cache::connect(&url).await.unwrap();
    let error = cache.ready(Duration::from_secs(2)).await.unwrap_err().to_string();
    assert!(error.contains("still connecting"), "{error}");
    assert!(cache.set("k", "v").await.is_err());
}

#[tokio::test]
async fn what_is_wrong_with_a_setting_is_an_error_at_once() {
    for (options, field) in [
        ("ttl=0s", "ttl"),
        ("tls_ca=/not/there", "tls_ca"),
        ("min_connections=300", "min_connections"),
        ("idle_time=2h", "idle_time"),
        ("address_map==b", "address_map"),
    ] {
        match connect(1, options).await {
            Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
            // The store says it where the setting is its own.
            Err(Error::Store(error)) => assert!(error.to_string().starts_with(field), "{error}"),
            other => panic!("{options}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cache_that_is_dropped_stops_connecting() {
    let port = free_port().await;
    drop(connect(port, "").await.unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let server = at(port).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_cache_goes_through_a_client_that_is_there_already() {
    let server = at(0).await;
    let host = [aerospike::Host::new("127.0.0.1", server.address().port())].to_vec();
    let client = aerospike::Client::new(&aerospike::ClientPolicy::default(), &host).await.unwrap();
    let settings = AerospikeSettings::new("test", "cache");
    let store = AerospikeStore::with_client(client.clone(), &settings).await.unwrap();
    let cache = Cache::builder().build(store).unwrap();
    let _set = cache.set("k", "v").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
    drop(cache);
    assert!(client.is_connected(), "it is the program's");
    let nowhere = AerospikeSettings::new("", "cache");
    let error = AerospikeStore::with_client(client, &nowhere).await.unwrap_err().to_string();
    assert!(error.starts_with("namespace"), "{error}");
}

#[tokio::test]
async fn connections_are_kept_open_for_a_burst() {
    let server = at(0).await;
    let cache = connect(server.address().port(), "min_connections=10").await.unwrap();
    cache.ready(SOON).await.unwrap();
    tokio::time::timeout(SOON, async {
        while server.connections() < 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}
