//! The two regions, and the cluster that each has: a wire test server of its own, or a real one.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use genfence::{Cache, store};
use genfence_wire::Server;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

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
    /// For those that serve under leases as well.
    pub leased: Caches,
    /// For those whose keys are at home in one region each.
    pub homed: Caches,
    /// What reports call them.
    pub names: Each<String>,
    _servers: Option<Servers>,
}

/// Which of them a way runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Set {
    Apart,
    Fenced,
    Leased,
    Homed,
}

/// A cache of genfence's on each, and what is below it.
#[derive(Clone)]
pub struct Caches {
    pub each: Each<Cache>,
    pub below: Each<store::Cluster>,
    pub times: Times,
    /// Of the list of homes, which is part of what the cache calls a key; 0 where keys have none.
    list: u64,
}

/// How long a reservation lasts, and what of that is kept back: far longer than a busy machine keeps a writer waiting
/// between its last look at the clock and its COMMIT.
#[derive(Clone, Copy)]
pub struct Times {
    pub reservation: Duration,
    margin: Duration,
}

const TIMES: Times =
    Times { reservation: Duration::from_secs(1), margin: Duration::from_millis(900) };
/// A lease on serving is four margins, and a reservation lasts longer than that.
const LEASED: Times =
    Times { reservation: Duration::from_millis(2500), margin: Duration::from_millis(300) };
/// How long it may take until a region serves: a reservation's time and a lease, on a busy machine.
const STARTING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
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
        let set = |set: &'static str, fence: &'static str| {
            let peers = &peers;
            move |region: Region| format!("{set}?region={region}&peers={peers}&{fence}")
        };
        let serving = "fence=all&unreachable=wait&grantors=eu&serving_lease=1200ms";
        let apart = connect(&hosts, TIMES, |_| "regions?".to_owned()).await?;
        let fenced = connect(&hosts, TIMES, set("fenced", "fence=all")).await?;
        let leased = connect(&hosts, LEASED, set("leased", serving)).await?;
        let homed = connect(&hosts, TIMES, set("homed", "fence=home")).await?;
        let homed = Caches { list: 1, ..homed };
        let names = match servers {
            Some(_) => hosts.map(|_| "wire test server".into()),
            None => hosts,
        };
        Ok(Arc::new(Sites { apart, fenced, leased, homed, names, _servers: servers }))
    }

    pub fn of(&self, set: Set) -> &Caches {
        match set {
            Set::Apart => &self.apart,
            Set::Fenced => &self.fenced,
            Set::Leased => &self.leased,
            Set::Homed => &self.homed,
        }
    }

    pub async fn close(&self) {
        let all = [&self.fenced, &self.apart, &self.leased, &self.homed];
        for cache in all.iter().flat_map(|of| &of.each) {
            cache.close(CLOSING).await;
        }
    }
}

impl Caches {
    /// Waits until both regions serve. What of that stands before a key: their epochs, or the number of the list of homes; 0 where there are
    /// none.
    pub async fn serve(&self) -> Result<Each<u64>, Failure> {
        let [eu, us] = self.each.each_ref().map(|cache| timeout(STARTING, serves(cache)));
        let (eu, us) = tokio::try_join!(eu, us).map_err(|_| "a region does not begin to serve")?;
        Ok([eu?, us?].map(|epoch| epoch.max(self.list)))
    }
}

async fn serves(cache: &Cache) -> Result<u64, Failure> {
    // Which key it is does not matter.
    while let Err(error) = cache.get("any").await {
        let genfence::Error::Store(_) = error else { return Err(error.into()) };
        sleep(PAUSE).await;
    }
    let regions = cache.regions().await?;
    Ok(regions.iter().find(|region| region.is_own).map_or(0, |own| own.epoch))
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
async fn connect(
    hosts: &Each<String>,
    times: Times,
    set: impl Fn(Region) -> String,
) -> Result<Caches, Failure> {
    let Times { reservation, margin } = times;
    let connect = async |region: Region| {
        let url = format!("aerospike://{}/test/{}", hosts[region as usize], set(region));
        let options = ours::options().reservation_time(reservation).reservation_margin(margin);
        let cache = options.connect(&url).await?;
        let below = cache.cluster().ok_or("this is no cluster")?;
        Ok::<_, Failure>((cache, below))
    };
    let (eu, us) = tokio::try_join!(connect(Region::Eu), connect(Region::Us))?;
    Ok(Caches { each: [eu.0, us.0], below: [eu.1, us.1], times, list: 0 })
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
