//! The queue as the host sees it.

use std::mem::size_of;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use libc::{c_void, size_t};

use super::super::abi::*;
use super::super::error::{Failure, gf_error};
use super::super::guard::{give, guarded};
use super::super::live::{self, Kind};
use super::super::system::Sign;
use super::Queue;

/// Where submitted operations complete. Any number of threads may submit to it and wait on it.
pub struct gf_queue(pub(in super::super) Arc<Queue>);

impl gf_queue {
    fn new(queue: Arc<Queue>) -> *mut gf_queue {
        live::add(Kind::Queue, 1);
        Box::into_raw(Box::new(gf_queue(queue)))
    }
}

/// A new queue, owned by the caller. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn gf_queue_new() -> *mut gf_queue {
    gf_queue::new(Queue::sleeping())
}

/// A new queue that drives, owned by the caller: the caches that are opened with it (gf_options.driver) have no
/// threads. Whoever waits in gf_queue_wait does their work meanwhile: reads answers, keeps connections, ends what takes
/// too long. So an answer costs no hand-over between threads; commands still leave on the thread that submits them.
///
/// What such a thread owes: to come back, soon. While no thread waits nothing completes, no time-out passes, and
/// nothing goes on in the background. Nothing is lost: what has arrived is read by the next who waits, leases and
/// reservations end by the clock as if the process had paused, and the server's side has its own bounds. Calls that
/// wait (gf_get, gf_call, gf_open, gf_close) drive by themselves, and keep their bounds. With a timeout of 0 gf_queue_wait
/// does what is ready, and waits for nothing.
///
/// Freed after its caches: what a cache gives back in the background after that is not sent, and expires.
///
/// Returns GF_DONE and sets `queue`; or GF_E_INVALID, where the system has no descriptors left, too, and then `error`, if
/// it is not NULL, is set to a gf_error that the caller frees.
///
/// # Safety
/// `queue` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_new_driving(
    queue: *mut *mut gf_queue,
    error: *mut *mut gf_error,
) -> i32 {
    let make = || {
        let driving = Queue::driving().map_err(|error| {
            Failure::invalid("queue", format!("one that drives cannot be made: {error}"))
        })?;
        Ok(gf_queue::new(driving))
    };
    // SAFETY: each is NULL or may be written.
    unsafe { give(("queue", queue, null_mut()), error, make) }
}

/// A descriptor for an event loop (poll, epoll, kqueue, libuv, libevent): readable while gf_queue_wait has something to
/// give out, and for good once the queue is closed and empty. Read nothing from it, and do not close it: it is the
/// queue's, until gf_queue_free. When it is readable, call gf_queue_wait with a timeout of 0. Any thread; the same one
/// each time. A queue that drives has none, as nothing comes to it by itself. On Windows: gf_queue_event.
///
/// Returns GF_DONE and sets `descriptor`; or an error, and then `error`, if it is not NULL, is set to a gf_error that the
/// caller frees: GF_E_INVALID, where the system has none left, too, and on Windows.
///
/// # Safety
/// `queue` is alive; `descriptor` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_fd(
    queue: *const gf_queue,
    descriptor: *mut i32,
    error: *mut *mut gf_error,
) -> i32 {
    const FIELD: &str = "descriptor";
    // SAFETY: NULL or alive.
    let have = || match unsafe { told_by(queue, FIELD) }? {
        Sign::Descriptor(descriptor) => Ok(descriptor),
        Sign::Event(_) => Err(Failure::invalid(FIELD, "is of Unix: ask for gf_queue_event")),
    };
    // SAFETY: each is NULL or may be written.
    unsafe { give((FIELD, descriptor, -1), error, have) }
}

/// The same on Windows: the handle of an event, to wait for with WaitForMultipleObjects, RegisterWaitForSingleObject or the
/// like. It is set while gf_queue_wait has something to give out, and for good once the queue is closed and empty.
/// Do not reset it, and do not close it: it is the queue's, until gf_queue_free. When it is set, call gf_queue_wait with a
/// timeout of 0. Any thread; the same one each time. A queue that drives has none, as nothing comes to it by itself. On
/// other systems: gf_queue_fd.
///
/// Returns GF_DONE and sets `event`; or an error, and then `error`, if it is not NULL, is set to a gf_error that the
/// caller frees: GF_E_INVALID, where the system has none left, too, and on other systems than Windows.
///
/// # Safety
/// `queue` is alive; `event` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_queue_event(
    queue: *const gf_queue,
    event: *mut *mut c_void,
    error: *mut *mut gf_error,
) -> i32 {
    const FIELD: &str = "event";
    // SAFETY: NULL or alive.
    let have = || match unsafe { told_by(queue, FIELD) }? {
        Sign::Event(event) => Ok(event),
        Sign::Descriptor(_) => Err(Failure::invalid(FIELD, "is of Windows: ask for gf_queue_fd")),
    };
    // SAFETY: each is NULL or may be written.
    unsafe { give((FIELD, event, null_mut()), error, have) }
}

/// SAFETY: `queue` is NULL or alive.
unsafe fn told_by(queue: *const gf_queue, field: &'static str) -> Result<Sign, Failure> {
    // SAFETY: as above.
    let queue = unsafe { queue.as_ref() };
    queue.ok_or_else(|| Failure::invalid("queue", "is NULL"))?.0.told_by(field)
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
    let left = queue.0.free();
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
