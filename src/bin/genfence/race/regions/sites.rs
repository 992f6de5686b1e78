//! The two regions, and the cluster that each has: a wire test server of its own, or a real one.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use genfence::{Cache, store};
use genfence_wire::Server;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::super::ours;
use super::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    Eu,
    Us,
}

impl Region {
    pub const BOTH: [Region; 2] = [Region::Eu, Region::Us];

    pub fn other(self) -> Self {
        match self {
            Region::Eu => Region::Us,
            Region::Us => Region::Eu,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Region::Eu => "eu",
            Region::Us => "us",
        })
    }
}

/// One for each region, in the order of [`Region::BOTH`].
pub type Each<T> = [T; 2];

/// Both clusters.
pub struct Sites {
    /// For records of the tool's own, and caches that know of one region.
    pub apart: Caches,
    /// For caches whose writers reserve in both regions. Programs of one set do so alike, so theirs is another.
    pub fenced: Caches,
    /// What reports call them.
    pub names: Each<String>,
    _servers: Option<Servers>,
}

/// A cache of genfence's on each, and what is below it.
#[derive(Clone)]
pub struct Caches {
    pub caches: Each<Cache>,
    pub below: Each<store::Cluster>,
}

/// How long a reservation lasts, and what of that is kept back: far longer than a busy machine keeps a writer waiting
/// between its last look at the clock and its COMMIT.
pub const RESERVATION: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(900);
/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(2);

impl Sites {
    /// Connects to the clusters that the environment names, or starts a server for each region.
    pub async fn open() -> Result<Arc<Self>, Failure> {
        let (hosts, servers) = if let Some(hosts) = named()? {
            (hosts, None)
        } else {
            let servers = Servers::start().await?;
            (servers.servers.each_ref().map(|server| server.address().to_string()), Some(servers))
        };
        let peers = Region::BOTH.map(|region| {
            // Between hosts of one region stands another mark, as a comma stands between regions.
            format!("{region}@{}", hosts[region as usize].replace(',', "|"))
        });
        let peers = peers.join(",");
        let apart = connect(&hosts, |_| "regions?".to_owned()).await?;
        let fenced =
            connect(&hosts, |region| format!("fenced?region={region}&peers={peers}&fence=all"));
        let fenced = fenced.await?;
        let names = match servers {
            Some(_) => hosts.map(|_| "wire test server".into()),
            None => hosts,
        };
        Ok(Arc::new(Sites { apart, fenced, names, _servers: servers }))
    }

    pub async fn close(&self) {
        for cache in self.fenced.caches.iter().chain(&self.apart.caches) {
            cache.close(CLOSING).await;
        }
    }
}

const FIRST: &str = "AEROSPIKE_HOSTS";
const SECOND: &str = "AEROSPIKE_HOSTS_2";

/// The real clusters. With the first alone there is no second region, so none is taken.
fn named() -> Result<Option<Each<String>>, Failure> {
    match (env::var(FIRST), env::var(SECOND)) {
        (Ok(first), Ok(second)) => Ok(Some([first, second])),
        (Err(_), Ok(_)) => Err(format!(
            "{SECOND} names the cluster of one region, and {FIRST}, of the other, is not set"
        )
        .into()),
        (_, Err(_)) => Ok(None),
    }
}

/// `set`: what stands after the namespace in the URL of a region.
async fn connect(hosts: &Each<String>, set: impl Fn(Region) -> String) -> Result<Caches, Failure> {
    let connect = async |region: Region| {
        let url = format!("aerospike://{}/test/{}", hosts[region as usize], set(region));
        let options = ours::options().reservation_time(RESERVATION).reservation_margin(MARGIN);
        let cache = options.connect(&url).await?;
        let below = cache.cluster().ok_or("this is no cluster")?;
        Ok::<_, Failure>((cache, below))
    };
    let (eu, us) = tokio::try_join!(connect(Region::Eu), connect(Region::Us))?;
    Ok(Caches { caches: [eu.0, us.0], below: [eu.1, us.1] })
}

/// In a runtime of their own, as they would have machines of their own.
struct Servers {
    servers: Each<Server>,
    runtime: Option<Runtime>,
}

impl Servers {
    async fn start() -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let [eu, us] = Region::BOTH.map(|_| runtime.spawn(Server::start()));
        Ok(Servers { servers: [eu.await??, us.await??], runtime: Some(runtime) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // Within another runtime none may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
