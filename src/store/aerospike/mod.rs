//! The store on Aerospike: each protocol command as one atomic command of the server.

mod agreement;
mod away;
mod bins;
mod canary;
mod checks;
#[cfg(feature = "cli")]
mod cluster;
mod codes;
mod commands;
mod conditions;
mod connect;
mod contract;
mod diagnose;
mod home;
mod link;
mod merge;
mod owned;
mod reads;
mod template;
#[cfg(feature = "tls")]
mod tls;
mod trouble;
mod undone;
mod watch;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aerospike::operations::exp::{ExpReadFlags, read_exp};
use aerospike::operations::{Operation, get_bin};
use aerospike::{
    BatchOperation, BatchPolicy, BatchReadPolicy, Client, ClientPolicy, Concurrency, Key,
    ReadPolicy, Record as Answered, WritePolicy,
};
use bytes::Bytes;

use super::{
    Answer, Change, Diagnosis, Hit, Look, Needs, Read, Snapshot, Store, StoreError, Traffic,
};
use crate::protocol::{Claim, Grant, Stamp, Terms};
use crate::settings::ClusterGuard;
use crate::store::guard::{Guard, Standing};
#[cfg(feature = "cli")]
pub use agreement::Contract;
use bins::{NOW, Reader};
#[cfg(feature = "cli")]
pub use cluster::Cluster;
use codes::NotDone;
use commands::Plan;
pub use connect::AerospikeSettings;
pub(crate) use connect::Seeds;
use home::Home;
use link::Link;
use merge::{Command as _, Get, Merger, Nodes, Run, gone};
use owned::Owned;
#[cfg(feature = "undone")]
#[doc(hidden)]
pub use undone::{Rule, undo};

/// A store on an Aerospike cluster.
///
/// Its connections belong to the runtime it was opened in, and commands run there, whichever runtime they are
/// called from: that one must go on being driven. If it does not, or has ended, each command ends in an error
/// that says so, within twice the time-out.
///
/// All state of a key is one record of the set that the URL names, which nobody else may write.
/// Reads go to the master, writes wait for all replicas, and the client does not retry a write: the
/// cache does, by the protocol's rules.
///
/// # Example
/// ```
/// use genfence::Cache;
/// use genfence::store::{AerospikeSettings, AerospikeStore};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = genfence_wire::Server::start().await?;
/// # let (host, port) = (server.address().ip().to_string(), server.address().port());
/// let settings = AerospikeSettings::new("test", "cache").host(host, port);
/// let cache = Cache::builder().build(AerospikeStore::connect(&settings).await?)?;
/// assert!(cache.get("user:1").await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AerospikeStore {
    link: Arc<Link>,
    home: Home,
    terms: Terms,
}

/// A cluster, and how it is spoken to.
struct Connected {
    /// To find the nodes by, and to ask them; and for commands where there is one.
    client: Client,
    /// The same, where it is closed with the store.
    _own: Option<Owned>,
    /// How a node is connected to by itself; not where the program brought a client, which knows its own way.
    policy: Option<ClientPolicy>,
    /// How long connecting, and testing what was connected to, may take.
    patience: Duration,
    /// Whether the namespace is strongly consistent.
    strong: bool,
    namespace: Arc<str>,
    set: Arc<str>,
    read: ReadPolicy,
    write: WritePolicy,
    /// For reads that are operations.
    look: WritePolicy,
    batch: BatchPolicy,
    batch_of_writes: BatchPolicy,
    /// For each read of a batch.
    each: BatchReadPolicy,
    merger: Merger,
    nodes: Nodes,
    mode: ClusterGuard,
    guard: Arc<Guard>,
    terms: Terms,
    /// What all programs of the set say of regions.
    regions: Option<Arc<str>>,
    /// Whether this one says it where nobody has said anything.
    says: bool,
}

impl Connected {
    fn key(&self, key: &[u8]) -> Result<Key, StoreError> {
        Key::new(&*self.namespace, &*self.set, aerospike::Value::Blob(key.to_vec()))
            .map_err(|error| StoreError::refused("the key is no key").because(error))
    }

    fn key_of(&self, digest: [u8; 20]) -> Key {
        Key::with_digest(&*self.namespace, &*self.set, None, digest)
    }

    /// What an answer says does not count towards the circuit breaker: the client counts some (9, 11, 14, 18), so
    /// that one busy key would close off its whole node.
    ///
    /// What is no answer is looked into: is the node there?
    fn forgive(&self, client: &Client, error: &aerospike::Error) {
        if error.server_result_code().is_none() {
            self.guard.ask();
        }
        let Some(told) = error.node().filter(|_| codes::is_for_the_moment(error)) else { return };
        let nodes = client.nodes();
        if let Some(node) = nodes.iter().find(|node| node.to_string() == told) {
            node.reset_error_rate();
        }
    }
}

impl Connected {
    fn is_guarded(&self) -> bool {
        self.mode != ClusterGuard::Off
    }

    /// What a read is to be served on.
    ///
    /// # Errors
    /// The cluster's nodes do not agree who is in it.
    #[inline]
    fn standing(&self) -> Result<Standing, StoreError> {
        if self.is_guarded() && self.guard.is_lost() {
            return Err(self.guard.absence());
        }
        Ok(self.guard.standing())
    }

    /// Whether what was read may be served.
    #[inline]
    fn serves(&self, read: &Read, standing: Standing) -> Result<(), StoreError> {
        let counts =
            !matches!(read, Read::Hit(_)) || !self.is_guarded() || self.guard.holds(standing);
        if counts { Ok(()) } else { Err(self.guard.absence()) }
    }
}

impl AerospikeStore {
    /// The lease on the cluster that commands count under.
    #[inline]
    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.link.now().filter(|on| on.is_guarded()).map(|on| &*on.guard)
    }

    /// The cluster, to send a command to.
    async fn cluster_now(&self) -> Result<Arc<Connected>, StoreError> {
        match self.link.now() {
            Some(on) => Ok(Arc::clone(on)),
            None => Box::pin(self.link.soon()).await,
        }
    }

    /// Waits until the cluster is connected to.
    pub(crate) async fn ready(&self, within: Duration) -> Result<(), StoreError> {
        self.link.within(within).await.map(drop)
    }

    async fn run(
        &self,
        key: &[u8],
        plan: impl FnOnce(&Connected) -> Plan,
    ) -> Result<Answer<Option<Reader>>, StoreError> {
        let on = self.cluster_now().await?;
        let (key, plan) = (on.key(key)?, Box::new(plan(&on)));
        // Boxed, as it is large, and would be copied into the future of each caller on the way out.
        self.home.run(true, Box::pin(async move { on.run(key, Run(plan)).await })).await?
    }

    /// What the client says of a command that writes.
    fn answered(
        sent: aerospike::Result<Option<Reader>>,
    ) -> Result<Answer<Option<Reader>>, StoreError> {
        match sent {
            Ok(record) => Ok(Ok(record)),
            Err(error) => match codes::failure(error, true) {
                NotDone::Refused(refusal) => Ok(Err(refusal)),
                NotDone::Error(error) => Err(error),
            },
        }
    }

    /// What is answered to a claim.
    fn granted(
        &self,
        claim: &Claim,
        answer: Result<Answer<Option<Reader>>, StoreError>,
    ) -> Result<Answer<Grant>, StoreError> {
        match answer? {
            Ok(record) => {
                let unsaid = || StoreError::doubtful("the server did not answer what it granted");
                record.ok_or_else(unsaid)?.grant(claim, &self.terms).map(Ok)
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// What the client says of a plain read.
    fn read(read: aerospike::Result<Answered>) -> Result<Read, StoreError> {
        Self::found(read)?.map_or(Ok(Read::Free), |mut record| record.read())
    }

    /// What the client says of a look.
    fn looked(read: aerospike::Result<Answered>) -> Result<Look, StoreError> {
        let nothing = Look::without_copies(Read::Free);
        Self::found(read)?.map_or(Ok(nothing), |mut record| record.look())
    }

    /// A read that finds nothing is an answer.
    fn found(read: aerospike::Result<Answered>) -> Result<Option<Reader>, StoreError> {
        match read {
            Ok(record) => Ok(Some(Reader(record))),
            Err(error) => match codes::failure(error, false) {
                NotDone::Refused(_) => Ok(None),
                NotDone::Error(error) => Err(error),
            },
        }
    }
}

/// For rows of one node, which the client would send in a task of its own. That is for who has several batches under way: else it is a
/// detour.
fn batch_of(policy: &BatchPolicy, several: bool) -> BatchPolicy {
    let concurrency = if several { Concurrency::Parallel } else { Concurrency::Sequential };
    BatchPolicy { concurrency, ..policy.clone() }
}

/// Bin by bin: beside a read of all bins a server answers no expression.
fn bins_and_now(bins: &[&'static str]) -> Vec<Operation> {
    let now = read_exp(NOW, conditions::now_in_filter(), ExpReadFlags::DEFAULT);
    bins.iter().map(|bin| get_bin(*bin)).chain([now]).collect()
}

/// What came of a row of a batch: its own answer, or what befell the whole. `None` where neither is known.
fn outcome(
    row: BatchOperation,
    whole: Option<&aerospike::Error>,
) -> Option<aerospike::Result<Answered>> {
    let mut row = row.into_batch_record();
    match (row.record.take(), row.error().or(whole)) {
        (Some(record), _) => Some(Ok(record)),
        (None, Some(error)) => Some(Err(error.clone())),
        (None, None) => None,
    }
}

impl fmt::Debug for AerospikeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AerospikeStore")
            .field("is_connected", &self.link.now().is_some())
            .finish_non_exhaustive()
    }
}

impl Store for AerospikeStore {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        let on = self.cluster_now().await?;
        let key = on.key(key)?;
        let standing = on.standing()?;
        let read = async move {
            let read = on.run(key, Get).await?;
            on.serves(&read, standing)?;
            Ok(read)
        };
        self.home.run(false, read).await?
    }

    async fn get_many(&self, keys: &[Bytes]) -> Vec<Result<Read, StoreError>> {
        self.read_many::<Get>(keys).await
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        let on = self.cluster_now().await?;
        let key = on.key(key)?;
        let look = bins_and_now(&bins::ALL);
        let read = async move {
            let lanes = on.nodes.of(&key);
            let read = lanes.client.operate(&on.look, &key, &look);
            let read = lanes.presence.unless_gone(read).await;
            let read = read.map_err(|problem| gone(problem, false))?;
            Ok(read.inspect_err(|error| on.forgive(&lanes.client, error)))
        };
        let read: Result<_, StoreError> = self.home.run(false, read).await?;
        let read = read?;
        let Some(mut record) = Self::found(read)? else { return Ok(None) };
        let now = record.time(NOW)?;
        let now = now.ok_or_else(|| StoreError::unavailable("the server did not tell the time"))?;
        Ok(Some(Snapshot { record: record.record(now)?, now }))
    }

    async fn look(&self, key: &[u8]) -> Result<Look, StoreError> {
        let on = self.cluster_now().await?;
        let key = on.key(key)?;
        let standing = on.standing()?;
        let look = async move {
            let look = on.run(key, merge::Look).await?;
            on.serves(&look.read, standing)?;
            Ok(look)
        };
        self.home.run(false, look).await?
    }

    async fn look_many(&self, keys: &[Bytes]) -> Vec<Result<Look, StoreError>> {
        // It goes with what other callers ask.
        if let [key] = keys {
            return vec![self.look(key).await];
        }
        self.read_many::<merge::Look>(keys).await
    }

    async fn stamp(&self, key: &[u8], stamp: &Stamp) -> Result<Answer<Hit>, StoreError> {
        let plan = |on: &Connected| commands::stamp(stamp, &on.write, &on.terms);
        let record = match self.run(key, plan).await? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let unsaid = || StoreError::doubtful("the server did not answer with the value");
        match record.ok_or_else(unsaid)?.read()? {
            Read::Hit(hit) => Ok(Ok(hit)),
            _ => Err(unsaid()),
        }
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        self.granted(claim, self.run(key, |on| claim.plan(on)).await)
    }

    async fn claim_many(
        &self,
        claims: &[(Bytes, Claim)],
    ) -> Vec<Result<Answer<Grant>, StoreError>> {
        let answers = self.write_many(claims).await.into_iter().zip(claims);
        answers.map(|(answer, (_, claim))| self.granted(claim, answer)).collect()
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        Ok(self.run(key, |on| change.plan(on)).await?.map(drop))
    }

    async fn change_many(
        &self,
        changes: &[(Bytes, Change)],
    ) -> Vec<Result<Answer<()>, StoreError>> {
        let answers = self.write_many(changes).await.into_iter();
        answers.map(|answer| answer.map(|answer| answer.map(drop))).collect()
    }

    fn traffic(&self) -> Traffic {
        self.link.now().map_or_else(Traffic::default, |on| {
            let (leases_lost, unleased_micros) =
                if on.is_guarded() { on.guard.losses() } else { (0, 0) };
            Traffic { leases_lost, unleased_micros, ..on.merger.counts.traffic() }
        })
    }

    async fn diagnose(&self, needs: &Needs) -> Result<Diagnosis, StoreError> {
        let (on, needs) = (self.cluster_now().await?, *needs);
        self.home.take_time(async move { on.look_around(&needs).await }).await?
    }
}
