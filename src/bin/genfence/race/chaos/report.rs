//! What is counted each second, and what is said of it.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use genfence::Cache;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::super::Args;
use super::Told;
use super::load::{Counts, Load};

/// What the load ran on.
pub struct Course {
    store: String,
    keys: u32,
    readers: u32,
    writers: u32,
}

/// What one second brought.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// The end of it.
    #[serde(rename = "second")]
    pub number: u32,
    pub reads: u64,
    pub hits: u64,
    /// Reads that asked the source as the cache could not be relied on.
    pub bypasses: u64,
    pub stale: u64,
    /// What befell the nodes.
    pub events: Vec<String>,
}

/// What a load came to, second by second.
#[derive(Serialize)]
pub struct Run {
    /// The cache's option, where it is known.
    #[serde(rename = "cluster_guard")]
    pub guard: Option<&'static str>,
    /// Whether no hit may be stale.
    #[serde(skip)]
    pub is_guarded: bool,
    pub seconds: Vec<Second>,
}

impl Course {
    pub fn new(args: &Args) -> Self {
        let store = if args.has_own_nodes() {
            "three nodes of the wire test server in this process, two copies of each record".into()
        } else {
            crate::without_login(&args.url)
        };
        let Args { readers, writers, .. } = *args;
        Course { store, keys: args.keys(), readers, writers }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Course { store, keys, readers, writers } = self;
        write!(f, "{store}; {keys} keys, {readers} readers, {writers} writers")
    }
}

impl Run {
    pub fn new(guard: Option<&'static str>) -> Self {
        Run { guard, is_guarded: guard != Some("off"), seconds: Vec::new() }
    }

    pub fn name(&self) -> String {
        self.guard.map_or("genfence".into(), |guard| format!("cluster_guard={guard}"))
    }

    pub fn total(&self) -> Second {
        let mut total = Second::default();
        for second in &self.seconds {
            total.reads += second.reads;
            total.hits += second.hits;
            total.bypasses += second.bypasses;
            total.stale += second.stale;
        }
        total
    }

    /// Counts for as long as the load is to run, and shows how it goes.
    pub async fn watch(&mut self, args: &Args, load: &Load, cache: &Cache, told: &Told) {
        let bar = ProgressBar::new(args.seconds().into()).with_style(
            ProgressStyle::with_template("{prefix:22} {bar:20} {msg}").expect("it is well-formed"),
        );
        bar.set_prefix(self.name());
        if bar.is_hidden() {
            eprintln!("{}: {} s …", self.name(), args.seconds());
        }
        let (mut before, mut bypasses) = (Counts::default(), 0);
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        for second in 1..=args.seconds() {
            ticks.tick().await;
            let (counts, stats) = (load.counts(), cache.stats());
            let passed = Second {
                number: second,
                reads: counts.reads - before.reads,
                hits: counts.hits - before.hits,
                bypasses: stats.bypasses - bypasses,
                stale: counts.stale - before.stale,
                events: std::mem::take(&mut *told.lock()),
            };
            (before, bypasses) = (counts, stats.bypasses);
            bar.set_position(second.into());
            bar.set_message(format!(
                "{} reads, {} hits, {} stale of {} so far; {}",
                HumanCount(passed.reads),
                HumanCount(passed.hits),
                HumanCount(counts.stale),
                HumanCount(counts.reads),
                passed.events.last().map_or("", String::as_str),
            ));
            self.seconds.push(passed);
        }
        bar.finish_and_clear();
    }
}

/// Prints a table for each run, or one JSON object per line.
pub fn print(out: &mut impl Write, course: &Course, runs: &[Run], json: bool) -> io::Result<()> {
    if json {
        for run in runs {
            writeln!(out, "{}", serde_json::to_string(run)?)?;
        }
        return Ok(());
    }
    writeln!(out, "{course}")?;
    for run in runs {
        let name = run.name();
        writeln!(
            out,
            "\n{name}\n{:>6} {:>9} {:>9} {:>9} {:>7}",
            "second", "reads", "hits", "bypasses", "stale"
        )?;
        for second in &run.seconds {
            line(out, &second.number.to_string(), second)?;
        }
        line(out, "all", &run.total())?;
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, second: &Second) -> io::Result<()> {
    let Second { reads, hits, bypasses, stale, events, .. } = second;
    let [reads, hits, bypasses, stale] =
        [reads, hits, bypasses, stale].map(|count| HumanCount(*count).to_string());
    let line =
        format!("{name:>6} {reads:>9} {hits:>9} {bypasses:>9} {stale:>7}  {}", events.join(", "));
    writeln!(out, "{}", line.trim_end())
}
