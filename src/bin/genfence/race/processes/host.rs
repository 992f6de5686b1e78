//! Who the processes ask: it holds the source, judges what they read, and carries what they publish.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::line::Line;
use super::super::load::{Latencies, histogram};
use super::super::measure::Measure;
use super::super::versions::Versions;
use super::super::{Failure, dice};
use super::Key;
use super::talk::{Answer, Ask, Moment, Read};

/// How late a message of the backplane is at most, in microseconds.
const LATE: u64 = 5_000;
/// How many messages wait for a process that does not listen. What comes then is lost to it.
const WAITING: usize = 1024;

pub struct Host {
    start: Instant,
    source: Versions,
    pub measure: Measure,
    /// For how long the stalest hit's value had been replaced, in milliseconds.
    pub oldest_ms: AtomicU64,
    pub reads: Mutex<Latencies>,
    /// What changes took, with all that belongs before and after them.
    pub writes: Mutex<Latencies>,
    /// All processes, and who waits for them.
    pub ready: Barrier,
    pub over: AtomicBool,
    /// The first thing that went wrong in a process.
    pub failure: Mutex<Option<String>>,
    /// Since when what bears a tag is out of date.
    marks: Box<[AtomicU64]>,
    listeners: Mutex<Vec<mpsc::Sender<Key>>>,
    /// The share of messages that the backplane loses.
    lost: f64,
}

impl Host {
    pub fn new(rows: usize, processes: usize, lost: f64) -> Arc<Self> {
        Arc::new(Host {
            start: Instant::now(),
            source: Versions::new(rows),
            measure: Measure::new(0),
            oldest_ms: AtomicU64::new(0),
            reads: Mutex::new(histogram()),
            writes: Mutex::new(histogram()),
            ready: Barrier::new(processes + 1),
            over: AtomicBool::new(false),
            failure: Mutex::default(),
            marks: (0..rows).map(|_| AtomicU64::new(0)).collect(),
            listeners: Mutex::default(),
            lost,
        })
    }

    /// Answers the processes, for as long as what is returned lives.
    pub async fn open(self: &Arc<Self>) -> Result<(SocketAddr, JoinSet<()>), Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let host = Arc::clone(self);
        let mut answering = JoinSet::new();
        answering.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let host = Arc::clone(&host);
                // Whoever goes away is told of elsewhere.
                lines.spawn(async move { drop(host.serve(stream).await) });
            }
        });
        Ok((address, answering))
    }

    fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn at(&self, now: Moment) -> Answer {
        Answer::At { now, goes_on: !self.over.load(SeqCst) }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) -> Result<(), Failure> {
        let mut line = Line::new(stream)?;
        while let Some(ask) = line.hear().await? {
            if let Some(answer) = self.answer(ask, &mut line).await? {
                line.say(&answer).await?;
            }
        }
        Ok(())
    }

    async fn answer(&self, ask: Ask, line: &mut Line) -> Result<Option<Answer>, Failure> {
        Ok(Some(match ask {
            Ask::Ready => {
                self.ready.wait().await;
                self.at(self.now())
            }
            Ask::Now => self.at(self.now()),
            Ask::Load(row) => Answer::Version(Some(self.source.read(row))),
            Ask::Change { row, until } => {
                let is_late = || until.is_some_and(|until| self.now() >= until);
                Answer::Version(self.source.change(row, is_late).await)
            }
            Ask::ChangeUnsaid(row) => Answer::Version(Some(self.source.change_unsaid(row))),
            Ask::Mark(row) => {
                let now = self.now();
                self.marks[row].fetch_max(now, SeqCst);
                self.at(now)
            }
            Ask::Marked(row) => self.at(self.marks[row].load(SeqCst)),
            Ask::Read(reads) => {
                self.count(&reads);
                self.at(self.now())
            }
            Ask::Counts { row, version } => {
                self.source.counts(row, version);
                return Ok(None);
            }
            Ask::Wrote(micros) => {
                self.writes.lock().saturating_record(micros);
                return Ok(None);
            }
            Ask::Failed(problem) => {
                self.failure.lock().get_or_insert(problem);
                return Ok(None);
            }
            Ask::Publish(row) => {
                self.publish(row);
                return Ok(None);
            }
            Ask::Listen => {
                let (sender, mut published) = mpsc::channel(WAITING);
                self.listeners.lock().push(sender);
                while let Some(row) = published.recv().await {
                    line.say(&Answer::Published(row)).await?;
                }
                return Ok(None);
            }
        }))
    }

    /// To each process for itself: it is lost, or late.
    fn publish(&self, row: Key) {
        for listener in &*self.listeners.lock() {
            if dice::chance(self.lost) {
                continue;
            }
            let (late, listener) = (dice::micros(0..LATE), listener.clone());
            tokio::spawn(async move {
                sleep(late).await;
                let _: Result<(), _> = listener.try_send(row);
            });
        }
    }

    /// A hit is stale if a newer version counted before its read began.
    fn count(&self, reads: &[Read]) {
        let mut latencies = self.reads.lock();
        for Read { row, began, version, loaded, micros } in reads {
            latencies.saturating_record(*micros);
            let began = self.start + Duration::from_nanos(*began);
            let latest = self.source.latest_at(*row, began);
            self.measure.count(*version, latest, *loaded);
            if !loaded && *version < latest {
                let since = self.source.superseded(*row, *version).unwrap_or(began);
                let age = began.saturating_duration_since(since).as_millis();
                self.oldest_ms.fetch_max(age.try_into().unwrap_or(u64::MAX), SeqCst);
            }
        }
    }
}
