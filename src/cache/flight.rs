//! Single flight: in one process, one caller leads the work for a key and the others wait for it.
//!
//! A *flight* is the time in which a key has a leader. The leader is a guard: whoever drops it,
//! be it by cancelling a future or in a panic, hands the lead over to the next waiter at once, and
//! that also holds for a waiter that was given the lead and goes away before it noticed.
//!
//! What a waiter may take is decided by *marks*. The leader sets a mark just before it sends a
//! read, or a store; an answer is good for those who had joined before its mark. The others look
//! again. That is how a waiter never sees a value older than its own call.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::BuildHasher;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::sync::Mutex;

/// All flights of one process, by key.
///
/// `A` is the answer that a leader gives to its waiters; `C`s go along with the lead when it is
/// handed over.
pub(crate) struct Flights<A, C> {
    shards: Box<[Shard<A, C>]>,
    hasher: foldhash::fast::RandomState,
    abandoned: Abandoned<C>,
}

type Abandoned<C> = Box<dyn Fn(&Bytes, Vec<C>) + Send + Sync>;

type Shard<A, C> = Mutex<HashMap<Bytes, Flight<A, C>, foldhash::fast::RandomState>>;

struct Flight<A, C> {
    mark: Mark,
    /// The lead is in the hands of the program.
    is_held: bool,
    waiters: VecDeque<Waiting<A, C>>,
}

impl<A, C> Default for Flight<A, C> {
    fn default() -> Self {
        Flight { mark: Mark(0), is_held: false, waiters: VecDeque::new() }
    }
}

/// From how many waiters on it is worth looking for those who went away.
const CROWD: usize = 64;

struct Waiting<A, C> {
    joined: Mark,
    sender: oneshot::Sender<Verdict<A, C>>,
}

/// Counts the sendings of a flight. Who joined at a mark has seen that many of them leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl Mark {
    /// After every joining: the answer is good for all.
    pub const ALL: Mark = Mark(u64::MAX);
    /// Before every joining: the answer is good for nobody.
    pub const NONE: Mark = Mark(0);
}

/// What a caller becomes.
pub(crate) enum Role<A, C> {
    Leader(Leader<A, C>),
    Waiter(Waiter<A, C>),
}

/// What a waiter is told.
pub(crate) enum Verdict<A, C> {
    /// The leader's answer, good for this waiter.
    Answer(A),
    /// The flight is over, and its answer is older than this waiter: look again.
    Again,
    /// The leader went away: this waiter leads now.
    Lead(Leader<A, C>),
}

impl<A, C> Flights<A, C> {
    /// `abandoned` is told when a lead is dropped and nobody is there to take it over.
    pub fn new(
        shards: usize,
        abandoned: impl Fn(&Bytes, Vec<C>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let hasher = foldhash::fast::RandomState::default();
        Arc::new(Flights {
            shards: (0..shards).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect(),
            hasher,
            abandoned: Box::new(abandoned),
        })
    }

    /// Leads the flight of `key` if nobody does, else waits for it.
    pub fn join(self: &Arc<Self>, key: &Bytes) -> Role<A, C> {
        let mut shard = self.shard(key).lock();
        let Some(flight) = shard.get_mut(key) else {
            shard.insert(key.clone(), Flight::default());
            drop(shard);
            return Role::Leader(self.leader(key.clone(), Vec::new()));
        };
        if flight.waiters.len() >= CROWD && flight.waiters.len().is_power_of_two() {
            // Those who went away leave their place here until somebody looks.
            flight.waiters.retain(|waiting| !waiting.sender.is_closed());
        }
        let (sender, receiver) = oneshot::channel();
        flight.waiters.push_back(Waiting { joined: flight.mark, sender });
        Role::Waiter(Waiter(receiver))
    }

    /// Leads the flight of `key` if nobody does.
    pub fn try_lead(self: &Arc<Self>, key: &Bytes) -> Option<Leader<A, C>> {
        let mut shard = self.shard(key).lock();
        if shard.contains_key(key) {
            return None;
        }
        shard.insert(key.clone(), Flight::default());
        drop(shard);
        Some(self.leader(key.clone(), Vec::new()))
    }

    /// Whether the lead is in the hands of the program, which may do with it what it likes.
    pub fn is_held(&self, key: &Bytes) -> bool {
        self.shard(key).lock().get(key).is_some_and(|flight| flight.is_held)
    }

    fn leader(self: &Arc<Self>, key: Bytes, carried: Vec<C>) -> Leader<A, C> {
        Leader { flights: Some(Arc::clone(self)), key, carried }
    }

    fn shard(&self, key: &Bytes) -> &Shard<A, C> {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.shards[hash % self.shards.len()]
    }
}

/// Waits for the verdict of a flight's leader.
pub(crate) struct Waiter<A, C>(oneshot::Receiver<Verdict<A, C>>);

impl<A, C> Future for Waiter<A, C> {
    type Output = Verdict<A, C>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender is only dropped unsent with the whole table of flights.
        Pin::new(&mut self.0).poll(context).map(|verdict| verdict.unwrap_or(Verdict::Again))
    }
}

/// Leads a flight until it finishes or is dropped.
pub(crate) struct Leader<A, C> {
    /// `None` once the flight is finished.
    flights: Option<Arc<Flights<A, C>>>,
    key: Bytes,
    /// What the next leader must know.
    pub carried: Vec<C>,
}

impl<A, C> Leader<A, C> {
    /// The key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// To be called just before a read or a store is sent: who joins from now on is too late for
    /// what that brings.
    pub fn mark(&self) -> Mark {
        let Some(flights) = &self.flights else { return Mark::ALL };
        let mut shard = flights.shard(&self.key).lock();
        let Some(flight) = shard.get_mut(&self.key) else { return Mark::ALL };
        flight.mark.0 += 1;
        flight.mark
    }

    /// From now on, until it is handed over, the lead is in the hands of the program.
    pub fn hold(&self) {
        let Some(flights) = &self.flights else { return };
        if let Some(flight) = flights.shard(&self.key).lock().get_mut(&self.key) {
            flight.is_held = true;
        }
    }

    /// Whether somebody waits for this flight.
    pub fn is_awaited(&self) -> bool {
        let Some(flights) = &self.flights else { return false };
        let shard = flights.shard(&self.key).lock();
        let flight = shard.get(&self.key);
        flight
            .is_some_and(|flight| flight.waiters.iter().any(|waiting| !waiting.sender.is_closed()))
    }

    /// Gives those who joined before `mark` their answer; the flight goes on for the others. Says how many took
    /// it.
    pub fn tell(&self, answer: &A, mark: Mark) -> usize
    where
        A: Clone,
    {
        let Some(flights) = &self.flights else { return 0 };
        let in_time: Vec<_> = match flights.shard(&self.key).lock().get_mut(&self.key) {
            None => return 0,
            Some(Flight { waiters, .. }) => {
                // They stand in the order in which they joined.
                let count = waiters.iter().take_while(|waiting| waiting.joined < mark).count();
                waiters.drain(..count).collect()
            }
        };
        // Sent without the lock: a waiter may wake, and join anew, at once.
        let sent =
            in_time.into_iter().map(|waiting| waiting.sender.send(Verdict::Answer(answer.clone())));
        sent.flatten().count()
    }

    /// Ends the flight. The answer goes to those who joined before `mark`; the others look again.
    /// What is carried has nobody to take it over.
    pub fn finish(mut self, answer: &A, mark: Mark)
    where
        A: Clone,
    {
        let Some(flights) = self.flights.take() else { return };
        let flight = flights.shard(&self.key).lock().remove(&self.key);
        // Sent without the lock: a waiter may wake, and join anew, at once.
        for Waiting { joined, sender } in flight.into_iter().flat_map(|flight| flight.waiters) {
            let in_time = joined < mark;
            let _gone =
                sender.send(if in_time { Verdict::Answer(answer.clone()) } else { Verdict::Again });
        }
        (flights.abandoned)(&self.key, mem::take(&mut self.carried));
    }
}

impl<A, C> Drop for Leader<A, C> {
    fn drop(&mut self) {
        let Some(flights) = self.flights.take() else { return };
        let mut carried = mem::take(&mut self.carried);
        loop {
            let next = {
                let mut shard = flights.shard(&self.key).lock();
                let next = shard.get_mut(&self.key).and_then(|flight| {
                    flight.is_held = false;
                    flight.waiters.pop_front()
                });
                if next.is_none() {
                    // Under the same lock that found nobody, so that nobody can join in between.
                    shard.remove(&self.key);
                }
                next
            };
            let Some(waiting) = next else {
                return (flights.abandoned)(&self.key, carried);
            };
            let heir = flights.leader(self.key.clone(), carried);
            match waiting.sender.send(Verdict::Lead(heir)) {
                Ok(()) => return,
                Err(Verdict::Lead(mut heir)) => {
                    // That waiter is gone. Take the lead back without dropping it.
                    heir.flights = None;
                    carried = mem::take(&mut heir.carried);
                }
                Err(_) => unreachable!("what was sent comes back"),
            }
        }
    }
}
