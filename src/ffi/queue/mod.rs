//! The completion queue: what was submitted completes there, exactly once, and the host's own thread
//! takes it out. No code of the host's ever runs on a thread of this library.
//!
//! Seen on 2 cores from .NET 10 (`dotnet/bench/Load`), 100 B: a hit of `memory://`, which `gf_start` does past
//! the queue, 0.6 µs of CPU with one caller and 2 µs with 128, 0 B allocated; a hit of Aerospike, through the
//! queue, 0.4 futex calls, as many wakes being spared. From Rust 0.3 µs with one in flight (`cargo bench
//! -p genfence-benches --features capi --bench c_boundary`). A batch is not faster than single submits there, as what is ready at
//! once is done within the submit.

//!
//! A queue sleeps until a thread of the library's has something for it, or it drives: whoever waits on it does what
//! is to be done, and wakes nobody.

mod calls;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant as Until, timeout_at};

use super::abi::*;
use super::error::Failure;
use super::live::{self, Kind};
use super::results::gf_result_free;
use super::runtime::{self, Runtime};
use super::system::{self, Readable, Sign};
pub use calls::*;

/// From as many pending operations on, more completions are expected at any moment.
const MANY: usize = 4;

/// So many times in a row a driving queue gives out what is there, and drives nothing.
const UNDRIVEN: u32 = 8;

pub(super) struct Queue {
    state: Mutex<State>,
    wait: Wait,
}

/// How a thread waits.
enum Wait {
    Sleep(Condvar),
    Drive(Driver),
}

struct Driver {
    runtime: Arc<Runtime>,
    arrived: Notify,
    /// How often something was there at once, since it last drove.
    undriven: AtomicU32,
}

#[derive(Default)]
struct State {
    completed: VecDeque<Completion>,
    /// Accepted, and not completed yet.
    pending: usize,
    waiting: usize,
    /// A task will wake one who waits.
    waking: bool,
    /// Told whether there is anything to be taken out, if somebody asked for it.
    readable: Option<Readable>,
    closed: bool,
    /// Nobody can wait any more: what still arrives is dropped.
    freed: bool,
}

/// A result on its way. What it owns is nobody else's, so it may change threads.
pub(super) struct Completion(pub gf_result);

// SAFETY: the handles it points to are boxes of ours that only this result knows of, and what is in
// them may be sent (a lease, a reservation, bytes, text).
unsafe impl Send for Completion {}

impl Drop for Completion {
    fn drop(&mut self) {
        // SAFETY: filled by this library; what was taken out is not in it any more.
        unsafe { gf_result_free(&raw mut self.0) };
    }
}

impl Completion {
    pub fn into_result(mut self) -> gf_result {
        std::mem::replace(&mut self.0, gf_result::new(GF_DONE))
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.closed && self.pending == 0
    }

    /// As many as there is room for; nothing if it is too early.
    fn take(&mut self, capacity: usize) -> Option<Result<Vec<Completion>, i32>> {
        if self.completed.is_empty() {
            return self.is_over().then_some(Err(GF_E_SHUT_DOWN));
        }
        let count = self.completed.len().min(capacity);
        let taken = self.completed.drain(..count).collect();
        self.tell();
        Some(Ok(taken))
    }

    fn tell(&self) {
        if let Some(readable) = &self.readable {
            readable.set(!self.completed.is_empty() || self.is_over());
        }
    }
}

impl Queue {
    fn sleeping() -> Arc<Self> {
        Arc::new(Queue { state: Mutex::default(), wait: Wait::Sleep(Condvar::new()) })
    }

    fn driving() -> io::Result<Arc<Self>> {
        let driver = Driver {
            runtime: runtime::driven()?,
            arrived: Notify::new(),
            undriven: AtomicU32::new(0),
        };
        Ok(Arc::new(Queue { state: Mutex::default(), wait: Wait::Drive(driver) }))
    }

    /// What its waiting threads drive.
    pub fn runtime(&self) -> Option<&Arc<Runtime>> {
        match &self.wait {
            Wait::Sleep(_) => None,
            Wait::Drive(driver) => Some(&driver.runtime),
        }
    }

    /// Takes the places of a batch, or none where the queue is closed.
    pub fn accept(&self, count: usize) -> Result<(), Failure> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Failure::with(GF_E_SHUT_DOWN, "the queue is closed; open a new one"));
        }
        state.pending += count;
        live::add(Kind::Pending, count);
        Ok(())
    }

    /// Completes what was accepted. Operations that were done together arrive together.
    pub fn push(self: &Arc<Self>, done: impl ExactSizeIterator<Item = Completion>) {
        self.end(done.len(), done);
    }

    /// One that was accepted is done, and its caller has the result already.
    pub fn withdraw(self: &Arc<Self>) {
        live::sub(Kind::Pending, 1);
        self.end(1, std::iter::empty());
    }

    fn end(self: &Arc<Self>, count: usize, done: impl ExactSizeIterator<Item = Completion>) {
        if count == 0 {
            return;
        }
        let arriving = done.len();
        let mut state = self.state.lock();
        state.pending -= count;
        if state.freed {
            drop(state);
            live::sub(Kind::Pending, arriving);
            return;
        }
        let had_any = !state.completed.is_empty();
        state.completed.extend(done);
        let over = state.is_over();
        if over || !had_any && arriving > 0 {
            state.tell();
        }
        let wake = state.waiting > 0 && arriving > 0 && !state.waking;
        match &self.wait {
            // Nothing comes any more: one takes these, and the others must learn that it is over.
            _ if over => {
                drop(state);
                self.wake_all();
            }
            _ if !wake => {}
            Wait::Drive(driver) => {
                drop(state);
                driver.arrived.notify_one();
            }
            Wait::Sleep(arrived) => {
                let within = tokio::task::try_id().and_then(|_| runtime::started());
                let soon = within.filter(|_| state.pending >= MANY);
                state.waking = soon.is_some();
                drop(state);
                match soon {
                    Some(pool) => drop(pool.spawn(Arc::clone(self).wake_soon())),
                    None => drop(arrived.notify_one()),
                }
            }
        }
    }

    /// To wake a thread costs about as much as a completion. What the same packets brought completes first.
    async fn wake_soon(self: Arc<Self>) {
        yield_now().await;
        self.state.lock().waking = false;
        if let Wait::Sleep(arrived) = &self.wait {
            arrived.notify_one();
        }
    }

    fn wake_all(&self) {
        match &self.wait {
            Wait::Sleep(arrived) => drop(arrived.notify_all()),
            Wait::Drive(driver) => driver.arrived.notify_waiters(),
        }
    }

    /// Waits until there is something, the time is up, or nothing can come any more.
    fn wait(&self, capacity: usize, timeout: Option<Duration>) -> Result<Vec<Completion>, i32> {
        // A time that no clock reaches is as long as it takes.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match &self.wait {
            Wait::Sleep(arrived) => self.sleep(arrived, capacity, deadline),
            Wait::Drive(driver) => self.drive(driver, capacity, deadline),
        }
    }

    fn sleep(
        &self,
        arrived: &Condvar,
        capacity: usize,
        deadline: Option<Instant>,
    ) -> Result<Vec<Completion>, i32> {
        let mut state = self.state.lock();
        loop {
            if let Some(taken) = state.take(capacity) {
                if !state.completed.is_empty() && state.waiting > 0 {
                    arrived.notify_one();
                }
                return taken;
            }
            state.waiting += 1;
            let late = if let Some(deadline) = deadline {
                arrived.wait_until(&mut state, deadline).timed_out()
            } else {
                arrived.wait(&mut state);
                false
            };
            state.waiting -= 1;
            if late && state.completed.is_empty() {
                return Err(GF_TIMED_OUT);
            }
        }
    }

    fn drive(
        &self,
        driver: &Driver,
        capacity: usize,
        deadline: Option<Instant>,
    ) -> Result<Vec<Completion>, i32> {
        let given_out = driver.undriven.fetch_add(1, Relaxed);
        if given_out < UNDRIVEN
            && let Some(taken) = self.state.lock().take(capacity)
        {
            return taken;
        }
        driver.undriven.store(0, Relaxed);
        let is_brief = deadline.is_some_and(|deadline| deadline <= Instant::now());
        system::held_back(|| {
            driver.runtime.block_on(async {
                if is_brief || given_out >= UNDRIVEN {
                    // Once round: what has arrived is read, and what is ready is done.
                    for _ in 0..2 {
                        yield_now().await;
                    }
                }
                let _here = Waiting::new(self);
                let taken = self.arrived(driver, capacity);
                match deadline {
                    None => taken.await,
                    Some(deadline) => {
                        let late = timeout_at(Until::from_std(deadline), taken).await;
                        late.unwrap_or(Err(GF_TIMED_OUT))
                    }
                }
            })
        })
    }

    async fn arrived(&self, driver: &Driver, capacity: usize) -> Result<Vec<Completion>, i32> {
        loop {
            let arrived = driver.arrived.notified();
            let (taken, more) = {
                let mut state = self.state.lock();
                let taken = state.take(capacity);
                (taken, !state.completed.is_empty() && state.waiting > 1)
            };
            if let Some(taken) = taken {
                if more {
                    driver.arrived.notify_one();
                }
                return taken;
            }
            arrived.await;
        }
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.tell();
        drop(state);
        self.wake_all();
    }

    /// What nobody will take out any more.
    fn free(&self) -> VecDeque<Completion> {
        let mut state = self.state.lock();
        state.closed = true;
        state.freed = true;
        state.readable = None;
        std::mem::take(&mut state.completed)
    }

    /// What tells an event loop that there is something to be taken out. The queue's own.
    fn told_by(&self, field: &'static str) -> Result<Sign, Failure> {
        if self.runtime().is_some() {
            return Err(Failure::invalid(
                "queue",
                "drives, and so nothing comes to it unless a thread waits: use one of gf_queue_new",
            ));
        }
        let mut state = self.state.lock();
        if state.readable.is_none() {
            let readable = Readable::new();
            state.readable =
                Some(readable.map_err(|error| {
                    Failure::invalid(field, format!("none can be had: {error}"))
                })?);
            state.tell();
        }
        Ok(state.readable.as_ref().expect("it was set").told_by())
    }
}

/// A thread that waits in a driving queue.
struct Waiting<'q>(&'q Queue);

impl<'q> Waiting<'q> {
    fn new(queue: &'q Queue) -> Self {
        queue.state.lock().waiting += 1;
        Waiting(queue)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}
