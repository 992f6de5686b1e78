//! The source of record of all regions, which all of their processes ask: it knows when each version was committed, and so which
//! hits were stale.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::RngExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::line::Line;
use super::link::{Link, Shipping};
use super::talk::{Answer, Ask, Moment, Row, Said, Version};
use super::tally::{Counts, Found, Tally};
use super::ways::{self, Kind, REPLICA_LAG};
use super::world::EACH;

/// Of each way, of each key.
type Commits = Vec<Vec<Vec<Moment>>>;

pub struct Record {
    start: Instant,
    /// When each version of each key was committed, the first at the front.
    commits: Mutex<Commits>,
    pub tally: Mutex<Tally>,
    /// Whether writers go on.
    writes: AtomicBool,
    /// Over which each region hears of the source's changes.
    pub links: [Link; EACH],
    shipping: Shipping,
}

impl Record {
    pub fn new(keys: usize, shipping: Shipping) -> Arc<Self> {
        let ways = ways::ALL.len();
        let record = Arc::new(Record {
            start: Instant::now(),
            commits: Mutex::new(vec![vec![Vec::new(); keys]; ways]),
            tally: Mutex::new(vec![<[Counts; EACH]>::default(); ways]),
            writes: AtomicBool::new(true),
            links: <[Link; EACH]>::default(),
            shipping,
        });
        for region in 0..EACH {
            let record = Arc::clone(&record);
            tokio::spawn(async move { record.links[region].carry().await });
        }
        record
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn now(&self) -> Moment {
        u64::try_from(self.elapsed().as_nanos()).expect("it takes no centuries")
    }

    /// Nobody writes any more, and what is hit from now on is noted anew.
    pub fn calm(&self) {
        self.writes.store(false, SeqCst);
        for counts in self.tally.lock().iter_mut().flatten() {
            counts.fresh.clear();
        }
    }

    /// Answers the processes.
    pub async fn open(self: Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = Arc::clone(&self);
                // Whoever goes away is told of elsewhere.
                tokio::spawn(async move { drop(record.serve(stream).await) });
            }
        });
        Ok(address)
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let mut line = Line::new(stream)?;
        let Some(Ask::Hello { region }) = line.hear().await? else { return Ok(()) };
        while let Some(ask) = line.hear().await? {
            let answer = match ask {
                Ask::Hello { .. } => continue,
                Ask::Read { row, began, hit } => {
                    self.read(region, row, began, hit);
                    continue;
                }
                Ask::Written { row } => {
                    self.shipping.ship(&self.links, region, row);
                    continue;
                }
                Ask::Now => Answer::Now { now: self.now(), writes: self.writes.load(SeqCst) },
                Ask::Load { row, from_replica } => {
                    Answer::Version(Some(self.load(row, from_replica)))
                }
                Ask::Change { row, until } => Answer::Version(self.change(row, until)),
                Ask::Beat { follower, number } => {
                    self.tell(&self.commits.lock(), Said::Beat { follower, number });
                    Answer::Version(None)
                }
                Ask::Next { after } => {
                    let (what, until) = self.links[region].next(after).await;
                    Answer::Said { what, until }
                }
            };
            line.say(&answer).await?;
        }
        Ok(())
    }

    fn load(&self, row: Row, from_replica: bool) -> Version {
        let lag = if from_replica {
            rand::rng().random_range(Duration::ZERO..=REPLICA_LAG)
        } else {
            Duration::ZERO
        };
        let commits = self.commits.lock();
        let until = self.elapsed().saturating_sub(lag).as_nanos();
        commits[row.way][row.key].partition_point(|at| u128::from(*at) <= until) as Version
    }

    fn change(&self, row: Row, until: Option<Moment>) -> Option<Version> {
        let mut commits = self.commits.lock();
        let of_row = &mut commits[row.way][row.key];
        let now = self.now();
        if until.is_some_and(|until| now >= until) {
            return None;
        }
        of_row.push(now);
        let version = of_row.len() as Version;
        if ways::ALL[row.way].kind == Kind::Follows {
            self.tell(&commits, Said::Changed { row, version });
        }
        Some(version)
    }

    /// Within the lock, so that the stream has the order of the commits.
    fn tell(&self, _: &MutexGuard<'_, Commits>, said: Said) {
        for link in &self.links {
            link.tell(said);
        }
    }

    fn read(&self, region: usize, row: Row, began: Moment, hit: Option<Version>) {
        let began = Duration::from_nanos(began);
        let (found, is_latest) = {
            let commits = self.commits.lock();
            let commits = &commits[row.way][row.key];
            let after = hit.map(|version| usize::try_from(version).expect("there are not so many"));
            assert!(
                after.is_none_or(|after| after <= commits.len()),
                "no such version: {row:?}, {hit:?}"
            );
            let newer =
                after.and_then(|after| commits.get(after)).map(|at| Duration::from_nanos(*at));
            let found = match (after, newer.and_then(|newer| began.checked_sub(newer))) {
                (None, _) => Found::Nothing,
                (Some(_), Some(age)) => Found::Replaced(age),
                (Some(_), None) => Found::Latest,
            };
            (found, after == Some(commits.len()))
        };
        let mut tally = self.tally.lock();
        let counts = &mut tally[row.way][region];
        counts.read(began, found);
        if is_latest {
            counts.fresh.insert(row.key);
        }
    }
}
