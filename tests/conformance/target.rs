//! What the cases run on.

use std::time::Duration;

use bytes::Bytes;
use genfence::protocol::{Claim, Grant, Refusal, Time, Token, Ttl};
use genfence::store::{Change, Clock, Hit, MemoryStore, Read, Snapshot, Store};

use crate::cases::TERMS;

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
        Embedded(MemoryStore::with_clock(64 << 20, clock.clone()).on_terms(TERMS), clock)
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

/// Nodes of the wire test server, on a clock that is moved by hand.
#[cfg(feature = "aerospike")]
pub struct Wire {
    store: genfence::store::AerospikeStore,
    clock: genfence_wire::Clock,
    _nodes: genfence_wire::Cluster,
}

#[cfg(feature = "aerospike")]
impl Wire {
    pub async fn start(
        nodes: usize,
        set: impl FnOnce(genfence::store::AerospikeSettings) -> genfence::store::AerospikeSettings,
    ) -> Self {
        let clock = genfence_wire::Clock::manual();
        let config = genfence_wire::Config { replication_factor: 2, ..Default::default() };
        let nodes = genfence_wire::Cluster::start(nodes, config, clock.clone()).await.unwrap();
        let mut settings = genfence::store::AerospikeSettings::new("test", "cache").terms(TERMS);
        for address in nodes.addresses() {
            settings = settings.host(address.ip().to_string(), address.port());
        }
        let store = genfence::store::AerospikeStore::connect(&set(settings)).await.unwrap();
        Wire { store, clock, _nodes: nodes }
    }
}

#[cfg(feature = "aerospike")]
impl Target for Wire {
    fn store(&self) -> &impl Store {
        &self.store
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

/// Another target, on which each command is a row of a batch: it waits behind a message, and leaves with a third
/// command. It wants a store that has one message under way at once.
#[cfg(feature = "aerospike")]
pub struct Rows<T>(pub T);

#[cfg(feature = "aerospike")]
impl<T: Target> Rows<T> {
    /// Whether commands went as they should: with at least one other each.
    pub fn went_together(&self) {
        let traffic = self.store().traffic();
        assert!(traffic.batches >= 50 && traffic.merged >= 2 * traffic.batches, "{traffic:?}");
    }

    async fn among_writes<R>(&self, command: impl Future<Output = R>) -> R {
        let touch = Change::Touch { ttl: Ttl::from_secs(60).unwrap(), until: None };
        let (before, answer, beside) = tokio::join!(
            biased;
            Box::pin(self.store().change(b"before", &touch)),
            command,
            Box::pin(self.store().change(b"beside", &touch))
        );
        assert_eq!(
            (before.unwrap(), beside.unwrap()),
            (Err(Refusal::Missing), Err(Refusal::Missing))
        );
        answer
    }
}

#[cfg(feature = "aerospike")]
impl<T: Target> Target for Rows<T> {
    fn store(&self) -> &impl Store {
        self.0.store()
    }

    async fn pass(&self, span: Duration) {
        self.0.pass(span).await;
    }

    async fn get(&self, key: &[u8]) -> Option<Hit> {
        let store = self.store();
        let (_, read, beside) = tokio::join!(
            biased;
            Box::pin(store.get(b"before")),
            Box::pin(store.get(key)),
            Box::pin(store.get(b"beside"))
        );
        assert_eq!(beside.unwrap(), Read::Free);
        read.unwrap().hit()
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Grant, Refusal> {
        self.among_writes(Box::pin(self.store().claim(key, claim))).await.unwrap()
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<(), Refusal> {
        self.among_writes(Box::pin(self.store().change(key, change))).await.unwrap()
    }
}

/// Another target, on which each command is one of many that are told at once.
pub struct Many<T>(pub T);

impl<T: Target> Target for Many<T> {
    fn store(&self) -> &impl Store {
        self.0.store()
    }

    async fn pass(&self, span: Duration) {
        self.0.pass(span).await;
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Grant, Refusal> {
        let (token, deadline, time) = (Token::new(1), Time::from_nanos(1), Duration::from_secs(1));
        let ttl = Ttl::from_secs(60).unwrap();
        let extend = Claim::Extend { token, deadline, time, ttl, until: None };
        let beside = |key: &'static [u8]| (Bytes::from_static(key), extend.clone());
        let claims =
            [beside(b"before"), (Bytes::copy_from_slice(key), claim.clone()), beside(b"behind")];
        let answers = self.store().claim_many(&claims).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        let [before, answer, behind] = answers[..] else { panic!("{answers:?}") };
        assert_eq!((before, behind), (Err(Refusal::Missing), Err(Refusal::Missing)));
        answer
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<(), Refusal> {
        let touch = Change::Touch { ttl: Ttl::from_secs(60).unwrap(), until: None };
        let beside = |key: &'static [u8]| (Bytes::from_static(key), touch.clone());
        let changes =
            [beside(b"before"), (Bytes::copy_from_slice(key), change.clone()), beside(b"behind")];
        let answers = self.store().change_many(&changes).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        let [before, answer, behind] = answers[..] else { panic!("{answers:?}") };
        assert_eq!((before, behind), (Err(Refusal::Missing), Err(Refusal::Missing)));
        answer
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
pub async fn real(
    set: &str,
    options: impl FnOnce(genfence::store::AerospikeSettings) -> genfence::store::AerospikeSettings,
) -> Option<Waiting<genfence::store::AerospikeStore>> {
    let Ok(hosts) = std::env::var("AEROSPIKE_HOSTS") else {
        println!("skipped: AEROSPIKE_HOSTS names no server");
        return None;
    };
    // Servers keep their records between runs.
    let run = std::process::id();
    let mut settings =
        genfence::store::AerospikeSettings::new("test", format!("{set}-{run}")).terms(TERMS);
    for host in hosts.split(',') {
        let (name, port) = host.split_once(':').unwrap_or((host, "3000"));
        settings = settings.host(name, port.parse().expect("a port"));
    }
    Some(Waiting(genfence::store::AerospikeStore::connect(&options(settings)).await.unwrap()))
}
