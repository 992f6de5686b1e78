//! What goes from region to region without the caches' doing: the source's stream of changes, and the records of the plain way. It
//! is late, and waits while the link is cut; none of it is lost.

use std::sync::Arc;
use std::time::Duration;

use aerospike::{Bin, Bins, Client, Expiration, Key, ReadPolicy, WritePolicy};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::plain;
use super::talk::{Row, Said};
use super::world::EACH;

/// A region's end of the link.
#[derive(Default)]
pub struct Link {
    is_cut: watch::Sender<bool>,
    lag: Mutex<Duration>,
    /// What the source has said, when; and what has arrived of it.
    said: Entries<(Said, Instant)>,
    arrived: Entries<Said>,
}

/// A list that grows, and can be waited for.
struct Entries<T>(watch::Sender<Vec<T>>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(watch::Sender::new(Vec::new()))
    }
}

impl<T: Copy> Entries<T> {
    fn push(&self, entry: T) {
        self.0.send_modify(|entries| entries.push(entry));
    }

    /// All after that place, once there is something.
    async fn after(&self, place: usize) -> Vec<T> {
        let mut entries = self.0.subscribe();
        let entries = entries.wait_for(|entries| entries.len() > place).await;
        entries.expect("its sender is here")[place..].to_vec()
    }
}

impl Link {
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }

    /// So late is what goes over it, at most.
    pub fn lags(&self, lag: Duration) {
        *self.lag.lock() = lag;
    }

    fn any_lag(&self) -> Duration {
        rand::rng().random_range(Duration::ZERO..=*self.lag.lock())
    }

    async fn open(&self) {
        // Its sender is here.
        let _ = self.is_cut.subscribe().wait_for(|is_cut| !is_cut).await;
    }

    pub fn tell(&self, said: Said) {
        self.said.push((said, Instant::now()));
    }

    /// Lets arrive what the source says, in its order.
    pub async fn carry(&self) {
        let mut place = 0;
        loop {
            for (said, at) in self.said.after(place).await {
                sleep_until(at + self.any_lag()).await;
                self.open().await;
                self.arrived.push(said);
                place += 1;
            }
        }
    }

    pub async fn next(&self, after: usize) -> (Vec<Said>, usize) {
        let arrived = self.arrived.after(after).await;
        let until = after + arrived.len();
        (arrived, until)
    }
}

/// Ships the records of the plain way, as they are when their turn comes.
#[derive(Clone)]
pub struct Shipping {
    clusters: Arc<[Client; EACH]>,
    /// What is shipped of one key in one direction does not overtake itself.
    lanes: Arc<Vec<[tokio::sync::Mutex<()>; EACH]>>,
}

impl Shipping {
    pub fn new(clusters: [Client; EACH], keys: usize) -> Self {
        let lanes = (0..keys).map(|_| <[tokio::sync::Mutex<()>; EACH]>::default()).collect();
        Shipping { clusters: Arc::new(clusters), lanes: Arc::new(lanes) }
    }

    /// The record of a key was written in this region.
    pub fn ship(&self, links: &[Link; EACH], from: usize, row: Row) {
        // All of it goes over the link of the region that is cut off.
        let far = &links[EACH - 1];
        let (lag, mut is_cut, shipping) = (far.any_lag(), far.is_cut.subscribe(), self.clone());
        tokio::spawn(async move {
            sleep(lag).await;
            let _ = is_cut.wait_for(|is_cut| !is_cut).await;
            let _turn = shipping.lanes[row.key][from].lock().await;
            // What fails here would be shipped again by a real one; there is enough without it.
            let _ = shipping.carry(from, &plain::name(row.key)).await;
        });
    }

    async fn carry(&self, from: usize, name: &Key) -> aerospike::Result<()> {
        let record = self.clusters[from].get(&ReadPolicy::default(), name, Bins::All).await?;
        let Some(value) = record.bins.get(plain::VALUE) else { return Ok(()) };
        let policy = WritePolicy { expiration: Expiration::Never, ..WritePolicy::default() };
        let bin = Bin::new(plain::VALUE, value.clone());
        self.clusters[EACH - 1 - from].put(&policy, name, &[bin]).await
    }
}
