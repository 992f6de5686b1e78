//! A store whose faults a test decides, and what tests share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use genfence::protocol::{Claim, Grant};
use genfence::store::{Answer, Change, Clock, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{Builder, Cache};
use tokio::sync::Semaphore;

pub const ROOM: u64 = 16 << 20;

/// How many records of keys there are: without those of the set's contract, which every program leaves.
#[cfg(feature = "aerospike")]
pub fn kept(server: &genfence_wire::Server) -> usize {
    server.records().values().filter(|record| !record.bins.contains_key("regions")).count()
}

/// The kinds of command, as a test names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Inspect,
    Lease,
    Extend,
    Refresh,
    Reserve,
    Renew,
    Hush,
    Fill,
    Refill,
    Unlease,
    Commit,
    Release,
    Abort,
    Other,
}

/// What happens to one command.
#[derive(Clone)]
pub enum Fault {
    /// It never arrives, and the caller knows.
    Lost,
    /// It is applied, and its answer never comes.
    ReplyLost,
    /// It arrives when the test calls [`Faulty::deliver`]; its answer never comes.
    Late,
    /// It waits until the test adds a permit, and then goes on as if nothing had happened.
    Held(Arc<Semaphore>),
}

/// An embedded store with faults. Clones are the same store.
#[derive(Clone)]
pub struct Faulty(Arc<State>);

struct State {
    inner: MemoryStore,
    script: Mutex<Vec<(Kind, Fault)>>,
    late: Mutex<VecDeque<(Vec<u8>, Command)>>,
    sent: Mutex<Vec<Kind>>,
    /// The most earlier attempts that one claim has named.
    named: AtomicUsize,
}

enum Command {
    Claim(Claim),
    Change(Change),
}

impl Faulty {
    pub fn new(clock: Clock) -> Self {
        Faulty(Arc::new(State {
            inner: MemoryStore::with_clock(ROOM, clock),
            script: Mutex::default(),
            late: Mutex::default(),
            sent: Mutex::default(),
            named: AtomicUsize::new(0),
        }))
    }

    /// The next command of this kind that has no fault yet meets this one.
    pub fn next(&self, kind: Kind, fault: Fault) {
        self.0.script.lock().unwrap().push((kind, fault));
    }

    /// The next `times` commands of this kind meet this fault.
    pub fn next_many(&self, kind: Kind, fault: &Fault, times: usize) {
        for _ in 0..times {
            self.next(kind, fault.clone());
        }
    }

    /// Delivers every late command, in the order they were sent. Says how many were applied.
    pub async fn deliver(&self) -> usize {
        let late: Vec<_> = self.0.late.lock().unwrap().drain(..).collect();
        let mut applied = 0;
        for (key, command) in late {
            applied += usize::from(match command {
                Command::Claim(claim) => self.0.inner.claim(&key, &claim).await.unwrap().is_ok(),
                Command::Change(change) => {
                    self.0.inner.change(&key, &change).await.unwrap().is_ok()
                }
            });
        }
        applied
    }

    /// What was sent so far, and forgets it.
    pub fn sent(&self) -> Vec<Kind> {
        std::mem::take(&mut self.0.sent.lock().unwrap())
    }

    /// The most earlier attempts that one lease or reserve has named so far.
    pub fn most_named(&self) -> usize {
        self.0.named.load(SeqCst)
    }

    pub fn inner(&self) -> &MemoryStore {
        &self.0.inner
    }

    /// All faults that were ordered and have not happened yet.
    pub fn pending_faults(&self) -> usize {
        self.0.script.lock().unwrap().len()
    }

    async fn meet(&self, kind: Kind) -> Option<Fault> {
        self.0.sent.lock().unwrap().push(kind);
        let fault = {
            let mut script = self.0.script.lock().unwrap();
            let place = script.iter().position(|(of, _)| *of == kind);
            place.map(|place| script.remove(place).1)
        };
        if let Some(Fault::Held(gate)) = fault {
            gate.acquire().await.unwrap().forget();
            return None;
        }
        fault
    }
}

fn lost() -> StoreError {
    StoreError::unavailable("the test lost it")
}

fn doubtful() -> StoreError {
    StoreError::doubtful("the test lost the reply")
}

impl Store for Faulty {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        match self.meet(Kind::Get).await {
            Some(_) => Err(lost()),
            None => self.0.inner.get(key).await,
        }
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        match self.meet(Kind::Inspect).await {
            Some(_) => Err(lost()),
            None => self.0.inner.inspect(key).await,
        }
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        if let Claim::Lease { previous, .. } | Claim::Reserve { previous, .. } = claim {
            self.0.named.fetch_max(previous.len(), SeqCst);
        }
        let kind = match claim {
            Claim::Lease { .. } => Kind::Lease,
            Claim::Extend { .. } => Kind::Extend,
            Claim::Refresh { .. } => Kind::Refresh,
            Claim::Reserve { .. } => Kind::Reserve,
            Claim::Renew { .. } => Kind::Renew,
            Claim::Hush { .. } => Kind::Hush,
        };
        match self.meet(kind).await {
            Some(Fault::Lost) => Err(lost()),
            Some(Fault::Late) => {
                let late = (key.to_vec(), Command::Claim(claim.clone()));
                self.0.late.lock().unwrap().push_back(late);
                Err(doubtful())
            }
            fault => {
                let answer = self.0.inner.claim(key, claim).await;
                if fault.is_some() { Err(doubtful()) } else { answer }
            }
        }
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        let kind = match change {
            Change::Fill { .. } => Kind::Fill,
            Change::Refill { .. } => Kind::Refill,
            Change::Unlease { .. } => Kind::Unlease,
            Change::Commit { .. } | Change::CommitVersioned { .. } => Kind::Commit,
            Change::Release { .. } => Kind::Release,
            Change::Abort { .. } => Kind::Abort,
            _ => Kind::Other,
        };
        match self.meet(kind).await {
            Some(Fault::Lost) => Err(lost()),
            Some(Fault::Late) => {
                let late = (key.to_vec(), Command::Change(change.clone()));
                self.0.late.lock().unwrap().push_back(late);
                Err(doubtful())
            }
            fault => {
                let answer = self.0.inner.change(key, change).await;
                if fault.is_some() { Err(doubtful()) } else { answer }
            }
        }
    }
}

/// A cache on a store with faults, and its clock.
pub fn faulty() -> (Cache, Faulty, Clock) {
    faulty_with(Cache::builder())
}

pub fn faulty_with(builder: Builder) -> (Cache, Faulty, Clock) {
    let clock = Clock::manual();
    let store = Faulty::new(clock.clone());
    (builder.build(store.clone()).unwrap(), store, clock)
}

/// A cache on an embedded store, the store, and its clock.
pub fn embedded() -> (Cache, Arc<MemoryStore>, Clock) {
    embedded_with(Cache::builder())
}

pub fn embedded_with(builder: Builder) -> (Cache, Arc<MemoryStore>, Clock) {
    let clock = Clock::manual();
    let store = Arc::new(MemoryStore::with_clock(ROOM, clock.clone()));
    (builder.build(Arc::clone(&store)).unwrap(), store, clock)
}

/// Lets every other task run until all of them wait for something.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
