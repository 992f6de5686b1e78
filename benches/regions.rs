//! What it costs to fence other regions: reserve and commit, hits, and changes of a stream. On two wire test servers, of which the
//! other region's answers come 40 ms later. Rounds of all ways are interleaved, so compare within a run.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use genfence::{Cache, ChangeBatch, ChangeStream, Changed};
use genfence_wire::{Action, Kind, Rule, Server};

const WAN: Duration = Duration::from_millis(40);
const ROUNDS: u32 = 15;
const HITS: u32 = 20_000;
const CHANGES: u32 = 100_000;
const BATCH: u32 = 5_000;

/// A way to fence, and its own pair of servers.
struct Way {
    name: &'static str,
    cache: Cache,
    servers: [Server; 2],
    writes: Vec<Duration>,
    hits: Vec<f64>,
    commands: u32,
}

fn commands(servers: &[Server; 2]) -> u64 {
    let kinds = [Kind::Read, Kind::Write, Kind::Delete, Kind::Operate, Kind::Batch];
    servers.iter().map(|server| kinds.map(|kind| server.requests(kind)).iter().sum::<u64>()).sum()
}

impl Way {
    async fn open(name: &'static str, options: &str) -> Self {
        let servers = [Server::start().await.unwrap(), Server::start().await.unwrap()];
        for kind in [Kind::Read, Kind::Write, Kind::Operate, Kind::Batch] {
            servers[1].faults().add(Rule::new(Action::DelayReply(WAN)).on(kind).always());
        }
        let [eu, us] = servers.each_ref().map(Server::address);
        let url = format!(
            "aerospike://{eu}/test/bench?cluster_guard=off&region=eu&peers=eu@{eu},us@{us}&{options}"
        );
        let cache = Cache::connect(&url).await.unwrap();
        Way { name, cache, servers, writes: vec![], hits: vec![], commands: 0 }
    }

    /// Until what is loaded is stored, and served.
    async fn ready(&self) {
        loop {
            let load = async || Ok::<_, Infallible>(vec![0; 100]);
            self.cache.get_or_fill("hit", load).await.unwrap();
            if self.cache.get("hit").await.unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn round(&mut self) {
        let before = commands(&self.servers);
        let start = Instant::now();
        let reservation = self.cache.reserve("k").await.unwrap();
        let _ = reservation.commit(vec![0; 100]).await.unwrap();
        self.writes.push(start.elapsed());
        // What is told in the background is part of it.
        tokio::time::sleep(WAN * 3).await;
        self.commands += u32::try_from(commands(&self.servers) - before).unwrap();
        let start = ThreadTime::now();
        for _ in 0..HITS {
            black_box(self.cache.get("hit").await.unwrap());
        }
        self.hits.push(start.elapsed().as_secs_f64() / f64::from(HITS) * 1e6);
    }
}

fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|one, other| one.partial_cmp(other).unwrap());
    of[of.len() / 2]
}

struct Batches(u32);

impl ChangeStream for Batches {
    type Position = ();
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<ChangeBatch<()>>, Infallible> {
        if self.0 == CHANGES {
            return Ok(None);
        }
        let changes = (self.0..self.0 + BATCH).map(|key| Changed::new(key.to_string()).version(7));
        self.0 += BATCH;
        Ok(Some(ChangeBatch { changes: changes.collect(), heartbeats: vec![], position: () }))
    }

    async fn confirm(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}

async fn stream() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/bench?cluster_guard=off", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let (mut one, mut many) = (vec![], vec![]);
    for _ in 0..3 {
        let start = Instant::now();
        for key in 0..5_000 {
            cache.invalidate(key.to_string(), Some(7)).await.unwrap();
        }
        one.push(5_000.0 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        cache.follow(Batches(0)).run().await.unwrap();
        many.push(f64::from(CHANGES) / start.elapsed().as_secs_f64());
    }
    let (one, many) = (median(one), median(many));
    println!("changes a second: one by one {one:.0}, by a follower {many:.0}: {:.1} x", many / one);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let wait =
        "fence=all&unreachable=wait&grantors=eu&serving_lease=4s&reservation_time=7s&timeout=5s";
    let mut ways = vec![
        Way::open("own", "fence=own").await,
        Way::open("all", "fence=all&timeout=5s").await,
        Way::open("wait", wait).await,
    ];
    // Where regions serve under leases, a program of the other one is there, too.
    let [eu, us] = ways[2].servers.each_ref().map(Server::address);
    let url = format!(
        "aerospike://{us}/test/bench?cluster_guard=off&region=us&peers=eu@{eu},us@{us}&{wait}"
    );
    let _other = Cache::connect(&url).await.unwrap();
    for way in &ways {
        way.ready().await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.round().await;
        }
    }
    println!("way    reserve+commit   commands   hit (CPU of the caller's thread)");
    let base = median(ways[0].hits.clone());
    for way in ways {
        let (writes, hits) = (median(way.writes), median(way.hits));
        println!(
            "{:5} {:>12.1} ms {:>10.1} {:>8.2} µs  {:.2} x",
            way.name,
            writes.as_secs_f64() * 1e3,
            f64::from(way.commands) / f64::from(ROUNDS),
            hits,
            base / hits
        );
    }
    stream().await;
}
