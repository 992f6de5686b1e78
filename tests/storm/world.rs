//! The regions: their clusters, the paths to them, and their processes.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use genfence_wire::{Clock, Config, Server};
use tokio::process::{Child, Command};

use super::link::Shipping;
use super::paths::{Path, State};
use super::plain;
use super::record::Record;
use super::talk::Task;
use super::ways;

/// So many regions have processes.
pub const EACH: usize = 2;
/// Of all regions. The third has a cluster that grants leases, and nothing else.
pub const NAMES: [&str; 3] = ["eu", "us", "ap"];
/// Few, so that all callers meet on each.
pub const KEYS: usize = 6;
const PROCESSES: usize = 2;
/// What a process is told its task with.
pub const TASK: &str = "GENFENCE_STORM_TASK";

/// How a storm differs from others.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The regions whose clusters grant leases. The first is where the source is.
    pub grantors: &'static [&'static str],
    /// `cluster_guard`. Off, what is promised of regions rests on the leases of regions alone.
    pub guard: &'static str,
}

pub struct Process {
    pub name: String,
    child: Child,
}

impl Process {
    /// Stops it where it stands, or lets it go on.
    pub async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.expect("there is a kill").success(), "{}", self.name);
    }

    /// # Panics
    /// It ended.
    fn runs(&mut self) {
        let ended = self.child.try_wait().expect("it is a child");
        assert!(ended.is_none(), "{} ended: {ended:?}", self.name);
    }
}

pub struct World {
    pub record: Arc<Record>,
    clusters: Vec<Server>,
    /// From each region to each cluster.
    paths: Vec<Vec<Path>>,
    pub processes: Vec<Process>,
}

impl World {
    pub async fn start(setting: Setting, seed: u64) -> io::Result<World> {
        // A grantor of its own is there where there are several.
        let regions = setting.grantors.len().max(EACH);
        let mut clusters = Vec::new();
        for _ in 0..regions {
            clusters.push(Server::start_with(Config::default(), Clock::system(), 0).await?);
        }
        let mut paths = Vec::new();
        for _ in 0..EACH {
            let mut to = Vec::new();
            for cluster in &clusters {
                to.push(Path::to(cluster.address()).await?);
            }
            paths.push(to);
        }
        let [eu, us] = [0, 1].map(|region: usize| clusters[region].address().to_string());
        let shipped = [plain::connect(&eu).await, plain::connect(&us).await];
        let record = Record::new(KEYS, Shipping::new(shipped, KEYS));
        let source = Arc::clone(&record).open().await?.to_string();
        let mut world = World { record, clusters, paths, processes: Vec::new() };
        for (region, name) in NAMES.iter().enumerate().take(EACH) {
            for number in 0..PROCESSES {
                let seed = seed << 8 | (region as u64) << 4 | number as u64;
                let task = world.task(region, setting, source.clone(), seed);
                let child = Command::new(std::env::current_exe()?)
                    .env(TASK, serde_json::to_string(&task)?)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()?;
                world.processes.push(Process { name: format!("{name}/{number}"), child });
            }
        }
        Ok(world)
    }

    fn task(&self, region: usize, setting: Setting, source: String, seed: u64) -> Task {
        let paths = &self.paths[region];
        let own = paths[region].address.to_string();
        let peers = NAMES.iter().zip(paths).map(|(name, path)| format!("{name}@{}", path.address));
        let (peers, grantors) = (peers.collect::<Vec<_>>().join(","), setting.grantors.join(","));
        let url = |way: &ways::Way| way.url(&own, NAMES[region], &peers, &grantors, setting.guard);
        let urls = ways::ALL.iter().map(url).collect();
        Task { region, seed, source, urls, own, keys: KEYS }
    }

    /// The regions that have a cluster.
    pub fn regions(&self) -> usize {
        self.clusters.len()
    }

    /// The paths between a region and all others, in both directions.
    pub fn between(&self, region: usize, state: State) {
        for (from, paths) in self.paths.iter().enumerate() {
            for (to, path) in paths.iter().enumerate() {
                if from != to && (from == region || to == region) {
                    path.set(state);
                }
            }
        }
        // The source is where the first region is.
        self.record.links[EACH - 1].cut(matches!(state, State::Held | State::Closed));
    }

    /// Nobody reaches a cluster any more.
    pub fn goes_down(&self, cluster: usize) {
        for paths in &self.paths {
            paths[cluster].set(State::Closed);
        }
    }

    /// It is there again, and has forgotten everything.
    pub fn comes_up_empty(&self, cluster: usize) {
        let server = &self.clusters[cluster];
        server.restart_empty();
        // Real ones take a new one whenever they start.
        let key = format!("{:012X}", self.record.elapsed().as_nanos() & 0xffff_ffff_ffff);
        server.configure(|config| config.cluster_key = key);
        for paths in &self.paths {
            paths[cluster].set(State::FINE);
        }
    }

    /// # Panics
    /// A process ended.
    pub fn all_run(&mut self) {
        self.processes.iter_mut().for_each(Process::runs);
    }

    /// Waits until each key of each way of genfence's was hit in each region, with its latest version where nobody writes.
    ///
    /// # Errors
    /// What was not, by then.
    pub async fn serves(&mut self, within: Duration) -> Result<Duration, String> {
        let start = self.record.elapsed();
        loop {
            self.all_run();
            let missing = self.missing();
            let taken = self.record.elapsed().saturating_sub(start);
            if missing.is_empty() {
                return Ok(taken);
            }
            if taken > within {
                return Err(missing.join("; "));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether every way was hit in each region since then.
    pub fn all_serve_since(&self, then: Duration) -> bool {
        self.record.tally.lock().iter().flatten().all(|counts| counts.last_hit > then)
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (way, regions) in ways::ALL.iter().zip(&*self.record.tally.lock()) {
            if way.kind == ways::Kind::Plain {
                continue;
            }
            for (region, counts) in NAMES.iter().zip(regions) {
                let keys: Vec<_> = (0..KEYS).filter(|key| !counts.fresh.contains(key)).collect();
                if !keys.is_empty() {
                    missing.push(format!("{} in {region}: the keys {keys:?}", way.name));
                }
            }
        }
        missing
    }
}
