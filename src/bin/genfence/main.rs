//! `genfence`: the command-line tool beside the library of that name.

mod bench;
#[cfg(feature = "aerospike")]
mod contract;
mod doctor;
mod follow;
mod interrupt;
mod keys;
mod picture;
mod postgres;
mod race;
mod regions;
mod system;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Shows and does what the genfence cache does")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Race(race::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
    Regions(regions::Args),
    #[cfg(feature = "aerospike")]
    Contract(contract::Args),
    Inspect(keys::Inspect),
    Invalidate(keys::Invalidate),
    Follow(follow::Args),
    /// One of the processes of a race, which starts it
    #[cfg(feature = "aerospike")]
    #[command(hide = true, name = race::PROCESS)]
    RaceProcess,
}

/// Whatever went wrong. Who runs the tool reads it; no code looks into it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Says no to bad arguments, as clap does, and to whatever else could not be done.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Race(args) => race::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => args.run(),
        Command::Regions(args) => args.run(),
        #[cfg(feature = "aerospike")]
        Command::Contract(args) => args.run(),
        Command::Inspect(args) => args.run(),
        Command::Invalidate(args) => args.run(),
        Command::Follow(args) => args.run(),
        #[cfg(feature = "aerospike")]
        Command::RaceProcess => race::run_process(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(FAILED)
    })
}

/// A URL that was found to be right, without user, password and options.
fn without_login(url: &str) -> String {
    let (place, _) = url.split_once('?').unwrap_or((url, ""));
    match (place.split_once("://"), place.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, after))) => format!("{scheme}://{after}"),
        _ => place.into(),
    }
}
