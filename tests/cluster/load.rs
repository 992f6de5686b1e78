//! Readers and writers on a cache, and a source in this process that knows what is stale.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use genfence::{Cache, CommitOutcome};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const KEYS: usize = 40;
const READERS: usize = 6;
const WRITERS: usize = 2;
/// A cluster that is well has this many reads, or hits, long before.
const BOUND: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    hits: AtomicU64,
    /// Hits whose value was older than what the source had before the read began.
    stale: AtomicU64,
    /// Values that writers stored.
    stored: AtomicU64,
    stops: AtomicBool,
}

/// A row: its version, and the lock that its writers take.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    lock: Mutex<()>,
}

pub struct Load {
    counters: Arc<Counters>,
    callers: JoinSet<()>,
}

impl Load {
    pub fn start(cache: &Cache) -> Self {
        let counters = Arc::new(Counters::default());
        let rows: Arc<[Row]> = (0..KEYS).map(|_| Row::default()).collect();
        let mut callers = JoinSet::new();
        for number in 0..READERS + WRITERS {
            let (cache, rows, counters) = (cache.clone(), Arc::clone(&rows), Arc::clone(&counters));
            callers.spawn(async move {
                // Any walk over the keys will do, if no two callers take the same.
                for step in 0.. {
                    if counters.stops.load(SeqCst) {
                        return;
                    }
                    let at = (number * 17 + step * (2 * number + 7)) % KEYS;
                    let key = format!("row {at}");
                    if number < READERS {
                        read(&cache, &key, &rows[at], &counters).await;
                    } else {
                        write(&cache, &key, &rows[at], &counters).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            });
        }
        Load { counters, callers }
    }

    /// Until there were so many reads more.
    pub async fn reads(&self, more: u64) {
        self.until(&self.counters.reads, more).await;
    }

    /// Until there were so many hits more.
    pub async fn hits(&self, more: u64) {
        self.until(&self.counters.hits, more).await;
    }

    /// Until so many values more were changed, and the new ones stored.
    pub async fn changes(&self, more: u64) {
        self.until(&self.counters.stored, more).await;
    }

    async fn until(&self, counter: &AtomicU64, more: u64) {
        let goal = counter.load(SeqCst) + more;
        let reached = async {
            while counter.load(SeqCst) < goal {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(BOUND, reached).await.expect("they go on");
    }

    /// Whether a hit was stale so far.
    pub fn is_stale(&self) -> bool {
        self.counters.stale.load(SeqCst) > 0
    }

    /// How many hits were stale, once every caller has returned.
    pub async fn stop(mut self) -> u64 {
        self.counters.stops.store(true, SeqCst);
        let ended = async { while self.callers.join_next().await.is_some() {} };
        tokio::time::timeout(BOUND, ended).await.expect("every caller returns");
        println!("{:?}", self.counters);
        self.counters.stale.load(SeqCst)
    }
}

async fn read(cache: &Cache, key: &str, row: &Row, counters: &Counters) {
    let seen = row.version.load(SeqCst);
    let own = AtomicBool::new(false);
    let load = async || {
        own.store(true, SeqCst);
        Ok::<_, Infallible>(row.version.load(SeqCst).to_string())
    };
    let got = cache.get_or_fill(key, load).await;
    counters.reads.fetch_add(1, SeqCst);
    let Ok(Some(value)) = got else { return };
    if !own.load(SeqCst) {
        counters.hits.fetch_add(1, SeqCst);
        let value: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        if value < seen {
            counters.stale.fetch_add(1, SeqCst);
        }
    }
}

async fn write(cache: &Cache, key: &str, row: &Row, counters: &Counters) {
    let Ok(reservation) = cache.reserve(key).await else { return };
    let locked = row.lock.lock().await;
    if reservation.remaining() == Duration::ZERO {
        reservation.abort().await;
        return;
    }
    let version = row.version.fetch_add(1, SeqCst) + 1;
    drop(locked);
    if let Ok(CommitOutcome::Stored) = reservation.commit(version.to_string()).await {
        counters.stored.fetch_add(1, SeqCst);
    }
}
