//! What it costs to fence other regions: reserve and commit, hits, and changes of a stream. On two wire test servers, of which the
//! other region's answers come 40 ms later. Rounds of all ways are interleaved, so compare within a run. `-- stream`: changes of a stream
//! alone.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};
use genfence::{Cache, ChangeBatch, ChangeStream, Changed};
use genfence_wire::{Action, Kind, Rule, Server};

const WAN: Duration = Duration::from_millis(40);
const ROUNDS: u32 = 15;
const HITS: u32 = 20_000;
const KEYS: u32 = 20_000;
const ONE_BY_ONE: u32 = 2_000;
const CHANGES: u32 = 40_000;
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

/// Changes as an outbox has them, of many keys.
struct Batches {
    from: u32,
    until: u32,
    is_versioned: bool,
}

impl ChangeStream for Batches {
    type Position = ();
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<ChangeBatch<()>>, Infallible> {
        if self.from == self.until {
            return Ok(None);
        }
        let end = (self.from + BATCH).min(self.until);
        let version = |change: u32| self.is_versioned.then_some(change.into());
        let change = |change| Changed { key: key(change).into(), version: version(change) };
        let changes = (self.from..end).map(change).collect();
        self.from = end;
        Ok(Some(ChangeBatch { changes, heartbeats: vec![], position: () }))
    }

    async fn confirm(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The key of a change.
fn key(change: u32) -> String {
    (change % KEYS).to_string()
}

/// The rate, and the CPU time that each takes of this process, which client and server share.
struct Rates {
    rates: Vec<f64>,
    micros: Vec<f64>,
}

impl Rates {
    async fn time<T>(&mut self, count: u32, changes: impl Future<Output = T>) {
        let (start, cpu) = (Instant::now(), ProcessTime::now());
        black_box(changes.await);
        self.rates.push(f64::from(count) / start.elapsed().as_secs_f64());
        self.micros.push(cpu.elapsed().as_secs_f64() / f64::from(count) * 1e6);
    }
}

/// One caller that awaits each, and a follower, in turns: of changes that have a version each, and of changes that have none.
async fn stream(is_versioned: bool) {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/bench?cluster_guard=off", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let version = |change: u32| is_versioned.then_some(u64::from(change));
    let [mut one, mut many] = [(); 2].map(|()| Rates { rates: vec![], micros: vec![] });
    let mut next = 1;
    for _ in 0..ROUNDS {
        one.time(ONE_BY_ONE, async {
            for change in next..next + ONE_BY_ONE {
                cache.invalidate(key(change), version(change)).await.unwrap();
            }
        })
        .await;
        next += ONE_BY_ONE;
        let batches = Batches { from: next, until: next + CHANGES, is_versioned };
        many.time(CHANGES, async { cache.follow(batches).run().await.unwrap() }).await;
        next += CHANGES;
    }
    let ratios = many.rates.iter().zip(&one.rates).map(|(many, one)| many / one);
    println!(
        "changes a second{}: one by one {:.0} (CPU {:.1} µs each), by a follower {:.0} ({:.1} µs): {:.1} x",
        if is_versioned { "" } else { ", without versions" },
        median(one.rates.clone()),
        median(one.micros),
        median(many.rates.clone()),
        median(many.micros),
        median(ratios.collect())
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    stream(true).await;
    stream(false).await;
    if std::env::args().any(|arg| arg == "stream") {
        return;
    }
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
}
