//! Submitting: operations begin here, and complete in a queue, or at once where nothing need be waited for.

use std::mem::size_of;
use std::sync::Arc;

use async_task::Runnable;
use bytes::Bytes;
use libc::size_t;

use super::abi::*;
use super::error::{Failure, gf_error};
use super::fields::{bytes_of, fits};
use super::guard::{self, guarded, of_panic};
use super::handles::gf_cache;
use super::op::{self, *};
use super::queue::{Completion, Queue, gf_queue};
use super::system;
use super::{results, runtime};

/// Accepted operations that one task does. However it ends, their completions arrive: also when it is
/// dropped.
struct Tickets<U: AsRef<[u64]>> {
    queue: Arc<Queue>,
    /// One for each.
    user_data: U,
    open: bool,
}

impl<U: AsRef<[u64]>> Tickets<U> {
    fn complete(mut self, done: impl ExactSizeIterator<Item = Completion>) {
        debug_assert_eq!(done.len(), self.user_data.as_ref().len());
        self.open = false;
        self.arrive(done);
    }

    fn arrive(&self, done: impl ExactSizeIterator<Item = Completion>) {
        let mut user_data = self.user_data.as_ref().iter();
        self.queue.push(done.map(|mut done| {
            done.0.user_data = user_data.next().copied().unwrap_or_default();
            done
        }));
    }
}

impl<U: AsRef<[u64]>> Drop for Tickets<U> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let panicking = std::thread::panicking();
        let failure = || if panicking { of_panic(&"a task ended early") } else { shut_down() };
        self.arrive((0..self.user_data.as_ref().len()).map(|_| Completion(failure().into())));
    }
}

fn shut_down() -> Failure {
    Failure::with(
        GF_E_SHUT_DOWN,
        "the cache was closed before this was done; it may have been applied, which is safe",
    )
}

/// Submits operations, all of them or none. What the operations point to is copied before this
/// returns, and the leases and reservations they name may be freed then. For each accepted
/// operation exactly one completion comes out of the queue, in whatever order, also if the cache is
/// closed meanwhile; for a refused submit there is none. Where two operations of a batch use up the
/// same handle, the second completes with GF_E_INVALID. Once gf_close has returned every submit is
/// refused, with GF_E_SHUT_DOWN. Any thread.
///
/// Returns GF_DONE, or an error that names the operation; then `error`, if it is not NULL, is set to a
/// gf_error that the caller frees, else to NULL.
///
/// # Safety
/// `cache` and `queue` are alive; `ops` is an array of `count` operations of `op_size` bytes each
/// (sizeof(gf_op)), whose slices are readable and whose handles are alive; `error` is NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_submit(
    cache: *const gf_cache,
    queue: *const gf_queue,
    ops: *const gf_op,
    count: size_t,
    op_size: size_t,
    error: *mut *mut gf_error,
) -> i32 {
    let submitted = guarded(|| {
        // SAFETY: by the function's own contract.
        let (cache, queue) = unsafe { both(cache, queue, op_size) }?;
        if ops.is_null() {
            return if count == 0 { Ok(()) } else { Err(Failure::invalid("ops", "is NULL")) };
        }
        fits::<gf_op>("count", count)?;
        // SAFETY: not NULL, and of this length by the caller's word.
        let ops = unsafe { std::slice::from_raw_parts(ops, count) };
        submit(cache, &queue.0, ops)
    });
    // SAFETY: it is NULL or may be written.
    unsafe { guard::tell(submitted, error) }.0
}

/// Begins one operation, and spares it the way through the queue where it need not wait for anything, as
/// with most of the embedded store's (`memory://`). GF_SUBMITTED: it was accepted as by gf_submit, and its
/// one completion comes out of the queue. Everything else is what it came to, also that it was refused:
/// then `result` has it all, and nothing comes out of the queue. Any thread.
///
/// Returns the status of `result`.
///
/// # Safety
/// `cache` and `queue` are NULL or alive; `op` is an operation of `op_size` bytes (sizeof(gf_op)), whose
/// slices are readable and whose handles are alive; `result` has `result_size` bytes (sizeof(gf_result)) and
/// may be written; where the size is another one, nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_start(
    cache: *const gf_cache,
    queue: *const gf_queue,
    op: *const gf_op,
    op_size: size_t,
    result: *mut gf_result,
    result_size: size_t,
) -> i32 {
    if result.is_null() {
        return GF_E_INVALID;
    }
    if result_size != size_of::<gf_result>() {
        return GF_E_ABI;
    }
    let begun = || {
        // SAFETY: by the function's own contract.
        let (cache, queue) = unsafe { both(cache, queue, op_size) }?;
        // SAFETY: NULL or readable.
        let op = unsafe { op.as_ref() }.ok_or_else(|| Failure::invalid("op", "is NULL"))?;
        start(cache, &queue.0, op)
    };
    // SAFETY: it may be written.
    unsafe { results::into(result, begun) }
}

/// # Safety
/// Each is NULL or alive.
unsafe fn both<'h>(
    cache: *const gf_cache,
    queue: *const gf_queue,
    op_size: size_t,
) -> Result<(&'h gf_cache, &'h gf_queue), Failure> {
    // SAFETY: by the function's own contract.
    let (cache, queue) = unsafe { (cache.as_ref(), queue.as_ref()) };
    let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
    let queue = queue.ok_or_else(|| Failure::invalid("queue", "is NULL"))?;
    let expected = size_of::<gf_op>();
    if op_size != expected {
        return Err(Failure::abi(format!("op_size: {op_size}, this library has {expected}")));
    }
    if cache.is_closed() { Err(crate::Error::ShutDown.into()) } else { Ok((cache, queue)) }
}

fn start(cache: &gf_cache, queue: &Arc<Queue>, op: &gf_op) -> Result<gf_result, Failure> {
    // SAFETY: by the contract of gf_start.
    unsafe { op.check(&cache.cache) }?;
    queue.accept(1)?;
    let begun = begin(cache, queue, op);
    if begun.is_some() {
        queue.withdraw();
    }
    let mut result = begun.map_or_else(|| gf_result::new(GF_SUBMITTED), Completion::into_result);
    result.user_data = op.user_data;
    Ok(result)
}

fn submit(cache: &gf_cache, queue: &Arc<Queue>, ops: &[gf_op]) -> Result<(), Failure> {
    for (index, op) in ops.iter().enumerate() {
        // SAFETY: by the contract of gf_submit.
        if let Err(failure) = unsafe { op.check(&cache.cache) } {
            let message = format!("ops[{index}]: {}", failure.message);
            return Err(Failure { message, ..failure });
        }
    }
    queue.accept(ops.len())?;
    let mut done = Vec::new();
    let mut together = Vec::new();
    for op in ops {
        if op.op == GF_OP_LOOKUP_MANY {
            together.push(op);
        } else if let Some(mut completion) = begin(cache, queue, op) {
            completion.0.user_data = op.user_data;
            done.push(completion);
        }
    }
    queue.push(done.into_iter());
    if !together.is_empty() {
        begin_together(cache, queue, &together);
    }
    Ok(())
}

/// Begins an operation that was checked and accepted. What is wrong now all the same (another one used
/// the same handle, a panic) is its completion.
fn begin(cache: &gf_cache, queue: &Arc<Queue>, op: &gf_op) -> Option<Completion> {
    let begun = guarded(|| {
        // SAFETY: it was checked just now.
        let op = match unsafe { op.take() }?.at_once(&cache.cache) {
            Ok(result) => return Ok(Begun::Done(Completion(result))),
            Err(op) => op,
        };
        let mut run = op.run(cache.cache.clone());
        if cache.cache.is_embedded()
            && let Some(result) = runtime::at_once(&cache.runtime, run.as_mut())
        {
            return Ok(Begun::Done(Completion(result)));
        }
        // A result is made and handed over in one step, so none is lost in between.
        Ok(Begun::Waits(async move { [Completion(run.await)] }))
    });
    match begun {
        Ok(Begun::Done(done)) => Some(done),
        Ok(Begun::Waits(run)) => {
            let user_data = [op.user_data];
            spawn(cache, Tickets { queue: Arc::clone(queue), user_data, open: true }, run);
            None
        }
        Err(failure) => Some(Completion(failure.into())),
    }
}

enum Begun<R> {
    Done(Completion),
    Waits(R),
}

/// Begins the lookups of a batch that are read together.
fn begin_together(cache: &gf_cache, queue: &Arc<Queue>, ops: &[&gf_op]) {
    let user_data: Vec<u64> = ops.iter().map(|op| op.user_data).collect();
    let tickets = Tickets { queue: Arc::clone(queue), user_data, open: true };
    // After a panic the tickets are dropped, and so complete.
    let _begun = guarded(|| {
        // SAFETY: they were checked.
        let keys = ops.iter().map(|op| unsafe { bytes_of("key", op.key) });
        let keys: Vec<Bytes> =
            keys.map(|key| key.map(Bytes::copy_from_slice)).collect::<Result<_, _>>()?;
        let core = cache.cache.clone();
        let run = Box::pin(async move { op::lookup_many(&core, &keys).await });
        spawn(cache, tickets, run);
        Ok(())
    });
}

/// Polled on this thread first, so that a command leaves before the caller goes on and no other thread
/// need wake up for that; from then on a thread of the runtime goes on with it whenever it is woken.
fn spawn<R>(
    cache: &gf_cache,
    tickets: Tickets<impl AsRef<[u64]> + Send + 'static>,
    run: impl Future<Output = R> + Send + 'static,
) where
    R: IntoIterator<Item = Completion, IntoIter: ExactSizeIterator>,
{
    let cut = cache.cut.clone();
    let task = cache.submitted.track_future(async move {
        match cut.run_until_cancelled(run).await {
            Some(done) => tickets.complete(done.into_iter()),
            None => drop(tickets),
        }
    });
    let runtime = cache.runtime.handle().clone();
    let go_on = move |woken: Runnable| drop(runtime.spawn(async move { woken.run() }));
    let (first, task) = async_task::spawn(task, go_on);
    task.detach();
    let _inside = cache.runtime.enter();
    // A panic completes it, as the tickets are dropped.
    let run = || guarded(|| Ok(first.run()));
    let _polled = if cache.is_networked() { system::held_back(run) } else { run() };
}

/// Submits what panics in its task.
#[cfg(feature = "capi-test")]
pub(super) fn submit_panic(
    cache: &gf_cache,
    queue: &gf_queue,
    user_data: u64,
) -> Result<(), Failure> {
    queue.0.accept(1)?;
    let tickets = Tickets { queue: Arc::clone(&queue.0), user_data: [user_data], open: true };
    spawn::<[Completion; 1]>(cache, tickets, async { panic!("on purpose") });
    Ok(())
}
