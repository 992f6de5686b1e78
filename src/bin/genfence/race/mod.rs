//! **race**: the same source and the same load through several strategies, and who serves what is
//! stale.

#[cfg(feature = "aerospike")]
mod chaos;
mod chart;
mod dice;
mod line;
mod load;
mod measure;
mod ours;
#[cfg(feature = "aerospike")]
mod processes;
mod progress;
mod records;
#[cfg(feature = "aerospike")]
mod regions;
mod report;
mod source;
mod strategies;
#[cfg(feature = "aerospike")]
mod versions;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(feature = "aerospike")]
use std::time::Duration;

use clap::{ArgGroup, value_parser};
use tokio::runtime;

use crate::{Failure, interrupt, picture};
use load::Race;
use records::Place;
use report::Course;
use source::Database;

#[cfg(feature = "aerospike")]
pub use processes::{PROCESS, run_process};

/// A key of the race is its number.
type Key = usize;
/// A row's value is its version, counted by the source: all that the race must know of it.
type Version = u64;

/// Race four ways to keep a cache over the same source, and count the stale hits of each
///
/// Plain generation, delete-after-commit, lease only and genfence get the same load, one after
/// the other. A hit is a read that did not go to the source itself; it is stale if the source had
/// committed a newer value before the read began.
#[derive(clap::Args)]
#[command(after_long_help = SIMULATED, group = ArgGroup::new("several"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Where all four keep their caches: memory://, or a cluster as a program would open it,
    /// aerospike://host:port/namespace/set
    #[arg(long, default_value = "memory://")]
    url: String,
    /// The database of record: sqlite, or postgres://user:password@host:port/database (without TLS)
    #[arg(long, default_value = "sqlite")]
    source: String,
    /// Seed of all random choices; the interleaving of threads stays the machine's own
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each strategy runs, in seconds: 1 to 3600 [default: 5, with --chaos 30, with --regions, --near and --tags 10]
    #[arg(long, value_parser = value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Threads that read: 1 to 256
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    readers: u32,
    /// Threads that write: 0 to 256
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(0..=256))]
    writers: u32,
    /// Keys they meet on: 1 to 100000 [default: 20, with --chaos 400, with --regions 200, with --near 100, with --tags 1000]
    #[arg(long, value_parser = value_parser!(u32).range(1..=100_000))]
    keys: Option<u32>,
    /// Instead: genfence alone, on a cluster whose nodes are paused, cut off and killed, second by second. With
    /// memory:// it starts three nodes of its own and does the harm; on a cluster it watches while you do it
    #[arg(long, conflicts_with = "source")]
    chaos: bool,
    /// Instead: one source, two regions with a cluster each, and a link between them that is late, as XDR is
    #[arg(long, conflicts_with_all = ["chaos", "source", "url"])]
    regions: bool,
    /// With --regions: how late the one region hears of the other at most, in milliseconds: 1 to 10000
    #[cfg(feature = "aerospike")]
    #[arg(long, value_name = "MS", default_value_t = 300, requires = "regions",
        value_parser = value_parser!(u64).range(1..=10_000))]
    lag: u64,
    /// With --regions: what a region does with a shipped record where it has one
    #[cfg(feature = "aerospike")]
    #[arg(long, value_name = "RULE", default_value = "overwrite", requires = "regions")]
    conflict: regions::Conflict,
    /// Instead: several processes, each with copies of its own, which are stopped now and then. With memory:// on a server of
    /// its own
    #[arg(long, group = "several", conflicts_with_all = ["chaos", "regions", "source"])]
    near: bool,
    /// Instead: the same of values that bear tags, whose groups are changed and purged
    #[arg(long, group = "several", conflicts_with_all = ["chaos", "regions", "source"])]
    tags: bool,
    /// With --near and --tags: how many processes there are: 2 to 64
    #[cfg(feature = "aerospike")]
    #[arg(long, default_value_t = 6, requires = "several", value_parser = value_parser!(u32).range(2..=64))]
    processes: u32,
    /// With --near and --tags: how long copies live, in milliseconds: 20 to 10000
    #[cfg(feature = "aerospike")]
    #[arg(long, value_name = "MS", default_value_t = 200, requires = "several",
        value_parser = value_parser!(u64).range(20..=10_000))]
    near_time: u64,
    /// With --near: how many messages the backplane loses, in percent: 0 to 100
    #[cfg(feature = "aerospike")]
    #[arg(long, value_name = "PERCENT", default_value_t = 1, requires = "near", conflicts_with = "tags",
        value_parser = value_parser!(u8).range(0..=100))]
    lost: u8,
    /// Print one JSON object per strategy instead of the table
    #[arg(long)]
    json: bool,
    /// Draw stale hits and hit rate of each strategy into this file; with --chaos each second, with --regions also how
    /// an update was lost
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Args {
    fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(self.by_kind(5, 30, 10))
    }

    fn keys(&self) -> u32 {
        // Of tags a hundred groups.
        let others = if self.tags { 1000 } else { 100 };
        self.keys.unwrap_or(if self.is_of_processes() {
            others
        } else {
            self.by_kind(20, 400, 200)
        })
    }

    fn by_kind(&self, race: u32, chaos: u32, others: u32) -> u32 {
        match self.chaos {
            true => chaos,
            false if self.regions || self.is_of_processes() => others,
            false => race,
        }
    }

    fn is_of_processes(&self) -> bool {
        self.near || self.tags
    }

    #[cfg(feature = "aerospike")]
    fn near_time(&self) -> Duration {
        Duration::from_millis(self.near_time)
    }

    #[cfg(feature = "aerospike")]
    fn has_own_nodes(&self) -> bool {
        self.url == "memory://"
    }
}

const SIMULATED: &str = "\
What is real: the source, either an SQLite database in a temporary directory or a PostgreSQL server,
with one connection and real transactions per thread; and readers and writers, which are threads of
the operating system. With --url aerospike://… also the cache: all four strategies send commands to
that cluster, over the network that there is, and evict by deleting records there.

What is simulated: with memory:// the cache is in this process, so each command to it sleeps up to
0.2 ms on its way there and again on its way back, as on a network. In either case writers rest up
to 20 ms between writes; 30 % of the writes are slow by 1 to 5 ms, before or after the source's
commit; after 2 % of the writes the writer crashes right after that commit. A record is evicted every
1 to 5 ms, but none that holds a reservation of genfence's, as its guarantee asks for that.

Reservations of genfence last 250 ms, so a crashed writer's key is bypassed for that long, and a
writer that is about to commit later than 50 ms after its reserve rolls back: the COMMIT itself may
take 200 ms. Where it may take longer, or the clocks of a cluster's nodes differ by more, put a longer
reservation_time and reservation_margin into the cluster's URL. What that says of connections and
time-outs holds for all strategies, the rest of its options for genfence.

What the race leaves: nothing. On a cluster it touches records of its own alone, and removes them;
those of a race that was killed expire within two hours, or the URL's ttl. On PostgreSQL it creates a
table for each strategy, genfence_race_ and a random number, and drops it.

With --chaos readers do not rest, writers rest 3 ms, and the source is in this process. Nodes of its own are those of the
wire test server, which forget, fork and merge as a cluster without strong consistency does. Node 1 is paused, node 2
cut off from the others, node 3 killed and started again empty, each for 4 s of 10; the others notice after 1.5 s. So
it is done twice: without a lease on the cluster (cluster_guard=off), which shows the harm, and with it.

With --regions half of the readers and writers are in each region; readers rest 1 ms, writers up to 20 ms; the source is in this
process, a transaction takes 1 to 5 ms, 30 % of the writers are slow by as much after it, and 0.2 % crash. The clusters are two wire test servers, or those that AEROSPIKE_HOSTS and
AEROSPIKE_HOSTS_2 name (host:port,host:port; records of our own in the namespace test). The link between them is ours in either
case, as XDR is in no Community Edition: what was changed in one region is written to the other after a random time up to
--lag, as it is by then. It loses nothing, and does not ship what it wrote itself. When the load is over and nothing is under way
any more, the keys are counted whose cached value is not the newest: nothing would mend them. Then all records go, and both
regions write each key at the same time, from nothing. What is called genfence own fences the writer's own region and hears of the
other by the source's stream of changes, as late as the link; genfence all reserves in both regions,
and genfence wait as well, where regions serve under leases that eu grants;
with genfence home each key is at home in one of them.

With --near and --tags each process is one of the operating system, with a connection to the cluster and copies of its own.
The source is in the process that was started, and answers the others over loopback; what they read it judges by its own
clock. Readers and writers are shared among the processes; a reader rests 1 ms after 16 reads, a writer begins a change once in
one to three near times (--near-time); 2 % of the writers crash. One process after the other is stopped, for 1.2 to 2.5 near
times, and goes on (not on Windows). A record is evicted every 10 to 50 ms, but none that holds a reservation. What is called
time to live keeps what it read for a near time. What is called backplane keeps it for ten, and the others are told of a change
up to 5 ms late, or not at all (--lost); so does FusionCache with a memory level. Neither has a second level, which could only
add to what is stale. With --tags ten keys are a group and bear its tag. Of every second group the values are changed under a
reservation, and a hit is stale if it is older than a COMMIT before its read began; of the others they are purged after a
change, and it is stale if it is older than a purge that was done by then. What is called time stamps keeps the time of the
last purge of each tag, and each process a copy of that for a near time; so do FusionCache and HybridCache. On a cluster of
yours the set must be one that no other program uses, as all programs of a set say the same near_max and tags; of --tags the
record of the tag that all values bear stays there until it expires.

Exit codes: 0, or 1 if genfence served a stale hit with a lease on the cluster (with --regions also if it served one older than
its region was told, or left a key wrong), 2 if the race could not be run, 130 if it was
ended by Ctrl-C: what was measured until then is printed, and no chart is drawn.";

/// Runs the race.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.svg {
        picture::check(path)?;
    }
    if args.chaos {
        #[cfg(feature = "aerospike")]
        return chaos::run(args);
        #[cfg(not(feature = "aerospike"))]
        return Err("--chaos: this program was built without the feature aerospike".into());
    }
    if args.regions {
        #[cfg(feature = "aerospike")]
        return regions::run(args);
        #[cfg(not(feature = "aerospike"))]
        return Err("--regions: this program was built without the feature aerospike".into());
    }
    if args.is_of_processes() {
        #[cfg(feature = "aerospike")]
        return processes::run(args);
        #[cfg(not(feature = "aerospike"))]
        return Err("--near, --tags: this program was built without the feature aerospike".into());
    }
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let interrupted = interrupt::listen(&runtime);
    let opening = async {
        let database = Database::open(&args.source).await?;
        Ok::<_, Failure>((Place::open(args).await?, database))
    };
    let Some(opened) = runtime.block_on(interrupted.run_until_cancelled(opening)) else {
        return Ok(interrupt::INTERRUPTED.into());
    };
    let (place, database) = opened?;
    let course = Course { store: place.name.clone(), source: database.name() };
    let mut results = Vec::new();
    for open in strategies::ALL {
        if interrupted.is_cancelled() {
            break;
        }
        let source = database.create(args.keys(), runtime.handle())?;
        let strategy = open(&place)?;
        let raced = Race::new(args, &*source, &*strategy).run(&interrupted);
        results.push(raced.map_err(|problem| format!("{}: {problem}; {course}", strategy.name()))?);
    }

    report::print_rows(&mut io::stdout(), &course, &results, args.json)?;
    if interrupted.is_cancelled() {
        return Ok(interrupt::INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        let Args { readers, writers, .. } = args;
        let load = format!(
            "{} keys, {readers} readers, {writers} writers, a crash after 2 % of the writes, evictions; {} s each",
            args.keys(),
            args.seconds()
        );
        let title = "Same source, same load, four strategies";
        let said = [title, &load, &course.to_string()];
        chart::draw(path, said, &results.iter().collect::<Vec<_>>())?;
    }
    let failed = results.iter().any(|result| result.is_ours() && result.stale_hits > 0);
    Ok(u8::from(failed).into())
}
