//! `genfence race` and `genfence bench`: the tool runs, its measure finds the others stale, and genfence is not.

#[cfg(all(unix, feature = "aerospike"))]
mod bench;
#[cfg(all(unix, feature = "aerospike"))]
mod chaos;
#[cfg(all(unix, feature = "aerospike"))]
#[path = "../postgres/server.rs"]
#[expect(dead_code, reason = "the tests of its changes use more of it")]
mod postgres;
#[cfg(all(unix, feature = "aerospike"))]
mod processes;
#[cfg(all(unix, feature = "aerospike"))]
mod real;
#[cfg(all(unix, feature = "aerospike"))]
mod regions;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn race(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genfence")).arg("race").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn outcomes(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const STRATEGIES: [&str; 4] = ["plain generation", "delete-after-commit", "lease only", "genfence"];

#[test]
fn the_others_serve_stale_hits_and_genfence_serves_none() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("race.svg");
    let svg_arg = svg.to_str().unwrap();
    let output = race(&["--seconds", "1", "--seed", "1", "--json", "--svg", svg_arg]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let outcomes = outcomes(&output);
    println!("{}", text(&output.stdout));
    let names: Vec<_> = outcomes.iter().map(|outcome| outcome["strategy"].as_str()).collect();
    assert_eq!(names, STRATEGIES.map(Some));
    for (name, outcome) in STRATEGIES.iter().zip(&outcomes) {
        let [reads, hits, source_reads, stale_hits] =
            ["reads", "hits", "source_reads", "stale_hits"].map(|f| outcome[f].as_u64().unwrap());
        assert!(hits > 0 && source_reads > 0, "{name} did not cache: {outcome}");
        assert_eq!(reads, hits + source_reads, "{name}");
        assert_eq!(
            (&outcome["store"], &outcome["source"]),
            (&"memory://".into(), &"sqlite".into())
        );
        assert_eq!(stale_hits == 0, *name == "genfence", "{outcome}");
    }
    assert_is_chart(&svg);
}

/// The texts of a picture, each of which is within it.
fn texts_within(svg: &Path) -> Vec<String> {
    let drawn = std::fs::read_to_string(svg).unwrap();
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let root = document.root_element();
    let number = |node: roxmltree::Node<'_, '_>, name| -> f64 {
        node.attribute(name).unwrap().parse().unwrap()
    };
    let (width, height) = (number(root, "width"), number(root, "height"));
    let mut texts = Vec::new();
    for node in root.descendants().filter(|node| node.has_tag_name("text")) {
        let (x, y) = (number(node, "x"), number(node, "y"));
        assert!((0.0..width).contains(&x) && (0.0..height).contains(&y), "{node:?}");
        texts.push(node.text().unwrap().trim().to_owned());
    }
    texts
}

/// Every strategy has its label in both panels, and every text is within the picture.
fn assert_is_chart(svg: &Path) {
    let texts = texts_within(svg);
    assert!(texts.iter().any(|text| text == "store memory://, source sqlite"), "{texts:?}");
    for word in STRATEGIES.iter().flat_map(|name| name.split(' ')) {
        assert_eq!(texts.iter().filter(|text| **text == word).count(), 2, "{word} in {texts:?}");
    }
}

#[test]
fn a_number_out_of_bounds_is_refused_with_its_name_and_bounds() {
    for (name, value, bounds) in [
        ("--readers", "0", "1..=256"),
        ("--readers", "257", "1..=256"),
        ("--writers", "257", "0..=256"),
        ("--keys", "0", "1..=100000"),
        ("--seconds", "0", "1..=3600"),
    ] {
        let output = race(&[name, value]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let error = text(&output.stderr);
        assert!(error.contains(name) && error.contains(bounds), "{error}");
    }
}

#[test]
fn a_chart_that_cannot_be_written_is_refused_before_the_race() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("missing").join("race.svg");
    // An hour: a race that began would not end within the time of this test.
    let output = race(&["--seconds", "3600", "--svg", svg.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("--svg") && error.contains("missing"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_race_with_what_was_measured_and_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut race = Command::new(env!("CARGO_BIN_EXE_genfence"))
        .args(["race", "--seconds", "3600", "--json"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(race.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.contains(STRATEGIES[0]), "{line}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);

    let pid = race.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = race.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(outcomes(&output).len(), 1);
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}
