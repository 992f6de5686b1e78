//! **race**: the same source and the same load through several strategies, and who serves what is
//! stale.

mod chart;
mod dice;
mod interrupt;
mod load;
mod measure;
mod network;
mod report;
mod source;
mod strategies;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;

use clap::value_parser;
use tokio::runtime;

use crate::Failure;
use load::Race;
use source::Sqlite;

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
#[command(after_long_help = SIMULATED)]
pub struct Args {
    /// Seed of all random choices; the interleaving of threads stays the machine's own
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each strategy runs, in seconds: 1 to 3600
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Threads that read: 1 to 256
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    readers: u32,
    /// Threads that write: 0 to 256
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(0..=256))]
    writers: u32,
    /// Keys they meet on: 1 to 100000
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Print one JSON object per strategy instead of the table
    #[arg(long)]
    json: bool,
    /// Draw stale hits and hit rate of each strategy into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

const SIMULATED: &str = "\
What is real: the source is an SQLite database in a temporary directory, with one connection and
real transactions per thread; readers and writers are threads of the operating system.

What is simulated: the cache is in this process, so each command to it sleeps up to 0.2 ms on its
way there and again on its way back, as on a network. Writers rest up to 20 ms between writes; 30 %
of the writes are slow by 1 to 5 ms, before or after the source's commit; after 2 % of the writes
the writer crashes right after that commit. A record is evicted every 1 to 5 ms. Reservations of
genfence last 250 ms, so a crashed writer's key is bypassed for that long.

Exit codes: 0, or 1 if genfence served a stale hit, 2 if the race could not be run, 130 if it was
ended by Ctrl-C: what was measured until then is printed, and no chart is drawn.";

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the race.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.svg {
        chart::check(path)?;
    }
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let interrupted = interrupt::listen(&runtime);
    let directory = tempfile::Builder::new().prefix("genfence-race-").tempdir()?;
    let mut results = Vec::new();
    for strategy in strategies::all(args.keys as usize, runtime.handle())? {
        if interrupted.load(Relaxed) {
            break;
        }
        let file = directory.path().join(format!("{}.db", results.len()));
        let source = Sqlite::create(file, args.keys)?;
        results.push(Race::new(args, &source, &*strategy).run(&interrupted)?);
    }

    report::print(&mut io::stdout(), &results, args.json)?;
    if interrupted.load(Relaxed) {
        return Ok(INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        chart::draw(path, args, &results)?;
    }
    let failed = results.iter().any(|result| result.is_ours() && result.stale_hits > 0);
    Ok(u8::from(failed).into())
}
