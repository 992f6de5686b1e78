//! How one update was lost: three lanes, what the caches and the source hold, and what crosses between them.

use std::time::Duration;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::sites::Region;
use super::story::{Event, Lost, What};
use super::{Failure, Version};
use crate::picture::{AXIS, Area, FAINT, GROUND, INK, OTHERS, OURS, centred};

pub const HEIGHT: u32 = 420;

const EU: i32 = 110;
const SOURCE: i32 = 200;
const US: i32 = 290;
const TIMES: i32 = 348;
/// Where the lanes begin, and where what they hold in the end is said.
const LEFT: i32 = 120;
const END: i32 = 920;
/// Of two lines of text.
const LINE: i32 = 16;

struct Picture<'a, 'b> {
    area: &'a Area<'b>,
    lost: &'a Lost,
    /// Between two events.
    apart: i32,
}

pub fn draw(area: &Area<'_>, lost: &Lost) -> Result<(), Failure> {
    let apart = (END - LEFT) / i32::try_from(lost.events.len() + 1)?;
    let picture = Picture { area, lost, apart };
    let middle = LEFT + (END - LEFT) / 2;
    picture.text(middle, 8, heading(lost), 16, INK)?;
    picture.lane(EU, "eu's cache", |event| held_by(event, Region::Eu))?;
    picture.lane(SOURCE, "the source", |event| match event.what {
        What::Committed(version) => Some(version),
        _ => None,
    })?;
    picture.lane(US, "us's cache", |event| held_by(event, Region::Us))?;
    // Words stand on what crosses.
    for (column, event) in (0..).zip(&lost.events) {
        picture.shipped(picture.x(column), event)?;
    }
    for (column, event) in (0..).zip(&lost.events) {
        let x = picture.x(column);
        picture.event(x, event)?;
        let since = event.at.saturating_sub(lost.events[0].at);
        picture.text(x, TIMES, &millis(since), 12, FAINT)?;
    }
    picture.end(EU, lost.held[Region::Eu as usize])?;
    picture.end(SOURCE, Some(lost.newest))?;
    picture.end(US, lost.held[Region::Us as usize])?;
    picture.text(middle, TIMES + LINE, "time, not to scale", 12, FAINT)?;
    let [first, second] = moral(lost);
    picture.text(middle, TIMES + 2 * LINE + 6, &first, 14, INK)?;
    picture.text(middle, TIMES + 3 * LINE + 8, &second, 13, FAINT)
}

fn heading(lost: &Lost) -> &'static str {
    if lost.is_from_nothing() {
        "How an update was lost: neither region has the record, and both write it"
    } else {
        "How an update was lost: both regions write the key"
    }
}

/// What became of it, in two lines.
fn moral(lost: &Lost) -> [String; 2] {
    let writes = if lost.are_all_accepted() { "No write failed" } else { "A write failed" };
    let is_wrong =
        |region: &Region| lost.held[*region as usize].is_some_and(|version| version != lost.newest);
    let who = match Region::BOTH.into_iter().filter(is_wrong).collect::<Vec<_>>()[..] {
        [one] => format!("{one} serves"),
        _ => "both regions serve".into(),
    };
    let (wrong, keys) = lost.alike;
    [
        format!(
            "{writes}, and nothing more is under way: {who} the old value until somebody writes, or it expires."
        ),
        format!(
            "So ended {wrong} of {keys} keys that both wrote from nothing. The link ships what a record holds when its turn comes."
        ),
    ]
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// What a region's cache holds from this event on, if that changes.
fn held_by(event: &Event, region: Region) -> Option<Version> {
    match event.what {
        What::Put { version, accepted: true } if event.region == region => Some(version),
        What::Shipped { version, accepted: true, .. } if event.region != region => Some(version),
        _ => None,
    }
}

fn height(region: Region) -> i32 {
    match region {
        Region::Eu => EU,
        Region::Us => US,
    }
}

impl Picture<'_, '_> {
    fn x(&self, column: i32) -> i32 {
        LEFT + self.apart * (column + 1)
    }

    /// What it holds has a colour: that of the newest version, another, or none.
    fn colour(&self, held: Option<Version>) -> RGBColor {
        match held {
            None => AXIS,
            Some(version) if version == self.lost.newest => OURS,
            Some(_) => OTHERS,
        }
    }

    fn text(&self, x: i32, y: i32, text: &str, size: u32, colour: RGBColor) -> Result<(), Failure> {
        Ok(self.area.draw(&Text::new(text.to_owned(), (x, y), centred(size, colour)))?)
    }

    fn beside(&self, x: i32, y: i32, text: &str, colour: RGBColor) -> Result<(), Failure> {
        let style = ("sans-serif", 15).into_font().color(&colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        Ok(self.area.draw(&Text::new(text.to_owned(), (x, y), style))?)
    }

    fn line(&self, from: (i32, i32), to: (i32, i32), style: ShapeStyle) -> Result<(), Failure> {
        Ok(self.area.draw(&PathElement::new([from, to], style))?)
    }

    fn dot(&self, at: (i32, i32), colour: RGBColor) -> Result<(), Failure> {
        Ok(self.area.draw(&Circle::new(at, 5, colour.filled()))?)
    }

    /// From left to right, in the colour of what is held.
    fn lane(
        &self,
        y: i32,
        name: &str,
        holds: impl Fn(&Event) -> Option<Version>,
    ) -> Result<(), Failure> {
        self.beside(20, y, name, INK)?;
        let (mut from, mut held) = (LEFT, None);
        for (column, event) in (0..).zip(&self.lost.events) {
            if let Some(version) = holds(event) {
                let x = self.x(column);
                self.line((from, y), (x, y), self.colour(held).stroke_width(4))?;
                (from, held) = (x, Some(version));
            }
        }
        self.line((from, y), (END, y), self.colour(held).stroke_width(4))
    }

    fn end(&self, y: i32, held: Option<Version>) -> Result<(), Failure> {
        let Some(version) = held else { return self.beside(END + 10, y, "nothing", FAINT) };
        let for_good = if version == self.lost.newest { "" } else { ", for good" };
        let colour = self.colour(held);
        self.beside(END + 10, y, &format!("version {version}{for_good}"), colour)
    }

    /// From the change that the link was told of to where its record arrived.
    fn shipped(&self, x: i32, event: &Event) -> Result<(), Failure> {
        let What::Shipped { since, version, .. } = event.what else { return Ok(()) };
        let from = (self.left_at(event.region, since), height(event.region));
        self.arrow(from, (x, height(event.region.other())), self.colour(Some(version)))
    }

    fn event(&self, x: i32, event: &Event) -> Result<(), Failure> {
        let own = height(event.region);
        match event.what {
            What::Touched(generation) => {
                self.dot((x, own), INK)?;
                self.words(x, own, ["touch:", &format!("generation {}", generation.unwrap_or(0))])
            }
            What::Committed(version) => {
                self.line((x, own), (x, SOURCE), INK.stroke_width(1))?;
                self.dot((x, SOURCE), self.colour(Some(version)))?;
                // On the side that the line does not come from.
                let top = if own < SOURCE { SOURCE + 10 } else { SOURCE - 10 - 2 * LINE };
                let ground = [(x - 28, top - 1), (x + 28, top + 2 * LINE - 1)];
                self.area.draw(&Rectangle::new(ground, GROUND.filled()))?;
                self.text(x, top, "COMMIT", 13, INK)?;
                self.text(x, top + LINE, &format!("version {version}"), 13, INK)
            }
            What::Put { version, accepted } => {
                self.dot((x, own), self.colour(Some(version)))?;
                self.words(x, own, [&format!("put version {version}:"), answer(accepted)])
            }
            What::Shipped { version, accepted, .. } => {
                let to = height(event.region.other());
                self.words(x, to, [&format!("shipped {version}:"), answer(accepted)])
            }
        }
    }

    /// Above the upper lane, below the lower one.
    fn words(&self, x: i32, lane: i32, lines: [&str; 2]) -> Result<(), Failure> {
        let top = if lane < SOURCE { lane - 12 - 2 * LINE } else { lane + 12 };
        self.text(x, top, lines[0], 13, INK)?;
        self.text(x, top + LINE, lines[1], 13, INK)
    }

    /// Where the change is that the link took along: the last one of its region by then.
    fn left_at(&self, region: Region, since: Duration) -> i32 {
        let before = |event: &Event| {
            event.region == region
                && event.at <= since
                && matches!(event.what, What::Put { .. } | What::Touched(_))
        };
        let column = self.lost.events.iter().rposition(before).unwrap_or(0);
        self.x(i32::try_from(column).unwrap_or(0))
    }

    fn arrow(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), Failure> {
        self.line(from, to, colour.stroke_width(2))?;
        let (across, down) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = across.hypot(down).max(1.0);
        let (across, down) = (across / length * 12.0, down / length * 12.0);
        #[expect(clippy::cast_possible_truncation, reason = "a pixel more or less")]
        let corner = |side: f64| {
            let (x, y) = (across + side * down * 0.4, down - side * across * 0.4);
            (to.0 - x.round() as i32, to.1 - y.round() as i32)
        };
        Ok(self.area.draw(&Polygon::new([to, corner(1.0), corner(-1.0)], colour.filled()))?)
    }
}

fn answer(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}
