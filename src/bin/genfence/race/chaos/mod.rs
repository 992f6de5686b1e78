//! **race --chaos**: a load on a cluster whose nodes are paused, cut off and killed, second by second.

mod chart;
mod load;
mod nodes;
mod report;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use genfence::Cache;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Args, Failure};
use crate::interrupt;
use load::Load;
use nodes::Nodes;
use report::{Course, Run};

/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);

/// What has befallen the nodes since it was asked for last.
type Told = Mutex<Vec<String>>;

/// On nodes of its own the load runs twice, without a lease on the cluster and with it; on others once.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new()?;
    let interrupted = interrupt::listen(&runtime);
    let course = Course::new(args);
    let runs = runtime.block_on(Box::pin(run_all(args, &interrupted)))?;
    report::print(&mut io::stdout(), &course, &runs, args.json)?;
    if interrupted.is_cancelled() {
        return Ok(interrupt::INTERRUPTED.into());
    }
    if let Some(path) = &args.svg {
        chart::draw(path, &course, &runs)?;
    }
    let failed = runs.iter().any(|run| run.is_guarded && run.total().stale > 0);
    Ok(u8::from(failed).into())
}

async fn run_all(args: &Args, interrupted: &CancellationToken) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    if !args.has_own_nodes() {
        let opening = interrupted.run_until_cancelled(Cache::connect(&args.url));
        if let Some(cache) = opening.await.transpose()? {
            let mut run = Run::new(None);
            course(args, &cache, None, &mut run, interrupted).await?;
            runs.push(run);
        }
        return Ok(runs);
    }
    for guard in ["off", "members"] {
        if interrupted.is_cancelled() {
            break;
        }
        let nodes = Nodes::start().await?;
        let cache = Cache::connect(&nodes.url(guard)).await?;
        let mut run = Run::new(Some(guard));
        course(args, &cache, Some(&nodes), &mut run, interrupted).await?;
        runs.push(run);
    }
    Ok(runs)
}

/// One load, to its end or until somebody interrupts.
async fn course(
    args: &Args,
    cache: &Cache,
    nodes: Option<&Nodes>,
    run: &mut Run,
    interrupted: &CancellationToken,
) -> Result<(), Failure> {
    let load = Load::start(args, cache);
    let told = Told::default();
    let span = Duration::from_secs(args.seconds().into());
    let suffering = async {
        match nodes {
            Some(nodes) => nodes.suffer(span, &told).await,
            None => Ok(()),
        }
    };
    let (_, suffered) = tokio::join!(
        interrupted.run_until_cancelled(run.watch(args, &load, cache, &told)),
        interrupted.run_until_cancelled(suffering),
    );
    suffered.unwrap_or(Ok(()))?;
    load.stop(cache).await;
    cache.close(CLOSING).await;
    Ok(())
}
