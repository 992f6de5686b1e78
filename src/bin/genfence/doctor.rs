//! **doctor**: whether a cluster is fit for the cache, and what to set where it is not.

use std::process::ExitCode;

use genfence::Cache;
use genfence::store::{Finding, Level};

use crate::Failure;
use crate::wait::{interruptible, run};

/// Check the server, its clock and its settings: what is well, what is not, why it matters, what to do
///
/// Exit codes: 0 if nothing is an error, 1 if something is, 2 if the server could not be asked.
#[derive(clap::Args)]
pub struct Args {
    /// The cache, as a program would open it: aerospike://host:port/namespace/set
    url: String,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Exit code 1: there is an error among the findings.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let asking = async {
            interruptible(Cache::builder().diagnose(&self.url)).await?.map_err(Into::into)
        };
        let diagnosis = run(asking)?;
        if self.json {
            println!("{}", serde_json::to_string(&diagnosis)?);
        } else {
            for finding in &diagnosis.findings {
                show(finding);
            }
        }
        Ok(ExitCode::from(u8::from(diagnosis.level() == Level::Error)))
    }
}

fn show(Finding { check, level, found, why, advice }: &Finding) {
    println!("{level:8} {check:27} {found}");
    if let Some(advice) = advice {
        println!("{:8} why: {why}", "");
        println!("{:8} do:  {advice}", "");
    }
}
