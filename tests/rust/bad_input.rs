//! What is out of bounds is an error that names the field and the bound, and nothing is sent.

use std::convert::Infallible;
use std::time::Duration;

use crate::support::{Faulty, faulty_with};
use genfence::{Cache, CallError, Error, Fresh, Lookup};

fn invalid<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ Error::Invalid { .. }) => error.to_string(),
        other => panic!("expected an error that names the field, got {other:?}"),
    }
}

fn small() -> (Cache, Faulty) {
    let (cache, store, _) =
        faulty_with(Cache::builder().max_key_bytes(8).max_value_bytes(10).prefix("p:"));
    (cache, store)
}

#[tokio::test]
async fn a_key_out_of_bounds_is_refused_by_every_call() {
    let (cache, store) = small();
    for (key, problem) in
        [("", "key: 0 bytes, must be 1 to 6"), ("7 bytes", "key: 7 bytes, must be 1 to 6")]
    {
        assert_eq!(invalid(cache.get(key).await), problem);
        assert_eq!(invalid(cache.lookup(key).await), problem);
        assert_eq!(invalid(cache.reserve(key).await), problem);
        assert_eq!(invalid(cache.invalidate(key, None).await), problem);
        assert_eq!(invalid(cache.set(key, "v").await), problem);
        assert_eq!(invalid(cache.touch(key, Duration::from_secs(1)).await), problem);
        let load = async || -> Result<&str, Infallible> { panic!("the loader must not run") };
        let filled = cache.get_or_fill(key, load).await;
        assert!(matches!(filled, Err(CallError::Cache(Error::Invalid { field: "key", .. }))));
        let load = async |_: Vec<bytes::Bytes>| -> Result<Vec<(&str, &str)>, Infallible> {
            panic!("the loader must not run")
        };
        let filled = cache.get_or_fill_many(["good", key], load).await;
        assert!(matches!(filled, Err(CallError::Cache(Error::Invalid { field: "key", .. }))));
    }
    assert_eq!(store.sent(), []);
    cache.get("6bytes").await.unwrap();
}

#[tokio::test]
async fn a_value_a_version_or_a_ttl_out_of_bounds_is_refused_before_anything_is_sent() {
    let (cache, store) = small();
    let second = Duration::from_secs(1);
    let year = Duration::from_secs(366 * 24 * 60 * 60);
    let too_new = "version: 9223372036854775808, at most 9223372036854775807 is allowed";
    let zero = "ttl: 0s is out of bounds, must be 1ns to 3650days";
    assert_eq!(invalid(cache.set("k", Fresh::from("v").ttl(Duration::ZERO)).await), zero);
    assert!(invalid(cache.set("k", Fresh::from("v").ttl(11 * year)).await).starts_with("ttl: "));
    assert!(invalid(cache.set("k", Fresh::from("v").version(1)).await).starts_with("version: "));
    assert_eq!(invalid(cache.touch("k", Duration::ZERO).await), zero);
    assert_eq!(invalid(cache.invalidate("k", Some(1 << 63)).await), too_new);
    assert_eq!(store.sent(), []);

    let Lookup::Leased(lease) = cache.lookup("k").await.unwrap() else { panic!("no lease") };
    store.sent();
    assert_eq!(invalid(lease.fill(Fresh::from("v").version(1 << 63)).await), too_new);
    assert_eq!(store.sent(), [], "the lease is given back in the background");

    let reservation = cache.reserve("k").await.unwrap();
    assert_eq!(invalid(reservation.commit_versioned("v", 1 << 63).await), too_new);
    let reservation = cache.reserve("k").await.unwrap();
    assert_eq!(invalid(reservation.release(Some(1 << 63)).await), too_new);
    // The source was changed all the same, so both released.
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Leased(_)));
    let _ = cache.set("ttl", Fresh::from("v").ttl(second / 2)).await.unwrap();
}

#[tokio::test]
async fn an_option_out_of_bounds_is_named_with_its_bound() {
    for (option, problem) in [
        ("ttl=0s", "ttl: 0s is out of bounds, must be 1s to 3650days"),
        ("ttl=4000days", "ttl: 4000days is out of bounds, must be 1s to 3650days"),
        ("negative_ttl=1ms", "negative_ttl: 1ms is out of bounds, must be 1s to 3650days"),
        ("ttl_jitter=0.6", "ttl_jitter: 0.6 is out of bounds, must be 0 to 0.5"),
        ("ttl_jitter=NaN", "ttl_jitter: NaN is out of bounds, must be 0 to 0.5"),
        ("lease_time=1ms", "lease_time: 1ms is out of bounds, must be 10ms to 1m"),
        ("reservation_time=2h", "reservation_time: 2h is out of bounds, must be 100ms to 1h"),
        (
            "reservation_time=1s",
            "reservation_margin: 1s is out of bounds, must be 0s to 999ms; the most is just below `reservation_time`",
        ),
        ("wait=2m", "wait: 2m is out of bounds, must be 0s to 1m"),
        (
            "load_time=1s",
            "load_time: 1s is out of bounds, must be 2s to 1h; the least is `lease_time`",
        ),
        (
            "replica_lag=1h",
            "replica_lag: 1h is out of bounds, must be 0s to 27s; the most is the shortest time to live, after jitter",
        ),
        ("attempts=0", "attempts: 0 is out of bounds, must be 1 to 100"),
        ("max_key_bytes=0", "max_key_bytes: 0 is out of bounds, must be 1 to 65536"),
        (
            "max_value_bytes=1GiB",
            "max_value_bytes: 1073741824 is out of bounds, must be 1 to 124780544",
        ),
        (
            "max_key_bytes=4&prefix=long",
            "prefix: 4 is out of bounds, must be 0 to 3; the most is just below `max_key_bytes`",
        ),
        (
            "max_bytes=1MiB",
            "max_bytes: 1048576 is out of bounds, must be at least 4177920; the least is four times `max_value_bytes`",
        ),
    ] {
        let url = format!("memory://?{option}");
        assert_eq!(invalid(Cache::connect(&url).await), problem);
        assert_eq!(invalid(Cache::builder().check(&url)), problem);
    }
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn the_aerospike_stores_own_settings_have_the_same_bounds() {
    use genfence::store::{AerospikeSettings, AerospikeStore, Auth};

    let server = genfence_wire::Server::start().await.unwrap();
    let good =
        || AerospikeSettings::new("test", "cache").host("127.0.0.1", server.address().port());
    let named = |namespace: &str, set: &str| AerospikeSettings::new(namespace, set).host("a", 3000);
    let long = "x".repeat(64);
    for (settings, problem) in [
        (AerospikeSettings::new("test", "cache"), "host: there is none, must be at least one"),
        (good().host("", 3000), "host: must have a name, and a port of 1 to 65535"),
        (good().host("a", 0), "host: must have a name, and a port of 1 to 65535"),
        (named("", "cache"), "namespace: 0 is out of bounds, must be 1 to 31"),
        (named(&long[..32], "cache"), "namespace: 32 is out of bounds, must be 1 to 31"),
        (named("test", &long), "set: 64 is out of bounds, must be 1 to 63"),
        (
            good().connect_timeout(Duration::ZERO),
            "connect_timeout: 0s is out of bounds, must be 100ms to 1m",
        ),
        (
            good().timeout(Duration::from_secs(61)),
            "timeout: 1m 1s is out of bounds, must be 1ms to 1m",
        ),
        (good().max_connections(0), "max_connections: 0 is out of bounds, must be 1 to 4096"),
        (
            good().max_errors(2_000_000),
            "max_errors: 2000000 is out of bounds, must be 0 to 1000000",
        ),
        (good().login("", "secret"), "user: 0 is out of bounds, must be 1 to 63"),
        (good().auth(Auth::Pki), "auth: `pki` must have `tls_certificate` and `tls_key`"),
    ] {
        let error = AerospikeStore::connect(&settings).await.unwrap_err();
        assert_eq!(error.to_string(), problem);
        assert!(!error.may_retry());
    }
    assert_eq!(server.connections(), 0, "something was sent");
    for (option, problem) in [
        ("connect_timeout=1ms", "connect_timeout: 1ms is out of bounds, must be 100ms to 1m"),
        ("timeout=0s", "timeout: 0s is out of bounds, must be 1ms to 1m"),
        ("max_connections=4097", "max_connections: 4097 is out of bounds, must be 1 to 4096"),
        ("max_errors=1000001", "max_errors: 1000001 is out of bounds, must be 0 to 1000000"),
    ] {
        let url = format!("aerospike://{}/test/cache?{option}", server.address());
        assert_eq!(invalid(Cache::connect(&url).await), problem);
        assert_eq!(invalid(Cache::builder().check(&url)), problem);
    }
    assert_eq!(server.connections(), 0, "something was sent");
}

#[test]
fn a_url_is_checked_without_a_runtime_and_a_connection() {
    let check = |url: &str| Cache::builder().check(url);
    check("memory://?ttl=5m").unwrap();
    assert!(
        invalid(check("memory://?tll=5m"))
            .starts_with("url: unknown option \"tll\"; valid options: ttl, ")
    );
    assert!(invalid(check("redis://a")).starts_with("url: it must begin with `memory://`"));
    #[cfg(feature = "aerospike")]
    {
        check("aerospike://nobody.invalid/test/cache?timeout=1s").unwrap();
        assert!(
            invalid(check("aerospike://a"))
                .starts_with("url: it must name hosts, namespace and set")
        );
        assert_eq!(
            invalid(check("aerospike://a/test/cache?max_bytes=1GiB")),
            "max_bytes: is an option of memory:// alone; leave it out"
        );
    }
    #[cfg(feature = "tls")]
    assert!(invalid(check("aerospike://a/test/cache?tls_ca=/none.pem")).starts_with("tls_ca: "));
}

#[test]
fn opening_a_cache_outside_a_runtime_is_an_error_and_no_panic() {
    let error = invalid(futures_executor(Cache::connect("memory://")));
    assert_eq!(error, "runtime: there is none here; open the cache within a tokio runtime");
}

/// Polls a future that does not wait, without any runtime.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
