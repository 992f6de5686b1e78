//! What a follower has seen, between it and its source.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genfence::postgres::Error;
use genfence::{ChangeBatch, ChangeStream, Heartbeat, HeartbeatWriter};
use parking_lot::Mutex;

#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    changes: u64,
    heartbeats: u64,
    confirmed: Option<String>,
    /// Heartbeats that are under way.
    written: VecDeque<(Heartbeat, Instant)>,
    /// When the last one that came by was written.
    last: Option<Instant>,
    lag: Option<Duration>,
}

/// More are not waited for.
const AWAITED: usize = 1024;

impl Seen {
    /// Grows with each that comes.
    pub fn count(&self) -> u64 {
        let counts = self.0.lock();
        counts.changes + counts.heartbeats
    }

    /// What was confirmed last.
    pub fn confirmed(&self) -> String {
        let counts = self.0.lock();
        counts.confirmed.clone().unwrap_or_else(|| "nothing new".into())
    }

    fn hear(&self, heartbeats: &[Heartbeat]) {
        let mut counts = self.0.lock();
        for beat in heartbeats {
            let own = counts.written.iter().position(|(written, _)| written == beat);
            let Some(place) = own else { continue };
            let (_, written) = counts.written[place];
            counts.written.drain(..=place);
            counts.heartbeats += 1;
            (counts.last, counts.lag) = (Some(written), Some(written.elapsed()));
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock();
        write!(f, "{} changes, {} heartbeats, ", counts.changes, counts.heartbeats)?;
        match (counts.lag, counts.last) {
            (Some(lag), Some(last)) => {
                let ago = last.elapsed().saturating_sub(lag);
                write!(f, "lag {} ms, {} ms ago", lag.as_millis(), ago.as_millis())
            }
            _ => f.write_str("lag not known"),
        }
    }
}

/// A stream that is counted.
pub struct Counted<S>(pub S, pub Seen);

impl<S: ChangeStream<Position: fmt::Display + Copy>> ChangeStream for Counted<S> {
    type Position = (S::Position, u64);
    type Error = S::Error;

    async fn next(&mut self) -> Result<Option<ChangeBatch<Self::Position>>, S::Error> {
        Ok(self.0.next().await?.map(|batch| {
            let ChangeBatch { changes, heartbeats, position } = batch;
            self.1.hear(&heartbeats);
            let position = (position, changes.len() as u64);
            ChangeBatch { changes, heartbeats, position }
        }))
    }

    async fn confirm(&mut self, (position, changes): Self::Position) -> Result<(), S::Error> {
        self.0.confirm(position).await?;
        let mut counts = self.1.0.lock();
        counts.changes += changes;
        counts.confirmed = Some(position.to_string());
        Ok(())
    }
}

impl<H: HeartbeatWriter<Error>> HeartbeatWriter<Error> for Counted<H> {
    async fn write(&mut self, heartbeat: Heartbeat) -> Result<(), Error> {
        {
            let mut counts = self.1.0.lock();
            counts.written.push_back((heartbeat, Instant::now()));
            if counts.written.len() > AWAITED {
                counts.written.pop_front();
            }
        }
        self.0.write(heartbeat).await
    }
}
