//! Ctrl-C ends what is measured, not the program: what was measured is printed, and all that was made for it
//! is removed.

use std::future::poll_fn;
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio_util::sync::CancellationToken;

/// What a shell expects of a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// From here on Ctrl-C cancels this token.
pub fn listen(runtime: &Runtime) -> CancellationToken {
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    let mut pressed = Box::pin(ctrl_c());
    // Tokio takes the signal over with the first poll; spawned, that would be some time later.
    runtime.block_on(poll_fn(|context| Poll::Ready(pressed.as_mut().poll(context).is_ready())));
    runtime.spawn(async move {
        if pressed.await.is_ok() {
            token.cancel();
        }
    });
    interrupted
}
