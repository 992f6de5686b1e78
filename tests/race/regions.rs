//! `genfence race --regions`: plain ways serve stale values and leave keys wrong, and genfence does neither.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{outcomes, text, texts_within};

const WAYS: [&str; 6] = [
    "plain generation",
    "delete-after-commit",
    "genfence own",
    "genfence all",
    "genfence wait",
    "genfence home",
];
const HOSTS: [&str; 2] = ["AEROSPIKE_HOSTS", "AEROSPIKE_HOSTS_2"];

/// On servers of its own, wherever else the tests run.
fn tool(args: &[&str]) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_genfence"));
    tool.args(["race", "--regions"]).args(args);
    for name in HOSTS {
        tool.env_remove(name);
    }
    tool
}

fn regions(args: &[&str]) -> Output {
    tool(args).output().unwrap()
}

fn count(outcome: &Value, field: &str) -> u64 {
    outcome[field].as_u64().unwrap_or_else(|| panic!("no {field} in {outcome}"))
}

fn assert_ours_hold(outcomes: &[Value]) {
    let names: Vec<_> = outcomes.iter().map(|outcome| outcome["way"].as_str()).collect();
    assert_eq!(names, WAYS.map(Some));
    for outcome in outcomes {
        let [reads, hits] = ["reads", "hits"].map(|field| count(outcome, field));
        assert!(hits > 0 && reads > hits, "it did not cache: {outcome}");
    }
    let [.., own, all, wait, home] = outcomes else { panic!("{outcomes:?}") };
    assert_eq!(count(own, "older_than_told"), 0, "{own}");
    for fenced in [all, wait, home] {
        assert_eq!(count(fenced, "stale_hits"), 0, "{fenced}");
    }
    for ours in [own, all, wait, home] {
        assert_eq!(
            (count(ours, "left_wrong"), count(ours, "wrong_from_nothing")),
            (0, 0),
            "{ours}"
        );
    }
}

#[test]
fn plain_ways_leave_keys_wrong_and_genfence_leaves_none() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("regions.svg");
    // Few keys and much lag: the regions cross on every key, many times.
    let load = ["--keys", "20", "--lag", "700", "--seconds", "2", "--json", "--svg"];
    let output = regions(&[&load[..], &[svg.to_str().unwrap()]].concat());
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success());

    let outcomes = outcomes(&output);
    assert_ours_hold(&outcomes);
    let plain = &outcomes[0];
    assert_eq!((&plain["lag_ms"], &plain["conflict"]), (&700.into(), &"overwrite".into()));
    for field in ["stale_hits", "left_wrong", "wrong_from_nothing"] {
        assert!(count(plain, field) > 0, "{field}: {plain}");
    }
    assert_is_story(&svg);
}

/// It has its lanes, both writers' steps, and the end; every text is within the picture.
fn assert_is_story(svg: &Path) {
    let texts = texts_within(svg);
    let times = |wanted: &str| texts.iter().filter(|text| text.contains(wanted)).count();
    for wanted in ["eu's cache", "the source", "us's cache"] {
        assert_eq!(times(wanted), 1, "{wanted} in {texts:?}");
    }
    for wanted in ["touch:", "generation 0", "COMMIT", "put version"] {
        assert_eq!(times(wanted), 2, "{wanted} in {texts:?}");
    }
    assert!(times("shipped") > 0 && times("for good") > 0, "{texts:?}");
    let names = WAYS.map(|name| name.replace("delete-", "delete- "));
    for word in names.iter().flat_map(|name| name.split(' ')) {
        assert!(times(word) >= 2, "{word} in {texts:?}");
    }
}

#[test]
fn with_any_rule_for_conflicts_ours_hold() {
    for rule in ["last-update", "generation"] {
        let load = ["--keys", "20", "--lag", "200", "--seconds", "1", "--json"];
        let output = regions(&[&load[..], &["--conflict", rule]].concat());
        println!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success());
        let outcomes = outcomes(&output);
        assert_ours_hold(&outcomes);
        assert_eq!(outcomes[0]["conflict"], rule);
        // Whoever asks for a higher generation keeps what it has: each region keeps its own.
        if rule == "generation" {
            assert!(count(&outcomes[0], "wrong_from_nothing") > 0, "{}", outcomes[0]);
        }
    }
}

#[test]
fn what_it_cannot_do_is_refused_by_name() {
    for (args, named) in [
        (["--lag", "0"], "1..=10000"),
        (["--lag", "10001"], "--lag"),
        (["--conflict", "newest"], "--conflict"),
        (["--source", "sqlite"], "--source"),
        (["--url", "memory://"], "--url"),
    ] {
        let output = regions(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(named), "{}", text(&output.stderr));
    }
    for args in [&["--regions", "--chaos"][..], &["--lag", "5"], &["--conflict", "generation"]] {
        let output = super::race(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn one_cluster_of_two_is_not_enough() {
    let output = tool(&[]).env(HOSTS[1], "127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("AEROSPIKE_HOSTS,") && error.contains("not set"), "{error}");
    // Nobody is there.
    let nobody = HOSTS.map(|name| (name, "127.0.0.1:1"));
    let output = tool(&[]).envs(nobody).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{}", text(&output.stderr));
}

#[test]
fn clusters_of_others_are_used_and_left_as_they_were() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = || runtime.block_on(genfence_wire::Server::start()).unwrap();
    let servers = [start(), start()];
    let hosts = servers.each_ref().map(|server| server.address().to_string());
    let load = ["--keys", "5", "--lag", "50", "--seconds", "1", "--json"];
    let output = tool(&load).envs(HOSTS.iter().zip(&hosts)).output().unwrap();
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success());
    let outcomes = outcomes(&output);
    assert_ours_hold(&outcomes);
    for (region, host) in ["eu", "us"].iter().zip(&hosts) {
        assert_eq!(outcomes[0][region], **host);
    }
    for server in &servers {
        // Without those of the set's contract, which every program leaves, and what is kept of each region.
        let of_keys = |record: &&genfence_wire::Record| !record.bins.contains_key("guard_time");
        let records = server.records();
        let (of_regions, others): (Vec<_>, Vec<_>) =
            records.values().filter(of_keys).partition(|record| record.set == "leased");
        assert!(of_regions.len() <= HOSTS.len(), "{of_regions:?}");
        assert_eq!(others.len(), 0, "{others:?}");
    }
}

#[test]
fn ctrl_c_ends_it_with_what_was_measured() {
    let mut running = tool(&["--seconds", "3600", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.contains(WAYS[0]), "{line}");

    let pid = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let outcomes = outcomes(&output);
    assert_eq!(outcomes.len(), 1);
    assert_eq!((&outcomes[0]["way"], &outcomes[0]["left_wrong"]), (&WAYS[0].into(), &Value::Null));
}
