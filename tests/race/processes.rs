//! `genfence race --near` and `--tags`: of several processes none of genfence's serves what is stale, and none is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use genfence_wire::Server;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{outcomes, race, text, texts_within};

/// Few keys, so that all meet on each, and copies that nobody is told of live for as long as the race goes on.
const NEAR: [&str; 11] = [
    "--near",
    "--processes",
    "3",
    "--keys",
    "5",
    "--near-time",
    "100",
    "--lost",
    "100",
    "--seconds",
    "1",
];

fn count(outcome: &Value, field: &str) -> u64 {
    outcome[field].as_u64().unwrap_or_else(|| panic!("no {field} in {outcome}"))
}

fn assert_ours_hold(output: &Output, names: [&str; 3]) -> Vec<Value> {
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success());
    let outcomes = outcomes(output);
    let told: Vec<_> = outcomes.iter().map(|outcome| outcome["strategy"].as_str()).collect();
    assert_eq!(told, names.map(Some));
    for (name, outcome) in names.iter().zip(&outcomes) {
        assert!(count(outcome, "hits") > 0 && count(outcome, "source_reads") > 0, "{outcome}");
        assert!(count(outcome, "writes") > 0, "{outcome}");
        if name.starts_with("genfence") {
            assert_eq!(count(outcome, "stale_hits"), 0, "{outcome}");
        }
    }
    outcomes
}

#[test]
fn near_copies_of_several_processes_are_never_stale_and_others_are() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start()).unwrap();
    let store = format!("aerospike://{}/test/copies", server.address());
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("near.svg");
    let args = ["--json", "--url", &store, "--svg", svg.to_str().unwrap()];
    let output = race(&[&NEAR[..], &args].concat());
    let outcomes = assert_ours_hold(&output, ["time to live", "backplane", "genfence"]);
    assert_eq!((&outcomes[0]["store"], count(&outcomes[0], "processes")), (&store.into(), 3));
    assert!(count(&outcomes[1], "stale_hits") > 0, "{}", outcomes[1]);
    assert!(texts_within(&svg).iter().any(|text| text == "backplane"));
    // But for those of the set's contract, which every program leaves.
    let of_keys = |record: &&genfence_wire::Record| !record.bins.contains_key("regions");
    let records = server.records();
    let left: Vec<_> = records.values().filter(of_keys).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn values_that_bear_tags_are_never_stale() {
    let load = ["--processes", "3", "--keys", "40", "--near-time", "100", "--seconds", "1"];
    let output = race(&[&["--tags", "--json"], &load[..]].concat());
    assert_ours_hold(&output, ["time stamps", "genfence", "genfence near"]);
}

#[test]
fn what_it_cannot_do_is_refused_by_name() {
    let nobody = "aerospike://127.0.0.1:1/test/copies?connect_timeout=100ms";
    for (args, named) in [
        (&["--near", "--tags"][..], "--tags"),
        (&["--near", "--regions"], "--regions"),
        (&["--near", "--source", "sqlite"], "--source"),
        (&["--near", "--processes", "1"], "2..=64"),
        (&["--near", "--near-time", "19"], "20..=10000"),
        (&["--near", "--lost", "101"], "0..=100"),
        (&["--tags", "--lost", "5"], "--lost"),
        (&["--lost", "5"], "--near"),
        (&["--processes", "3"], "--near"),
        (&["--near", "--url", "memory://?ttl=5m"], "--url"),
        (&["--near", "--url", nobody], "127.0.0.1:1"),
    ] {
        let output = race(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(named), "{args:?}: {}", text(&output.stderr));
    }
    let mut alone = Command::new(env!("CARGO_BIN_EXE_genfence"));
    let output = alone.arg("race-process").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("race --near"), "{}", text(&output.stderr));
}

#[cfg(target_os = "linux")]
mod left_behind {
    use std::time::{Duration, Instant};

    use super::*;

    const BOUND: Duration = Duration::from_secs(60);

    /// A race of an hour whose processes are all there.
    fn under_way() -> (Child, Vec<String>) {
        let mut race = Command::new(env!("CARGO_BIN_EXE_genfence"))
            .args(["race", "--near", "--processes", "3", "--seconds", "3600", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(race.stderr.as_mut().unwrap());
        said.read_line(&mut line).unwrap();
        assert!(line.contains("time to live"), "{line}");
        let processes = started_by(race.id());
        assert_eq!(processes.len(), 3);
        (race, processes)
    }

    /// State and parent.
    fn stat(process: &str) -> Option<(String, String)> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
        Some((after_name.next()?, after_name.next()?))
    }

    fn started_by(parent: u32) -> Vec<String> {
        let all = std::fs::read_dir("/proc").unwrap();
        let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_child = |name: &String| stat(name).is_some_and(|stat| stat.1 == parent.to_string());
        names.filter(is_child).collect()
    }

    fn signal(signal: &str, process: &str) {
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    }

    /// Whoever has ended, though nobody waited for it, is gone.
    fn assert_gone(processes: &[String]) {
        let begun = Instant::now();
        let lives = |process: &&String| stat(process).is_some_and(|stat| stat.0 != "Z");
        while let Some(left) = processes.iter().find(lives) {
            assert!(begun.elapsed() < BOUND, "{left} is left behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn ctrl_c_ends_all_with_what_was_measured() {
        let (race, processes) = under_way();
        signal("-STOP", &processes[0]);
        // A terminal tells all of them.
        signal("-INT", &processes[1]);
        signal("-INT", &race.id().to_string());
        let output = race.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert_gone(&processes);
    }

    #[test]
    fn a_process_that_was_killed_ends_the_race_and_a_race_that_was_killed_its_processes() {
        let (race, processes) = under_way();
        signal("-STOP", &processes[0]);
        signal("-KILL", &processes[1]);
        let output = race.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains("ended: signal: 9"), "{error}");
        assert_gone(&processes);

        let (mut race, processes) = under_way();
        signal("-STOP", &processes[0]);
        race.kill().unwrap();
        race.wait().unwrap();
        assert_gone(&processes);
    }
}
