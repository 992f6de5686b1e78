//! What is under way between the regions: it begins late, nothing of it is lost, and it is done before the run is over.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Failure;

#[derive(Default)]
pub struct Background {
    tasks: TaskTracker,
    /// What has not begun is left.
    over: CancellationToken,
    /// The first thing that could not be done.
    failure: Arc<Mutex<Option<Failure>>>,
}

/// How long one step is tried.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

impl Background {
    /// Does this after so much time.
    pub fn after(
        &self,
        lag: Duration,
        task: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        let (over, failure) = (self.over.clone(), Arc::clone(&self.failure));
        self.tasks.spawn(async move {
            if over.run_until_cancelled(sleep(lag)).await.is_none() {
                return;
            }
            if let Err(error) = task.await {
                failure.lock().get_or_insert(error);
            }
        });
    }

    /// Waits until nothing is under way.
    pub async fn quiet(&self, lag: Duration) -> Result<(), Failure> {
        self.tasks.close();
        let ended = timeout(lag + PATIENCE * 2, self.tasks.wait()).await;
        self.tasks.reopen();
        ended.map_err(|_| "what goes on between the regions did not end")?;
        self.failure.lock().take().map_or(Ok(()), Err)
    }

    /// Leaves what has not begun, and waits for the rest.
    pub async fn stop(&self) {
        self.over.cancel();
        let _: Result<(), _> = self.quiet(Duration::ZERO).await;
    }
}

/// Again and again, as neither a link nor a stream of changes loses anything. The error, if that takes too long.
pub async fn until_done<F: Future<Output = Result<(), Failure>>>(
    step: impl Fn() -> F,
) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        match step().await {
            Err(_) if start.elapsed() < PATIENCE => sleep(PAUSE).await,
            done => return done,
        }
    }
}
