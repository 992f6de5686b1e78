//! The race on a cluster and on PostgreSQL: the wire test server, or the one that `AEROSPIKE_HOSTS`
//! names, and a PostgreSQL that is started here.

use std::process::{Output, Stdio};
use std::time::Duration;

use genfence_wire::Server;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::postgres::Postgres;
use super::{STRATEGIES, outcomes, text};

/// Far longer than the race's own bounds, so what takes longer hangs.
pub const BOUND: Duration = Duration::from_secs(120);
/// A busy machine may keep a writer waiting between its last look at the clock and its COMMIT.
const OPTIONS: &str = "reservation_time=1s&reservation_margin=900ms";

/// What is raced on.
pub enum Cluster {
    Wire(Server),
    Real(String),
}

impl Cluster {
    pub async fn start() -> Self {
        match std::env::var("AEROSPIKE_HOSTS") {
            Ok(hosts) => Cluster::Real(hosts),
            Err(_) => Cluster::Wire(Server::start().await.unwrap()),
        }
    }

    /// What the tool may say of it.
    pub fn shown(&self) -> String {
        let hosts = match self {
            Cluster::Wire(server) => &server.address().to_string(),
            Cluster::Real(hosts) => hosts,
        };
        format!("aerospike://{hosts}/test/race")
    }

    pub fn url(&self) -> String {
        format!("{}?{OPTIONS}", self.shown())
    }

    /// How many records there are, where that can be told.
    pub fn records(&self) -> usize {
        match self {
            Cluster::Wire(server) => {
                // Without those of the set's contract, which every program leaves.
                let of_keys =
                    |record: &&genfence_wire::Record| !record.bins.contains_key("regions");
                server.records().values().filter(of_keys).count()
            }
            Cluster::Real(_) => 0,
        }
    }
}

fn race(args: &[&str]) -> Child {
    tool("race", args)
}

pub fn tool(command: &str, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_genfence"))
        .arg(command)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

pub async fn interrupt(race: &Child) {
    let pid = race.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
}

/// How a race ended, which never shows a password.
pub async fn ended(race: Child) -> Output {
    let output = timeout(BOUND, race.wait_with_output()).await.expect("the race hangs").unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert!(!text(said).contains("secret"), "{}", text(said));
    }
    output
}

async fn assert_race(args: &[&str], store: &str, source: &str) {
    let output = ended(race(&[args, &["--seconds", "2", "--json"]].concat())).await;
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success());
    let outcomes = outcomes(&output);
    assert_eq!(outcomes.len(), STRATEGIES.len());
    for (name, outcome) in STRATEGIES.iter().zip(&outcomes) {
        assert_eq!(outcome["strategy"], *name);
        assert_eq!((&outcome["store"], &outcome["source"]), (&store.into(), &source.into()));
        let count = |field: &str| outcome[field].as_u64().unwrap();
        assert!(count("hits") > 0 && count("source_reads") > 0, "{name} did not cache: {outcome}");
    }
    let stale = |outcome: &Value| outcome["stale_hits"].as_u64().unwrap();
    assert!(stale(&outcomes[0]) > 0, "{}", outcomes[0]);
    assert_eq!(stale(&outcomes[3]), 0, "{}", outcomes[3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_plain_generation_serves_stale_hits_and_genfence_serves_none() {
    let cluster = Cluster::start().await;
    assert_race(&["--url", &cluster.url()], &cluster.shown(), "sqlite").await;
    assert_eq!(cluster.records(), 0, "the race left records behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_too_and_no_table_is_left() {
    let Some(postgres) = Postgres::start().await else { return };
    let cluster = Cluster::start().await;
    let args = ["--url", &cluster.url(), "--source", &postgres.url()];
    assert_race(&args, &cluster.shown(), &postgres.shown()).await;
    assert_eq!((cluster.records(), postgres.tables().await), (0, 0));
}

/// Begins a race of an hour, and returns once its first strategy has records and a table.
async fn under_way(cluster: &Cluster, postgres: &Postgres) -> Child {
    let (url, source) = (cluster.url(), postgres.url());
    let mut race = race(&["--seconds", "3600", "--json", "--url", &url, "--source", &source]);
    let mut line = String::new();
    BufReader::new(race.stderr.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    assert!(line.contains(STRATEGIES[0]), "{line}");
    timeout(BOUND, async {
        while matches!(cluster, Cluster::Wire(_)) && cluster.records() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("records");
    assert_eq!(postgres.tables().await, 1);
    race
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_leaves_no_record_and_no_table() {
    let Some(postgres) = Postgres::start().await else { return };
    let cluster = Cluster::start().await;
    let race = under_way(&cluster, &postgres).await;
    interrupt(&race).await;
    let output = ended(race).await;
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(outcomes(&output).len(), 1);
    assert_eq!((cluster.records(), postgres.tables().await), (0, 0));
}

#[tokio::test]
async fn ctrl_c_ends_what_is_still_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let source = format!("postgres://a:secret@{address}/db");
    let url = format!("aerospike://{address}/test/race?connect_timeout=1m&timeout=1m");
    for args in [["--source", &source], ["--url", &url]] {
        let race = race(&args);
        let connection = silent.accept().await.unwrap();
        interrupt(&race).await;
        let output = ended(race).await;
        assert_eq!(output.status.code(), Some(130), "{args:?}: {}", text(&output.stderr));
        drop(connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_goes_away_ends_the_race_with_an_error_and_no_table_is_left() {
    let Some(postgres) = Postgres::start().await else { return };
    let cluster = Cluster::Wire(Server::start().await.unwrap());
    let race = under_way(&cluster, &postgres).await;
    let shown = cluster.shown();
    drop(cluster);
    let output = ended(race).await;
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains(&shown) && error.contains("did not answer"), "{error}");
    assert!(error.contains("may be left on the cluster"), "{error}");
    assert_eq!(postgres.tables().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_goes_away_ends_the_race_with_an_error_and_no_record_is_left() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let cluster = Cluster::start().await;
    let race = under_way(&cluster, &postgres).await;
    postgres.crash();
    let output = ended(race).await;
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("PostgreSQL") && error.contains("genfence_race_"), "{error}");
    assert_eq!(cluster.records(), 0);
}

#[tokio::test]
async fn what_cannot_be_raced_on_is_named_before_the_race() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://a:secret@{}/db", silent.local_addr().unwrap());
    for (args, said) in [
        (["--source", "mysql://a:secret@h/db"], "--source"),
        (["--source", "sqlite://secret"], "--source"),
        (["--source", "postgres://a:secret"], "host"),
        (["--source", "postgres://a:sec?ret@h:secret/db"], "percent-encoded"),
        (["--source", "postgres://a:secret@127.0.0.1:1/db"], "127.0.0.1:1/db"),
        (["--source", &silent], "no answer"),
        (["--url", "redis://a:secret@h"], "url: it must begin with"),
        (["--url", "memory://secret"], "no host"),
        (["--url", "memory://?ttl=5m"], "no options"),
        (["--url", "aerospike://a:secret@127.0.0.1:1/test/race"], "127.0.0.1:1"),
    ] {
        // An hour: a race that began would not end within the bound.
        let output = ended(race(&[&args[..], &["--seconds", "3600"]].concat())).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_are_too_tight_for_the_race_are_refused_before_it() {
    let cluster = Cluster::start().await;
    let url = format!("{}?max_key_bytes=8", cluster.shown());
    let output = ended(race(&["--seconds", "3600", "--url", &url])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("key: "), "{}", text(&output.stderr));
}
