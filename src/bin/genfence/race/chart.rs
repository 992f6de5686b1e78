//! The chart: stale hits and hit rate, side by side, on a ground of its own.

use std::path::Path;

use plotters::prelude::*;

use super::report::{Course, Outcome};
use super::{Args, Failure};
use crate::picture::{AXIS, Area, FAINT, GROUND, INK, OTHERS, OURS, centred, title, unwritable};

const SIZE: (u32, u32) = (960, 452);
const HEADER: u32 = 88;

/// Draws what was measured.
pub fn draw(
    path: &Path,
    args: &Args,
    course: &Course,
    outcomes: &[Outcome],
) -> Result<(), Failure> {
    let whole = SVGBackend::new(path, SIZE).into_drawing_area();
    whole.fill(&GROUND)?;
    let (header, panels) = whole.split_vertically(HEADER);
    let Args { readers, writers, .. } = args;
    let (keys, seconds) = (args.keys(), args.seconds());
    let load = format!(
        "{keys} keys, {readers} readers, {writers} writers, a crash after 2 % of the writes, \
         evictions; {seconds} s each"
    );
    let above = [
        ("Same source, same load, four strategies", 22, 14, INK),
        (&*load, 14, 44, FAINT),
        (&*course.to_string(), 14, 64, FAINT),
    ];
    title(&header, &above)?;
    let (left, right) = panels.split_horizontally(SIZE.0 / 2);
    panel(&left, "Stale hits", outcomes, Outcome::stale_rate)?;
    panel(&right, "Hit rate", outcomes, Outcome::hit_rate)?;
    whole.present().map_err(|problem| unwritable(path, &problem))
}

/// A bar per strategy, its value written above it and its name below.
fn panel(
    area: &Area<'_>,
    caption: &str,
    outcomes: &[Outcome],
    value: fn(&Outcome) -> f64,
) -> Result<(), Failure> {
    let count = u32::try_from(outcomes.len())?;
    let columns = -0.5..f64::from(count) - 0.5;
    let highest = outcomes.iter().map(value).fold(0.1, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 17, &INK))
        .margin(12)
        .y_label_area_size(64)
        .x_label_area_size(44)
        .build_cartesian_2d(columns, 0.0..highest * 1.15)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_x_axis()
        .axis_style(AXIS)
        .y_desc("% of reads")
        .y_labels(6)
        .y_label_formatter(&|value| ((value * 100.0).round() / 100.0).to_string())
        .label_style(("sans-serif", 13, &FAINT))
        .draw()?;
    for (column, outcome) in (0..count).zip(outcomes) {
        let (column, height) = (f64::from(column), value(outcome));
        let colour = if outcome.is_ours() { OURS } else { OTHERS };
        let corners = [(column - 0.3, 0.0), (column + 0.3, height)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;

        let top = EmptyElement::at((column, height))
            + Text::new(written(height), (0, -20), centred(15, INK));
        chart.draw_series([top])?;
        for (line, words) in [8, 24].into_iter().zip(outcome.strategy.splitn(2, ' ')) {
            let name =
                EmptyElement::at((column, 0.0)) + Text::new(words, (0, line), centred(13, INK));
            chart.draw_series([name])?;
        }
    }
    Ok(())
}

/// None at all looks different from almost none.
fn written(percent: f64) -> String {
    match percent {
        0.0 => "0".into(),
        0.0..10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}
