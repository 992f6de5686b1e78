//! What is said of each way and number of callers.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::Args;
use super::load::Turn;
use crate::without_login;

/// What was done, as it may be shown to everybody.
#[derive(Serialize)]
pub struct Course {
    pub store: String,
    pub keys: u32,
    pub zipf: f64,
    pub value_bytes: u32,
    pub updates_percent: u8,
    pub seconds: u32,
    pub rounds: u32,
}

impl Course {
    pub fn new(args: &Args) -> Self {
        Course {
            store: without_login(&args.url),
            keys: args.keys,
            zipf: args.zipf,
            value_bytes: args.value,
            updates_percent: args.updates,
            seconds: args.seconds,
            rounds: args.rounds,
        }
    }

    /// What is asked for.
    pub fn load(&self) -> String {
        let Course { keys, zipf, value_bytes, updates_percent, .. } = self;
        let spread = if *zipf > 0.0 { format!(", Zipf {zipf}") } else { String::new() };
        format!("{keys} keys{spread}, {value_bytes} B, {updates_percent} % updates")
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Course { store, seconds, rounds, .. } = self;
        write!(f, "{store}: {}; medians of {rounds} turns, {seconds} s together", self.load())
    }
}

/// What was measured of one way with so many callers: medians of the turns, of which there is at least one.
#[derive(Serialize)]
pub struct Line {
    pub way: &'static str,
    pub callers: u16,
    pub per_second: f64,
    pub cpu_us: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    /// Operations a second, in the slowest turn and in the fastest.
    pub spread: [f64; 2],
}

impl Line {
    pub fn new(way: &'static str, callers: u16, turns: &[Turn]) -> Self {
        let speeds = sorted(turns, Turn::per_second);
        let middle = turns.len() / 2;
        Line {
            way,
            callers,
            per_second: speeds[middle],
            cpu_us: sorted(turns, Turn::cpu_us)[middle],
            p50_us: sorted(turns, |turn| turn.p50_us)[middle],
            p99_us: sorted(turns, |turn| turn.p99_us)[middle],
            spread: [speeds[0], speeds[turns.len() - 1]],
        }
    }
}

fn sorted<T: PartialOrd>(turns: &[Turn], of: impl Fn(&Turn) -> T) -> Vec<T> {
    let mut all: Vec<T> = turns.iter().map(of).collect();
    all.sort_by(|one, other| one.partial_cmp(other).expect("it is a number"));
    all
}

/// Prints the table, or one JSON object per line. What comes first is what the others are compared with.
pub fn print(out: &mut impl Write, course: &Course, lines: &[Line], json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(flatten)]
        course: &'a Course,
        #[serde(flatten)]
        line: &'a Line,
    }
    if json {
        for line in lines {
            writeln!(out, "{}", serde_json::to_string(&Object { course, line })?)?;
        }
        return Ok(());
    }
    writeln!(out, "{course}")?;
    writeln!(
        out,
        "{:14} {:>7} {:>10} {:>19} {:>10} {:>10} {:>10}   beside the first",
        "", "callers", "per second", "slowest – fastest", "CPU each", "p50", "p99",
    )?;
    for line in lines {
        let first = lines.iter().find(|other| other.callers == line.callers).unwrap_or(line);
        let beside = if first.way == line.way {
            String::new()
        } else {
            format!(
                "{:.2} ×, CPU {:.2} ×, p99 {:.2} ×",
                line.per_second / first.per_second,
                line.cpu_us / first.cpu_us,
                ratio(line.p99_us, first.p99_us),
            )
        };
        let row = format!(
            "{:14} {:>7} {:>10.0} {:>19} {:>10} {:>10} {:>10}   {beside}",
            line.way,
            line.callers,
            line.per_second,
            format!("{:.0} – {:.0}", line.spread[0], line.spread[1]),
            format!("{:.2} µs", line.cpu_us),
            format!("{} µs", line.p50_us),
            format!("{} µs", line.p99_us),
        );
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a table shows two places")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}
