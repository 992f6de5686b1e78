//! Three nodes of the wire test server, and what befalls them.

use std::time::Duration;

use genfence_wire::{Clock, Cluster, Config};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep_until};

use super::{Failure, Told};

pub struct Nodes {
    cluster: Cluster,
    /// Their own, as they would have machines of their own.
    runtime: Option<Runtime>,
}

/// What befalls one of them, in the order in which it does.
#[derive(Clone, Copy)]
enum Harm {
    Pause,
    Cut,
    Kill,
}

const COURSE: [(Harm, usize); 3] = [(Harm::Pause, 0), (Harm::Cut, 1), (Harm::Kill, 2)];

/// When it happens, in tenths of the time that there is for each: of 10 s, as fast as a real cluster by default.
mod at {
    pub const HARM: f64 = 1.0;
    /// A real node counts as gone after 1.5 s of silence.
    pub const NOTICED: f64 = 2.5;
    pub const OVER: f64 = 5.0;
    pub const JOINED: f64 = 5.3;
    pub const MOVED: f64 = 6.3;
}

impl Nodes {
    pub async fn start() -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let config = Config {
            replication_factor: 2,
            conflict_resolution_policy: "last-update-time".into(),
            ..Config::default()
        };
        let starting = runtime.spawn(Cluster::start(3, config, Clock::system()));
        Ok(Nodes { cluster: starting.await??, runtime: Some(runtime) })
    }

    /// Where a cache finds them.
    pub fn url(&self, guard: &str) -> String {
        let hosts: Vec<String> = self.cluster.addresses().iter().map(ToString::to_string).collect();
        format!("aerospike://{}/test/chaos?cluster_guard={guard}", hosts.join(","))
    }

    /// Goes through all of it in this time, and tells what happens.
    pub async fn suffer(&self, span: Duration, told: &Told) -> Result<(), Failure> {
        let each = span / u32::try_from(COURSE.len())?;
        let start = Instant::now();
        for ((harm, node), number) in COURSE.into_iter().zip(0..) {
            let until =
                |tenths: f64| sleep_until(start + each * number + each.mul_f64(tenths / 10.0));
            until(at::HARM).await;
            told.lock().push(format!("node {} {}", node + 1, harm.name()));
            self.harm(harm, node).await;
            until(at::NOTICED).await;
            told.lock().push("the others noticed".into());
            self.cluster.notice();
            until(at::OVER).await;
            told.lock().push(format!("node {} {}", node + 1, harm.end()));
            self.undo(harm, node).await?;
            until(at::JOINED).await;
            told.lock().push("all noticed".into());
            self.cluster.notice();
            until(at::MOVED).await;
            told.lock().push("records moved".into());
            self.cluster.migrate();
        }
        Ok(())
    }

    async fn harm(&self, harm: Harm, node: usize) {
        match harm {
            Harm::Pause => self.cluster.pause(node),
            Harm::Cut => self.cluster.cut(node),
            Harm::Kill => self.cluster.kill(node).await,
        }
    }

    async fn undo(&self, harm: Harm, node: usize) -> Result<(), Failure> {
        match harm {
            Harm::Pause => self.cluster.resume(node),
            Harm::Cut => self.cluster.mend(node),
            Harm::Kill => self.cluster.revive(node).await?,
        }
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // Within another runtime none may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether this tells of what befell a node.
pub fn is_harm(event: &str) -> bool {
    COURSE.iter().any(|(harm, _)| event.ends_with(harm.name()))
}

impl Harm {
    fn name(self) -> &'static str {
        match self {
            Harm::Pause => "paused",
            Harm::Cut => "cut off",
            Harm::Kill => "killed",
        }
    }

    fn end(self) -> &'static str {
        match self {
            Harm::Pause => "goes on",
            Harm::Cut => "hears again",
            Harm::Kill => "is back, empty",
        }
    }
}
