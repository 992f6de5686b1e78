//! The picture: operations a second, CPU and the 99th percentile over the callers, a line for each way.

use std::path::Path;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use super::Failure;
use super::report::{Course, Line};
use crate::picture::{AXIS, Area, FAINT, GROUND, INK, OTHERS, OURS, legend, title, unwritable};

const SIZE: (u32, u32) = (1080, 420);
const HEADER: u32 = 92;
const UNMERGED: RGBColor = RGBColor(146, 160, 166);

/// What is drawn of a line, and in which unit.
type Of = fn(&Line) -> f64;

/// Draws what was measured.
pub fn draw(path: &Path, course: &Course, lines: &[Line]) -> Result<(), Failure> {
    let whole = SVGBackend::new(path, SIZE).into_drawing_area();
    whole.fill(&GROUND)?;
    let (header, panels) = whole.split_vertically(HEADER);
    let above = [
        ("The same operations, over the number of callers", 22, 10, INK),
        (&*course.to_string(), 14, 40, FAINT),
    ];
    title(&header, &above)?;
    let names: Vec<_> = ways(lines).into_iter().map(|way| (named(way), colour(way))).collect();
    legend(&header, 67, 190, &names)?;
    let panels = panels.split_evenly((1, 3));
    #[expect(clippy::cast_precision_loss, reason = "a picture shows no more")]
    let wanted: [(&str, Of); 3] = [
        ("thousands a second", |line| line.per_second / 1e3),
        ("µs of CPU each", |line| line.cpu_us),
        ("99 % done within, ms", |line| line.p99_us as f64 / 1e3),
    ];
    for (area, (caption, of)) in panels.iter().zip(wanted) {
        panel(area, caption, lines, of)?;
    }
    whole.present().map_err(|problem| unwritable(path, &problem))
}

fn ways(lines: &[Line]) -> Vec<&'static str> {
    let mut ways: Vec<&str> = Vec::new();
    for line in lines {
        if !ways.contains(&line.way) {
            ways.push(line.way);
        }
    }
    ways
}

fn colour(way: &str) -> RGBColor {
    match way {
        "plain client" => OTHERS,
        "one by one" => UNMERGED,
        _ => OURS,
    }
}

fn named(way: &str) -> String {
    match way {
        "plain client" | "genfence" => way.to_owned(),
        _ => format!("genfence, {way}"),
    }
}

fn panel(area: &Area<'_>, caption: &str, lines: &[Line], of: Of) -> Result<(), Failure> {
    let callers = lines.iter().map(|line| f64::from(line.callers));
    let (least, most) = callers.fold((f64::MAX, 1.0), |(least, most): (f64, f64), callers| {
        (least.min(callers), most.max(callers))
    });
    let highest = lines.iter().map(of).fold(1e-3, f64::max);
    let across = (least * 0.9..most * 1.1).log_scale().base(2.0);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16, &INK))
        .margin(10)
        .y_label_area_size(48)
        .x_label_area_size(40)
        .build_cartesian_2d(across, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(AXIS.mix(0.5))
        .axis_style(AXIS)
        .x_desc("callers")
        .x_labels(10)
        .x_label_formatter(&|callers| callers.round().to_string())
        .y_labels(6)
        .y_label_formatter(&|value| ((value * 100.0).round() / 100.0).to_string())
        .label_style(("sans-serif", 13, &FAINT))
        .draw()?;
    for way in ways(lines) {
        let own = lines.iter().filter(|line| line.way == way);
        let points: Vec<(f64, f64)> = own.map(|line| (line.callers.into(), of(line))).collect();
        let line = PathElement::new(points.clone(), colour(way).stroke_width(3));
        chart.draw_series([line])?;
        chart.draw_series(
            points.into_iter().map(|point| Circle::new(point, 4, colour(way).filled())),
        )?;
    }
    Ok(())
}
