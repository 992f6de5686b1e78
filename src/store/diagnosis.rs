//! What is right and what is wrong with a store's surroundings, as an operator is told it.

use std::fmt;
use std::time::Duration;

/// What a cache needs of its store: the options that a store's own settings must fit.
///
/// # Example
/// ```
/// use genfence::store::Needs;
/// use std::time::Duration;
///
/// let needs = Needs { max_value_bytes: 1 << 20, reservation_margin: Duration::from_secs(1) };
/// assert!(needs.max_value_bytes > 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The largest value, in bytes.
    pub max_value_bytes: usize,
    /// How far the clocks of a cluster's nodes may differ.
    pub reservation_margin: Duration,
}

/// How much a [`Finding`] matters.
///
/// # Example
/// ```
/// use genfence::store::Level;
///
/// assert!(Level::Error > Level::Warning && Level::Warning > Level::Ok);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Level {
    /// As it should be.
    Ok,
    /// The cache works; the guarantee, or what is stored, is less than it could be.
    Warning,
    /// The cache does not work, or the guarantee does not hold.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

/// One thing that was looked at.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
/// # let cache = genfence::Cache::connect("memory://").await?;
/// for finding in cache.diagnose().await?.findings {
///     println!("{}: {}: {}", finding.level, finding.check, finding.found);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// What was looked at. Stable, so that a monitor can name it.
    pub check: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What is there.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do. `None` where all is well.
    pub advice: Option<String>,
}

/// All that was found.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
/// use genfence::{Cache, store::Level};
///
/// let cache = Cache::connect("memory://").await?;
/// assert_eq!(cache.diagnose().await?.level(), Level::Ok);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Diagnosis {
    /// In the order they were looked at.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// The level of the worst finding; [`Level::Ok`] where there is none.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}
