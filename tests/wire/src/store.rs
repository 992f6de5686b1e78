use std::collections::{BTreeMap, HashMap};

use crate::code::Code;
use crate::security::User;
use crate::tls::Tls;
use crate::value::Value;

/// What a record is found by: the client's RIPEMD-160 hash of set and user key (`Key::digest`).
pub type Digest = [u8; 20];

/// The times on the wire count from 2010-01-01T00:00:00Z, Unix seconds.
const AEROSPIKE_EPOCH: u64 = 1_262_304_000;

/// A record as the server holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The set's name, empty for none.
    pub set: String,
    /// The user key, where the client sent it along: its particle type, then its bytes.
    pub key: Option<Vec<u8>>,
    /// The bins.
    pub bins: BTreeMap<String, Value>,
    /// How often it was written since it was created; after 65535 comes 1.
    pub generation: u16,
    /// When it was last written, Unix milliseconds.
    pub last_update: u64,
    /// The last second of its life, Unix seconds; 0 is never.
    pub void_time: u64,
}

impl Record {
    /// Expired, whether or not it was reaped. The void time itself is still alive, so a TTL of one
    /// second lasts up to two.
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.void_time != 0 && self.void_time < now / 1000
    }

    /// The void time as a reply's header carries it.
    pub(crate) fn wire_void_time(&self) -> u32 {
        let since = self.void_time.saturating_sub(AEROSPIKE_EPOCH);
        u32::try_from(since).unwrap_or(u32::MAX)
    }

    /// About what it takes to store the record; what counts is that it grows with the bins.
    pub(crate) fn size(&self) -> usize {
        let bin = |(name, value): (&String, &Value)| 2 + name.len() + value.particle_len();
        64 + self.set.len() + self.bins.iter().map(bin).sum::<usize>()
    }

    /// Stamps a write, before its operations run: they see the record as already written.
    pub(crate) fn advance(&mut self, ttl: Ttl, now: u64, config: &Config) {
        let seconds = now / 1000;
        let void_time = match ttl {
            Ttl::Default if config.default_ttl == 0 => 0,
            Ttl::Default => seconds + u64::from(config.default_ttl),
            Ttl::Never => 0,
            Ttl::Keep => self.void_time,
            Ttl::Seconds(ttl) => seconds + u64::from(ttl),
        };
        let reduced = match (self.void_time, void_time) {
            (before, after) if before == after => false,
            (0, _) => self.last_update != 0,
            (_, 0) => false,
            (before, after) => after < before,
        };
        if !reduced || config.apply_ttl_reductions {
            self.void_time = void_time;
        }
        // The update time never goes back, not even where the clock does.
        self.last_update = self.last_update.max(now);
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }
}

/// The TTL of a write (`policy/expiration.rs` of the client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    Default,
    Never,
    Keep,
    Seconds(u32),
}

impl Ttl {
    const MOST: u32 = 10 * 365 * 24 * 60 * 60;

    pub(crate) fn from_wire(ttl: u32) -> Result<Ttl, Code> {
        match ttl {
            0 => Ok(Ttl::Default),
            u32::MAX => Ok(Ttl::Never),
            0xffff_fffe => Ok(Ttl::Keep),
            1..=Self::MOST => Ok(Ttl::Seconds(ttl)),
            _ => Err(Code::PARAMETER),
        }
    }
}

/// How the server is set up. The names are those of a real server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one namespace.
    pub namespace: String,
    /// The version that it says it is.
    pub build: String,
    /// The cluster's name; `null` says that it has none.
    pub cluster_name: String,
    /// The key of the cluster that this node is in, which is another one whenever a node comes or goes; an error while
    /// it finds out.
    pub cluster_key: String,
    /// How many seconds ago a node came or went last.
    pub rebalanced: u32,
    /// Seconds between two runs of the reaper. 0 forbids TTLs.
    pub nsup_period: u32,
    /// The TTL in seconds of a write that gives none; 0 is never.
    pub default_ttl: u32,
    /// Whether a write may bring a record's expiry forward.
    pub apply_ttl_reductions: bool,
    /// The largest record, in bytes.
    pub max_record_size: usize,
    /// Whether the namespace refuses writes for lack of space.
    pub stop_writes: bool,
    /// How many nodes hold a record.
    pub replication_factor: u32,
    /// What wins after a split: `generation` or `last-update-time`.
    pub conflict_resolution_policy: String,
    /// Whether consistency is strong, as only the Enterprise Edition has it: a delete must be durable.
    pub strong_consistency: bool,
    /// The generation that a new record gets.
    pub first_generation: u16,
    /// Answers to info commands by their full text, over what the server would answer itself: for
    /// instance `get-config:context=xdr`, on which the Community Edition answers nothing.
    pub info: BTreeMap<String, String>,
    /// Speaks TLS, to connections that come from now on, and nothing else.
    pub tls: Option<Tls>,
    /// Who may log in. Where there is nobody, everybody may do everything.
    pub users: Vec<User>,
    /// Seconds until who has logged in must do so again.
    pub session_ttl: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            namespace: "test".to_owned(),
            build: "8.1.2.0".to_owned(),
            cluster_name: "null".to_owned(),
            cluster_key: "B1C2D3E4F5A6".to_owned(),
            rebalanced: 3600,
            nsup_period: 120,
            default_ttl: 0,
            apply_ttl_reductions: true,
            max_record_size: 1 << 20,
            stop_writes: false,
            replication_factor: 1,
            conflict_resolution_policy: "generation".to_owned(),
            strong_consistency: false,
            first_generation: 1,
            info: BTreeMap::new(),
            tls: None,
            users: Vec::new(),
            session_ttl: 86400,
        }
    }
}

/// Everything that a command reads or changes, behind one lock: so each command is atomic.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub config: Config,
    pub records: HashMap<Digest, Record>,
}
