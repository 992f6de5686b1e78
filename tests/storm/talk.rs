//! What the processes of the regions and the test say to each other: a JSON value in each line.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::line::Line;

/// Of a key, at the source: it grows by one with each COMMIT. 0 is what was there before.
pub type Version = u64;
/// Nanoseconds since the test began, on the clock of the test's own process.
pub type Moment = u64;

/// A key of a way's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    pub way: usize,
    pub key: usize,
}

/// What a process is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub region: usize,
    pub seed: u64,
    pub source: String,
    /// The URLs of its caches, in the order of the ways.
    pub urls: Vec<String>,
    /// Where its own region's cluster is.
    pub own: String,
    pub keys: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// The first of a connection: of which region it is.
    Hello { region: usize },
    /// What time it is: a read begins, or a writer is about to change the source.
    Now,
    /// The latest committed version, or what a replica has that lags.
    Load { row: Row, from_replica: bool },
    /// A transaction that is rolled back if it would be committed later than that.
    Change { row: Row, until: Option<Moment> },
    /// A read ended that began then. Only a hit has a version. Nobody answers.
    Read { row: Row, began: Moment, hit: Option<Version> },
    /// The record of a plain key was written, so the link takes it along. Nobody answers.
    Written { row: Row },
    /// A row with a heartbeat, which the stream tells of.
    Beat { follower: u64, number: u64 },
    /// What the stream says after that place, as soon as there is something.
    Next { after: usize },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Now {
        now: Moment,
        writes: bool,
    },
    /// `None`: it was rolled back.
    Version(Option<Version>),
    Said {
        what: Vec<Said>,
        until: usize,
    },
}

/// What the stream of changes says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Said {
    Changed { row: Row, version: Version },
    Beat { follower: u64, number: u64 },
}

/// A process's connection to the source. Its process ends with it, as the test is over then.
pub struct Source(Mutex<Line>);

impl Source {
    pub async fn connect(task: &Task) -> Self {
        let stream = or_end(TcpStream::connect(&task.source).await);
        let source = Source(Mutex::new(or_end(Line::new(stream))));
        source.tell(&Ask::Hello { region: task.region }).await;
        source
    }

    pub async fn tell(&self, what: &Ask) {
        or_end(self.0.lock().await.say(what).await);
    }

    async fn ask(&self, what: &Ask) -> Answer {
        let mut line = self.0.lock().await;
        or_end(line.say(what).await);
        let Some(answer) = or_end(line.hear().await) else { std::process::exit(0) };
        answer
    }

    /// And whether writers go on.
    pub async fn now(&self) -> (Moment, bool) {
        match self.ask(&Ask::Now).await {
            Answer::Now { now, writes } => (now, writes),
            other => panic!("{other:?}"),
        }
    }

    pub async fn load(&self, row: Row, from_replica: bool) -> Version {
        match self.ask(&Ask::Load { row, from_replica }).await {
            Answer::Version(Some(version)) => version,
            other => panic!("{other:?}"),
        }
    }

    pub async fn change(&self, row: Row, until: Option<Moment>) -> Option<Version> {
        match self.ask(&Ask::Change { row, until }).await {
            Answer::Version(version) => version,
            other => panic!("{other:?}"),
        }
    }

    pub async fn beat(&self, follower: u64, number: u64) {
        self.ask(&Ask::Beat { follower, number }).await;
    }

    pub async fn next(&self, after: usize) -> (Vec<Said>, usize) {
        match self.ask(&Ask::Next { after }).await {
            Answer::Said { what, until } => (what, until),
            other => panic!("{other:?}"),
        }
    }
}

fn or_end<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|_| std::process::exit(0))
}
