//! What a setting may be, and the error where it is not: one that names the setting and its bounds.

use std::time::Duration;

use super::StoreError;

/// A setting that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub field: &'static str,
    pub problem: String,
}

impl Invalid {
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Invalid { field, problem: problem.into() }
    }
}

impl From<Invalid> for StoreError {
    fn from(Invalid { field, problem }: Invalid) -> Self {
        StoreError::refused(format!("{field}: {problem}"))
    }
}

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

pub(crate) fn size(
    field: &'static str,
    given: usize,
    least: usize,
    most: usize,
) -> Result<(), Invalid> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{given} is out of bounds, must be {least} to {most}")))
}
