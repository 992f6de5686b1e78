//! One node's queue of commands that wait for a message, and how many messages are under way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aerospike::Key;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

use super::pace::Pace;
use super::{Way, Work};
use crate::store::StoreError;
use crate::sync::Mutex;

/// The most commands in a batch.
pub(super) const MOST: usize = 64;
/// About the most bytes in a batch, and in its answer.
pub(super) const MOST_BYTES: usize = 256 << 10;
/// What is larger goes by itself: there is nothing to be won.
const LARGE: usize = 16 << 10;
/// For so long all go by themselves after the server took no batch.
const ALONE: Duration = Duration::from_secs(30);
/// The most bytes that wait, and what a command takes of them beside its value.
const ROOM: usize = 16 << 20;
const EACH: usize = 1 << 10;

/// Commands to one node, all of which read, or all of which write.
pub(in super::super) struct Lane<W: Work> {
    state: Mutex<State<W>>,
    /// Callers that are there: from when their command comes until they have its answer.
    callers: AtomicUsize,
    /// Those who wait for room.
    room: Notify,
    /// How long a command waits for room, and again for its turn, at most.
    patience: Duration,
}

struct State<W: Work> {
    waiting: VecDeque<Job<W>>,
    /// Of the keys that wait: the place, counted from the first job there ever was.
    places: HashMap<[u8; 20], u64, foldhash::fast::RandomState>,
    /// How many jobs have left.
    left: u64,
    /// Messages under way, and the commands in them.
    messages: usize,
    commands: usize,
    pace: Pace,
    /// The server took no batch, so until then none goes.
    alone_until: Option<Instant>,
    /// What an answer weighs, on average.
    weight: usize,
    /// The bytes that wait, a command's own included.
    size: usize,
    /// Callers that wait for room, whom none may overtake.
    outside: usize,
}

/// A command that waits.
pub(in super::super) struct Job<W: Work> {
    pub key: Key,
    pub work: W,
    pub waiters: Callers<W>,
    since: Instant,
}

/// Those who wait for a command.
pub(in super::super) type Callers<W> = SmallVec<[oneshot::Sender<Way<W>>; 1]>;

/// What a command does first.
pub(in super::super) enum Step<W: Work> {
    /// It goes by itself, at once.
    Go(Key, W),
    /// It waits, and others may go.
    Queued(oneshot::Receiver<Way<W>>, Vec<Vec<Job<W>>>),
    /// It has what another one waits for already.
    Joined(oneshot::Receiver<Way<W>>),
}

/// What the lane has to say to a command.
enum Entered<W: Work> {
    In(Step<W>),
    /// There is no room.
    Full(Key, W),
}

impl<W: Work> Lane<W> {
    pub fn new(messages: Option<usize>, patience: Duration) -> Arc<Self> {
        let state = State {
            waiting: VecDeque::new(),
            places: HashMap::default(),
            left: 0,
            size: 0,
            outside: 0,
            messages: 0,
            commands: 0,
            pace: Pace::new(messages, Instant::now()),
            alone_until: None,
            weight: 0,
        };
        Arc::new(Lane {
            state: Mutex::new(state),
            callers: AtomicUsize::new(0),
            room: Notify::new(),
            patience,
        })
    }

    /// A command comes.
    ///
    /// # Errors
    /// There was no room for it to wait.
    pub async fn arrive(&self, key: Key, work: W) -> Result<Step<W>, StoreError> {
        if work.bytes() > LARGE {
            return Ok(Step::Go(key, work));
        }
        let since = Instant::now();
        let callers = self.callers.load(Relaxed);
        let entered = {
            let mut state = self.state.lock();
            state.pace.pass(callers, since);
            state.enter(key, work, since, self.patience, false)
        };
        match entered {
            Entered::In(step) => Ok(step),
            Entered::Full(key, work) => Box::pin(self.wait_outside(key, work, since)).await,
        }
    }

    async fn wait_outside(
        &self,
        mut key: Key,
        mut work: W,
        since: Instant,
    ) -> Result<Step<W>, StoreError> {
        let full = || {
            StoreError::unavailable(
                "too many commands wait for the key's node: it is slower than what is asked of it",
            )
        };
        let _outside = Outside::new(self);
        let until = tokio::time::Instant::from_std(since + self.patience);
        loop {
            timeout_at(until, self.room.notified()).await.map_err(|_| full())?;
            let mut state = self.state.lock();
            let entered = state.enter(key, work, since, self.patience, true);
            match entered {
                Entered::In(step) => {
                    // Perhaps there is room for the next, too.
                    self.room.notify_one();
                    return Ok(step);
                }
                Entered::Full(back, again) => (key, work) = (back, again),
            }
        }
    }

    /// A caller is there until it drops this.
    pub fn here(&self) -> Here<'_, W> {
        self.callers.fetch_add(1, Relaxed);
        Here(self)
    }

    /// A command is done that went by itself.
    pub fn went(&self) {
        let there = self.callers.load(Relaxed);
        self.state.lock().pace.done(1, there, Instant::now());
    }

    /// So many commands of a message are done, for so many callers. It is still under way.
    pub fn done(&self, commands: usize, callers: usize) {
        let there = self.callers.load(Relaxed);
        let mut state = self.state.lock();
        state.commands -= commands;
        state.pace.done(callers, there, Instant::now());
    }

    /// A message is back, with so many commands that are not done yet, whatever it brought: what goes now.
    pub fn back(&self, commands: usize) -> Vec<Vec<Job<W>>> {
        let mut state = self.state.lock();
        state.messages -= 1;
        if commands > 0 {
            state.commands -= commands;
            state.pace.done(commands, self.callers.load(Relaxed), Instant::now());
        }
        let ready = state.take(self.patience);
        if state.outside > 0 {
            self.room.notify_one();
        }
        ready
    }

    /// The server takes no batch, so commands go by themselves for a while.
    pub fn refused(&self) {
        self.state.lock().alone_until = Some(Instant::now() + ALONE);
    }

    /// Whether the server takes batches, as far as is known.
    pub fn takes_batches(&self) -> bool {
        self.state.lock().alone_until.is_none_or(|until| Instant::now() >= until)
    }

    /// What the answers of a batch weighed, on average.
    pub fn learn(&self, weight: Option<usize>) {
        if let Some(weight) = weight {
            let mut state = self.state.lock();
            state.weight = (state.weight * 7 + weight) / 8;
        }
    }
}

/// A caller that is there.
pub(in super::super) struct Here<'l, W: Work>(&'l Lane<W>);

impl<W: Work> Drop for Here<'_, W> {
    fn drop(&mut self) {
        self.0.callers.fetch_sub(1, Relaxed);
    }
}

/// A caller that waits for room.
struct Outside<'a, W: Work>(&'a Lane<W>);

impl<'a, W: Work> Outside<'a, W> {
    fn new(lane: &'a Lane<W>) -> Self {
        lane.state.lock().outside += 1;
        Outside(lane)
    }
}

impl<W: Work> Drop for Outside<'_, W> {
    fn drop(&mut self) {
        self.0.state.lock().outside -= 1;
    }
}

impl<W: Work> State<W> {
    /// A command goes, or waits. `invited`: it is the first of those outside.
    fn enter(
        &mut self,
        key: Key,
        work: W,
        since: Instant,
        patience: Duration,
        invited: bool,
    ) -> Entered<W> {
        let refused = self.alone_until.is_some_and(|until| since < until);
        if refused || self.pace.messages().is_none() {
            return Entered::In(Step::Go(key, work));
        }
        let (told, answer) = oneshot::channel();
        let told = match self.join(&key, told) {
            Ok(()) => return Entered::In(Step::Joined(answer)),
            Err(told) => told,
        };
        let size = EACH + work.bytes();
        if self.size + size > ROOM || (self.outside > 0 && !invited) {
            return Entered::Full(key, work);
        }
        self.size += size;
        // Only reads are the same for all.
        if !W::WRITES {
            self.places.insert(key.digest(), self.left + self.waiting.len() as u64);
        }
        self.waiting.push_back(Job { key, work, waiters: SmallVec::from_buf([told]), since });
        Entered::In(Step::Queued(answer, self.take(patience)))
    }

    /// Lets a caller have what another one waits for.
    fn join(
        &mut self,
        key: &Key,
        told: oneshot::Sender<Way<W>>,
    ) -> Result<(), oneshot::Sender<Way<W>>> {
        let Some(place) = self.places.get(&key.digest()) else { return Err(told) };
        let at = usize::try_from(place - self.left).expect("it is a place in the queue");
        self.waiting[at].waiters.push(told);
        Ok(())
    }

    /// What may go: as many messages as are free, each with its share of all there is.
    fn take(&mut self, patience: Duration) -> Vec<Vec<Job<W>>> {
        let mut ready = Vec::new();
        while self.pace.messages().is_none_or(|most| self.messages < most) {
            let batch = self.take_one(patience);
            if batch.is_empty() {
                break;
            }
            self.messages += 1;
            self.commands += batch.len();
            ready.push(batch);
        }
        ready
    }

    fn take_one(&mut self, patience: Duration) -> Vec<Job<W>> {
        let share = |messages| (self.commands + self.waiting.len()).div_ceil(messages);
        let by_weight = (MOST_BYTES / self.weight.max(1)).max(1);
        let most = self.pace.messages().map_or(MOST, share).clamp(1, MOST).min(by_weight);
        let (mut batch, mut bytes) = (Vec::with_capacity(most.min(self.waiting.len())), 0);
        let now = Instant::now();
        while batch.len() < most && bytes < MOST_BYTES {
            let Some(mut job) = self.waiting.pop_front() else { break };
            self.places.remove(&job.key.digest());
            self.left += 1;
            self.size -= EACH + job.work.bytes();
            job.waiters.retain(|waiter| !waiter.is_closed());
            if job.waiters.is_empty() || now.duration_since(job.since) > patience {
                job.give_up();
                continue;
            }
            bytes += job.work.bytes();
            batch.push(job);
        }
        batch
    }
}

/// The error of a command whose turn did not come.
pub(super) fn late() -> StoreError {
    StoreError::unavailable("the key's node took no more commands within the time-out")
}

impl<W: Work> Job<W> {
    /// Nothing was sent of it.
    fn give_up(self) {
        let late = late();
        for waiter in self.waiters {
            let _gone = waiter.send(Way::Back(Err(late.clone())));
        }
    }

    pub fn waited_micros(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use aerospike::Value;

    use super::super::Get;
    use super::*;

    fn key(number: i64) -> Key {
        Key::new("test", "set", Value::Int(number)).unwrap()
    }

    /// The message that all others wait for.
    async fn under_way(lane: &Lane<Get>, key: Key) -> oneshot::Receiver<Way<Get>> {
        match lane.arrive(key, Get).await {
            Ok(Step::Queued(answer, ready)) if ready.len() == 1 => answer,
            _ => panic!("it goes at once"),
        }
    }

    async fn full_lane() -> (Arc<Lane<Get>>, Vec<oneshot::Receiver<Way<Get>>>) {
        let lane = Lane::new(Some(1), Duration::from_millis(50));
        let mut waiting = vec![under_way(&lane, key(-1)).await];
        for number in 0..i64::try_from(ROOM / EACH).unwrap() {
            let Ok(Step::Queued(answer, ready)) = lane.arrive(key(number), Get).await else {
                panic!("there is room")
            };
            assert!(ready.is_empty());
            waiting.push(answer);
        }
        (lane, waiting)
    }

    #[tokio::test]
    async fn a_full_queue_is_told_after_the_time_out() {
        let (lane, _waiting) = full_lane().await;
        let refused = lane.arrive(key(-2), Get).await.err().expect("it is full");
        assert!(refused.to_string().contains("too many commands wait"), "{refused}");
        // Whoever asks what waits already needs no room.
        assert!(matches!(lane.arrive(key(7), Get).await, Ok(Step::Joined(_))));
    }

    #[tokio::test]
    async fn who_waits_for_room_comes_in_when_there_is_some() {
        let (lane, _waiting) = full_lane().await;
        let outside = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { lane.arrive(key(-2), Get).await }
        });
        tokio::task::yield_now().await;
        let went = lane.back(1);
        assert_eq!(went.iter().map(Vec::len).collect::<Vec<_>>(), [MOST]);
        assert!(matches!(outside.await.unwrap(), Ok(Step::Queued(..))));
    }

    #[tokio::test]
    async fn first_come_first_served() {
        let lane = Lane::new(Some(1), Duration::from_secs(1));
        let _first = under_way(&lane, key(-1)).await;
        let mut waiting = Vec::new();
        for number in 0..100 {
            waiting.push(lane.arrive(key(number), Get).await.ok());
        }
        let mut went = Vec::new();
        for (before, expected) in [(1, MOST), (MOST, 100 - MOST)] {
            let mut ready = lane.back(before);
            assert_eq!(ready.len(), 1, "one message at a time");
            assert_eq!(ready[0].len(), expected);
            went.extend(ready.remove(0).into_iter().map(|job| job.key.digest()));
        }
        assert_eq!(went, (0..100).map(|number| key(number).digest()).collect::<Vec<_>>());
        assert!(lane.back(100 - MOST).is_empty());
    }
}
