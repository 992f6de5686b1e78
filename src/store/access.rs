//! How a cluster is reached: what has the same name in a URL, on the cache's builder, and on the
//! settings of the store on Aerospike. Defaults and bounds are here, once.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::bounds::{Invalid, size, span};

/// How a client shows to the cluster who it is.
///
/// # Example
/// ```
/// use genfence::{Cache, store::Auth};
///
/// let builder = Cache::builder()
///     .auth(Auth::Pki)
///     .tls_ca("/etc/genfence/ca.pem")
///     .tls_certificate("/etc/genfence/client.pem")
///     .tls_key("/etc/genfence/client.key");
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// By a user and a password that the cluster itself keeps; what is sent is the password's hash.
    /// Where no user is given, by nothing.
    #[default]
    Internal,
    /// By a user and a password that the cluster passes on to another directory (LDAP). The password
    /// itself is sent, so this needs TLS.
    External,
    /// By the client's certificate alone, so this needs one, and no user.
    Pki,
}

/// A user and a password, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// See the setters below for what each is.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub login: Option<Login>,
    pub auth: Auth,
    pub tls: Option<bool>,
    pub tls_ca: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_name: Option<String>,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    pub min_connections: usize,
    pub max_connections: usize,
    pub idle_time: Duration,
    pub max_errors: usize,
    pub alternate_services: bool,
    pub seeds_only: bool,
    pub address_map: HashMap<String, String>,
    pub background_connect: bool,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            login: None,
            auth: Auth::default(),
            tls: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            tls_name: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            min_connections: 0,
            max_connections: 256,
            idle_time: Duration::ZERO,
            max_errors: 100,
            alternate_services: false,
            seeds_only: false,
            address_map: HashMap::new(),
            background_connect: false,
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The server's own bound.
const MAX_USER: usize = 63;
/// What fits into a login message of the client.
const MAX_PASSWORD: usize = 512;

impl Access {
    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.unwrap_or(self.tls_ca.is_some())
    }

    /// Checks every setting by itself and beside the others. What files hold is not looked at.
    pub fn check(&self) -> Result<(), Invalid> {
        span("connect_timeout", self.connect_timeout, 100 * MILLISECOND, MINUTE)?;
        span("timeout", self.timeout, MILLISECOND, MINUTE)?;
        size("max_connections", self.max_connections, 1, 4096)?;
        size("min_connections", self.min_connections, 0, self.max_connections)?;
        span("idle_time", self.idle_time, Duration::ZERO, 60 * MINUTE)?;
        size("max_errors", self.max_errors, 0, 1_000_000)?;
        if let Some((from, to)) =
            self.address_map.iter().find(|(from, to)| from.is_empty() || to.is_empty())
        {
            let problem = format!("{from:?} to {to:?}: neither may be empty");
            return Err(Invalid::new("address_map", problem));
        }
        self.check_tls()?;
        self.check_login()
    }

    fn check_tls(&self) -> Result<(), Invalid> {
        let given = [
            ("tls_ca", self.tls_ca.is_some()),
            ("tls_certificate", self.tls_certificate.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_name", self.tls_name.is_some()),
        ];
        let given = given.into_iter().find_map(|(field, is_given)| is_given.then_some(field));
        match given {
            Some(field) if self.tls == Some(false) => {
                let problem = format!("is false, though `{field}` is given: leave out one of them");
                return Err(Invalid::new("tls", problem));
            }
            Some(field) if !self.is_encrypted() => return Err(needs_tls(field)),
            _ => {}
        }
        if self.is_encrypted() && !cfg!(feature = "tls") {
            let problem = "this build has no TLS; build genfence with its feature `tls`";
            return Err(Invalid::new(given.unwrap_or("tls"), problem));
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => {
                Err(Invalid::new("tls_key", "is missing; `tls_certificate` must have its key"))
            }
            (None, Some(_)) => {
                Err(Invalid::new("tls_certificate", "is missing; `tls_key` must have one"))
            }
            _ => Ok(()),
        }
    }

    fn check_login(&self) -> Result<(), Invalid> {
        if let Some(login) = &self.login {
            size("user", login.user.len(), 1, MAX_USER)?;
            // Nothing is told of a password, not even how long it is.
            if login.password.len() > MAX_PASSWORD {
                let problem = format!("is too long, must be at most {MAX_PASSWORD} bytes");
                return Err(Invalid::new("password", problem));
            }
        }
        let refused = |problem: &str| Err(Invalid::new("auth", problem));
        match (self.auth, &self.login) {
            (Auth::External, None) => refused("`external` must have a user and a password"),
            (Auth::External, Some(_)) if !self.is_encrypted() => {
                refused("`external` sends the password itself: give `tls_ca`, or `tls`, as well")
            }
            (Auth::Pki, Some(_)) => {
                refused("`pki` goes by the client's certificate: leave out user and password")
            }
            (Auth::Pki, None) if self.tls_certificate.is_none() => {
                refused("`pki` must have `tls_certificate` and `tls_key`")
            }
            _ => Ok(()),
        }
    }
}

fn needs_tls(field: &'static str) -> Invalid {
    let problem = "there is no TLS: give `tls_ca`, or `tls` to trust whom the system trusts";
    Invalid::new(field, problem)
}

/// Setters for a builder that has an [`Access`] at the path `$at`.
macro_rules! access_setters {
    ($($at:ident).+) => {
        /// Aerospike only: the user, where the cluster asks for one: 1 to 63 bytes, and a password of
        /// up to 512. Neither errors nor logs repeat the password.
        pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
            let (user, password) = (user.into(), password.into());
            self.$($at).+.login = Some(crate::store::Login { user, password });
            self
        }

        /// Aerospike only: how the client shows who it is. Default: [`Auth::Internal`].
        ///
        /// [`Auth::Internal`]: crate::store::Auth::Internal
        pub fn auth(mut self, auth: crate::store::Auth) -> Self {
            self.$($at).+.auth = auth;
            self
        }

        /// Aerospike only: encrypts connections, and trusts the servers that the system's own
        /// certificate authorities vouch for; or, where [`tls_ca`](Self::tls_ca) is given, only
        /// those that it names. Default: whether `tls_ca` is given. Needs feature `tls`.
        pub fn tls(mut self, tls: bool) -> Self {
            self.$($at).+.tls = Some(tls);
            self
        }

        /// Aerospike only: a PEM file with the certificates of the authorities to trust, which turns
        /// TLS on. It is read when connecting.
        pub fn tls_ca(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.$($at).+.tls_ca = Some(path.into());
            self
        }

        /// Aerospike only: a PEM file with the certificate that the client shows, followed by those
        /// between it and its authority. It needs [`tls_key`](Self::tls_key), and TLS.
        pub fn tls_certificate(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.$($at).+.tls_certificate = Some(path.into());
            self
        }

        /// Aerospike only: a PEM file with the private key of
        /// [`tls_certificate`](Self::tls_certificate): PKCS #8, PKCS #1 or SEC 1, not encrypted.
        pub fn tls_key(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.$($at).+.tls_key = Some(path.into());
            self
        }

        /// Aerospike only: the name in the certificates of the nodes to connect to first, where it
        /// is not their host name (Aerospike's `tls-name`). Of the other nodes the cluster tells it.
        pub fn tls_name(mut self, name: impl Into<String>) -> Self {
            self.$($at).+.tls_name = Some(name.into());
            self
        }

        /// Aerospike only: how long connecting may take, 100 ms to 1 min. Default 5 s.
        pub fn connect_timeout(mut self, connect_timeout: std::time::Duration) -> Self {
            self.$($at).+.connect_timeout = connect_timeout;
            self
        }

        /// Aerospike only: how long one try of one command may take, 1 ms to 1 min. Default 1 s.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.$($at).+.timeout = timeout;
            self
        }

        /// Aerospike only: the most connections to each node, 1 to 4096. Default 256.
        pub fn max_connections(mut self, max_connections: usize) -> Self {
            self.$($at).+.max_connections = max_connections;
            self
        }

        /// Aerospike only: connections to each node that are kept open also when nobody needs them, so that a
        /// burst need not wait for new ones: 0 to `max_connections`. Default 0.
        pub fn min_connections(mut self, min_connections: usize) -> Self {
            self.$($at).+.min_connections = min_connections;
            self
        }

        /// Aerospike only: how long a connection may go unused before it is closed: a little less than the
        /// server's `proto-fd-idle-ms`, or than a NAT's patience; 0 to 1 h, where 0 is for ever. Default 0.
        pub fn idle_time(mut self, idle_time: std::time::Duration) -> Self {
            self.$($at).+.idle_time = idle_time;
            self
        }

        /// Aerospike only: asks the nodes for the addresses that they are known by outside their own network
        /// (their `alternate-access-address`), as behind NAT, in Kubernetes, in a cloud. Default: not.
        pub fn alternate_services(mut self, alternate_services: bool) -> Self {
            self.$($at).+.alternate_services = alternate_services;
            self
        }

        /// Aerospike only: the addresses that nodes tell of each other, and those to use instead. A server's
        /// `alternate-access-address` with [`alternate_services`](Self::alternate_services) is better, as it
        /// need not be kept up to date here. Default: none.
        pub fn address_map<A: Into<String>, B: Into<String>>(
            mut self,
            address_map: impl IntoIterator<Item = (A, B)>,
        ) -> Self {
            let pairs = address_map.into_iter().map(|(from, to)| (from.into(), to.into()));
            self.$($at).+.address_map = pairs.collect();
            self
        }

        /// Aerospike only: no other nodes than those named, whatever these tell of others, as where one address
        /// stands for a whole cluster. Default: not.
        pub fn seeds_only(mut self, seeds_only: bool) -> Self {
            self.$($at).+.seeds_only = seeds_only;
            self
        }

        /// Aerospike only: opens the cache at once, and connects in the background, again and again until the
        /// cluster is there and fit. Until then commands end as with a store that gives no answer: reads follow
        /// `unreachable_read`, reserves `unreachable_reserve`; during the first try they wait for it, at most
        /// for `timeout`. What is wrong with a setting is still an error at once. Default: not, as a program
        /// that can wait for its cache had better.
        pub fn background_connect(mut self, background_connect: bool) -> Self {
            self.$($at).+.background_connect = background_connect;
            self
        }

        /// Aerospike only: the circuit breaker. After so many errors of one node within a second
        /// (time-outs, lost connections; never an answer, whatever it says) commands to it fail at once until
        /// the second is over, so that reads bypass instead of each waiting out the time-out; 0 to
        /// 1,000,000, where 0 is never. Default 100.
        pub fn max_errors(mut self, max_errors: usize) -> Self {
            self.$($at).+.max_errors = max_errors;
            self
        }
    };
}
pub(crate) use access_setters;
