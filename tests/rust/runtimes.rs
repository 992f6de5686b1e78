//! A cache on Aerospike that is called from another runtime than the one it was opened in.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use genfence::{Cache, Error};
use genfence_wire::Server;
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Generous, as the machine may be busy; and far less than for ever.
const BOUND: Duration = Duration::from_secs(20);

/// A server in a runtime of its own, and the URL of a cache on it.
fn server() -> (Runtime, Server, String) {
    let runtime = multi_thread();
    let server = runtime.block_on(Server::start()).unwrap();
    let url =
        format!("aerospike://{}/test/cache?timeout=200ms&unreachable_read=error", server.address());
    (runtime, server, url)
}

#[test]
fn commands_from_a_second_runtime_work_while_the_first_is_driven() {
    let (_running, _server, url) = server();
    let (home, away) = (multi_thread(), current_thread());
    let cache = home.block_on(Cache::connect(&url)).unwrap();
    away.block_on(async {
        let load = async || Ok::<_, Infallible>("v");
        assert_eq!(cache.get_or_fill("k", load).await.unwrap().unwrap(), "v");
        assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
        let writer = cache.reserve("k").await.unwrap();
        let _ = writer.commit("w").await.unwrap();
        assert_eq!(cache.lookup_many(&["k"]).await.unwrap().len(), 1);
    });
}

fn ends_with(cache: &Cache, words: &str) {
    let start = Instant::now();
    current_thread().block_on(async {
        let told = |error: Error| {
            assert!(matches!(error, Error::Store(_)), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
        };
        told(cache.get("k").await.map(drop).unwrap_err());
        told(cache.reserve("k").await.map(drop).unwrap_err());
        told(cache.invalidate("k", None).await.unwrap_err());
    });
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[test]
fn commands_after_the_first_runtime_has_ended_say_so_at_once() {
    let (_running, _server, url) = server();
    let home = multi_thread();
    let cache = home.block_on(Cache::connect(&url)).unwrap();
    drop(home);
    ends_with(&cache, "has ended");
}

#[test]
fn commands_while_the_first_runtime_is_not_driven_end_within_their_bound() {
    let (_running, _server, url) = server();
    let home = current_thread();
    let cache = home.block_on(Cache::connect(&url)).unwrap();
    ends_with(&cache, "not driven");
    // Driven again, it is what it was.
    home.block_on(async {
        let load = async || Ok::<_, Infallible>("v");
        assert_eq!(cache.get_or_fill("other", load).await.unwrap().unwrap(), "v");
    });
}
