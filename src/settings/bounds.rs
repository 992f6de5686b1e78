//! What may be, and the error where it is not: one that names the setting or the argument, and its bounds.

use std::fmt::Display;
use std::time::Duration;

/// What is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub field: &'static str,
    pub problem: String,
}

impl Invalid {
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Invalid { field, problem: problem.into() }
    }

    pub fn noting(mut self, notes: &[&str]) -> Self {
        self.problem.extend(notes.iter().copied());
        self
    }
}

/// A number within bounds, of which the upper may be missing; NaN is within none.
pub(crate) fn within<T: PartialOrd + Display + Copy>(
    field: &'static str,
    given: T,
    least: T,
    most: Option<T>,
) -> Result<(), Invalid> {
    if given >= least && most.as_ref().is_none_or(|most| given <= *most) {
        return Ok(());
    }
    let bounds = match most {
        Some(most) => format!("{least} to {most}"),
        None => format!("at least {least}"),
    };
    Err(Invalid::new(field, format!("{given} is out of bounds, must be {bounds}")))
}

/// A span within bounds.
pub(crate) fn span(
    field: &'static str,
    given: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), Invalid> {
    if given >= least && given <= most {
        return Ok(());
    }
    let [given, least, most] = [given, least, most].map(shown);
    Err(Invalid::new(field, format!("{given} is out of bounds, must be {least} to {most}")))
}

/// Whole days as days: a calendar's months and years say less.
fn shown(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match span.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(DAY) && span.subsec_nanos() == 0 => {
            format!("{}days", seconds / DAY)
        }
        _ => humantime::format_duration(span).to_string(),
    }
}
