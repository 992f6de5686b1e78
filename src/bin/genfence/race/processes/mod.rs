//! **race --near** and **race --tags**: several real processes with copies of their own, over one source, which the process
//! that was started holds. Some are stopped for a while, and records are evicted.

mod fleet;
mod host;
mod process;
mod report;
mod talk;
mod ways;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use genfence::Cache;
use genfence_wire::Server;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::records::{Place, Records};
use super::report::print_rows;
use super::{Args, Failure, Key, Version, chart, dice};
use crate::interrupt;
use fleet::Fleet;
use host::Host;
pub use process::run as run_process;
use report::{Course, Outcome};
use talk::Task;
use ways::Way;

/// What the tool is called with that is one of the processes.
pub const PROCESS: &str = "race-process";

/// A reservation lasts so much longer than copies live, and a lease so long. What of that is kept back is far longer than a
/// busy machine keeps a writer waiting between its last look at the clock and its COMMIT.
const CLAIM: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(400);
/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);
/// How long the processes may take until all are there.
const STARTING: Duration = Duration::from_secs(30);
/// How long a cluster may not answer until it is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many keys a group has: those whose values bear the same tag.
const GROUP: usize = 10;
/// What the names of a cache's records begin with where tags are on: of a value, and of a tag.
const VALUES: &str = "\0";
const TAGS: &str = "\u{1}";
/// How often a record is evicted, in microseconds.
const EVICTS: std::ops::Range<u64> = 10_000..50_000;

/// The same load through one way after the other.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let seed = args.seed;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || dice::seed(seed))
        .build()?;
    let interrupted = interrupt::listen(&runtime);
    let ways = if args.tags { Way::TAGS } else { Way::NEAR };
    let opening = interrupted.run_until_cancelled(Site::open(args));
    let Some(site) = runtime.block_on(opening).transpose()? else {
        return Ok(interrupt::INTERRUPTED.into());
    };
    let course = Course::new(args, site.name.clone());
    let mut outcomes = Vec::new();
    for way in ways {
        if interrupted.is_cancelled() {
            break;
        }
        let raced = race(args, way, &site, &runtime, &interrupted);
        let raced = raced.map_err(|problem| format!("{}: {problem}; {course}", way.name()))?;
        outcomes.extend(raced);
    }
    print_rows(&mut io::stdout(), &course, &outcomes, args.json)?;
    if interrupted.is_cancelled() {
        return Ok(interrupt::INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        let reads: Vec<_> = outcomes.iter().map(|outcome| &outcome.reads).collect();
        let title = "Several processes with copies of their own, three ways";
        let load = format!("paused now and then, evictions; {} s each", args.seconds());
        chart::draw(path, [title, &load, &course.to_string()], &reads)?;
    }
    Ok(u8::from(outcomes.iter().any(Outcome::is_broken)).into())
}

/// Where the records are.
struct Site {
    url: String,
    /// What reports call it.
    name: String,
    _server: Option<Server>,
}

impl Site {
    /// On a cluster, or on a server of its own.
    async fn open(args: &Args) -> Result<Self, Failure> {
        if args.has_own_nodes() {
            let server = Server::start().await?;
            let url = format!("aerospike://{}/test/copies", server.address());
            return Ok(Site { url, name: "wire test server".into(), _server: Some(server) });
        }
        // Found out now, and not by each process.
        let cache = Self::connect(args, if args.tags { Way::Tags } else { Way::Near }, &args.url);
        let cache = cache.await?;
        if cache.cluster().is_none() {
            return Err("--url: it must be a cluster, aerospike://host:port/namespace/set, as processes share it".into());
        }
        cache.close(CLOSING).await;
        Ok(Site { url: args.url.clone(), name: crate::without_login(&args.url), _server: None })
    }

    async fn connect(args: &Args, way: Way, url: &str) -> Result<Cache, Failure> {
        Ok(ways::options(way, args.near_time()).connect(url).await?)
    }
}

/// One way, until the time is up, somebody interrupts, or something fails. `None`: somebody did before it began.
fn race(
    args: &Args,
    way: Way,
    site: &Site,
    runtime: &Runtime,
    interrupted: &CancellationToken,
) -> Result<Option<Outcome>, Failure> {
    let (keys, processes) = (args.keys() as usize, args.processes);
    let rows = if args.tags { keys.div_ceil(GROUP) } else { keys };
    let host = Host::new(rows, processes as usize, f64::from(args.lost) / 100.0);
    // Of the ways that have records.
    let place = runtime.block_on(async {
        if !way.is_ours() {
            return Ok::<_, Failure>(None);
        }
        let cache = Site::connect(args, way, &site.url).await?;
        Ok(Some(Place::of(&cache, site.name.clone(), keys).await?))
    })?;
    let prefix = place.as_ref().map_or(String::new(), |place| place.prefix("copies"));
    let records = place.as_ref().map_or(Vec::new(), |place| records(place, way, rows, &prefix));
    let records = Arc::new(records);
    let evictions = Evictions::start(&host, args.seed, &records);
    let run = async {
        let (at, _answering) = host.open().await?;
        let tasks = (0..processes).map(|number| task(args, way, site, at, &prefix, rows, number));
        let fleet = Fleet::start(tasks).await?;
        let raced = tokio::select! {
            raced = course_of(args, way, &host, &fleet) => raced,
            () = interrupted.cancelled() => Ok(()),
        };
        host.over.store(true, SeqCst);
        // Those of a race that did not begin wait for each other, and are killed.
        if raced.is_ok() && host.measure.reads.load(SeqCst) > 0 {
            fleet.end().await;
        }
        raced
    };
    let raced = runtime.block_on(run);
    host.over.store(true, SeqCst);
    let evicted = evictions.end();
    // With reservations, so not before all processes have ended.
    drop(records);
    if let Some(cluster) = place.and_then(|place| place.cluster) {
        runtime.block_on(cluster.cache.close(CLOSING));
    }
    raced.and(evicted)?;
    Ok((host.measure.reads.load(SeqCst) > 0).then(|| Outcome::new(way, &host)))
}

/// Waits until all processes are there, and for as long as the load is to run.
async fn course_of(args: &Args, way: Way, host: &Host, fleet: &Fleet) -> Result<(), Failure> {
    let failed = || {
        let failure = host.failure.lock().clone().or_else(|| fleet.ended());
        failure.map_or(Ok(()), |problem| Err(Failure::from(problem)))
    };
    let failing = async {
        while failed().is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ready = timeout(STARTING, host.ready.wait()) => {
            ready.map_err(|_| format!("not all processes were there within {STARTING:?}"))?;
        }
        () = failing => return failed(),
    }
    let progress = Progress::of(args, way.name());
    let watch = async {
        while let Some(pause) = progress.pause() {
            sleep(pause).await;
            progress.show(host.measure.to_string());
            failed()?;
            if host.over.load(SeqCst) {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        watched = watch => watched,
        () = fleet.pauses(args.near_time()) => Ok(()),
    }
}

/// Its share of the callers.
fn task(
    args: &Args,
    way: Way,
    site: &Site,
    at: SocketAddr,
    prefix: &str,
    rows: usize,
    number: u32,
) -> Task {
    let share =
        |callers: u32| callers / args.processes + u32::from(callers % args.processes > number);
    Task {
        at,
        way,
        url: site.url.clone(),
        prefix: prefix.into(),
        near: args.near_time(),
        keys: args.keys() as usize,
        rows,
        readers: share(args.readers),
        writers: share(args.writers),
        seed: args.seed << 8 | u64::from(number),
    }
}

/// The records of a way, and of how many numbers they are. They are removed when these are dropped.
type AllRecords = Vec<(Box<dyn Records>, usize)>;

fn records(place: &Place, way: Way, rows: usize, prefix: &str) -> AllRecords {
    let Some(cluster) = &place.cluster else { return Vec::new() };
    let of = |space: &str, count| -> (Box<dyn Records>, usize) {
        (Box::new(cluster.records_of(place, format!("{space}{prefix}"), count)), count)
    };
    if way.has_tags() {
        vec![of(VALUES, place.keys), of(TAGS, rows)]
    } else {
        vec![of("", place.keys)]
    }
}

/// Records are removed behind everybody's back, one after the other.
struct Evictions(JoinHandle<Result<(), Failure>>);

impl Evictions {
    /// In a thread of their own, for as long as the race goes on.
    fn start(host: &Arc<Host>, seed: u64, records: &Arc<AllRecords>) -> Self {
        let (host, records) = (Arc::clone(host), Arc::clone(records));
        Evictions(thread::spawn(move || {
            dice::seed(seed);
            let mut all: Vec<(&dyn Records, Key)> = Vec::new();
            for (of, count) in &*records {
                all.extend((0..*count).map(|number| (&**of, number)));
            }
            let mut answered = Instant::now();
            while !all.is_empty() && !host.over.load(SeqCst) {
                dice::sleep(EVICTS);
                let (records, number) = all[dice::pick(all.len())];
                match records.evict(number) {
                    Ok(()) => answered = Instant::now(),
                    // On a busy machine one answer may come too late.
                    Err(_) if answered.elapsed() < PATIENCE => {}
                    Err(problem) => {
                        host.over.store(true, SeqCst);
                        return Err(problem);
                    }
                }
            }
            Ok(())
        }))
    }

    fn end(self) -> Result<(), Failure> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
