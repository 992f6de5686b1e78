//! What is said of each strategy in the end.

use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;
use indicatif::HumanCount;
use serde::Serialize;

use super::measure::Measure;
use super::ours::OURS;

/// What all strategies were raced on, as it may be shown to everybody.
#[derive(Serialize)]
pub struct Course {
    pub store: String,
    pub source: String,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}, source {}", self.store, self.source)
    }
}

/// What was measured of one strategy. Latencies are those of reads.
#[derive(Serialize)]
pub struct Outcome {
    pub strategy: &'static str,
    pub reads: u64,
    pub hits: u64,
    pub source_reads: u64,
    pub stale_hits: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

impl Outcome {
    /// `latencies` are in microseconds.
    pub fn new(strategy: &'static str, measure: &Measure, latencies: &Histogram<u64>) -> Self {
        Outcome {
            strategy,
            reads: measure.reads.load(Relaxed),
            hits: measure.hits.load(Relaxed),
            source_reads: measure.source_reads.load(Relaxed),
            stale_hits: measure.stale_hits.load(Relaxed),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
        }
    }

    pub fn is_ours(&self) -> bool {
        self.strategy.starts_with(OURS)
    }

    /// Of all reads, in percent.
    pub fn hit_rate(&self) -> f64 {
        percent(self.hits, self.reads)
    }

    /// Of all reads, in percent.
    pub fn stale_rate(&self) -> f64 {
        percent(self.stale_hits, self.reads)
    }
}

impl Row<8> for Outcome {
    const HEAD: [(&'static str, usize); 8] = [
        ("strategy", 20),
        ("reads", 11),
        ("hit rate", 9),
        ("source reads", 13),
        ("stale hits", 11),
        ("of reads", 9),
        ("p50", 9),
        ("p99", 9),
    ];

    fn cells(&self) -> [String; 8] {
        [
            self.strategy.into(),
            HumanCount(self.reads).to_string(),
            format!("{:.1} %", self.hit_rate()),
            HumanCount(self.source_reads).to_string(),
            HumanCount(self.stale_hits).to_string(),
            format!("{:.2} %", self.stale_rate()),
            format!("{} µs", self.p50_us),
            format!("{} µs", self.p99_us),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "a table shows two places")]
pub fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// One object per line, each with what all share.
fn print_json(
    out: &mut impl Write,
    course: &impl Serialize,
    outcomes: &[impl Serialize],
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a, C, O> {
        #[serde(flatten)]
        course: &'a C,
        #[serde(flatten)]
        outcome: &'a O,
    }
    for outcome in outcomes {
        writeln!(out, "{}", serde_json::to_string(&Line { course, outcome })?)?;
    }
    Ok(())
}

/// What became of a way, in a table.
pub trait Row<const N: usize>: Serialize {
    /// What stands above each column, and how wide that is. The first one's words stand at the left.
    const HEAD: [(&'static str, usize); N];

    fn cells(&self) -> [String; N];
}

/// Prints a table of rows, or one JSON object per line.
pub fn print_rows<const N: usize, R: Row<N>>(
    out: &mut impl Write,
    course: &(impl Serialize + fmt::Display),
    rows: &[R],
    json: bool,
) -> io::Result<()> {
    if json {
        return print_json(out, course, rows);
    }
    writeln!(out, "{course}")?;
    let head = R::HEAD.map(|(above, _)| above.into());
    for cells in iter::once(head).chain(rows.iter().map(Row::cells)) {
        let columns = R::HEAD.iter().zip(cells).enumerate();
        let line = columns.map(|(place, ((_, width), cell))| match place {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", line.collect::<Vec<_>>().join(" "))?;
    }
    Ok(())
}
