//! What it costs to fence other regions: reserve and commit, hits, and changes of a stream. On two wire test servers, of which the
//! other region's answers come 40 ms later. Rounds of all ways are interleaved, so compare within a run. `-- stream`: changes of a stream
//! alone, also on the cluster that `AEROSPIKE_HOSTS` names; with `AEROSPIKE_HOSTS_2` all is on clusters of yours. `-- cut`: how long a region that is cut off holds up writers, and how long it is away.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};
use genfence::{Cache, ChangeBatch, ChangeStream, Changed};
use genfence_wire::{Action, Kind, Rule, Server, Then};

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
    hosts: [String; 2],
    writes: Vec<Duration>,
    hits: Vec<f64>,
    commands: u32,
}

fn commands(servers: &[Server; 2]) -> u64 {
    let kinds = [Kind::Read, Kind::Write, Kind::Delete, Kind::Operate, Kind::Batch];
    servers.iter().map(|server| kinds.map(|kind| server.requests(kind)).iter().sum::<u64>()).sum()
}

/// Two clusters of yours, which then have no distance between them, and whose commands are not counted.
fn named() -> Option<[String; 2]> {
    let named = |name| std::env::var(name).ok();
    Some([named("AEROSPIKE_HOSTS")?, named("AEROSPIKE_HOSTS_2")?])
}

/// Of a program in the one region, or the other.
fn url([eu, us]: &[String; 2], own: usize, set: &str, options: &str) -> String {
    let (at, region) = [(eu, "eu"), (us, "us")][own];
    let set = set.replace(", ", "-");
    format!(
        "aerospike://{at}/test/bench-{set}?cluster_guard=off&region={region}&peers=eu@{eu},us@{us}&{options}"
    )
}

impl Way {
    async fn open(name: &'static str, options: &str) -> Self {
        let servers = [Server::start().await.unwrap(), Server::start().await.unwrap()];
        for kind in [Kind::Read, Kind::Write, Kind::Operate, Kind::Batch] {
            servers[1].faults().add(Rule::new(Action::DelayReply(WAN)).on(kind).always());
        }
        let mut hosts = servers.each_ref().map(|server| server.address().to_string());
        if let Some(named) = named() {
            hosts = named;
        }
        let cache = Cache::connect(&url(&hosts, 0, name, options)).await.unwrap();
        Way { name, cache, servers, hosts, writes: vec![], hits: vec![], commands: 0 }
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
        let hits = if self.name.ends_with("there") { HITS / 1_000 } else { HITS };
        for _ in 0..hits {
            black_box(self.cache.get("hit").await.unwrap());
        }
        self.hits.push(start.elapsed().as_secs_f64() / f64::from(hits) * 1e6);
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
    // On a cluster of yours, or on a wire test server, which then takes part in the CPU time.
    let server = Server::start().await.unwrap();
    let hosts = std::env::var("AEROSPIKE_HOSTS").unwrap_or_else(|_| server.address().to_string());
    let url = format!("aerospike://{hosts}/test/bench?cluster_guard=off");
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

const CUTS: usize = 5;
const LEASE: Duration = Duration::from_secs(2);
const RESERVATION: Duration = Duration::from_secs(4);

/// A region is cut off: how long a writer of the other waits, and, once the cut is healed, how long until the region serves again.
async fn cut() {
    let servers = [Server::start().await.unwrap(), Server::start().await.unwrap()];
    let [eu, us] = servers.each_ref().map(Server::address);
    let open = async |region: &str, own| {
        let options = "fence=all&unreachable=wait&grantors=eu&serving_lease=2s&reservation_time=4s\
            &reservation_margin=200ms&timeout=500ms&attempts=1&cluster_guard=off";
        let peers = format!("eu@{eu},us@{us}");
        let url = format!("aerospike://{own}/test/cut?region={region}&peers={peers}&{options}");
        Cache::connect(&url).await.unwrap()
    };
    let (here, there) = (open("eu", eu).await, open("us", us).await);
    let served = async |cache: &Cache| {
        let start = Instant::now();
        loop {
            let load = async || Ok::<_, Infallible>("v");
            cache.get_or_fill("hit", load).await.unwrap();
            if cache.get("hit").await.unwrap().is_some() {
                return start.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (mut waits, mut returns) = (vec![], vec![]);
    for _ in 0..CUTS {
        served(&here).await;
        served(&there).await;
        // Neither its own programs nor those of the other region have an answer.
        servers[1].faults().add(Rule::new(Action::DropRequest(Then::Silence)).always());
        let start = Instant::now();
        here.reserve("k").await.unwrap().abort().await;
        waits.push(start.elapsed());
        // Longer than any lease lasts.
        tokio::time::sleep(LEASE).await;
        servers[1].faults().clear();
        returns.push(served(&there).await);
    }
    for (what, of) in [
        ("a cut until a writer of the other region goes on", waits),
        ("its end until the region serves", returns),
    ] {
        let most = of.iter().max().copied().unwrap_or_default();
        println!(
            "serving_lease {LEASE:?}, reservation_time {RESERVATION:?}: from {what}: {:.1?}, at most {most:.1?} ({CUTS} cuts)",
            median(of)
        );
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let asked = |what| std::env::args().any(|arg| arg == what);
    if asked("cut") {
        return cut().await;
    }
    stream(true).await;
    stream(false).await;
    if asked("stream") {
        return;
    }
    let wait =
        "fence=all&unreachable=wait&grantors=eu&serving_lease=4s&reservation_time=7s&timeout=5s";
    let mut ways = vec![
        Way::open("own", "fence=own").await,
        Way::open("all", "fence=all&timeout=5s").await,
        Way::open("wait", wait).await,
        Way::open("home, here", "fence=home&homes=eu&timeout=5s").await,
        Way::open("home, there", "fence=home&homes=us&timeout=5s").await,
    ];
    // Where regions serve under leases, a program of the other one is there, too.
    let _other = Cache::connect(&url(&ways[2].hosts, 1, ways[2].name, wait)).await.unwrap();
    for way in &ways {
        way.ready().await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.round().await;
        }
    }
    println!("way          reserve+commit   commands   hit (CPU of the caller's thread)");
    let base = median(ways[0].hits.clone());
    for way in ways {
        let (writes, hits) = (median(way.writes), median(way.hits));
        println!(
            "{:11} {:>12.1} ms {:>10.1} {:>8.2} µs  {:.2} x",
            way.name,
            writes.as_secs_f64() * 1e3,
            f64::from(way.commands) / f64::from(ROUNDS),
            hits,
            base / hits
        );
    }
}
