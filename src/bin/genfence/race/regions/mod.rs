//! **race --regions**: one source, two regions with a cluster each, and a link between them that is late.

mod background;
mod chart;
mod link;
mod load;
mod measure;
mod records;
mod report;
mod sites;
mod story;
mod timeline;
mod ways;
mod world;

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::report::print_rows;
use super::{Args, Failure, Key, Version};
use crate::interrupt;
use load::Load;
use report::{Course, Outcome};
use sites::Sites;
use story::Lost;
use ways::Entry;
use world::World;

/// What a region does with a shipped record where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// Always takes it
    Overwrite,
    /// Takes it if it was updated later; at the same millisecond, that of us
    LastUpdate,
    /// Takes it if its generation is higher
    Generation,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Conflict::Overwrite => "--conflict overwrite",
            Conflict::LastUpdate => "--conflict last-update",
            Conflict::Generation => "--conflict generation",
        })
    }
}

/// What all ways came to, and one of the stories that ended badly.
struct Results {
    course: Course,
    outcomes: Vec<Outcome>,
    lost: Option<Lost>,
}

/// The same load through one way after the other.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new()?;
    let interrupted = interrupt::listen(&runtime);
    let Some(results) = runtime.block_on(Box::pin(run_all(args, &interrupted)))? else {
        return Ok(interrupt::INTERRUPTED.into());
    };
    print_rows(&mut io::stdout(), &results.course, &results.outcomes, args.json)?;
    if interrupted.is_cancelled() {
        return Ok(interrupt::INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        chart::draw(path, &results)?;
    }
    Ok(u8::from(results.outcomes.iter().any(Outcome::is_broken)).into())
}

async fn run_all(args: &Args, interrupted: &CancellationToken) -> Result<Option<Results>, Failure> {
    let opening = interrupted.run_until_cancelled(Sites::open());
    let Some(sites) = opening.await.transpose()? else { return Ok(None) };
    let course = Course::new(args, &sites);
    let mut results = Results { course, outcomes: Vec::new(), lost: None };
    for entry in ways::ALL {
        if interrupted.is_cancelled() {
            break;
        }
        let opening = interrupted.run_until_cancelled(World::new(args, &entry, &sites));
        let Some(world) = opening.await.transpose()? else { break };
        let load = Load { way: (entry.open)(&world), world };
        let ran = course_of(args, &entry, &load, interrupted).await;
        load.world.background.stop().await;
        load.world.records.clean_up().await;
        let (outcome, lost) = ran.map_err(|problem| format!("{}: {problem}", entry.name))?;
        results.outcomes.push(outcome);
        results.lost = results.lost.or(lost);
    }
    sites.close().await;
    Ok(Some(results))
}

/// One way: the load, what is wrong after it, and then each key once from nothing.
async fn course_of(
    args: &Args,
    entry: &Entry,
    load: &Load,
    interrupted: &CancellationToken,
) -> Result<(Outcome, Option<Lost>), Failure> {
    let World { measure, story, background, lag, .. } = &*load.world;
    let running = load.start(args);
    interrupted.run_until_cancelled(report::watch(args, entry.name, measure)).await;
    running.stop().await;
    let mut outcome = Outcome::new(entry, measure);
    if let (0, Some(error)) = (outcome.reads, measure.error.lock().take()) {
        return Err(error);
    }
    let ending = async {
        background.quiet(*lag).await?;
        let left = load::wrong(&load.ends().await?);
        load.write_from_nothing().await?;
        background.quiet(*lag).await?;
        Ok::<_, Failure>((left, load.ends().await?))
    };
    // What was measured until then is kept.
    let Some(ended) = interrupted.run_until_cancelled(ending).await else {
        return Ok((outcome, None));
    };
    let (left, ends) = ended?;
    outcome.left_wrong = Some(left);
    outcome.wrong_from_nothing = Some(load::wrong(&ends));
    Ok((outcome, story.lost(&ends)))
}
