//! The store on Aerospike beside the plain client: hits, and the pairs of commands that store.
//!
//!     AEROSPIKE_HOSTS=127.0.0.1:3000 cargo bench -p genfence-benches --bench aerospike
//!
//! Both do the same work in turns of a quarter of a second, in one process, on one server, so that
//! what else the machine does befalls both; what is printed is the median of the turns' ratios, and
//! the span of the middle half of them. CPU is that of this process. Without `AEROSPIKE_HOSTS` the
//! server is the project's wire test server, in a process of its own. A name picks one of the comparisons, and
//! numbers after it other numbers of callers: `-- hit 64 128`. `GENFENCE_OPTIONS=merge=false` opens the cache so.

use std::alloc::System;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aerospike::{
    Bin, Bins, Client, ClientPolicy, CommitLevel, Expiration, Key, ReadPolicy, Value, WritePolicy,
};
use cpu_time::ProcessTime;
use genfence::{Cache, CommitOutcome, FillOutcome, Lookup};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEYS: u64 = 1_000;
const VALUE: [u8; 100] = [7; 100];
const SET: &str = "bench";
const TTL: u32 = 600;
const TURN: Duration = Duration::from_millis(250);
const TURNS: usize = 24;

/// What both sides work with, and a count that gives each operation a key of its own.
struct Bench {
    raw: Client,
    cache: Cache,
    read: ReadPolicy,
    write: WritePolicy,
    next: AtomicU64,
}

/// What one turn did.
struct Turn {
    operations: u64,
    span: Duration,
    cpu: Duration,
}

impl Turn {
    fn each(&self, span: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let operations = self.operations.max(1) as f64;
        span.as_secs_f64() / operations
    }
}

impl Bench {
    async fn new(host: &str) -> Bench {
        let raw = Client::new(&ClientPolicy::default(), &host).await.expect("a server is there");
        let options = std::env::var("GENFENCE_OPTIONS").unwrap_or_default();
        let url = format!("aerospike://{host}/test/{SET}?ttl={TTL}s&{options}");
        let cache = Cache::connect(&url).await.expect("a server is there");
        let mut write = WritePolicy { commit_level: CommitLevel::CommitAll, ..Default::default() };
        write.base_policy.max_retries = 0;
        write.expiration = Expiration::Seconds(TTL);
        Bench { raw, cache, read: ReadPolicy::default(), write, next: AtomicU64::new(0) }
    }

    fn any(&self) -> [u8; 8] {
        // A stride that is prime to the number of keys visits all of them.
        (self.next.fetch_add(1, Relaxed) * 617 % KEYS).to_be_bytes()
    }

    fn fresh(&self) -> [u8; 8] {
        (self.next.fetch_add(1, Relaxed) + (1 << 32)).to_be_bytes()
    }

    async fn raw_get(&self, key: [u8; 8]) {
        let read = self.raw.get(&self.read, &raw_key(key), Bins::All).await;
        assert!(read.is_ok(), "{:?}", read.err());
    }

    async fn raw_miss(&self, key: [u8; 8]) {
        assert!(self.raw.get(&self.read, &raw_key(key), Bins::All).await.is_err());
    }

    async fn raw_put(&self, key: [u8; 8]) {
        let bins = [Bin::new("v", Value::Blob(VALUE.to_vec()))];
        self.raw.put(&self.write, &raw_key(key), &bins).await.expect("a write is taken");
    }

    async fn hit(&self, key: [u8; 8]) {
        let hit = self.cache.lookup(key).await.expect("the server answers");
        assert!(matches!(hit, Lookup::Hit(_)), "{hit:?}");
    }

    async fn lease_and_fill(&self, key: [u8; 8]) {
        let Ok(Lookup::Leased(lease)) = self.cache.lookup(key).await else { panic!("it is new") };
        assert_eq!(lease.fill(VALUE.to_vec()).await.expect("it answers"), FillOutcome::Stored);
    }

    async fn reserve_and_commit(&self, key: [u8; 8]) {
        let reservation = self.cache.reserve(key).await.expect("the server answers");
        let commit = reservation.commit(VALUE.to_vec()).await.expect("the server answers");
        assert_ne!(commit, CommitOutcome::InDoubt);
    }
}

fn raw_key(key: [u8; 8]) -> Key {
    Key::new("test", SET, Value::Blob(key.to_vec())).expect("it is a key")
}

/// So many callers do `work` over and over for a turn.
async fn turn<F: Future<Output = ()> + Send + 'static>(
    bench: &Arc<Bench>,
    callers: usize,
    work: impl Fn(Arc<Bench>) -> F + Copy + Send + 'static,
) -> Turn {
    let over = Arc::new(AtomicBool::new(false));
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (bench, over) = (bench.clone(), over.clone());
            tokio::spawn(async move {
                let mut operations = 0;
                while !over.load(Relaxed) {
                    work(bench.clone()).await;
                    operations += 1;
                }
                operations
            })
        })
        .collect();
    tokio::time::sleep(TURN).await;
    over.store(true, Relaxed);
    let mut operations = 0;
    for caller in callers {
        operations += caller.await.expect("no caller fails");
    }
    Turn { operations, span: start.elapsed(), cpu: cpu.elapsed() }
}

/// Lets both work in turns, and prints what ours takes beside the plain client's.
async fn compare<R, O>(
    name: &str,
    bench: &Arc<Bench>,
    callers: usize,
    raw: impl Fn(Arc<Bench>) -> R + Copy + Send + 'static,
    ours: impl Fn(Arc<Bench>) -> O + Copy + Send + 'static,
) where
    R: Future<Output = ()> + Send + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    let mut throughput = Vec::new();
    let mut cpu = Vec::new();
    let mut last = None;
    for number in 0..=TURNS {
        // Who goes first changes, so that neither always comes second to a warm server.
        let (plain, own) = if number % 2 == 0 {
            let plain = turn(bench, callers, raw).await;
            (plain, turn(bench, callers, ours).await)
        } else {
            let own = turn(bench, callers, ours).await;
            (turn(bench, callers, raw).await, own)
        };
        // The first pair warms up.
        if number > 0 {
            throughput.push(plain.each(plain.span) / own.each(own.span));
            cpu.push(own.each(own.cpu) / plain.each(plain.cpu));
        }
        last = Some((plain, own));
    }
    let (plain, own) = last.expect("there was a turn");
    println!(
        "{name:34} {callers:4} callers: throughput {}, CPU {}   (CPU an operation: {:.1} µs, the \
         plain client's {:.1} µs)",
        spread(throughput),
        spread(cpu),
        own.each(own.cpu) * 1e6,
        plain.each(plain.cpu) * 1e6,
    );
}

/// The median, and the span of the middle half.
fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let at = |share: usize| ratios[(ratios.len() - 1) * share / 4];
    format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
}

/// Heap blocks that one operation takes, the runtime's and the client's own tasks included.
async fn allocations<F: Future<Output = ()>>(
    bench: &Arc<Bench>,
    work: impl Fn(Arc<Bench>) -> F,
) -> f64 {
    const TIMES: u32 = 2_000;
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        work(bench.clone()).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let blocks = region.change().allocations as f64;
    blocks / f64::from(TIMES)
}

/// The wire test server, in a process of its own, so that its CPU is not counted as ours.
struct Served(Child);

impl Served {
    fn start() -> (Served, String) {
        let exe = std::env::current_exe().expect("it has a path");
        let mut child = Command::new(exe)
            .env("GENFENCE_BENCH_SERVES", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        let mut address = String::new();
        let said = child.stdout.take().expect("it was asked for");
        BufReader::new(said).read_line(&mut address).expect("it says where it is");
        (Served(child), address.trim().to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _: Result<(), _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    if std::env::var_os("GENFENCE_BENCH_SERVES").is_some() {
        let server = genfence_wire::Server::start().await.expect("a port is free");
        println!("{}", server.address());
        return std::future::pending().await;
    }
    let served = std::env::var("AEROSPIKE_HOSTS").err().map(|_| Served::start());
    let host = match &served {
        Some((_, address)) => address.clone(),
        None => std::env::var("AEROSPIKE_HOSTS").expect("it was there a moment ago"),
    };
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let only = arguments.first();
    let callers = |usual: &[usize]| match &*arguments {
        [_, callers @ ..] if !callers.is_empty() => {
            callers.iter().map(|callers| callers.parse().expect("a number of callers")).collect()
        }
        _ => usual.to_vec(),
    };
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    println!(
        "on {}, {} B values; each ratio: median of {TURNS} pairs of turns (middle half)",
        if served.is_some() { "the wire test server" } else { &host },
        VALUE.len()
    );

    let bench = Arc::new(Bench::new(&host).await);
    for key in 0..KEYS {
        bench.reserve_and_commit(key.to_be_bytes()).await;
    }
    let raw_get = |bench: Arc<Bench>| async move { bench.raw_get(bench.any()).await };
    let hit = |bench: Arc<Bench>| async move { bench.hit(bench.any()).await };
    if wanted("hit") {
        for callers in callers(&[1, 4, 8, 16, 32, 64, 128, 512]) {
            compare("hit / get", &bench, callers, raw_get, hit).await;
        }
        println!(
            "heap blocks: a hit {:.1}, a get {:.1}",
            allocations(&bench, hit).await,
            allocations(&bench, raw_get).await
        );
    }
    let writes = |bench: Arc<Bench>| async move {
        let key = bench.any();
        bench.raw_put(key).await;
        bench.raw_put(key).await;
    };
    let update = |bench: Arc<Bench>| async move { bench.reserve_and_commit(bench.any()).await };
    if wanted("reserve + commit") {
        for callers in callers(&[1, 4, 8, 16, 32, 128, 512]) {
            compare("reserve + commit / put + put", &bench, callers, writes, update).await;
        }
    }
    let miss = |bench: Arc<Bench>| async move {
        let key = bench.fresh();
        bench.raw_miss(key).await;
        bench.raw_put(key).await;
        bench.raw_put(key).await;
    };
    let fill = |bench: Arc<Bench>| async move { bench.lease_and_fill(bench.fresh()).await };
    if wanted("lease + fill") {
        for callers in callers(&[32, 128]) {
            compare("get + lease + fill / get + put + put", &bench, callers, miss, fill).await;
        }
    }
}
