//! `genfence bench`: it measures all ways, says so as a table, as JSON and as a picture, and leaves nothing.

use std::process::Output;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::real::{Cluster, ended, interrupt, tool};
use super::{outcomes, text};

fn bench(args: &[&str]) -> Child {
    tool("bench", args)
}

async fn benched(args: &[&str]) -> Output {
    ended(bench(args)).await
}

const WAYS: [&str; 3] = ["plain client", "one by one", "merged"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_all_ways_are_measured_and_nothing_is_left() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("bench.svg");
    let (url, shown) = (cluster.url(), cluster.shown());
    let load =
        ["--callers", "1,8", "--keys", "20", "--zipf", "0.99", "--value", "7", "--updates", "20"];
    let how = ["--seconds", "1", "--rounds", "2", "--json", "--svg", svg.to_str().unwrap()];
    let output = benched(&[&["--url", &url], &load[..], &how[..]].concat()).await;
    assert!(output.status.success(), "{}", text(&output.stderr));

    let lines = outcomes(&output);
    println!("{}", text(&output.stdout));
    let expected = [1, 8].into_iter().flat_map(|callers| WAYS.map(|way| (way, callers)));
    let told =
        lines.iter().map(|line| (line["way"].as_str().unwrap(), line["callers"].as_u64().unwrap()));
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for line in &lines {
        let number = |field: &str| line[field].as_f64().unwrap();
        assert!(
            number("per_second") > 0.0 && number("cpu_us") > 0.0 && number("p50_us") > 0.0,
            "{line}"
        );
        assert!(number("p50_us") <= number("p99_us"), "{line}");
        let spread: Vec<f64> =
            line["spread"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert!(spread[0] <= number("per_second") && number("per_second") <= spread[1], "{line}");
        assert_eq!(line["store"], *shown);
        assert_eq!((&line["keys"], &line["value_bytes"]), (&20.into(), &7.into()));
    }
    assert_eq!(cluster.records(), 0);

    let drawn = std::fs::read_to_string(&svg).unwrap();
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let mut texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let names = ["plain client", "genfence, one by one", "genfence, merged"];
    for name in names {
        assert!(texts.clone().any(|node| node.text().unwrap().trim() == name), "{name}");
    }
    assert!(
        texts.all(|node| (0..1080).contains(&node.attribute("x").unwrap().parse::<i32>().unwrap()))
    );
    // A point for each number of callers, in each of the three panels, for each way.
    let points = document.descendants().filter(|node| node.has_tag_name("circle")).count();
    assert_eq!(points, 2 * 3 * WAYS.len());
}

#[tokio::test]
async fn in_this_process_there_is_one_way_and_a_table() {
    let output =
        benched(&["--seconds", "1", "--rounds", "1", "--callers", "2", "--updates", "50"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.starts_with("memory://: 1000 keys, 100 B, 50 % updates"), "{said}");
    assert!(said.lines().nth(2).unwrap().starts_with("genfence "), "{said}");
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_by_its_name() {
    for (name, value) in [
        ("--callers", "0"),
        ("--callers", "1,4097"),
        ("--keys", "0"),
        ("--zipf", "5.1"),
        ("--zipf", "-1"),
        ("--zipf", "much"),
        ("--value", "0"),
        ("--updates", "101"),
        ("--seconds", "601"),
        ("--rounds", "0"),
        // Found out before an hour is over.
        ("--svg", "/nowhere/bench.svg"),
    ] {
        let output = benched(&["--seconds", "600", &format!("{name}={value}")]).await;
        assert_eq!(output.status.code(), Some(2), "{name}={value}");
        let error = text(&output.stderr);
        assert!(error.contains(name) || error.contains("cannot be used multiple times"), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn where_no_server_is_there_it_says_so_and_shows_no_password() {
    let url = "aerospike://ada:secret@127.0.0.1:1/test/bench?connect_timeout=300ms";
    let output = benched(&["--url", url]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_it_with_what_was_measured_and_leaves_no_records() {
    let cluster = Cluster::start().await;
    if !matches!(cluster, Cluster::Wire(_)) {
        return;
    }
    let url = cluster.url();
    let mut running =
        bench(&["--url", &url, "--seconds", "600", "--rounds", "1", "--keys", "50", "--json"]);
    let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
    let line = progress.next_line().await.unwrap().unwrap();
    assert!(line.contains("turns"), "{line}");
    let is_filled = async {
        while cluster.records() < 150 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::real::BOUND, is_filled).await.unwrap();
    interrupt(&running).await;
    let output = ended(running).await;
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(cluster.records(), 0);
}
