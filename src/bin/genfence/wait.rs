//! Waiting for the cache, as long as nobody presses Ctrl-C.

use std::future::Future;

use tokio::runtime;

use crate::Failure;

/// Runs a job of the cache's to its end.
pub fn run<T>(job: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(job)
}

/// Ends early, with an error, when somebody presses Ctrl-C.
pub async fn interruptible<T>(job: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        done = job => Ok(done),
        pressed = tokio::signal::ctrl_c() => {
            pressed?;
            Err("interrupted".into())
        }
    }
}
