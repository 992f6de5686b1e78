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
