//! Opening the connection: settings, their bounds, and an error that says what to do.

use std::fmt;
use std::time::Duration;

use aerospike::policy::{AuthMode, ReadModeSc, ReadTouchTtl, Replica};
use aerospike::{
    BatchPolicy, BatchReadPolicy, Client, ClientPolicy, CommitLevel, Host, ReadPolicy, WritePolicy,
};
use tokio::time::timeout;

use super::AerospikeStore;
use crate::store::StoreError;

/// Where the cluster is and how to reach it.
///
/// ```
/// use genfence::store::AerospikeSettings;
///
/// let settings = AerospikeSettings::new("test", "cache").host("127.0.0.1", 3000);
/// assert!(!format!("{:?}", settings.login("ada", "secret")).contains("secret"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct AerospikeSettings {
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) namespace: String,
    pub(crate) set: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_errors: usize,
}

impl AerospikeSettings {
    /// A set of its own, which nobody but this library may write.
    pub fn new(namespace: impl Into<String>, set: impl Into<String>) -> Self {
        AerospikeSettings {
            hosts: Vec::new(),
            namespace: namespace.into(),
            set: set.into(),
            login: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            max_connections: 256,
            max_errors: 100,
        }
    }

    /// One more node to find the cluster by.
    pub fn host(mut self, name: impl Into<String>, port: u16) -> Self {
        self.hosts.push((name.into(), port));
        self
    }

    /// The user, where the cluster asks for one.
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// How long connecting may take. Default 5 s.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// How long one command may take. Default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most connections to each node. Default 256.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// The circuit breaker: after this many errors of one node within a second (time-outs, lost
    /// connections, an overloaded server) commands to it fail at once until the second is over, so
    /// that reads bypass instead of each waiting out the time-out. 0: never. Default 100.
    pub fn max_errors(mut self, max_errors: usize) -> Self {
        self.max_errors = max_errors;
        self
    }

    /// Hosts as they stand in the URL.
    fn named(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|(name, port)| format!("{name}:{port}")).collect();
        hosts.join(",")
    }
}

/// Without the password.
impl fmt::Debug for AerospikeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AerospikeSettings")
            .field("hosts", &self.named())
            .field("namespace", &self.namespace)
            .field("set", &self.set)
            .field("login", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

pub(super) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

impl AerospikeStore {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// If no node answers within the connect time-out (names the hosts and the cause), if the
    /// namespace is not there, if it takes no records with a time to live, or if the server's clock
    /// does not do what the protocol relies on.
    pub async fn connect(settings: &AerospikeSettings) -> Result<Self, StoreError> {
        let store = Self::open(settings).await?;
        store.test_clock().await?;
        Ok(store)
    }

    /// Connects to a cluster that may not be fit, so that it can be looked at.
    pub(crate) async fn open(settings: &AerospikeSettings) -> Result<Self, StoreError> {
        let mut policy = ClientPolicy {
            connect_timeout: millis(settings.connect_timeout),
            max_conns_per_node: settings.max_connections,
            max_error_rate: settings.max_errors,
            ..ClientPolicy::default()
        };
        if let Some((user, password)) = &settings.login {
            policy.auth_mode = AuthMode::Internal(user.clone(), password.clone());
        }
        let hosts: Vec<Host> =
            settings.hosts.iter().map(|(name, port)| Host::new(name, *port)).collect();
        let connecting = Client::new(&policy, &hosts);
        let client = match timeout(settings.connect_timeout, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                let message =
                    format!("no connection to {}: {}", settings.named(), error.base_message());
                return Err(StoreError::unavailable(message).because(error));
            }
            Err(_) => {
                return Err(StoreError::unavailable(format!(
                    "no connection to {} within {:?}: is the server there, and is the port its \
                     service port?",
                    settings.named(),
                    settings.connect_timeout,
                )));
            }
        };
        let (read, write) = policies(settings.timeout);
        Ok(AerospikeStore {
            client,
            namespace: settings.namespace.as_str().into(),
            set: settings.set.as_str().into(),
            look: WritePolicy { base_policy: read.base_policy.clone(), ..write.clone() },
            batch: BatchPolicy { base_policy: read.base_policy.clone(), ..BatchPolicy::default() },
            each: BatchReadPolicy {
                read_touch_ttl: ReadTouchTtl::DontReset,
                ..BatchReadPolicy::default()
            },
            read,
            write,
        })
    }
}

/// Reads go to the master, and see what a write that was answered has done. Writes wait for all
/// replicas and are sent once: a retry under the same token is the cache's matter.
fn policies(timeout: Duration) -> (ReadPolicy, WritePolicy) {
    let mut write = WritePolicy { commit_level: CommitLevel::CommitAll, ..WritePolicy::default() };
    let base = &mut write.base_policy;
    base.total_timeout = millis(timeout);
    base.socket_timeout = millis(timeout);
    base.max_retries = 0;
    base.replica = Replica::Master;
    base.read_mode_sc = ReadModeSc::Linearize;
    // A touch by a read moves the update time that filters reckon the clock from.
    base.read_touch_ttl = ReadTouchTtl::DontReset;
    let mut read = ReadPolicy { base_policy: base.clone() };
    read.base_policy.max_retries = 1;
    (read, write)
}
