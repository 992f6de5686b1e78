//! The picture: for each run its hits and bypasses a second, what befell the nodes, and which hits were stale.

use std::path::Path;

use plotters::prelude::*;

use super::super::Failure;
use super::nodes;
use super::report::{Course, Run, Second};
use crate::picture::{
    AXIS, Area, FAINT, GROUND, INK, OTHERS, OURS, centred, legend, title, unwritable,
};

const WIDTH: u32 = 1080;
const HEADER: u32 = 96;
const PANEL: u32 = 300;
const BYPASSES: RGBColor = RGBColor(214, 164, 76);

/// What is drawn of a second.
type Of = fn(&Second) -> u64;

/// Draws what was counted.
pub fn draw(path: &Path, course: &Course, runs: &[Run]) -> Result<(), Failure> {
    let panels = u32::try_from(runs.len())?;
    let whole = SVGBackend::new(path, (WIDTH, HEADER + PANEL * panels)).into_drawing_area();
    whole.fill(&GROUND)?;
    let (header, below) = whole.split_vertically(HEADER);
    let above = [
        ("A cluster whose nodes are paused, cut off and killed", 22, 10, INK),
        (&*course.to_string(), 14, 40, FAINT),
    ];
    title(&header, &above)?;
    let names = [("hits", OURS), ("bypasses", BYPASSES), ("stale hits", OTHERS)];
    legend(&header, 68, 150, &names.map(|(name, colour)| (name.to_owned(), colour)))?;
    for (area, run) in below.split_evenly((runs.len(), 1)).iter().zip(runs) {
        panel(area, run)?;
    }
    whole.present().map_err(|problem| unwritable(path, &problem))
}

#[expect(clippy::cast_precision_loss, reason = "a picture shows no more")]
fn thousands(count: u64) -> f64 {
    count as f64 / 1e3
}

fn panel(area: &Area<'_>, run: &Run) -> Result<(), Failure> {
    let (first, last) = (0.0, run.seconds.last().map_or(1.0, |second| f64::from(second.number)));
    let highest = run
        .seconds
        .iter()
        .map(|second| thousands(second.hits.max(second.bypasses)))
        .fold(0.1, f64::max);
    let total = run.total();
    let caption = format!("{}: {} stale of {} hits", run.name(), total.stale, total.hits);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16, &INK))
        .margin(10)
        .y_label_area_size(56)
        .x_label_area_size(36)
        .build_cartesian_2d(first..last, 0.0..highest * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(AXIS.mix(0.5))
        .axis_style(AXIS)
        .x_desc("second")
        .x_labels(16)
        .x_label_formatter(&|second| second.round().to_string())
        .y_desc("thousands a second")
        .y_labels(6)
        .y_label_formatter(&|value| ((value * 10.0).round() / 10.0).to_string())
        .label_style(("sans-serif", 13, &FAINT))
        .draw()?;
    // What a second brought stands in its middle.
    let middle = |second: &Second| f64::from(second.number) - 0.5;
    for second in run.seconds.iter().filter(|second| !second.events.is_empty()) {
        let line = [(middle(second), 0.0), (middle(second), highest * 1.12)];
        chart.draw_series([PathElement::new(line, AXIS.stroke_width(1))])?;
    }
    let lines: [(Of, RGBColor); 2] =
        [(|second| second.bypasses, BYPASSES), (|second| second.hits, OURS)];
    for (of, colour) in lines {
        let points = run.seconds.iter().map(|second| (middle(second), thousands(of(second))));
        chart
            .draw_series([PathElement::new(points.collect::<Vec<_>>(), colour.stroke_width(3))])?;
    }
    for second in &run.seconds {
        if let Some(event) = told_of(second) {
            let at = EmptyElement::at((middle(second), highest * 1.22));
            chart.draw_series([at + Text::new(event.clone(), (0, 0), centred(12, INK))])?;
        }
        if second.stale > 0 {
            let bar = [(middle(second) - 0.3, 0.0), (middle(second) + 0.3, highest * 0.08)];
            chart.draw_series([Rectangle::new(bar, OTHERS.filled())])?;
            let at = EmptyElement::at((middle(second), highest * 0.08));
            let count = second.stale.to_string();
            chart.draw_series([at + Text::new(count, (0, -16), centred(13, OTHERS))])?;
        }
    }
    Ok(())
}

/// There is room for one: what befell a node goes before what ended, which on a busy machine may be late and in the same second.
fn told_of(second: &Second) -> Option<&String> {
    let mut told = second.events.iter().filter(|event| event.starts_with("node"));
    told.clone().find(|event| nodes::is_harm(event)).or_else(|| told.next())
}
