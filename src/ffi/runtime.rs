//! The process's one runtime, and how a call of the host's own thread waits for it.

use std::future::Future;
use std::pin::Pin;
use std::thread::available_parallelism;

use futures_util::FutureExt as _;
use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};

use super::error::Failure;
use super::sigpipe;

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

/// More threads than this rarely serve one process's cache better.
const MOST_BY_DEFAULT: usize = 8;

/// The runtime, started by whoever comes first. It lives as long as the process.
pub(super) fn get_or_start(threads: i32) -> Result<&'static Handle, Failure> {
    let threads = match threads {
        // Commands leave on the callers' own threads; these read what comes back. Seen on 2 processors, a second
        // one cost a tenth more of CPU, and brought nothing.
        0 => {
            available_parallelism().map_or(1, |count| count.get().div_ceil(2)).min(MOST_BY_DEFAULT)
        }
        threads => usize::try_from(threads).unwrap_or(MOST_BY_DEFAULT),
    };
    let start = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("genfence").enable_all();
        builder.on_thread_start(sigpipe::hold_back_for_good).build()
    };
    let runtime = RUNTIME.get_or_try_init(start).map_err(|error| {
        Failure::invalid("worker_threads", format!("{threads} threads cannot be started: {error}"))
    })?;
    Ok(runtime.handle())
}

/// The runtime, if anybody came yet.
pub(super) fn started() -> Option<&'static Handle> {
    RUNTIME.get().map(Runtime::handle)
}

/// Waits on the caller's thread, which is none of the runtime's: no code of the host's runs there.
/// What is ready at once, as a hit of the embedded store is, does not cost a park. `networked`: whether it may
/// write to a connection.
pub(super) fn wait<T>(runtime: &Handle, networked: bool, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let wait = || at_once(runtime, future.as_mut()).unwrap_or_else(|| runtime.block_on(future));
    if networked { sigpipe::held_back(wait) } else { wait() }
}

/// What a future comes to if it need not wait. Else it can still be awaited.
pub(super) fn at_once<T>(
    runtime: &Handle,
    future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> Option<T> {
    let _inside = runtime.enter();
    future.now_or_never()
}
