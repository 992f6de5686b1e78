//! `genfence doctor`, and the diagnosis behind it, on the wire test server.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use genfence::Cache;
use genfence::store::{Diagnosis, Finding, Level};
use genfence_wire::{Action, Clock, Config, Kind, Rule, Server};
use tokio::process::Command;

async fn doctor(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genfence")).arg("doctor").args(args).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn server(config: Config) -> (Server, String) {
    let server = Server::start_with(config, Clock::system(), 0).await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    (server, url)
}

fn of<'d>(diagnosis: &'d Diagnosis, check: &str) -> &'d Finding {
    let finding = diagnosis.findings.iter().find(|finding| finding.check == check);
    finding.unwrap_or_else(|| panic!("no {check} in {diagnosis:?}"))
}

/// What a server that is fit says: two copies, so that nothing is to be warned of.
fn fit() -> Config {
    Config { replication_factor: 2, ..Config::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fit_server_passes_every_check_with_exit_code_0() {
    let (server, url) = server(fit()).await;
    let output = doctor(&[&url]).await;
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for check in [
        "nodes",
        "clock",
        "version",
        "nsup-period",
        "default-ttl",
        "max-record-size",
        "strong-consistency",
        "contract",
        "regions",
        "conflict-resolution-policy",
        "replication-factor",
        "clock-skew",
        "read-touch",
        "xdr",
        "stop-writes",
        "evictions",
        "may-evict",
    ] {
        let line = said.lines().find(|line| line.contains(check));
        assert!(line.is_some_and(|line| line.starts_with("ok ")), "{check}: {said}");
    }
    assert!(server.records().is_empty(), "it left something behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old_is_refused_with_the_version_that_is_needed() {
    let (server, url) = server(Config { build: "5.7.0.8".into(), ..fit() }).await;
    let refused = Cache::connect(&url).await.unwrap_err().to_string();
    for told in [&server.address().to_string(), "5.7", "6.0 or later"] {
        assert!(refused.contains(told), "{refused}");
    }
    let diagnosis = Cache::builder().diagnose(&url).await.unwrap();
    assert_eq!(of(&diagnosis, "version").level, Level::Error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_connect_refuses_is_diagnosed_all_the_same_with_exit_code_1() {
    let (_server, url) = server(Config { nsup_period: 0, ..fit() }).await;
    let refused = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(refused.contains("nsup-period"), "{refused}");

    let output = doctor(&[&url, "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = said["findings"].as_array().unwrap();
    for check in ["clock", "nsup-period"] {
        let finding = findings.iter().find(|finding| finding["check"] == check).unwrap();
        assert_eq!(finding["level"], "error", "{finding}");
        assert!(finding["why"].is_string() && finding["advice"].is_string(), "{finding}");
    }
    let lines = doctor(&[&url]).await;
    assert!(text(&lines.stdout).contains("do:  set nsup-period"), "{}", text(&lines.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_the_cache_is_open_is_found() {
    let (server, url) = server(fit()).await;
    let cache = Cache::connect(&url).await.unwrap();
    assert_eq!(cache.diagnose().await.unwrap().level(), Level::Ok);

    server.configure(|config| config.stop_writes = true);
    let diagnosis = cache.diagnose().await.unwrap();
    assert_eq!(of(&diagnosis, "stop-writes").level, Level::Error);
    assert_eq!(of(&diagnosis, "clock").level, Level::Error, "no write can be tried");

    server.configure(|config| {
        config.stop_writes = false;
        config.max_record_size = 1 << 20;
        config.info = BTreeMap::from(
            [
                ("get-config:context=xdr", "dcs=west,north;src-id=1"),
                (
                    "get-config:context=xdr;dc=west;namespace=test",
                    "ship-only-specified-sets=false;ignored-sets=other",
                ),
                (
                    "get-config:context=xdr;dc=north;namespace=test",
                    "ship-only-specified-sets=false;ignored-sets=cache",
                ),
                ("statistics", "cluster_size=3;cluster_clock_skew_ms=700"),
            ]
            .map(|(asked, told)| (asked.to_owned(), told.to_owned())),
        );
    });
    let diagnosis = cache.diagnose().await.unwrap();
    let xdr = of(&diagnosis, "xdr");
    assert_eq!((xdr.level, &*xdr.found), (Level::Error, "ships this set to west"));
    assert_eq!(of(&diagnosis, "clock-skew").level, Level::Warning);
    let nodes = of(&diagnosis, "nodes");
    assert_eq!(
        (nodes.level, &*nodes.found),
        (Level::Error, "1 of the cluster's 3 can be reached from here")
    );
    assert_eq!(of(&diagnosis, "stop-writes").level, Level::Ok);

    cache.close(Duration::from_secs(1)).await;
    let refused = cache.diagnose().await.unwrap_err();
    assert!(matches!(refused, genfence::Error::ShutDown), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_the_server_would_not_take_are_warned_of_by_what_the_cache_allows() {
    let (_server, url) = server(Config { max_record_size: 100_000, ..fit() }).await;
    let diagnosis = Cache::builder().diagnose(&url).await.unwrap();
    assert_eq!(of(&diagnosis, "max-record-size").level, Level::Warning);
    let smaller = format!("{url}?max_value_bytes=90000");
    let diagnosis = Cache::builder().diagnose(&smaller).await.unwrap();
    assert_eq!(of(&diagnosis, "max-record-size").level, Level::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_falls_silent_ends_the_diagnosis_within_its_bound() {
    let (server, url) = server(fit()).await;
    let cache = Cache::connect(&url).await.unwrap();
    let _silent = server.faults().add(Rule::new(Action::Stall).on(Kind::Info).always());
    let bound = Duration::from_secs(20);
    let error = tokio::time::timeout(bound, cache.diagnose()).await.expect("within its bound");
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&server.address().to_string()), "{error}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_said_on_stderr_with_exit_code_2() {
    for (url, said) in [
        ("redis://secret", "must begin with"),
        ("aerospike://ada:secret@127.0.0.1:1/test/cache?connect_timeout=300ms", "127.0.0.1:1"),
        ("memory://?ttl=0s", "ttl: 0s is out of bounds"),
    ] {
        let output = doctor(&[url]).await;
        assert_eq!(output.status.code(), Some(2), "{url}");
        let error = text(&output.stderr);
        assert!(error.contains(said) && !error.contains("secret"), "{url}: {error}");
        assert!(output.stdout.is_empty());
    }
    assert!(doctor(&["memory://"]).await.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_other_region_is_looked_at_and_what_all_say_of_regions() {
    let ((eu, here), (us, _)) =
        (server(fit()).await, server(Config { nsup_period: 0, ..fit() }).await);
    let peers = format!("eu@{},us@{},ap@127.0.0.1:1", eu.address(), us.address());
    let url = format!("{here}?region=eu&peers={peers}&fence=all&connect_timeout=300ms");
    let diagnosis = Cache::builder().diagnose(&url).await.unwrap();
    let regions: Vec<_> = diagnosis.findings.iter().filter(|of| of.check == "region").collect();
    let [us_is, ap_is] = regions[..] else { panic!("{diagnosis:?}") };
    assert!(us_is.level == Level::Error && us_is.found.contains("us: "), "{us_is:?}");
    assert!(us_is.found.contains("nsup-period"), "{us_is:?}");
    assert!(ap_is.found.contains("ap: ") && ap_is.found.contains("127.0.0.1:1"), "{ap_is:?}");
    assert_eq!(of(&diagnosis, "regions").level, Level::Ok);

    Cache::connect(&here).await.unwrap();
    let diagnosis = Cache::builder().diagnose(&url).await.unwrap();
    let regions = of(&diagnosis, "regions");
    assert!(regions.level == Level::Error && regions.found == "one region", "{regions:?}");
    assert!(regions.advice.as_ref().unwrap().contains("eu of ap,eu,us, fence=all"), "{regions:?}");
}
