//! **contract**: what all programs of a set say alike, and how it is changed.

use std::process::ExitCode;

use clap::Subcommand;
use genfence::Cache;
use genfence::store::Contract;

use crate::Failure;
use crate::wait::{interruptible, run};

/// Show, or change, what all programs that use a set must say alike
#[derive(clap::Args)]
#[command(after_long_help = PHASES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const PHASES: &str = "\
All programs that use a set say the same of region, peers and fence; where unreachable is wait, of grantors, serving_lease and
reservation_time; and where fence is home, of homes and homes_phase. A writer that fences other regions than the others do would change
the source behind their back. The first program writes it into records of the set, and one that says otherwise is refused.

To change it while programs run, in this order:

  1. genfence contract set --also URL   with the new settings, and the URL of each region in turn: programs with the old and with
                                        the new ones are let in
  2. start every program of every region anew, with the new settings
  3. genfence contract set URL          again for each region: only the new ones are let in

Until the last program was started anew, what is promised is the less of what both promise: of fence=own and fence=all, that of
own. Where one of them has unreachable=wait, or both have fence=all and other regions, or one has fence=home and the other has not, nothing is
promised between them, so `--also` is refused: stop all programs instead, and say `set --stopped`.

Where fence is home, another list of homes takes three such changes, each ended in all regions before the next, and what is promised stays as it
is: to the lists with the new one behind them and homes_phase=fence, then to homes_phase=read, then to no homes_phase. Before the
second, `set --also` waits until a writer that was killed before the first has nothing under way any more: for the reservation_time (and
replica_lag, if that is longer) of the URL, so give there what programs have. The first may be called off, with `set --also` and the lists of
before; after that go on, and change the list once more. A list that is a function's name stands there by that name.

What was stored before a change to fence=all or fence=home may be older than they promise, until its time to live is over: where that
matters, give programs another prefix with it.";

#[derive(Subcommand)]
enum Command {
    /// Show what is written there
    Show {
        /// The cache, as a program would open it: aerospike://host:port/namespace/set
        url: String,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Write what the URL says
    Set {
        /// The cache, as a program would open it, with the new settings
        url: String,
        /// Programs that say what is written there now are let in as well
        #[arg(long, conflicts_with = "stopped")]
        also: bool,
        /// No program that uses the set runs
        #[arg(long)]
        stopped: bool,
    },
}

impl Args {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        match &self.command {
            Command::Show { url, json } => show(url, *json),
            Command::Set { url, also, stopped } => set(url, *also, *stopped),
        }
    }
}

fn show(url: &str, json: bool) -> Result<ExitCode, Failure> {
    let contract = run(async {
        let (contract, _) = interruptible(Box::pin(Cache::builder().contract(url))).await??;
        Ok(contract.said().await?)
    })?;
    if json {
        println!("{}", serde_json::json!({ "programs": contract }));
    } else if contract.is_empty() {
        println!("nothing is written: no program has used this set");
    }
    if !json {
        for line in contract {
            println!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be written: the lines that are let in.
///
/// # Errors
/// It is no step that running programs can take.
fn step(own: &str, said: &[String], also: bool, stopped: bool) -> Result<Vec<String>, Failure> {
    let others: Vec<&String> = said.iter().filter(|line| *line != own).collect();
    if let Some(other) = others.iter().find(|other| stopped && !Contract::goes_on(other, own)) {
        return Err(format!(
            "after \"{other}\" with \"{own}\", what homes had before would be found again: let `homes` begin with the lists that there were, or \
             take another set"
        )
        .into());
    }
    if stopped || others.is_empty() {
        return Ok(vec![own.to_owned()]);
    }
    if let Some(other) = others.iter().find(|other| !Contract::follows(other, own)) {
        return Err(format!(
            "between \"{other}\" and \"{own}\" nothing is promised: stop all programs, and say `set --stopped`"
        )
        .into());
    }
    if !also {
        if others.len() < said.len() {
            return Ok(vec![own.to_owned()]);
        }
        return Err(format!(
            "programs that say \"{}\" may run: say `set --also` first, and start them anew; or `set --stopped` where none runs",
            said.join("\" or \"")
        )
        .into());
    }
    if others.len() > 1 {
        let told = "a change is under way already: end it first, with `set` and one of these";
        return Err(format!("{told}: \"{}\"", said.join("\", \"")).into());
    }
    Ok(others.into_iter().cloned().chain([own.to_owned()]).collect())
}

fn set(url: &str, also: bool, stopped: bool) -> Result<ExitCode, Failure> {
    run(async {
        let (contract, over) = interruptible(Box::pin(Cache::builder().contract(url))).await??;
        let own = contract.own();
        let said = contract.said().await?;
        let lines = step(&own, &said, also, stopped)?;
        let waits = |line: &String| Contract::waits(line, &own, stopped);
        if (also || stopped) && said.iter().any(waits) {
            eprintln!(
                "waiting {} until nothing is under way any more of a writer that was killed, and that fenced elsewhere",
                humantime::format_duration(over)
            );
            interruptible(tokio::time::sleep(over)).await?;
            if contract.said().await? != said {
                return Err(
                    "somebody else has changed it meanwhile: see `show`, and begin anew".into()
                );
            }
        }
        interruptible(contract.say(&lines)).await??;
        for line in lines {
            println!("let in: {line}");
        }
        Ok(ExitCode::SUCCESS)
    })
}
