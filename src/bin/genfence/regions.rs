//! **regions**: which there are, which serve, and who lets them.

use std::process::ExitCode;
use std::time::Duration;

use genfence::{RegionGrant, RegionStatus};

use crate::{Failure, keys};

/// Show all regions: whether their clusters answer, in which epoch they serve, and who lets them until when
///
/// Exit codes: 0 if all answer, 1 if one does not, 2 if the own cluster could not be asked.
#[derive(clap::Args)]
pub struct Args {
    /// The cache, as a program would open it: aerospike://host:port/namespace/set?region=eu&peers=…
    url: String,
    /// Print one JSON object for each region instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let regions = keys::with(&self.url, async |cache| cache.regions().await)?;
        if regions.is_empty() {
            return Err(
                "the URL names one region: give `region` and `peers` as the programs do".into()
            );
        }
        if !self.json {
            println!("{:14} {:20} {:>10} {:>8}  grants", "region", "epoch", "since", "quiet");
        }
        for region in &regions {
            if self.json {
                println!("{}", serde_json::to_string(region)?);
            } else {
                show(region);
            }
        }
        Ok(u8::from(regions.iter().any(|region| region.problem.is_some())).into())
    }
}

fn show(status: &RegionStatus) {
    let RegionStatus { region, is_own, problem, epoch, age, quiet_for, grants, .. } = status;
    let name = if *is_own { format!("{region} (own)") } else { region.clone() };
    let or_none = |is_none: bool, text: String| if is_none { "-".to_owned() } else { text };
    let epoch = or_none(*epoch == 0, epoch.to_string());
    let age = or_none(age.is_zero(), shown(*age));
    let quiet = or_none(quiet_for.is_zero(), shown(*quiet_for));
    let grants: Vec<String> = grants.iter().map(granted).collect();
    println!("{name:14} {epoch:20} {age:>10} {quiet:>8}  {}", grants.join(", "));
    if let Some(problem) = problem {
        println!("{:14} {problem}", "");
    }
}

fn granted(grant: &RegionGrant) -> String {
    let RegionGrant { grantor, problem, left, is_barred, .. } = grant;
    let barred = if *is_barred { ", barred" } else { "" };
    match problem {
        Some(problem) => format!("{grantor}: {problem}"),
        None if left.is_zero() => format!("{grantor}: no more{barred}"),
        None => format!("{grantor}: {}{barred}", shown(*left)),
    }
}

fn shown(span: Duration) -> String {
    let coarse = if span < Duration::from_secs(60) {
        Duration::from_millis(u64::try_from(span.as_millis() / 100 * 100).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(span.as_secs())
    };
    humantime::format_duration(coarse).to_string()
}
