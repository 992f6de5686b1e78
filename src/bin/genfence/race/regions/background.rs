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
    /// Does this after so much time, again and again until it succeeds.
    pub fn after<F: Future<Output = Result<(), Failure>> + Send>(
        &self,
        lag: Duration,
        step: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let (over, failure) = (self.over.clone(), Arc::clone(&self.failure));
        self.tasks.spawn(async move {
            if over.run_until_cancelled(sleep(lag)).await.is_none() {
                return;
            }
            let start = Instant::now();
            while let Err(error) = step().await {
                if start.elapsed() > PATIENCE {
                    failure.lock().get_or_insert(error);
                    return;
                }
                sleep(PAUSE).await;
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
