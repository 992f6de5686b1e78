//! `genfence race --chaos`: what befalls the nodes is done and told, and no hit is stale.

use serde_json::Value;

use super::{outcomes, race, text};

fn sum(run: &Value, field: &str) -> u64 {
    let seconds = run["seconds"].as_array().unwrap();
    seconds.iter().map(|second| second[field].as_u64().unwrap()).sum()
}

#[test]
fn no_hit_is_stale_while_nodes_are_paused_cut_off_and_killed() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("chaos.svg");
    let svg_arg = svg.to_str().unwrap();
    let output = race(&["--chaos", "--seconds", "6", "--json", "--svg", svg_arg]);
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}", text(&output.stderr));

    let runs = outcomes(&output);
    let guards: Vec<_> = runs.iter().map(|run| run["cluster_guard"].as_str().unwrap()).collect();
    assert_eq!(guards, ["off", "members"]);
    for run in &runs {
        assert_eq!(run["seconds"].as_array().unwrap().len(), 6);
        assert!(sum(run, "hits") > 0 && sum(run, "reads") >= sum(run, "hits"), "{run}");
    }
    assert_eq!(sum(&runs[1], "stale"), 0);

    let drawn = std::fs::read_to_string(&svg).unwrap();
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let texts: Vec<_> = texts.filter_map(|node| node.text()).map(str::trim).collect();
    for wanted in ["node 1 paused", "node 2 cut off", "node 3 killed"] {
        assert_eq!(
            texts.iter().filter(|text| **text == wanted).count(),
            2,
            "{wanted} in {texts:?}"
        );
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let output = race(&["--chaos", "--source", "sqlite"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--source"), "{}", text(&output.stderr));
    // Nobody is there.
    let url = "aerospike://127.0.0.1:1/test/chaos?connect_timeout=100ms";
    let output = race(&["--chaos", "--url", url]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{}", text(&output.stderr));
}
