//! Opening the connection: settings, their bounds, and an error that says what to do.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aerospike::policy::{AuthMode, BasePolicy, ReadModeAp, ReadModeSc, ReadTouchTtl, Replica};
use aerospike::{
    BatchPolicy, BatchReadPolicy, Client, ClientPolicy, CommitLevel, Host, ReadPolicy, WritePolicy,
};
use futures_util::future::{Either, select, select_ok};
use tokio::time::{sleep, timeout};

use super::home::Home;
use super::link::Link;
use super::merge::{Merger, Nodes};
use super::owned::Owned;
use super::undone::{self, Rule};
use super::{AerospikeStore, Connected, trouble};
use crate::protocol::Terms;
use crate::settings::ClusterGuard;
use crate::settings::{
    Access, Auth, Invalid, access_settings, login_setter, setter, setters, within,
};
use crate::store::StoreError;
use crate::store::guard::Guard;

/// Where the cluster is and how to reach it.
///
/// ```
/// use genfence::store::AerospikeSettings;
///
/// let settings = AerospikeSettings::new("test", "cache").host("127.0.0.1", 3000);
/// assert!(!format!("{:?}", settings.login("ada", "secret")).contains("secret"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AerospikeSettings {
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) namespace: String,
    pub(crate) set: String,
    pub(crate) access: Access,
    /// What all programs of the set must say alike of regions; `None` where a program has opened the store by itself.
    pub(crate) regions: Option<String>,
    /// Whether it is for a tool that asks and is gone, and leaves it to the first program what all say.
    pub(crate) looks: bool,
    pub(crate) terms: Terms,
}

macro_rules! access_setters {
    ($($rows:tt)*) => { setters! { [access] $($rows)* } };
}

/// What the client is given to begin with.
#[derive(Clone)]
pub(crate) struct Seeds {
    policy: ClientPolicy,
    hosts: Vec<Host>,
}

/// The server's own bounds, in bytes.
const MAX_NAMESPACE: usize = 31;
const MAX_SET: usize = 63;

/// How often the client looks who is in the cluster.
const TEND_MILLIS: u32 = 250;

impl AerospikeSettings {
    /// A set of its own, which nobody but this library may write.
    pub fn new(namespace: impl Into<String>, set: impl Into<String>) -> Self {
        AerospikeSettings {
            hosts: Vec::new(),
            namespace: namespace.into(),
            set: set.into(),
            access: Access::default(),
            regions: None,
            looks: false,
            terms: Terms::default(),
        }
    }

    /// One more node to find the cluster by.
    pub fn host(mut self, name: impl Into<String>, port: u16) -> Self {
        self.hosts.push((name.into(), port));
        self
    }

    /// What all programs of the set reckon with alike of copies of values. [`Cache::connect`](crate::Cache::connect) takes it from
    /// the cache's own options, and whoever opens a store by himself says it here. The default: nobody keeps copies.
    pub fn terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    access_settings!(access_setters);
    login_setter!(access);

    /// Checks the hosts and the names, and reads the files that the settings name, which were checked.
    pub(crate) fn seeds(&self) -> Result<Seeds, Invalid> {
        if self.hosts.is_empty() {
            return Err(Invalid::new("host", "there is none, must be at least one"));
        }
        if self.hosts.iter().any(|(name, port)| name.is_empty() || *port == 0) {
            return Err(Invalid::new("host", "must have a name, and a port of 1 to 65535"));
        }
        self.check_names()?;
        let access = &self.access;
        let policy = ClientPolicy {
            auth_mode: auth_mode(access),
            connect_timeout: millis(access.connect_timeout),
            min_conns_per_node: access.min_connections,
            max_conns_per_node: access.max_connections,
            idle_timeout: millis(access.idle_time),
            use_services_alternate: access.alternate_services,
            ip_map: (!access.address_map.is_empty()).then(|| access.address_map.clone()),
            seed_only_cluster: access.seeds_only,
            max_error_rate: access.max_errors,
            tend_interval: TEND_MILLIS,
            error_rate_window: 1_000 / TEND_MILLIS as usize,
            ..ClientPolicy::default()
        };
        let hosts = self.hosts.iter().map(|(name, port)| Host::new(name, *port)).collect();
        let seeds = Seeds { policy, hosts };
        #[cfg(feature = "tls")]
        if access.is_encrypted() {
            return seeds.encrypted(access);
        }
        Ok(seeds)
    }

    fn check_names(&self) -> Result<(), Invalid> {
        within("namespace", self.namespace.len(), 1, Some(MAX_NAMESPACE))?;
        within("set", self.set.len(), 1, Some(MAX_SET))
    }

    /// Hosts as they stand in the URL.
    pub(super) fn named(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|(name, port)| format!("{name}:{port}")).collect();
        hosts.join(",")
    }
}

fn auth_mode(Access { auth, login, .. }: &Access) -> AuthMode {
    match (auth, login.clone()) {
        (Auth::Pki, _) => AuthMode::Pki,
        (_, None) => AuthMode::None,
        (Auth::Internal, Some(login)) => AuthMode::Internal(login.user, login.password),
        (Auth::External, Some(login)) => AuthMode::External(login.user, login.password),
    }
}

impl Seeds {
    #[cfg(feature = "tls")]
    fn encrypted(mut self, access: &Access) -> Result<Self, Invalid> {
        self.policy.tls_policy = Some(super::tls::config(access)?.into());
        for host in &mut self.hosts {
            // Without a name of its own the client goes by that of the cluster.
            let (field, name) = match &access.tls_name {
                Some(name) => ("tls_name", name),
                None => ("host", &host.name),
            };
            super::tls::check_name(field, name)?;
            host.tls_name = Some(name.clone());
        }
        Ok(self)
    }

    /// The client asks one host after the other and lets a TLS handshake take for ever, so one that
    /// accepts and is silent would hide the others. When they have had their share of the time, each
    /// is tried alone as well: any node tells of all others.
    async fn connect(&self, within: Duration) -> aerospike::Result<Client> {
        let all = Client::new(&self.policy, &self.hosts);
        let [_, _, ..] = &*self.hosts else { return all.await };
        let share = within / u32::try_from(self.hosts.len() + 1).unwrap_or(u32::MAX);
        let alone = self.hosts.iter().zip(1_u32..).map(|(host, nth)| {
            Box::pin(async move {
                sleep(share * nth).await;
                Client::new(&self.policy, &vec![host.clone()]).await
            })
        });
        let alone = async {
            match select_ok(alone).await {
                Ok((client, _)) => client,
                // That they all failed is for the first to say.
                Err(_) => pending().await,
            }
        };
        match select(pin!(all), pin!(alone)).await {
            Either::Left((connected, _)) => connected,
            Either::Right((client, _)) => Ok(client),
        }
    }
}

pub(super) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

impl AerospikeStore {
    /// Connects to a cluster; in the background, if the settings say so.
    ///
    /// # Errors
    /// If a setting is out of bounds or a file is not what it should be (names it), if no node answers
    /// within the connect time-out (names the hosts and the cause), if the user is not let in, if the
    /// namespace is not there, if it takes no records with a time to live, if a newer version of this library has
    /// written to the set in a format of its own, if a node's version is older than what the commands need (6.0), or if the
    /// server's clock does not do what the protocol relies on.
    pub async fn connect(settings: &AerospikeSettings) -> Result<Self, StoreError> {
        settings.access.check()?;
        let seeds = settings.seeds()?;
        if settings.access.background_connect {
            return Ok(AerospikeStore::in_background(settings.clone(), seeds));
        }
        let store = AerospikeStore::open(settings, &seeds).await?;
        store.must_be_fit().await?;
        Ok(store)
    }

    /// Goes through a client that the program has already, of the crate `aerospike` 3, in the runtime that this is
    /// called in. Of the settings namespace, set, `timeout` and `connect_timeout` count; how the cluster is
    /// reached, the circuit breaker and all else is the client's own. The client can be used on for other
    /// things, and is not closed.
    ///
    /// # Errors
    /// As [`connect`](AerospikeStore::connect).
    pub async fn with_client(
        client: Client,
        settings: &AerospikeSettings,
    ) -> Result<Self, StoreError> {
        settings.check_names()?;
        settings.access.check()?;
        let store = AerospikeStore::on(Connected::new(client, None, settings), settings);
        store.must_be_fit().await?;
        Ok(store)
    }

    /// Connects by the seeds of these settings, in the background.
    pub(crate) fn in_background(settings: AerospikeSettings, seeds: Seeds) -> Self {
        let home = Home::here(settings.access.timeout);
        let terms = settings.terms;
        AerospikeStore { link: Link::in_background(settings, seeds), home, terms }
    }

    /// Connects by the seeds of these settings to a cluster that may not be fit, so that it can be
    /// looked at.
    pub(crate) async fn open(
        settings: &AerospikeSettings,
        seeds: &Seeds,
    ) -> Result<Self, StoreError> {
        Ok(AerospikeStore::on(Connected::open(settings, seeds).await?, settings))
    }

    fn on(connected: Connected, settings: &AerospikeSettings) -> Self {
        let home = Home::here(settings.access.timeout);
        AerospikeStore { link: Link::to(connected), home, terms: settings.terms }
    }

    /// Tests what the store relies on and cannot see, within the connect time-out. One that connects in the
    /// background does so itself.
    pub(crate) async fn must_be_fit(&self) -> Result<(), StoreError> {
        match self.link.now() {
            Some(on) => on.must_be_fit().await,
            None => Ok(()),
        }
    }
}

impl Connected {
    pub(super) async fn open(
        settings: &AerospikeSettings,
        seeds: &Seeds,
    ) -> Result<Self, StoreError> {
        let within = settings.access.connect_timeout;
        // Boxed, as it is large and would be part of the caller's future.
        let connected = Box::pin(timeout(within, seeds.connect(within))).await;
        match connected.map_err(|_| trouble::silence(settings))? {
            Ok(client) => Ok(Connected::new(client, Some(&seeds.policy), settings)),
            Err(error) => Err(trouble::explain(settings, error)),
        }
    }

    pub(super) async fn must_be_fit(&self) -> Result<(), StoreError> {
        let silent = |_| {
            let nodes = self.client.nodes();
            let named: Vec<&str> = nodes.iter().map(|node| node.address()).collect();
            Err(StoreError::unavailable(format!(
                "{} let us in, and then answered no command within {:?}: is the server overloaded?",
                named.join(", "),
                self.patience
            )))
        };
        self.test_versions()?;
        let tests = async {
            self.test_format().await?;
            self.test_clock().await
        };
        timeout(self.patience, tests).await.unwrap_or_else(silent)?;
        self.test_agreement().await?;
        timeout(self.patience, self.agree()).await.unwrap_or_else(silent)?;
        if self.is_guarded() && !self.guard.holds(self.guard.standing()) {
            // Of as many as others have seen it is no majority.
            self.test_agreement().await?;
        }
        self.warn_of_conflicts().await;
        Ok(())
    }
}

impl Connected {
    /// Follows its nodes from now on, in this runtime.
    pub(super) fn shared(self) -> Arc<Self> {
        let shared = Arc::new(self);
        tokio::spawn(Connected::watch(Arc::downgrade(&shared)));
        shared
    }

    /// `policy`: how the client was made, if it is the library's own.
    fn new(client: Client, policy: Option<&ClientPolicy>, settings: &AerospikeSettings) -> Self {
        let (mut read, mut write) = policies(settings.access.timeout);
        let strong = client.is_strong_consistency(&settings.namespace) == Some(true);
        if strong {
            // Elsewhere this is no stronger, and the Community Edition refuses it in a batch.
            for base in [&mut read.base_policy, &mut write.base_policy] {
                base.read_mode_sc = ReadModeSc::Linearize;
            }
        }
        let merger = Merger::here(&settings.access);
        let batch =
            |base: &BasePolicy| BatchPolicy { base_policy: base.clone(), ..BatchPolicy::default() };
        Connected {
            nodes: Nodes::new(&merger, client.clone()),
            merger,
            _own: policy.is_some().then(|| Owned::new(client.clone())),
            policy: policy.map(|policy| ClientPolicy { seed_only_cluster: true, ..policy.clone() }),
            mode: if strong { ClusterGuard::Off } else { settings.access.cluster_guard },
            regions: settings.regions.as_deref().map(Arc::from),
            says: !settings.looks,
            terms: settings.terms,
            guard: Arc::new(Guard::new(
                settings.access.cluster_guard_time,
                settings.access.cluster_size,
            )),
            patience: settings.access.connect_timeout,
            strong,
            client,
            namespace: settings.namespace.as_str().into(),
            set: settings.set.as_str().into(),
            look: WritePolicy { base_policy: read.base_policy.clone(), ..write.clone() },
            batch: batch(&read.base_policy),
            batch_of_writes: batch(&write.base_policy),
            each: BatchReadPolicy {
                read_touch_ttl: ReadTouchTtl::DontReset,
                ..BatchReadPolicy::default()
            },
            read,
            write,
        }
    }
}

/// Reads go to the master, and see what a write that was answered has done: there is no preference for
/// a rack, as every read of a cache must be fresh. Writes wait for all
/// replicas and are sent once: a retry under the same token is the cache's matter.
fn policies(timeout: Duration) -> (ReadPolicy, WritePolicy) {
    let mut write = WritePolicy { commit_level: CommitLevel::CommitAll, ..WritePolicy::default() };
    let base = &mut write.base_policy;
    base.total_timeout = millis(timeout);
    base.socket_timeout = millis(timeout);
    base.max_retries = 0;
    base.replica = Replica::Master;
    // While partitions migrate, a master may hold an older copy than another node: all are asked. Where there
    // is one copy it costs nothing.
    if undone::holds(Rule::ReadsAskAllCopies) {
        base.read_mode_ap = ReadModeAp::All;
    }
    // A touch by a read moves the update time that filters reckon the clock from.
    base.read_touch_ttl = ReadTouchTtl::DontReset;
    let mut read = ReadPolicy { base_policy: base.clone() };
    read.base_policy.max_retries = 1;
    (read, write)
}
