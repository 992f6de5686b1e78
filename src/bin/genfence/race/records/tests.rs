//! Both kinds of records do what the strategies rely on, so that both races are the same race.

use clap::Parser;
use genfence_wire::Server;
use tokio::runtime::Runtime;

use super::{Expect, Found, InProcess, Place, Records};
use crate::without_login;
use crate::{Cli, Command};

/// On key 0, of which nothing is there yet.
fn behaves(records: &dyn Records) {
    let get = || records.get(0).unwrap();
    let put = |value, expect| records.put(0, value, expect).unwrap();
    let lease = |token| records.get_or_lease(0, token).unwrap();

    // A touch finds nothing, counts, and outdates the generation before it.
    assert_eq!((get(), records.touch(0).unwrap()), (None, None));
    put(1, Expect::Missing);
    put(2, Expect::Missing);
    assert_eq!(
        (get(), records.touch(0).unwrap(), records.touch(0).unwrap()),
        (Some(1), Some(2), Some(3))
    );
    put(3, Expect::Generation(2));
    assert_eq!(get(), Some(1));
    put(4, Expect::Generation(3));
    put(5, Expect::Generation(3));
    assert_eq!((get(), records.touch(0).unwrap()), (Some(4), Some(5)));
    put(6, Expect::Anything);
    assert_eq!(get(), Some(6));

    // A record that went begins anew.
    records.delete(0).unwrap();
    records.delete(0).unwrap();
    put(7, Expect::Generation(6));
    assert_eq!(get(), None);
    put(8, Expect::Anything);
    assert_eq!((get(), records.touch(0).unwrap()), (Some(8), Some(2)));
    records.evict(0).unwrap();
    records.evict(0).unwrap();
    assert_eq!(get(), None);

    // One lease at a time; it fills once, under its own token, unless something took it away.
    assert!(matches!(lease(10), Found::Leased));
    assert!(matches!(lease(11), Found::Busy));
    assert_eq!(get(), None);
    records.fill(0, 11, 9).unwrap();
    assert!(matches!(lease(12), Found::Busy));
    records.fill(0, 10, 9).unwrap();
    assert!(matches!(lease(13), Found::Value(9)));
    records.fill(0, 10, 10).unwrap();
    assert_eq!(get(), Some(9));
    for end in [Records::delete, Records::evict] {
        end(records, 0).unwrap();
        assert!(matches!(lease(u64::MAX), Found::Leased));
        end(records, 0).unwrap();
        records.fill(0, u64::MAX, 11).unwrap();
        assert_eq!(get(), None);
    }
}

#[test]
fn records_in_this_process_behave() {
    behaves(&InProcess::new(1));
}

/// A wire test server, and a race's place on it.
fn on_the_wire() -> (Runtime, Server, Place) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start()).unwrap();
    let url = format!("aerospike://{}/test/race?prefix=p:", server.address());
    let cli = Cli::parse_from(["genfence", "race", "--url", &url, "--keys", "3"]);
    let Command::Race(args) = cli.command else { panic!("another command") };
    let place = runtime.block_on(Place::open(&args)).unwrap();
    (runtime, server, place)
}

/// Without those of the set's contract, which every program leaves, and which never expire.
fn of_keys(server: &Server) -> usize {
    server.records().values().filter(|record| record.void_time != 0).count()
}

#[test]
fn records_on_a_cluster_behave() {
    let (_runtime, _server, place) = on_the_wire();
    behaves(&*place.records("behaves"));
}

#[test]
fn a_race_removes_its_own_records_and_no_other() {
    let (runtime, server, place) = on_the_wire();
    let cache = &place.cluster.as_ref().unwrap().cache;
    let _ = runtime.block_on(cache.set("somebody's", "value")).unwrap();
    let (one, other) = (place.records("one"), place.records("other"));
    for key in 0..3 {
        one.put(key, 1, Expect::Missing).unwrap();
        other.put(key, 2, Expect::Missing).unwrap();
        assert_eq!(one.get(key).unwrap(), Some(1));
    }
    assert_eq!(of_keys(&server), 7);
    drop(one);
    assert_eq!(of_keys(&server), 4);
    drop(other);
    assert!(runtime.block_on(cache.get("somebody's")).unwrap().is_some());
}

#[test]
fn no_reservation_is_evicted() {
    let (runtime, _server, place) = on_the_wire();
    let cache = &place.cluster.as_ref().unwrap().cache;
    let key = place.prefix("genfence") + "0";
    let records = place.records("genfence");
    let reservation = runtime.block_on(cache.reserve(&key)).unwrap();
    records.evict(0).unwrap();
    assert!(runtime.block_on(cache.inspect(&key)).unwrap().is_some(), "it was evicted");
    runtime.block_on(reservation.abort());
    let _ = runtime.block_on(cache.set(&key, "value")).unwrap();
    records.evict(0).unwrap();
    assert!(runtime.block_on(cache.inspect(&key)).unwrap().is_none(), "it was not evicted");
}

#[test]
fn a_place_is_shown_without_login_and_options() {
    for (url, shown) in [
        ("memory://", "memory://"),
        ("aerospike://a:1,b/ns/set?prefix=x", "aerospike://a:1,b/ns/set"),
        ("aerospike://u:s@[::1]:3000/ns/set?prefix=@", "aerospike://[::1]:3000/ns/set"),
        ("aerospike://u:s@s@a/ns/set", "aerospike://a/ns/set"),
    ] {
        assert_eq!(without_login(url), shown);
    }
}
