//! What the cases run on.

use std::time::Duration;

use genfence::protocol::{Claim, Grant, Refusal};
use genfence::store::{Change, Clock, Hit, MemoryStore, Snapshot, Store};

/// How long claims last: short, as on a real server it is waited for.
pub const TIME: Duration = Duration::from_millis(40);

pub type KeyOf = Vec<u8>;

/// A store, and a way to let time pass on its server.
pub trait Target {
    fn store(&self) -> &impl Store;

    async fn pass(&self, span: Duration);

    async fn get(&self, key: &[u8]) -> Option<Hit> {
        self.store().get(key).await.unwrap().hit()
    }

    async fn inspect(&self, key: &[u8]) -> Option<Snapshot> {
        self.store().inspect(key).await.unwrap()
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Grant, Refusal> {
        self.store().claim(key, claim).await.unwrap()
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<(), Refusal> {
        self.store().change(key, change).await.unwrap()
    }
}

/// `memory://`, on a clock that is moved by hand.
pub struct Embedded(MemoryStore, Clock);

impl Embedded {
    pub fn new() -> Self {
        let clock = Clock::manual();
        Embedded(MemoryStore::with_clock(64 << 20, clock.clone()), clock)
    }
}

impl Target for Embedded {
    fn store(&self) -> &impl Store {
        &self.0
    }

    async fn pass(&self, span: Duration) {
        self.1.advance(span);
    }
}

/// The wire test server, on a clock that is moved by hand.
#[cfg(feature = "aerospike")]
pub struct Wire {
    store: genfence::store::AerospikeStore,
    server: genfence_wire::Server,
}

#[cfg(feature = "aerospike")]
impl Wire {
    pub async fn start() -> Self {
        let clock = genfence_wire::Clock::manual();
        let config = genfence_wire::Config::default();
        let server = genfence_wire::Server::start_with(config, clock, 0).await.unwrap();
        let address = server.address();
        let settings = genfence::store::AerospikeSettings::new("test", "cache")
            .host(address.ip().to_string(), address.port());
        let store = genfence::store::AerospikeStore::connect(&settings).await.unwrap();
        Wire { store, server }
    }
}

#[cfg(feature = "aerospike")]
impl Target for Wire {
    fn store(&self) -> &impl Store {
        &self.store
    }

    async fn pass(&self, span: Duration) {
        self.server.clock().advance(span);
    }
}

/// Any other store, on a clock of its own.
pub struct Waiting<S>(pub S);

impl<S: Store> Target for Waiting<S> {
    fn store(&self) -> &impl Store {
        &self.0
    }

    async fn pass(&self, span: Duration) {
        // Servers reckon in milliseconds.
        tokio::time::sleep(span + Duration::from_millis(3)).await;
    }
}

/// The server that `AEROSPIKE_HOSTS` names, and a set on it; `None` where it names none.
#[cfg(feature = "aerospike")]
pub async fn real(set: &str) -> Option<Waiting<genfence::store::AerospikeStore>> {
    let Ok(hosts) = std::env::var("AEROSPIKE_HOSTS") else {
        println!("skipped: AEROSPIKE_HOSTS names no server");
        return None;
    };
    // Servers keep their records between runs.
    let run = std::process::id();
    let mut settings = genfence::store::AerospikeSettings::new("test", format!("{set}-{run}"));
    for host in hosts.split(',') {
        let (name, port) = host.split_once(':').unwrap_or((host, "3000"));
        settings = settings.host(name, port.parse().expect("a port"));
    }
    Some(Waiting(genfence::store::AerospikeStore::connect(&settings).await.unwrap()))
}
