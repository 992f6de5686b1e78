//! The picture: how one update was lost, and below it what each way came to.

use std::path::Path;

use plotters::prelude::*;

use super::super::chart::written;
use super::report::Outcome;
use super::ways::Promise;
use super::{Failure, Results, timeline};
use crate::picture::{
    Area, Bar, FAINT, GROUND, INK, OTHERS, OURS, bars, centred, title, unwritable,
};

const WIDTH: u32 = 1080;
const HEADER: u32 = 68;
const PANELS: u32 = 320;

/// Draws what was measured.
pub fn draw(path: &Path, results: &Results) -> Result<(), Failure> {
    let height = HEADER + timeline::HEIGHT + PANELS;
    let whole = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    whole.fill(&GROUND)?;
    let (header, below) = whole.split_vertically(HEADER);
    let above = [
        ("Two regions, one source, and a link that is late", 22, 14, INK),
        (&*results.course.to_string(), 13, 44, FAINT),
    ];
    title(&header, &above)?;
    let (story, panels) = below.split_vertically(timeline::HEIGHT);
    match &results.lost {
        Some(lost) => timeline::draw(&story, lost)?,
        None => nothing_lost(&story)?,
    }
    let (left, right) = panels.split_horizontally(WIDTH / 2);
    let outcomes = &results.outcomes;
    panel(&left, "Stale hits", "% of reads", outcomes, |outcome| {
        (outcome.stale_rate(), written(outcome.stale_rate()))
    })?;
    panel(&right, "Keys left wrong for good by the load", "keys", outcomes, |outcome| {
        let wrong = outcome.left_wrong.unwrap_or(0);
        (f64::from(u32::try_from(wrong).unwrap_or(u32::MAX)), wrong.to_string())
    })?;
    whole.present().map_err(|problem| unwritable(path, &problem))
}

fn nothing_lost(area: &Area<'_>) -> Result<(), Failure> {
    let (width, height) = area.dim_in_pixel();
    let middle = (i32::try_from(width / 2)?, i32::try_from(height / 2)?);
    area.draw(&Text::new("This time no update was lost.", middle, centred(15, FAINT)))?;
    Ok(())
}

/// A bar per way: how high it is, and how that is written.
fn panel(
    area: &Area<'_>,
    caption: &str,
    unit: &str,
    outcomes: &[Outcome],
    value: fn(&Outcome) -> (f64, String),
) -> Result<(), Failure> {
    // A line for each word, and the longest of them is longer than there is place.
    let names: Vec<String> =
        outcomes.iter().map(|outcome| outcome.way.replace("delete-", "delete- ")).collect();
    let bars_of = outcomes.iter().zip(&names).map(|(outcome, name)| {
        let (height, written) = value(outcome);
        let colour = if outcome.promise == Promise::Nothing { OTHERS } else { OURS };
        Bar { name, height, written, colour }
    });
    bars(area, caption, unit, &bars_of.collect::<Vec<_>>())
}
