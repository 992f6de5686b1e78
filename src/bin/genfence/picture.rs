//! What the tool's pictures have in common: their ground, their colours, and the file they go to.

use std::fs::{self, OpenOptions};
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failure;

pub const GROUND: RGBColor = RGBColor(252, 252, 250);
pub const INK: RGBColor = RGBColor(40, 44, 52);
pub const FAINT: RGBColor = RGBColor(110, 116, 128);
pub const AXIS: RGBColor = RGBColor(200, 204, 210);
pub const OTHERS: RGBColor = RGBColor(193, 85, 77);
pub const OURS: RGBColor = RGBColor(31, 122, 140);

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Fails now rather than after what is to be drawn, if the file cannot be written. Leaves no trace.
pub fn check(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|_| if is_new { fs::remove_file(path) } else { Ok(()) })
        .map_err(|problem| unwritable(path, &problem))
}

pub fn unwritable(path: &Path, problem: &dyn std::error::Error) -> Failure {
    format!("--svg: cannot write {}: {problem}", path.display()).into()
}

/// A heading, and what stands below it: the text, its size, how far down it is, its colour. In the middle.
pub fn title(area: &Area<'_>, lines: &[(&str, u32, i32, RGBColor)]) -> Result<(), Failure> {
    let middle = i32::try_from(area.dim_in_pixel().0 / 2)?;
    for (text, size, top, colour) in lines {
        area.draw(&Text::new(shortened(text), (middle, *top), centred(*size, *colour)))?;
    }
    Ok(())
}

/// Names in their colours, in a row so far down, each so wide.
pub fn legend(
    area: &Area<'_>,
    top: i32,
    apart: i32,
    entries: &[(String, RGBColor)],
) -> Result<(), Failure> {
    const MARK: i32 = 14;
    let width = i32::try_from(area.dim_in_pixel().0)?;
    let first = width / 2 - apart * i32::try_from(entries.len())? / 2 + MARK;
    for (place, (name, colour)) in (0..).zip(entries) {
        let left = first + apart * place;
        area.draw(&Rectangle::new([(left, top + 5), (left + MARK, top + 9)], colour.filled()))?;
        let style = ("sans-serif", 15).into_font().color(&INK);
        area.draw(&Text::new(name.clone(), (left + MARK + 8, top), style))?;
    }
    Ok(())
}

/// One of several, beside each other.
pub struct Bar<'a> {
    pub name: &'a str,
    pub height: f64,
    /// How high it is, in words.
    pub written: String,
    pub colour: RGBColor,
}

/// Bars, how high each is written above it, and its name below.
pub fn bars(area: &Area<'_>, caption: &str, unit: &str, all: &[Bar<'_>]) -> Result<(), Failure> {
    let count = u32::try_from(all.len())?;
    let columns = -0.5..f64::from(count) - 0.5;
    let highest = all.iter().map(|bar| bar.height).fold(0.1, f64::max);
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
        .y_desc(unit)
        .y_labels(6)
        .y_label_formatter(&|value| ((value * 100.0).round() / 100.0).to_string())
        .label_style(("sans-serif", 13, &FAINT))
        .draw()?;
    for (column, bar) in (0..count).zip(all) {
        let (column, height) = (f64::from(column), bar.height);
        let corners = [(column - 0.3, 0.0), (column + 0.3, height)];
        chart.draw_series([Rectangle::new(corners, bar.colour.filled())])?;

        let top = EmptyElement::at((column, height))
            + Text::new(bar.written.clone(), (0, -20), centred(15, INK));
        chart.draw_series([top])?;
        for (line, words) in [8, 24].into_iter().zip(bar.name.splitn(2, ' ')) {
            let name = EmptyElement::at((column, 0.0))
                + Text::new(words.to_owned(), (0, line), centred(13, INK));
            chart.draw_series([name])?;
        }
    }
    Ok(())
}

/// What fits into a picture's width: a cluster may have many hosts.
fn shortened(text: &str) -> String {
    const LETTERS: usize = 130;
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(LETTERS).collect();
    if letters.next().is_some() { start + "…" } else { start }
}

/// Text whose upper middle is where it is drawn.
pub fn centred<'a>(size: u32, colour: RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(HPos::Center, VPos::Top))
}
