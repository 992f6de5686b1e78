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

/// What was measured of one way with so many callers: medians of the turns.
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
        let mut speeds: Vec<f64> = turns.iter().map(Turn::per_second).collect();
        speeds.sort_by(f64::total_cmp);
        let mut cpu: Vec<f64> = turns.iter().map(Turn::cpu_us).collect();
        cpu.sort_by(f64::total_cmp);
        let middle = |of: fn(&Turn) -> u64| {
            let mut all: Vec<u64> = turns.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        let at = |all: &[f64], place: usize| all.get(place).copied().unwrap_or(0.0);
        Line {
            way,
            callers,
            per_second: at(&speeds, speeds.len() / 2),
            cpu_us: at(&cpu, cpu.len() / 2),
            p50_us: middle(|turn| turn.p50_us),
            p99_us: middle(|turn| turn.p99_us),
            spread: [at(&speeds, 0), at(&speeds, speeds.len().saturating_sub(1))],
        }
    }
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
