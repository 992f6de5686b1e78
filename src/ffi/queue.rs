//! The completion queue: what was submitted completes there, exactly once, and the host's own thread
//! takes it out. No code of the host's ever runs on a thread of this library.
//!
//! Seen on 2 cores from .NET 10 (`dotnet/bench/Load`), 100 B: a hit of `memory://`, which `gf_start` does past
//! the queue, 0.6 µs of CPU with one caller and 2 µs with 128, 0 B allocated; a hit of Aerospike, through the
//! queue, 0.4 futex calls, as many wakes being spared. From Rust 0.3 µs with one in flight (`cargo bench
//! -p genfence-benches --features capi --bench c_boundary`). A batch is not faster than single submits there, as what is ready at
//! once is done within the submit.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::size_t;
use parking_lot::{Condvar, Mutex};

use super::abi::*;
use super::error::Failure;
use super::guard::guarded;
use super::live::{self, Kind};
use super::results::gf_result_free;
use super::runtime;

/// From as many pending operations on, more completions are expected at any moment.
const MANY: usize = 4;

/// Where submitted operations complete. Any number of threads may submit to it and wait on it.
pub struct gf_queue(pub(super) Arc<Queue>);

pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    completed: VecDeque<Completion>,
    /// Accepted, and not completed yet.
    pending: usize,
    waiting: usize,
    /// A task will wake one who waits.
    waking: bool,
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

impl Queue {
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
        state.completed.extend(done);
        let last = state.closed && state.pending == 0;
        let wake = state.waiting > 0 && arriving > 0 && !state.waking;
        let within = tokio::task::try_id().and_then(|_| runtime::started());
        let soon = within.filter(|_| wake && !last && state.pending >= MANY);
        state.waking |= soon.is_some();
        drop(state);
        if last {
            // Nothing comes any more: one takes these, and the others must learn that it is over.
            self.arrived.notify_all();
        } else if let Some(runtime) = soon {
            runtime.spawn(Arc::clone(self).wake_soon());
        } else if wake {
            self.arrived.notify_one();
        }
    }

    /// To wake a thread costs about as much as a completion. What the same packets brought completes first.
    async fn wake_soon(self: Arc<Self>) {
        tokio::task::yield_now().await;
        self.state.lock().waking = false;
        self.arrived.notify_one();
    }

    /// Waits until there is something, the time is up, or nothing can come any more.
    fn wait(&self, capacity: usize, timeout: Option<Duration>) -> Result<Vec<Completion>, i32> {
        // A time that no clock reaches is as long as it takes.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        loop {
            if !state.completed.is_empty() {
                let count = state.completed.len().min(capacity);
                let taken = state.completed.drain(..count).collect();
                if !state.completed.is_empty() && state.waiting > 0 {
                    self.arrived.notify_one();
                }
                return Ok(taken);
            }
            if state.closed && state.pending == 0 {
                return Err(GF_E_SHUT_DOWN);
            }
            state.waiting += 1;
            let late = if let Some(deadline) = deadline {
                self.arrived.wait_until(&mut state, deadline).timed_out()
            } else {
                self.arrived.wait(&mut state);
                false
            };
            state.waiting -= 1;
            if late && state.completed.is_empty() {
                return Err(GF_TIMED_OUT);
            }
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }
}

/// A new queue, owned by the caller. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn gf_queue_new() -> *mut gf_queue {
    live::add(Kind::Queue, 1);
    let queue = Queue { state: Mutex::default(), arrived: Condvar::new() };
    Box::into_raw(Box::new(gf_queue(Arc::new(queue))))
}

/// Closes a queue: nothing more can be submitted to it. What was accepted still completes, and
/// gf_queue_wait gives it out; after the last of it, it answers GF_E_SHUT_DOWN. Threads that wait
/// are woken. Any thread, also twice. NULL is allowed.
///
/// # Safety
/// `queue` is NULL or was given by gf_queue_new and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_close(queue: *const gf_queue) {
    // SAFETY: by the function's own contract.
    if let Some(queue) = unsafe { queue.as_ref() } {
        queue.0.close();
    }
}

/// Closes and frees a queue, and all that is in it or would still come: leases in it are given back,
/// reservations are left to expire. Waits for nothing. No thread may be in gf_queue_wait or gf_submit with
/// it. NULL is allowed.
///
/// # Safety
/// `queue` is NULL or was given by gf_queue_new and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_free(queue: *mut gf_queue) {
    if queue.is_null() {
        return;
    }
    // SAFETY: a box of ours, by the function's own contract.
    let queue = unsafe { Box::from_raw(queue) };
    queue.0.close();
    let left = {
        let mut state = queue.0.state.lock();
        state.freed = true;
        std::mem::take(&mut state.completed)
    };
    live::sub(Kind::Pending, left.len());
    drop(left);
    live::sub(Kind::Queue, 1);
}

/// Takes completions out of a queue: waits until there is at least one, `timeout_ms` is over (below
/// zero: as long as it takes), or the queue is closed and empty. Fills at most `capacity` results, owned
/// by the caller, and sets `count`.
///
/// Returns GF_DONE; GF_TIMED_OUT or GF_E_SHUT_DOWN, and `count` is 0; GF_E_INVALID or GF_E_ABI for bad
/// arguments.
///
/// # Safety
/// `queue` is alive; `results` has room for `capacity` results of `result_size` bytes each
/// (sizeof(gf_result)); `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_wait(
    queue: *const gf_queue,
    results: *mut gf_result,
    capacity: size_t,
    result_size: size_t,
    timeout_ms: i64,
    count: *mut size_t,
) -> i32 {
    let waited = guarded(|| {
        if count.is_null() || results.is_null() || capacity == 0 {
            return Err(Failure::invalid("results", "results or count is NULL, or capacity 0"));
        }
        // SAFETY: it may be written.
        unsafe { count.write(0) };
        if result_size != size_of::<gf_result>() {
            return Err(Failure::abi("result_size is not that of this library"));
        }
        // SAFETY: NULL or alive.
        let queue = unsafe { queue.as_ref() };
        let queue = queue.ok_or_else(|| Failure::invalid("queue", "is NULL"))?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        Ok(queue.0.wait(capacity, timeout))
    });
    match waited {
        Ok(Ok(completed)) => {
            let taken = completed.len();
            live::sub(Kind::Pending, taken);
            for (index, completion) in completed.into_iter().enumerate() {
                // SAFETY: there is room for `capacity`, and there are no more than that.
                unsafe { results.add(index).write(completion.into_result()) };
            }
            // SAFETY: it may be written.
            unsafe { count.write(taken) };
            GF_DONE
        }
        Ok(Err(status)) => status,
        Err(failure) => failure.status,
    }
}
