use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio_postgres::{Client, Statement};

use super::Error;
use super::session::{PATIENCE, Session};
use crate::{Heartbeat, HeartbeatWriter};

/// Writes heartbeats for a stream, each in a transaction of its own. When its connection is lost, the stream ends with an error, so
/// that both are opened anew.
///
/// # Example
/// See [`Outbox`](super::Outbox).
pub struct Heartbeats {
    session: Session,
    insert: Statement,
    lost: Lost,
}

/// Whether heartbeats cannot be written any more, as their writer and the stream share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicBool>);

impl Lost {
    /// # Errors
    /// [`Error::HeartbeatsLost`].
    pub fn check(&self) -> Result<(), Error> {
        if self.0.load(Relaxed) { Err(Error::HeartbeatsLost) } else { Ok(()) }
    }
}

impl Heartbeats {
    /// The statement takes the follower and the number.
    pub(super) async fn open(client: Client, insert: &str, lost: Lost) -> Result<Self, Error> {
        let session = Session::open(client, PATIENCE).await?;
        let insert = session.prepare(insert).await?;
        Ok(Heartbeats { session, insert, lost })
    }
}

impl HeartbeatWriter<Error> for Heartbeats {
    async fn write(&mut self, heartbeat: Heartbeat) -> Result<(), Error> {
        let [follower, number] = [heartbeat.follower, heartbeat.number]
            .map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let written = self.session.execute(&self.insert, &[&follower, &number]).await;
        if matches!(written, Err(Error::NoAnswer(_))) || self.session.is_closed() {
            self.lost.0.store(true, Relaxed);
        }
        written.map(drop)
    }
}

impl fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeats").finish_non_exhaustive()
    }
}
