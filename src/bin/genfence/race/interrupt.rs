//! Ctrl-C ends the race, not the program: what was measured is printed, and files are removed.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;

/// From here on Ctrl-C sets this flag.
pub fn listen(runtime: &Runtime) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let mut pressed = Box::pin(ctrl_c());
    // Tokio takes the signal over with the first poll; spawned, that would be some time later.
    runtime.block_on(poll_fn(|context| Poll::Ready(pressed.as_mut().poll(context).is_ready())));
    runtime.spawn(async move {
        if pressed.await.is_ok() {
            flag.store(true, Relaxed);
        }
    });
    interrupted
}
