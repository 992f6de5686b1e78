//! What runs commands: the process's one pool of threads, or whoever waits on a queue that drives. And how a call of
//! the host's own thread waits.

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;

use futures_util::FutureExt as _;
use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};

use super::error::Failure;
use super::system;

/// A runtime of tokio's. The last who has it ends it, and waits for nothing.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Deref for Runtime {
    type Target = tokio::runtime::Runtime;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

static POOL: OnceCell<Arc<Runtime>> = OnceCell::new();

/// More threads than this rarely serve one process's cache better.
const MOST_BY_DEFAULT: usize = 8;

/// The pool, started by whoever comes first. It lives as long as the process.
pub(super) fn pool(threads: i32) -> Result<Arc<Runtime>, Failure> {
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
        let pool = builder.on_thread_start(system::hold_back_for_good).build()?;
        Ok::<_, io::Error>(Arc::new(Runtime(Some(pool))))
    };
    let pool = POOL.get_or_try_init(start).map_err(|error| {
        Failure::invalid("worker_threads", format!("{threads} threads cannot be started: {error}"))
    })?;
    Ok(Arc::clone(pool))
}

/// The pool, if anybody came yet.
pub(super) fn started() -> Option<&'static Handle> {
    POOL.get().map(|pool| pool.handle())
}

/// One without a thread of its own: whoever waits in it drives it. Its helpers, which look names up, are threads.
pub(super) fn driven() -> io::Result<Arc<Runtime>> {
    let mut builder = Builder::new_current_thread();
    builder.thread_name("genfence").on_thread_start(system::hold_back_for_good);
    Ok(Arc::new(Runtime(Some(builder.enable_all().build()?))))
}

/// Waits on the caller's thread, which is none of the runtime's: no code of the host's runs there.
/// What is ready at once, as a hit of the embedded store is, does not cost a park. `networked`: whether it may
/// write to a connection.
pub(super) fn wait<T>(runtime: &Runtime, networked: bool, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let wait = || at_once(runtime, future.as_mut()).unwrap_or_else(|| runtime.block_on(future));
    if networked { system::held_back(wait) } else { wait() }
}

/// What a future comes to if it need not wait. Else it can still be awaited.
pub(super) fn at_once<T>(
    runtime: &Runtime,
    future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> Option<T> {
    let _inside = runtime.enter();
    future.now_or_never()
}
