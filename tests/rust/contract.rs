//! `genfence contract`, on the wire test server: what all programs of a set say alike is changed in phases.

use std::process::Output;

use genfence::Cache;
use genfence_wire::Server;
use tokio::process::Command;

async fn contract(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
    command.arg("contract").args(args).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn done(args: &[&str]) -> String {
    let output = contract(args).await;
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

async fn refused(args: &[&str], told: &str) {
    let output = contract(args).await;
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_comes_to_be_of_a_region_while_its_programs_run() {
    let server = Server::start().await.unwrap();
    let old = format!("aerospike://{}/test/cache?cluster_guard=off", server.address());
    let new = format!("{old}&region=eu&peers=eu@{},us@127.0.0.1:1", server.address());
    assert!(done(&["show", &old]).await.starts_with("nothing is written"));

    Cache::connect(&old).await.unwrap();
    assert_eq!(done(&["show", &new]).await, "one region\n");
    assert!(Cache::connect(&new).await.is_err());
    refused(&["set", &new], "say `set --also` first").await;
    // Neither would find, or fence, what the other keeps.
    refused(&["set", &format!("{old}&tags=true"), "--also"], "nothing is promised").await;

    done(&["set", &new, "--also"]).await;
    assert_eq!(done(&["show", &old]).await, "eu of eu,us, fence=own\none region\n");
    Cache::connect(&old).await.expect("it is let in still");
    Cache::connect(&new).await.expect("it is let in");
    let third = new.replace("us@", "ap@127.0.0.1:2,us@");
    refused(&["set", &third, "--also"], "a change is under way already").await;

    done(&["set", &new]).await;
    let error = Cache::connect(&old).await.unwrap_err().to_string();
    assert!(error.contains("\"eu of eu,us, fence=own\""), "{error}");
    Cache::connect(&new).await.unwrap();

    let all = format!("{new}&fence=all");
    let leased = format!("{all}&unreachable=wait&grantors=eu");
    refused(&["set", &leased, "--also"], "nothing is promised").await;
    done(&["set", &all, "--also"]).await;
    done(&["set", &all]).await;
    refused(&["set", &all.replace("us@", "ap@127.0.0.1:2,us@"), "--also"], "nothing is promised")
        .await;

    done(&["set", &old, "--stopped"]).await;
    Cache::connect(&old).await.unwrap();
    let shown = done(&["show", &old, "--json"]).await;
    assert_eq!(shown, "{\"programs\":[\"one region\"]}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_regions_are_shown_with_who_lets_them_serve_until_when() {
    let (eu, us) = (Server::start().await.unwrap(), Server::start().await.unwrap());
    let url = format!(
        "aerospike://{0}/test/cache?cluster_guard=off&region=eu&peers=eu@{0},us@{1}&fence=all&unreachable=wait\
         &grantors=eu&timeout=300ms&attempts=1",
        eu.address(),
        us.address()
    );
    let invalidate = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
        assert!(command.args(["invalidate", &url, "k"]).status().await.unwrap().success());
    };
    let shown = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genfence"));
        let output = command.arg("regions").args(args).output().await.unwrap();
        (output.status.code(), text(&output.stdout).to_owned())
    };
    // The tool takes no part in who serves: with no program there is no epoch.
    for _ in 0..3 {
        invalidate().await;
    }
    let (code, lines) = shown(&[&url, "--json"]).await;
    assert_eq!((code, lines.matches("\"epoch\":0,").count()), (Some(0), 2), "{lines}");

    let program = Cache::connect(&url).await.unwrap();
    while program.regions().await.unwrap()[0].epoch == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (code, table) = shown(&[&url]).await;
    assert_eq!(code, Some(0), "{table}");
    for told in ["region", "grants", "eu (own)", "us ", "eu: "] {
        assert!(table.contains(told), "{told}: {table}");
    }
    drop(us);
    let (code, lines) = shown(&[&url, "--json"]).await;
    assert_eq!(code, Some(1), "{lines}");
    let told: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["region"], &told[1]["region"]), (&"eu".into(), &"us".into()));
    assert!(told[0]["epoch"].as_u64().unwrap() > 0, "{lines}");
    let grant = &told[0]["grants"][0];
    let left = grant["left"].as_u64().unwrap();
    assert!(grant["grantor"] == "eu" && (1..=5_000).contains(&left), "{lines}");
    assert!(told[0]["problem"].is_null() && told[1]["problem"].is_string(), "{lines}");
    let one = format!("aerospike://{}/test/other", eu.address());
    assert_eq!(shown(&[&one]).await.0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_contract_is_refused_by_name() {
    refused(&["show", "memory://"], "url: only a set of a cluster has a contract").await;
    refused(
        &["set", "aerospike://127.0.0.1:1/test/cache", "--also", "--stopped"],
        "cannot be used with",
    )
    .await;
    refused(&["show", "aerospike://127.0.0.1:1/test/cache?connect_timeout=300ms"], "127.0.0.1:1")
        .await;
}
