//! What the protocol relies on and Aerospike does not document, tested once, on a record of its own,
//! before anything else is done.

use std::time::Duration;

use aerospike::expressions::last_update;
use aerospike::operations::exp::{ExpReadFlags, ExpWriteFlags, read_exp, write_exp};
use aerospike::operations::put;
use aerospike::{Bin, Bins, Expiration, Key, Value, WritePolicy};
use rand::RngExt;
use tokio::time::sleep;

use super::bins::{NOW, Reader, SET_FORMAT};
use super::checks::OLDEST;
use super::codes::{self, NotDone};
use super::{Connected, conditions};
use crate::protocol::Time;
use crate::store::StoreError;

/// The canary's only bin: what an operation took for the time.
const WRITTEN: &str = "written";
/// Long enough that the server's clock, which counts milliseconds, moves on.
const PAUSE: Duration = Duration::from_millis(5);
/// A clock that is further off in the other place is another clock.
const TOLERANCE: Duration = Duration::from_secs(5);
/// Should the canary be left behind.
const LIFE: u32 = 60;

impl Connected {
    /// Checks that an operation sees the time of its own command, on create and on update, that a
    /// filter's reckoning agrees, and that records with a time to live are accepted.
    pub(super) async fn test_clock(&self) -> Result<(), StoreError> {
        let key = format!("genfence canary {:016x}", rand::rng().random::<u64>());
        let key = self.key(key.as_bytes())?;
        let policy = WritePolicy { expiration: Expiration::Seconds(LIFE), ..self.write.clone() };
        let write = write_exp(WRITTEN, last_update(), ExpWriteFlags::DEFAULT);
        let look = [
            aerospike::operations::get_bin(WRITTEN),
            read_exp(NOW, conditions::now_in_filter(), ExpReadFlags::DEFAULT),
        ];
        let mut seen = Time::ZERO;
        for when in ["created", "updated"] {
            let written = self.client.operate(&policy, &key, std::slice::from_ref(&write)).await;
            written.map_err(answered)?;
            sleep(PAUSE).await;
            let record = self.client.operate(&self.look, &key, &look).await.map_err(answered)?;
            let record = Reader(record);
            let (Some(written), Some(now)) = (record.time(WRITTEN)?, record.time(NOW)?) else {
                return Err(unfit("an operation on a record could not tell the time"));
            };
            if written < seen || now < written || now.remaining(written) > TOLERANCE {
                return Err(unfit(&format!(
                    "when a record was {when}, an operation took {} ns for the time, and a filter \
                     {} ns a moment later",
                    written.as_nanos(),
                    now.as_nanos()
                )));
            }
            seen = now;
        }
        let gone = [put(&Bin::new(WRITTEN, Value::Nil))];
        // Where consistency is strong the server forbids a delete that a node which was away could undo.
        let policy = WritePolicy { durable_delete: self.strong, ..policy };
        self.client.operate(&policy, &key, &gone).await.map(drop).map_err(answered)
    }
}

impl Connected {
    /// Checks that every node knows the commands that are sent.
    pub(super) fn test_versions(&self) -> Result<(), StoreError> {
        for node in self.client.nodes() {
            let version = node.version();
            let ((major, minor), (needed, and)) = ((version.major, version.minor), OLDEST);
            if (major, minor) < (needed.into(), and.into()) {
                return Err(StoreError::refused(format!(
                    "the node {} runs Aerospike {major}.{minor}, and genfence needs {needed}.{and} or later: upgrade it",
                    node.address()
                )));
            }
        }
        Ok(())
    }

    /// Checks that no newer version of this library has written to the set.
    pub(super) async fn test_format(&self) -> Result<(), StoreError> {
        let key =
            Key::new(&*self.namespace, &*self.set, Value::from(SET_FORMAT)).map_err(answered)?;
        match self.client.get(&self.read, &key, Bins::All).await.map(Reader) {
            Ok(record) => record.is_of_known_set(),
            Err(error) => match codes::failure(error, false) {
                NotDone::Refused(_) => Ok(()),
                NotDone::Error(error) => Err(error),
            },
        }
    }
}

pub(super) fn answered(error: aerospike::Error) -> StoreError {
    match codes::failure(error, true) {
        NotDone::Error(error) => error,
        NotDone::Refused(refusal) => unfit(&format!("a plain write was refused: {refusal}")),
    }
}

fn unfit(what: &str) -> StoreError {
    StoreError::refused(format!(
        "this server's clock cannot be relied on ({what}); genfence needs a server whose \
         operations see the time of their own command, as Aerospike 8.1 does"
    ))
}
