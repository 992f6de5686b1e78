//! **bench**: how many operations a second, at what cost, beside the plain client.

mod chart;
mod load;
mod report;
mod ways;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::value_parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::{Failure, interrupt, picture};
use load::{Load, Turn};
use report::{Course, Line};
use ways::Way;

/// Measure reads and updates of a cache: per second, CPU and latencies, over the number of callers
///
/// On a cluster, beside the plain client, and with commands that travel together and that do not.
#[derive(clap::Args)]
#[command(after_long_help = HOW)]
pub struct Args {
    /// The cache, as a program would open it: memory://, or aerospike://host:port/namespace/set
    #[arg(long, default_value = "memory://")]
    url: String,
    /// Callers at once, each of which awaits one operation after the other: 1 to 4096, several with commas
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 32, 64, 128, 512],
        value_parser = value_parser!(u16).range(1..=4096))]
    callers: Vec<u16>,
    /// Keys that they ask for: 1 to 1000000
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    keys: u32,
    /// Some keys are asked for more often than others, by Zipf's law with this exponent: 0 (all alike) to 5
    #[arg(long, default_value_t = 0.0, value_parser = exponent)]
    zipf: f64,
    /// Bytes of a value: 1 to 1000000
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    value: u32,
    /// Of 100 operations so many are updates, the others reads: 0 to 100
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u8).range(0..=100))]
    updates: u8,
    /// How long each way is measured for each number of callers, in seconds, all rounds together: 1 to 600
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Turns that each way gets for that, which the others' alternate with: 1 to 99
    #[arg(long, default_value_t = 9, value_parser = value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Print one JSON object per way and number of callers instead of the table
    #[arg(long)]
    json: bool,
    /// Draw throughput, CPU and the 99th percentile over the callers into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

const HOW: &str = "\
A read is a get-or-fill, whose loader answers at once; an update reserves a key and commits its new value. The plain
client gets, and updates in two commands, too: it touches the record, takes its generation, and puts what expects that
generation, which does not keep stale values out (genfence race shows it).

All ways are measured in turns, in this process, so that what else the machine does befalls all; a number is the median
of the turns. CPU is that of this process, not of the server. The first turn of each is not counted.

What it leaves: nothing. It touches records of its own alone, and removes them.

Exit codes: 0, 2 if it could not be measured, 130 if it was ended by Ctrl-C: what was measured until then is printed,
and no picture is drawn.";

fn exponent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.0..=5.0).contains(&number) { Ok(number) } else { Err("must be 0 to 5".into()) }
}

/// Measures.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.svg {
        picture::check(path)?;
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let interrupted = interrupt::listen(&runtime);
    let course = Course::new(args);
    let lines = runtime.block_on(measure(args, &interrupted))?;
    report::print(&mut io::stdout(), &course, &lines, args.json)?;
    if interrupted.is_cancelled() {
        return Ok(interrupt::INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        chart::draw(path, &course, &lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As far as it comes until somebody interrupts.
async fn measure(args: &Args, interrupted: &CancellationToken) -> Result<Vec<Line>, Failure> {
    let opening = Box::pin(interrupted.run_until_cancelled(Way::open_all(args)));
    let Some(ways) = opening.await.transpose()? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    let load = Load::new(args);
    let measured = async {
        for way in &ways {
            way.fill(args.keys, &load.value).await?;
        }
        let bar = Progress::new(args, ways.len());
        for &callers in &args.callers {
            let mut turns = vec![Vec::new(); ways.len()];
            // The first one warms up.
            for round in 0..=args.rounds {
                for (way, turns) in ways.iter().zip(&mut turns) {
                    let turn = load.turn(way, callers.into()).await?;
                    bar.tell(way, callers, &turn);
                    if round > 0 {
                        turns.push(turn);
                    }
                }
            }
            for (way, turns) in ways.iter().zip(&turns) {
                lines.push(Line::new(way.name, callers, turns));
            }
        }
        bar.0.finish_and_clear();
        Ok::<_, Failure>(())
    };
    let measured = Box::pin(interrupted.run_until_cancelled(measured)).await;
    for way in &ways {
        way.remove(args.keys).await;
    }
    measured.transpose()?;
    Ok(lines)
}

struct Progress(ProgressBar);

impl Progress {
    fn new(args: &Args, ways: usize) -> Self {
        let turns = args.callers.len() * ways * (args.rounds as usize + 1);
        let style = ProgressStyle::with_template("{bar:24} {eta:>4} left   {msg}");
        let bar = ProgressBar::new(turns as u64).with_style(style.expect("it is well-formed"));
        if bar.is_hidden() {
            let each =
                Duration::from_secs(args.seconds.into()).as_secs_f64() / f64::from(args.rounds);
            #[expect(clippy::cast_precision_loss, reason = "it is said in seconds")]
            let all = each * turns as f64;
            eprintln!("{turns} turns, about {all:.0} s …");
        }
        Progress(bar)
    }

    fn tell(&self, way: &Way, callers: u16, turn: &Turn) {
        self.0.inc(1);
        self.0.set_message(format!("{}, {callers} callers: {:.0}/s", way.name, turn.per_second()));
    }
}
