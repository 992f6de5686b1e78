//! What all programs that use a set must reckon with alike, in records of the set: how long a lease on the cluster may
//! last, how many nodes there were, and of which region it is, fenced how.
//!
//! After a change of the cluster nobody claims anything for as long as *others* may hold leases under what it was before.
//! And one that starts on a part of the cluster must know that it is one. The first program writes what it has; nothing
//! of it ever grows less by itself.
//!
//! There are many copies, under names of their own, so that hardly a node has none of them.

use std::sync::Arc;
use std::time::Duration;

use aerospike::expressions::{bin_exists, cond, int_bin, int_val, max};
use aerospike::operations::exp::{ExpWriteFlags, write_exp};
use aerospike::operations::get_bin;
use aerospike::{Bins, Expiration, Key, Value, WritePolicy};
use futures_util::{StreamExt, stream};

use super::Connected;
use super::bins::Reader;
use super::canary::answered;
use super::codes::{self, NotDone};
use crate::store::{Finding, Level, StoreError};

/// What the records' names begin with; then comes a number. They are text, as no key of a cache is.
const CONTRACT: &str = "genfence contract";
/// One of ten nodes that hold two copies of each has none of them in one of a thousand sets.
pub(super) const COPIES: usize = 32;
/// So many are asked for at once.
pub(super) const AT_ONCE: usize = 8;
/// The longest that a lease on the cluster may last, in milliseconds.
const GUARD_TIME: &str = "guard_time";
/// The most nodes that the cluster is known to have had.
const NODES: &str = "nodes";

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contract {
    guard_time: Duration,
    nodes: usize,
}

impl Connected {
    /// Agrees with those who were there before, and says what is known here.
    ///
    /// # Errors
    /// A lease on the cluster would last longer here than others wait for it.
    pub(super) async fn agree(&self) -> Result<(), StoreError> {
        self.agree_on_regions(false).await?;
        if !self.is_guarded() {
            return Ok(());
        }
        let (key, own) = (self.guard.key(), self.own_contract());
        let contract = self.write_contract(own, false).await?;
        if own.guard_time > contract.guard_time {
            return Err(StoreError::refused(format!(
                "cluster_guard_time must be at most {:?} here, and is {:?}: for that long the other programs that use this \
                 set wait for a lease on the cluster. For a longer one stop them all, truncate the set, and start them anew",
                contract.guard_time, own.guard_time
            )));
        }
        self.guard.agree(key, contract.guard_time, contract.nodes);
        Ok(())
    }

    /// Sees that it is still written, as copies that were away may have come back, or gone. Who was let in stays.
    pub(super) async fn agree_again(self: Arc<Self>) {
        if let Err(error) = self.agree_on_regions(true).await {
            tracing::debug!(%error, "what all programs of the set say of regions was not written");
        }
        let (key, own) = (self.guard.key(), self.own_contract());
        match self.write_contract(own, true).await {
            Ok(contract) => self.guard.agree(key, contract.guard_time, contract.nodes),
            Err(error) => {
                tracing::debug!(%error, "what all programs of the set reckon with was not written");
            }
        }
    }

    fn own_contract(&self) -> Contract {
        Contract { guard_time: self.guard.span(), nodes: self.guard.known() }
    }

    /// What all copies say together, with what is known here. `raises`: whether a longer time counts, where others know
    /// of a shorter one.
    async fn write_contract(&self, own: Contract, raises: bool) -> Result<Contract, StoreError> {
        let told = self.guard.is_told_size();
        let copies = stream::iter(0..COPIES).map(|number| async move {
            let key = self.contract_key(number)?;
            match self.read_contract(&key).await? {
                Some(known) if known.says(own, told, raises) => Ok(known),
                _ => self.write_copy(&key, own, raises).await,
            }
        });
        let copies: Vec<Result<Contract, StoreError>> =
            copies.buffer_unordered(AT_ONCE).collect().await;
        // A node that does not answer has copies of others' as well.
        let (mut all, mut failed) = (None, None);
        for copy in copies {
            match copy {
                Ok(copy) => all = Some(copy.and(all)),
                Err(error) => failed = Some(error),
            }
        }
        match (all, failed) {
            (Some(all), _) => Ok(all),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("there are copies"),
        }
    }

    async fn write_copy(
        &self,
        key: &Key,
        own: Contract,
        raises: bool,
    ) -> Result<Contract, StoreError> {
        let most = |bin, own: i64| {
            cond(vec![bin_exists(bin), max(vec![int_bin(bin), int_val(own)]), int_val(own)])
        };
        let nodes = i64::try_from(own.nodes).unwrap_or(i64::MAX);
        let millis = i64::try_from(own.guard_time.as_millis()).unwrap_or(i64::MAX);
        let once = ExpWriteFlags::CREATE_ONLY | ExpWriteFlags::POLICY_NO_FAIL;
        // What somebody has told counts instead of what was seen.
        let told = self.guard.is_told_size();
        let operations = [
            if raises {
                write_exp(GUARD_TIME, most(GUARD_TIME, millis), ExpWriteFlags::DEFAULT)
            } else {
                write_exp(GUARD_TIME, int_val(millis), once)
            },
            write_exp(
                NODES,
                if told { int_val(nodes) } else { most(NODES, nodes) },
                ExpWriteFlags::DEFAULT,
            ),
            get_bin(GUARD_TIME),
            get_bin(NODES),
        ];
        let policy = WritePolicy { expiration: Expiration::Never, ..self.write.clone() };
        let record = self.client.operate(&policy, key, &operations).await.map_err(answered)?;
        // Of each bin it has the answer of the write, and what was read.
        Ok(Contract::read(&Reader::of_row(record))?.unwrap_or(own))
    }

    /// What the set's programs reckon with, for the doctor.
    pub(super) async fn look_at_contract(&self) -> Finding {
        let why = "a program whose leases on the cluster last longer than others reckon with would serve what they have changed";
        let own = self.guard.span();
        let known = match self.contract_key(0) {
            Ok(key) => self.read_contract(&key).await,
            Err(error) => Err(error),
        };
        let (level, found, advice) = match known {
            Ok(None) => (Level::Ok, "none yet".to_owned(), None),
            Ok(Some(Contract { guard_time, nodes })) => {
                let found = format!("cluster_guard_time up to {guard_time:?}, nodes {nodes}");
                if self.is_guarded() && own > guard_time {
                    let advice = format!("a cluster_guard_time of at most that; it is {own:?}");
                    (Level::Error, found, Some(advice))
                } else {
                    (Level::Ok, found, None)
                }
            }
            Err(error) => {
                (Level::Error, error.to_string(), Some("see that the cluster is up".to_owned()))
            }
        };
        Finding { check: "contract", level, found, why, advice }
    }

    async fn read_contract(&self, key: &Key) -> Result<Option<Contract>, StoreError> {
        self.read_copy(key).await?.map_or(Ok(None), |record| Contract::read(&record))
    }

    pub(super) async fn read_copy(&self, key: &Key) -> Result<Option<Reader>, StoreError> {
        match self.client.get(&self.read, key, Bins::All).await {
            Ok(record) => Ok(Some(Reader(record))),
            Err(error) => match codes::failure(error, false) {
                NotDone::Refused(_) => Ok(None),
                NotDone::Error(error) => Err(error),
            },
        }
    }

    pub(super) fn contract_key(&self, number: usize) -> Result<Key, StoreError> {
        let name = format!("{CONTRACT} {number}");
        Key::new(&*self.namespace, &*self.set, Value::from(name)).map_err(answered)
    }
}

impl Contract {
    /// Whether nothing need be written.
    fn says(&self, own: Contract, told: bool, raises: bool) -> bool {
        let nodes = if told { self.nodes == own.nodes } else { self.nodes >= own.nodes };
        nodes && (!raises || self.guard_time >= own.guard_time)
    }

    fn and(self, other: Option<Contract>) -> Contract {
        let other = other.unwrap_or(self);
        Contract {
            guard_time: self.guard_time.max(other.guard_time),
            nodes: self.nodes.max(other.nodes),
        }
    }

    fn read(record: &Reader) -> Result<Option<Self>, StoreError> {
        let (Some(millis), Some(nodes)) = (record.count(GUARD_TIME)?, record.count(NODES)?) else {
            return Ok(None);
        };
        let nodes = usize::try_from(nodes).unwrap_or(usize::MAX);
        Ok(Some(Contract { guard_time: Duration::from_millis(millis), nodes }))
    }
}
