//! Two regions in a storm: real processes on wire test servers, over paths that are cut, late and closed; clusters that come back empty,
//! processes that are stopped for longer than their leases, and writers of both regions on the same keys.
//!
//! Each way of [`ways`] goes through the same storm, at the same time. What a hit may be is judged by the source, which all of them ask. A program
//! without the harness of tests, as it starts itself for the processes of the regions: `cargo test --test storm -- --seconds 120`.

#[cfg(unix)]
#[path = "../../src/bin/genfence/race/line.rs"]
mod line;
#[cfg(unix)]
mod link;
#[cfg(unix)]
mod paths;
#[cfg(unix)]
mod plain;
#[cfg(unix)]
mod record;
#[cfg(unix)]
mod talk;
#[cfg(unix)]
mod tally;
#[cfg(unix)]
mod ways;
#[cfg(unix)]
mod weather;
#[cfg(unix)]
mod worker;
#[cfg(unix)]
mod world;

#[cfg(unix)]
fn main() {
    storm::main();
}

/// Processes are stopped by signals.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod storm {
    use std::time::Duration;

    use clap::Parser;
    use tokio::runtime::Builder;

    use super::world::{Setting, TASK, World};
    use super::{tally, weather, worker};

    /// What has not come back by then, once all is well again, is stuck; it takes some seconds.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The source's region grants leases alone; or a majority of three does.
    const SETTINGS: [Setting; 2] = [
        Setting { grantors: &["eu"], guard: "off" },
        Setting { grantors: &["eu", "us", "ap"], guard: "members" },
    ];

    /// Two regions in a storm.
    #[derive(Parser)]
    struct Args {
        /// For so long at least, in each setting. Without it one short storm in the first
        #[arg(long)]
        seconds: Option<u64>,
        /// What is drawn is drawn alike
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// As other tests are called
        #[arg(short, long)]
        quiet: bool,
        /// Runs if its name, `storm`, has this in it
        filter: Option<String>,
    }

    pub fn main() {
        if let Ok(task) = std::env::var(TASK) {
            let task = serde_json::from_str(&task).expect("the storm wrote it");
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            return runtime.block_on(worker::run(task));
        }
        let args = Args::parse();
        if args.filter.is_some_and(|filter| !"storm".contains(&filter)) {
            return;
        }
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let settings = if args.seconds.is_some() { &SETTINGS[..] } else { &SETTINGS[..1] };
        for setting in settings {
            let span = Duration::from_secs(args.seconds.unwrap_or(0));
            runtime.block_on(storm(*setting, args.seed, span));
        }
    }

    async fn storm(setting: Setting, seed: u64, span: Duration) {
        println!(
            "grantors {}, cluster_guard={}, seed {seed}",
            setting.grantors.join(","),
            setting.guard
        );
        let mut world = World::start(setting, seed).await.expect("loopback");
        let served = world.serves(PATIENCE).await.expect("all serve before the storm");
        println!("all serve after {served:.1?}");
        tokio::select! {
            () = weather::blows(&world, seed, span) => {}
            () = weather::lags(&world, seed) => {}
        }
        weather::clears(&world);
        world.record.calm();
        let served = world.serves(PATIENCE).await;
        let tally = world.record.tally.lock().clone();
        tally::print(&tally);
        if let Ok(served) = &served {
            println!("after the storm all serve the latest again after {served:.1?}");
        }
        let mut broken = tally::broken(&tally);
        broken.extend(served.err().map(|stuck| format!("stuck: {stuck}")));
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
