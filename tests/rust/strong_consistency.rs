//! A namespace with strong consistency, as the wire test server plays it: there a record may only go by a
//! durable delete.

use genfence::store::Level;
use genfence::{Cache, CommitOutcome, FillOutcome, Lookup, ReleaseOutcome};
use genfence_wire::{Clock, Config, Kind, Server};

use crate::support::kept;

async fn start(strong_consistency: bool) -> (Server, Cache) {
    let config = Config { strong_consistency, replication_factor: 2, ..Config::default() };
    let server = Server::start_with(config, Clock::system(), 0).await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    (server, cache)
}

#[tokio::test]
async fn no_command_lets_a_record_vanish() {
    for strong in [false, true] {
        let (server, cache) = start(strong).await;
        assert_eq!(kept(&server), 0, "connecting left something behind");

        cache.reserve("aborted").await.unwrap().abort().await;
        let released = cache.reserve("released").await.unwrap().release(None).await.unwrap();
        assert_eq!(released, ReleaseOutcome::Purged);
        let Lookup::Leased(lease) = cache.lookup("given back").await.unwrap() else { panic!() };
        drop(lease);
        let _ = cache.set("invalidated", "v").await.unwrap();
        cache.invalidate("invalidated", None).await.unwrap();
        cache.close(std::time::Duration::from_secs(5)).await;
        // What vanished would be no news to a copy that was away with a value.
        assert_eq!(kept(&server), 4, "{strong}: {:?}", server.records());
        assert_eq!(server.requests(Kind::Delete), 0, "each is one command");
    }
}

#[tokio::test]
async fn values_are_stored_and_the_diagnosis_says_that_consistency_is_strong() {
    let (_server, cache) = start(true).await;
    let Lookup::Leased(lease) = cache.lookup("k").await.unwrap() else { panic!() };
    assert_eq!(lease.fill("v").await.unwrap(), FillOutcome::Stored);
    let reservation = cache.reserve("k").await.unwrap();
    assert_eq!(reservation.commit("w").await.unwrap(), CommitOutcome::Stored);
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "w");
    let diagnosis = cache.diagnose().await.unwrap();
    assert_eq!(diagnosis.level(), Level::Ok, "{diagnosis:?}");
}
