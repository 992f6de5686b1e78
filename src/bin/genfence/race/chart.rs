//! The chart: stale hits and hit rate, side by side, on a ground of its own.

use std::path::Path;

use plotters::prelude::*;

use super::Failure;
use super::report::Outcome;
use crate::picture::{Area, Bar, FAINT, GROUND, INK, OTHERS, OURS, bars, title, unwritable};

const SIZE: (u32, u32) = (960, 452);
const HEADER: u32 = 88;

/// Draws what was measured, below what is said of it.
pub fn draw(path: &Path, said: [&str; 3], outcomes: &[&Outcome]) -> Result<(), Failure> {
    let whole = SVGBackend::new(path, SIZE).into_drawing_area();
    whole.fill(&GROUND)?;
    let (header, panels) = whole.split_vertically(HEADER);
    let [what, load, course] = said;
    let above = [(what, 22, 14, INK), (load, 14, 44, FAINT), (course, 14, 64, FAINT)];
    title(&header, &above)?;
    let (left, right) = panels.split_horizontally(SIZE.0 / 2);
    panel(&left, "Stale hits", outcomes, Outcome::stale_rate)?;
    panel(&right, "Hit rate", outcomes, Outcome::hit_rate)?;
    whole.present().map_err(|problem| unwritable(path, &problem))
}

/// A bar per strategy.
fn panel(
    area: &Area<'_>,
    caption: &str,
    outcomes: &[&Outcome],
    value: fn(&Outcome) -> f64,
) -> Result<(), Failure> {
    let bar = |outcome: &&Outcome| Bar {
        name: outcome.strategy,
        height: value(outcome),
        written: written(value(outcome)),
        colour: if outcome.is_ours() { OURS } else { OTHERS },
    };
    bars(area, caption, "% of reads", &outcomes.iter().map(bar).collect::<Vec<_>>())
}

/// None at all looks different from almost none.
pub fn written(percent: f64) -> String {
    match percent {
        0.0 => "0".into(),
        0.0..10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}
