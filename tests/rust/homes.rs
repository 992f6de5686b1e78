//! Keys that are at home in one of several regions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use genfence::RegionOutcome::{Fenced, LeftOut};
use genfence::store::{Clock, Store as _};
use genfence::{
    Builder, Bypass, Cache, CommitOutcome, Error, Fence, HomesPhase, Lookup, SetOutcome,
    UnreachableRegion,
};
use serde::Deserialize;

use crate::support::{Fault, Faulty, Kind};

/// The clusters of some regions, as programs of each of them use them.
struct World(BTreeMap<&'static str, Faulty>);

impl World {
    fn new(regions: &[&'static str]) -> Self {
        World(regions.iter().map(|region| (*region, Faulty::new(Clock::manual()))).collect())
    }

    /// A program of a region, which knows of all.
    fn program(&self, region: &str, with: impl FnOnce(Builder) -> Builder) -> Result<Cache, Error> {
        let others = self.0.iter().filter(|(name, _)| **name != region);
        let builder = others
            .fold(Cache::builder().region(region).fence(Fence::Home), |all, (name, store)| {
                all.peer(*name, Cache::builder().build(store.clone()).unwrap())
            });
        with(builder).build(self.0[region].clone())
    }

    fn in_phase(&self, homes: &str, phase: HomesPhase) -> Cache {
        let homes = homes.to_owned();
        self.program("eu", |builder| builder.homes(homes).homes_phase(phase)).unwrap()
    }

    /// In which regions' stores something is known.
    async fn known_in(&self, name: &[u8]) -> Vec<&'static str> {
        let mut known = Vec::new();
        for (region, store) in &self.0 {
            if store.inner().inspect(name).await.unwrap().is_some() {
                known.push(*region);
            }
        }
        known
    }
}

async fn homes(cache: &Cache, key: impl AsRef<[u8]>) -> Vec<String> {
    let writer = cache.reserve(key).await.unwrap();
    let homes = writer.regions().map(|(region, _)| region.to_owned()).collect();
    writer.abort().await;
    homes
}

async fn read(cache: &Cache, key: &str) -> Option<Vec<u8>> {
    Some(cache.get(key).await.unwrap()?.value.unwrap().to_vec())
}

/// The first key that has that home in the one list, and that in the other.
async fn moving(world: &World, from: (&str, &str), to: (&str, &str)) -> String {
    let (old, new) =
        (world.in_phase(from.0, HomesPhase::Done), world.in_phase(to.0, HomesPhase::Done));
    for number in 0.. {
        let key = format!("user:{number}");
        if homes(&old, &key).await == [from.1] && homes(&new, &key).await == [to.1] {
            return key;
        }
    }
    unreachable!()
}

#[derive(Deserialize)]
struct Cases {
    lists: Vec<List>,
}

#[derive(Deserialize)]
struct List {
    regions: Vec<String>,
    homes: BTreeMap<String, String>,
}

/// Whoever computes it elsewhere must come to the same, and so must every version.
#[tokio::test]
async fn a_key_is_at_home_where_the_list_of_cases_says() {
    let cases: Cases = serde_json::from_str(include_str!("../cases/homes.json")).unwrap();
    for List { regions, homes: expected } in cases.lists {
        let others = regions.iter().skip(1);
        let mut builder = Cache::builder().region(&regions[0]).fence(Fence::Home);
        for region in others {
            builder = builder.peer(region, Cache::connect("memory://").await.unwrap());
        }
        if regions.len() == 1 {
            // There are several, and one of them is the home of all keys.
            let other = Cache::connect("memory://").await.unwrap();
            builder = builder.peer("other", other).homes(&*regions[0]);
        }
        let cache = builder.connect("memory://?prefix=users:").await.unwrap();
        for (key, home) in expected {
            let bytes: Vec<u8> = (0..key.len() / 2)
                .map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            assert_eq!(homes(&cache, bytes).await, [home], "{key} of {regions:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_regions_read_change_and_fill_a_key_at_its_home_and_nowhere_else() {
    let world = World::new(&["eu", "us"]);
    let [eu, us] = ["eu", "us"].map(|region| world.program(region, |builder| builder).unwrap());
    for number in 0..20 {
        let key = format!("user:{number}");
        let loaded = eu.get_or_fill(&key, async || Ok::<_, Infallible>("old")).await.unwrap();
        assert_eq!(loaded.as_deref(), Some(&b"old"[..]));
        assert_eq!(read(&us, &key).await.as_deref(), Some(&b"old"[..]));

        let writer = us.reserve(&key).await.unwrap();
        assert!(matches!(eu.lookup(&key).await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
        assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
        assert_eq!(read(&eu, &key).await.as_deref(), Some(&b"new"[..]));

        let home = homes(&eu, &key).await;
        let name = [&1_u64.to_be_bytes(), key.as_bytes()].concat();
        assert_eq!(world.known_in(&name).await, home);
        eu.invalidate(&key, None).await.unwrap();
        assert_eq!(read(&us, &key).await, None);
        assert_eq!(eu.set(&key, "set").await.unwrap(), SetOutcome::Stored);
        us.touch(&key, Duration::from_secs(60)).await.unwrap();
        let known = us.inspect(&key).await.unwrap().unwrap();
        assert_eq!(known.expires_in(), Duration::from_secs(60));
    }
    let keys: Vec<String> = (0..20).map(|number| format!("user:{number}")).collect();
    let found = us.lookup_many(&keys).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Some(Lookup::Hit(_)))), "{found:?}");
    us.invalidate_many(keys.iter().map(|key| (key, None))).await.unwrap();
    let filled = eu.get_or_fill_many(&keys, async |keys| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
    });
    let filled = filled.await.unwrap();
    let own: Vec<_> = filled.iter().map(|value| value.as_deref()).collect();
    assert_eq!(own, keys.iter().map(|key| Some(key.as_bytes())).collect::<Vec<_>>());
    assert_eq!(read(&us, "user:7").await.as_deref(), Some(&b"user:7"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_home_that_does_not_answer_costs_its_keys_alone() {
    let world = World::new(&["eu", "us"]);
    let eu = world.program("eu", |builder| builder.attempts(1)).unwrap();
    let mut at = BTreeMap::new();
    for number in 0..20 {
        let key = format!("user:{number}");
        let _ = eu.set(&key, "v").await.unwrap();
        at.insert(homes(&eu, &key).await.remove(0), key.clone());
        let _ = eu.set(&key, "v").await.unwrap();
    }
    let lost = |kind| world.0["us"].next_many(kind, &Fault::Lost, 3);
    lost(Kind::Get);
    assert_eq!(read(&eu, &at["eu"]).await.as_deref(), Some(&b"v"[..]));
    assert!(matches!(eu.lookup(&at["us"]).await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
    lost(Kind::Reserve);
    eu.reserve(&at["eu"]).await.unwrap().abort().await;
    let error = eu.reserve(&at["us"]).await.unwrap_err().to_string();
    assert!(error.contains("region us: "), "{error}");

    let proceeds = |builder: Builder| builder.attempts(1).unreachable(UnreachableRegion::Proceed);
    let eu = world.program("eu", proceeds).unwrap();
    lost(Kind::Reserve);
    let writer = eu.reserve(&at["us"]).await.unwrap();
    assert_eq!(writer.regions().collect::<Vec<_>>(), [("us", LeftOut)]);
    assert!(!writer.is_held());
    assert_eq!(eu.stats().regions_left_out, 1);
    drop(writer);
}

/// The list of homes changes in phases. Of two programs in neighbouring ones, each fences what the other reads.
#[tokio::test(start_paused = true)]
async fn programs_in_neighbouring_phases_serve_nothing_old() {
    let world = World::new(&["ap", "eu", "us"]);
    let (old, new) = ("eu,us", "ap,eu,us");
    let both = "eu,us/ap,eu,us";
    let key = moving(&world, (old, "us"), (new, "ap")).await;
    let phases = [
        (old, HomesPhase::Done, vec!["us"]),
        (both, HomesPhase::Fence, vec!["us", "ap"]),
        (both, HomesPhase::Read, vec!["ap", "us"]),
        (both, HomesPhase::Done, vec!["ap"]),
    ];
    let programs: Vec<_> = phases
        .into_iter()
        .map(|(homes, phase, fenced)| (world.in_phase(homes, phase), fenced))
        .collect();
    for pair in programs.windows(2) {
        for (writer, reader) in [(0, 1), (1, 0), (1, 1)] {
            let ((writer, fenced), reader) = (&pair[writer], &pair[reader].0);
            reader.get_or_fill(&key, async || Ok::<_, Infallible>("old")).await.unwrap();
            assert!(read(reader, &key).await.is_some());
            let reservation = writer.reserve(&key).await.unwrap();
            let regions: Vec<_> = reservation.regions().collect();
            assert_eq!(regions, fenced.iter().map(|region| (*region, Fenced)).collect::<Vec<_>>());
            assert!(matches!(reader.lookup(&key).await.unwrap(), Lookup::Bypass(Bypass::Reserved)));
            assert_eq!(reservation.commit("new").await.unwrap(), CommitOutcome::Stored);
            // Who reads elsewhere is told in the background.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(read(reader, &key).await.is_none_or(|value| value == b"new"));

            reader.invalidate(&key, None).await.unwrap();
            reader.get_or_fill(&key, async || Ok::<_, Infallible>("old")).await.unwrap();
            writer.invalidate(&key, None).await.unwrap();
            assert_eq!(read(reader, &key).await, None);
        }
    }
}

/// What a home kept from before is as old as that: nobody fenced it while the key was at home elsewhere.
#[tokio::test(start_paused = true)]
async fn a_key_that_comes_home_again_finds_nothing_of_before() {
    let world = World::new(&["ap", "eu", "us"]);
    let key = moving(&world, ("eu,us", "us"), ("ap,eu,us", "ap")).await;
    let stays = moving(&world, ("eu,us", "us"), ("ap,eu,us", "us")).await;
    let first = world.in_phase("eu,us", HomesPhase::Done);
    let _ = first.set(&key, "old").await.unwrap();
    let _ = first.set(&stays, "stays").await.unwrap();

    let second = world.in_phase("eu,us/ap,eu,us", HomesPhase::Done);
    assert_eq!(read(&second, &key).await, None);
    assert_eq!(read(&second, &stays).await.as_deref(), Some(&b"stays"[..]), "its home is the same");
    second.reserve(&key).await.unwrap().commit("new").await.map(drop).unwrap();

    let third = world.in_phase("eu,us/ap,eu,us/eu,us", HomesPhase::Read);
    assert_eq!(read(&third, &key).await, None);
    assert_eq!(homes(&third, &key).await, ["us", "ap"]);
    assert_eq!(read(&third, &stays).await.as_deref(), Some(&b"stays"[..]));
    assert_eq!(homes(&third, &stays).await, ["us"], "it need not be reserved twice");
}

#[tokio::test(start_paused = true)]
async fn a_function_of_the_programs_says_where_a_key_is_at_home() {
    let world = World::new(&["eu", "us"]);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let by_name = move |key: &[u8]| {
        counted.fetch_add(1, SeqCst);
        match key {
            b"panics" => panic!("on purpose"),
            b"mars" => "mars",
            key if key.starts_with(b"us:") => "us",
            _ => "eu",
        }
    };
    let eu = world.program("eu", |builder| builder.home("by-name", by_name)).unwrap();
    assert_eq!(homes(&eu, "us:1").await, ["us"]);
    assert_eq!(homes(&eu, "1").await, ["eu"]);
    for (key, told) in [
        ("panics", "home: the function panicked"),
        ("mars", "home: the function says \"mars\" of a key, which is no region; these are us, eu"),
    ] {
        let errors = [
            eu.get(key).await.map(drop),
            eu.lookup(key).await.map(drop),
            eu.lookup_many(&[key]).await.map(drop),
            eu.reserve(key).await.map(drop),
            eu.set(key, "v").await.map(drop),
            eu.touch(key, Duration::from_secs(60)).await.map(drop),
            eu.invalidate(key, None).await,
            eu.invalidate_many([(key, None)]).await,
            eu.inspect(key).await.map(drop),
            eu.get_or_fill(key, async || Ok::<_, Infallible>("v")).await.map(drop).map_err(
                |error| match error {
                    genfence::CallError::Cache(error) => error,
                    genfence::CallError::Caller(never) => match *never {},
                },
            ),
        ];
        for (call, error) in errors.into_iter().enumerate() {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Invalid { field: "home", .. }), "{call}: {error:?}");
            assert!(error.to_string().contains(told), "{call}: {error}");
        }
    }
    assert!(calls.load(SeqCst) > 0);
    // More than are sent at a time, and the last of them has no home: nothing is sent.
    let _ = eu.set("1", "v").await.unwrap();
    let keys = (0..5_000).map(|number| (number.to_string(), Some(1)));
    let error = eu.invalidate_many(keys.chain([("mars".to_owned(), Some(2))])).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { field: "home", .. }), "{error:?}");
    assert_eq!(read(&eu, "1").await.as_deref(), Some(&b"v"[..]));

    // From a list to a function, and the same in phases.
    let both = |builder: Builder| {
        let by_name = |_: &[u8]| "us".to_owned();
        builder.home("always-us", by_name).homes("eu/always-us").homes_phase(HomesPhase::Fence)
    };
    let eu = world.program("eu", both).unwrap();
    assert_eq!(homes(&eu, "k").await, ["eu", "us"]);
    let twice = |builder: Builder| builder.home("eu", |_: &[u8]| "us");
    let error = world.program("eu", twice).unwrap_err().to_string();
    assert_eq!(error, "home: eu is the name of a region: give it another");
}

/// Where a list is over that was a function's, programs need not have the function any more: they must come to the same as those that do.
#[tokio::test(start_paused = true)]
async fn a_function_that_is_over_changes_nothing_for_who_has_it_still() {
    let world = World::new(&["eu", "us"]);
    let by = |key: &[u8]| match key {
        b"panics" => panic!("on purpose"),
        b"mars" => "mars",
        key if key.len().is_multiple_of(2) => "us",
        _ => "eu",
    };
    let with = |phase| {
        let with =
            move |builder: Builder| builder.home("by", by).homes("by/eu,us").homes_phase(phase);
        world.program("eu", with).unwrap()
    };
    let (reads, done) = (with(HomesPhase::Read), with(HomesPhase::Done));
    let without = world.in_phase("by/eu,us", HomesPhase::Done);
    for number in 0..50 {
        let key = format!("user:{number}");
        for writer in [&reads, &done] {
            without.get_or_fill(&key, async || Ok::<_, Infallible>("old")).await.unwrap();
            let reservation = writer.reserve(&key).await.unwrap();
            assert_eq!(read(&without, &key).await, None, "{key}");
            reservation.commit("new").await.map(drop).unwrap();
            assert_eq!(read(&without, &key).await.as_deref(), Some(&b"new"[..]), "{key}");
            without.invalidate(&key, None).await.unwrap();
        }
    }
    for key in ["mars", "panics"] {
        let _ = done.set(key, "v").await.unwrap();
        assert_eq!(read(&without, key).await.as_deref(), Some(&b"v"[..]));
    }
}

/// Programs of two regions, on servers of their own.
mod on_wire {
    use genfence::{CommitOutcome, Fence};
    use genfence_wire::Server;
    use tokio::process::Command;

    use super::*;

    const OPTIONS: &str = "fence=home&timeout=2s&cluster_guard=off&reservation_time=500ms&reservation_margin=100ms&replica_lag=0s";

    struct Two([Server; 2]);

    impl Two {
        async fn start() -> Self {
            Two([Server::start().await.unwrap(), Server::start().await.unwrap()])
        }

        fn url(&self, own: usize, more: &str) -> String {
            let [eu, us] = self.0.each_ref().map(Server::address);
            let region = ["eu", "us"][own];
            let at = [eu, us][own];
            format!(
                "aerospike://{at}/test/cache?region={region}&peers=eu@{eu},us@{us}&{OPTIONS}{more}"
            )
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_is_changed_from_another_region_than_its_home() {
        let two = Two::start().await;
        let eu = Cache::connect(&two.url(0, "")).await.unwrap();
        let us = Cache::connect(&two.url(1, "")).await.unwrap();
        let keys: Vec<String> = (0..40).map(|number| format!("user:{number}")).collect();
        for key in &keys {
            eu.get_or_fill(key, async || Ok::<_, Infallible>("old")).await.unwrap();
            let writer = us.reserve(key).await.unwrap();
            assert_eq!(read(&eu, key).await, None);
            assert_eq!(writer.commit("new").await.unwrap(), CommitOutcome::Stored);
            assert_eq!(read(&eu, key).await.as_deref(), Some(&b"new"[..]));
        }
        let found = us.lookup_many(&keys).await.unwrap();
        assert!(found.iter().all(|found| matches!(found, Some(Lookup::Hit(_)))), "{found:?}");
        let (eu_stats, us_stats) = (eu.stats(), us.stats());
        assert_eq!((eu_stats.hits, us_stats.hits, us_stats.commits_stored), (40, 40, 40));
        // Beside those of the contract.
        let records = two.0.each_ref().map(|server| server.records().len());
        assert!(records.iter().all(|count| *count >= 32 + 10), "both are homes: {records:?}");
        assert!(eu.close(Duration::from_secs(10)).await && us.close(Duration::from_secs(10)).await);
        assert!(matches!(eu.get("user:1").await, Err(Error::ShutDown)));
    }

    async fn contract(args: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
        let output = command.arg("contract").args(args).output().await.unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(told).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_list_of_homes_changes_in_three_phases_and_in_no_other_way() {
        let two = Two::start().await;
        let phases = [
            "&homes=eu",
            "&homes=eu/eu,us&homes_phase=fence",
            "&homes=eu/eu,us&homes_phase=read",
            "&homes=eu/eu,us",
        ];
        // As each region is told.
        let set = async |phase: &str, how: &[&str]| {
            for region in [0, 1] {
                let (done, told) =
                    contract(&[&["set", &two.url(region, phase)], how].concat()).await;
                assert!(done, "{told}");
                let waits = phase.ends_with("homes_phase=read") && how == ["--also"];
                assert_eq!(told.contains("waiting 600ms"), waits, "{phase}: {told}");
            }
        };
        Cache::connect(&two.url(0, phases[0])).await.unwrap();
        for other in &phases[1..] {
            let error = Cache::connect(&two.url(0, other)).await.unwrap_err().to_string();
            assert!(error.contains(" of eu,us, fence=home, homes=eu\""), "{error}");
        }
        for (at, step) in phases.windows(2).enumerate() {
            // But for the one that comes next, and the one to call the first change off with.
            let strangers = phases
                .iter()
                .enumerate()
                .filter(|(place, _)| *place != at && *place != at + 1 && (at, *place) != (1, 0));
            for (place, other) in strangers {
                let (done, told) = contract(&["set", &two.url(0, other), "--also"]).await;
                assert!(!done && told.contains("nothing is promised"), "{at}, {place}: {told}");
            }
            set(step[1], &["--also"]).await;
            if at == 1 {
                // Who reads at the new homes may have stored there.
                let (done, told) = contract(&["set", &two.url(0, step[0])]).await;
                assert!(!done && told.contains("nothing is promised"), "{told}");
            }
            for program in step {
                Cache::connect(&two.url(0, program)).await.unwrap();
            }
            set(step[1], &[]).await;
            assert!(Cache::connect(&two.url(0, step[0])).await.is_err());
        }
        let all = two.url(0, "").replace("fence=home", "fence=all");
        let (done, told) = contract(&["set", &all, "--also"]).await;
        assert!(!done && told.contains("nothing is promised"), "{told}");

        // The tool need not have the function that programs have.
        let by = "&homes=eu/eu,us/by-name&homes_phase=fence";
        set(by, &["--also"]).await;
        let by = two.url(0, by);
        let (_, told) = contract(&["show", &by]).await;
        assert!(told.contains("homes=eu/eu,us/by-name, homes_phase=fence"), "{told}");
        let error = Cache::connect(&by).await.unwrap_err().to_string();
        assert!(error.contains("homes: by-name is no region, and no function"), "{error}");
        let program = Cache::builder().home("by-name", |_: &[u8]| "us").connect(&by).await;
        assert_eq!(
            homes(&program.unwrap(), "k").await,
            ["eu", "us"].map(str::to_owned)[..].to_vec()
        );
    }

    /// What is read at another home is served under the gate of the own region.
    #[tokio::test(flavor = "multi_thread")]
    async fn no_home_is_served_from_while_the_stream_is_silent() {
        let two = Two::start().await;
        let gated = "&stream_bound=30s";
        let eu = Cache::connect(&two.url(0, gated)).await.unwrap();
        for key in (0..20).map(|number| format!("user:{number}")) {
            assert!(matches!(eu.lookup(&key).await.unwrap(), Lookup::Bypass(Bypass::Unreachable)));
        }
        let us = Cache::builder().region("us").build(genfence::store::MemoryStore::new(8 << 20));
        assert!(us.is_err(), "there are no peers");
        let opened = Cache::connect("memory://").await.unwrap();
        let builder = Cache::builder().region("eu").fence(Fence::Home).peer("us", opened);
        let error = builder.connect("memory://?stream_bound=1s").await.unwrap_err().to_string();
        assert!(error.starts_with("stream_bound: cannot be where `fence` is `home`"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_home_that_is_away_at_the_start_keeps_nobody_from_starting() {
        let two = Two::start().await;
        let away = two.url(0, "&connect_timeout=300ms&timeout=200ms&attempts=1");
        let away = away.replace(&format!("us@{}", two.0[1].address()), "us@127.0.0.1:1");
        let eu = Cache::connect(&away).await.unwrap();
        let (mut near, mut far) = (0, 0);
        for key in (0..10).map(|number| format!("user:{number}")) {
            match eu.reserve(&key).await {
                Ok(reservation) => {
                    reservation.abort().await;
                    near += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("region us: "), "{error}");
                    far += 1;
                }
            }
        }
        assert!(near > 0 && far > 0, "{near} and {far}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_number_of_a_list_is_used_again_also_where_all_have_stopped() {
        let two = Two::start().await;
        Cache::connect(&two.url(0, "&homes=eu/us")).await.unwrap();
        for lists in ["eu", "eu/us,eu"] {
            let url = two.url(0, &format!("&homes={lists}"));
            let (done, told) = contract(&["set", &url, "--stopped"]).await;
            assert!(!done && told.contains("would be found again"), "{lists}: {told}");
        }
        let url = two.url(0, "&homes=eu/us/eu");
        let (done, told) = contract(&["set", &url, "--stopped"]).await;
        assert!(done && told.contains("waiting 600ms"), "{told}");
    }

    /// A tool that asks and is gone says nothing that programs would have to agree with.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_tool_leaves_it_to_programs_what_a_set_says() {
        let two = Two::start().await;
        let url = two.url(0, "");
        let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
        assert!(command.args(["invalidate", &url, "k"]).status().await.unwrap().success());
        let (_, told) = contract(&["show", &url]).await;
        assert!(told.starts_with("nothing is written"), "{told}");
        let program = Cache::builder().home("by-name", |_: &[u8]| "us").connect(&url).await;
        program.unwrap();
        // With the name of the programs' function it is let in where no key is asked for.
        let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
        let regions = ["regions", &two.url(0, "&homes=by-name")];
        assert!(command.args(regions).status().await.unwrap().success());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invalidates_of_many_callers_travel_together() {
        let two = Two::start().await;
        for fence in ["own", "home", "all"] {
            let url = two.url(0, "").replace("/cache?", &format!("/{fence}?"));
            let url = url.replace("fence=home", &format!("fence={fence}"));
            let cache = Cache::connect(&url).await.unwrap();
            // Until it is known which node has which key they go one by one.
            for _ in 0..50 {
                let told = (0..200_u64).map(|number| cache.invalidate(number.to_string(), Some(1)));
                for told in futures_util::future::join_all(told).await {
                    told.unwrap();
                }
                if cache.stats().merged > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(cache.stats().merged > 100, "{fence}: {:?}", cache.stats());
        }
    }

    /// What is told of a key that nobody can ask for.
    struct Told(Vec<genfence::Changed>);

    impl genfence::ChangeStream for Told {
        type Position = ();
        type Error = Infallible;

        async fn next(&mut self) -> Result<Option<genfence::ChangeBatch<()>>, Infallible> {
            let changes = std::mem::take(&mut self.0);
            let batch = genfence::ChangeBatch { changes, heartbeats: vec![], position: () };
            Ok((!batch.changes.is_empty()).then_some(batch))
        }

        async fn confirm(&mut self, (): ()) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_of_a_key_without_a_home_does_not_end_a_follower() {
        let two = Two::start().await;
        let by = |key: &[u8]| if key == b"mars" { "mars" } else { "us" };
        let eu = Cache::builder().home("by", by).connect(&two.url(0, "")).await.unwrap();
        let _ = eu.set("k", "v").await.unwrap();
        let changes = ["mars", "k"].map(genfence::Changed::new).to_vec();
        eu.follow(Told(changes)).run().await.unwrap();
        assert_eq!(read(&eu, "k").await, None);
    }
}
