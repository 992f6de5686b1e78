//! What the processes of a race and the one that started them say to each other: a JSON value in each line.

use std::io;
use std::net::SocketAddr;
use std::process;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::super::Failure;
use super::super::line::Line;
use super::ways::Way;
use super::{Key, Version};

/// Nanoseconds since the way was started, on the clock of the process that holds the source.
pub type Moment = u64;

/// What a process is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Where the source is.
    pub at: SocketAddr,
    pub way: Way,
    /// The cache, as a program would open it.
    pub url: String,
    /// What the cache calls its keys, and its tags, begins with this.
    pub prefix: String,
    pub near: Duration,
    pub keys: usize,
    /// Of the source. A row is a key's, or that of a group of them.
    pub rows: usize,
    pub readers: u32,
    pub writers: u32,
    pub seed: u64,
}

impl Task {
    pub fn row(&self, key: Key) -> Key {
        key % self.rows
    }

    pub fn name(&self, key: Key) -> String {
        format!("{}{key}", self.prefix)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// The process has what it needs. Answered when all have.
    Ready,
    /// It has not, or something ended that may not end.
    Failed(String),
    /// What time it is, and whether the race goes on.
    Now,
    /// The latest committed version.
    Load(Key),
    /// A transaction, which is rolled back if it would be committed later than that.
    Change { row: Key, until: Option<Moment> },
    /// One of which nothing is promised before it is told of.
    ChangeUnsaid(Key),
    /// It counts from now on: all that was done for it is done. Nobody answers.
    Counts { row: Key, version: Version },
    /// Other processes are told of a change, over the backplane. Nobody answers.
    Publish(Key),
    /// This connection hears what is published.
    Listen,
    /// All of a group is out of date from now on.
    Mark(Key),
    /// Since when.
    Marked(Key),
    /// So many reads ended.
    Read(Vec<Read>),
    /// A change was done, and what belongs after it. In microseconds. Nobody answers.
    Wrote(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    At {
        now: Moment,
        goes_on: bool,
    },
    /// `None`: it was rolled back.
    Version(Option<Version>),
    Published(Key),
}

/// A read that ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Read {
    pub row: Key,
    /// When it began, or earlier.
    pub began: Moment,
    pub version: Version,
    /// Whether its reader read the source.
    pub loaded: bool,
    pub micros: u64,
}

/// A connection to the source. Its process ends with it, as the race is over then.
pub struct Source {
    line: Mutex<Line>,
    /// What the source's clock certainly shows at that instant of ours, or more.
    then: (Instant, Moment),
}

impl Source {
    pub async fn connect(at: SocketAddr) -> Result<Self, Failure> {
        let line = Mutex::new(Line::new(TcpStream::connect(at).await?)?);
        let mut source = Source { line, then: (Instant::now(), 0) };
        // What was asked for was told before the answer came.
        let (now, _) = source.at().await;
        source.then = (Instant::now(), now);
        Ok(source)
    }

    /// What time it is on the source's clock, or earlier.
    pub fn now(&self) -> Moment {
        let (then, moment) = self.then;
        moment + u64::try_from(then.elapsed().as_nanos()).unwrap_or(0)
    }

    pub async fn tell(&self, what: &Ask) {
        or_end(self.line.lock().await.say(what).await);
    }

    async fn ask(&self, what: &Ask) -> Answer {
        let mut line = self.line.lock().await;
        or_end(line.say(what).await);
        or_end(line.hear().await).unwrap_or_else(|| process::exit(0))
    }

    async fn at_of(&self, what: &Ask) -> (Moment, bool) {
        match self.ask(what).await {
            Answer::At { now, goes_on } => (now, goes_on),
            other => unreachable!("{other:?}"),
        }
    }

    async fn version_of(&self, what: &Ask) -> Option<Version> {
        match self.ask(what).await {
            Answer::Version(version) => version,
            other => unreachable!("{other:?}"),
        }
    }

    async fn at(&self) -> (Moment, bool) {
        self.at_of(&Ask::Now).await
    }

    pub async fn goes_on(&self) -> bool {
        self.at().await.1
    }

    /// Waits until all processes are.
    pub async fn ready(&self) {
        self.at_of(&Ask::Ready).await;
    }

    pub async fn load(&self, row: Key) -> Version {
        self.version_of(&Ask::Load(row)).await.unwrap_or(0)
    }

    pub async fn change(&self, row: Key, until: Option<Moment>) -> Option<Version> {
        self.version_of(&Ask::Change { row, until }).await
    }

    pub async fn change_unsaid(&self, row: Key) -> Version {
        self.version_of(&Ask::ChangeUnsaid(row)).await.unwrap_or(0)
    }

    pub async fn mark(&self, row: Key) -> Moment {
        self.at_of(&Ask::Mark(row)).await.0
    }

    pub async fn marked(&self, row: Key) -> Moment {
        self.at_of(&Ask::Marked(row)).await.0
    }

    /// Whether the race goes on.
    pub async fn read(&self, reads: Vec<Read>) -> bool {
        self.at_of(&Ask::Read(reads)).await.1
    }

    /// From here on this connection hears what others publish.
    pub async fn listen(&self, heard: impl Fn(Key)) {
        let mut line = self.line.lock().await;
        or_end(line.say(&Ask::Listen).await);
        while let Some(Answer::Published(row)) = or_end(line.hear().await) {
            heard(row);
        }
        process::exit(0);
    }
}

fn or_end<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|_| process::exit(0))
}
