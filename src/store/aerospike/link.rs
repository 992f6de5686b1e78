//! The way to a cluster, which may not be there yet.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::connect::Seeds;
use super::{AerospikeSettings, Connected};
use crate::store::StoreError;

/// A cluster that is connected to, or will be.
pub(super) struct Link {
    connected: OnceLock<Arc<Connected>>,
    state: watch::Sender<State>,
    /// How long a command waits for the first try.
    patience: Duration,
    connecting: OnceLock<AbortHandle>,
}

#[derive(Clone)]
enum State {
    /// The first try is under way.
    Connecting,
    /// The last try failed; the next comes.
    Failed(StoreError),
    Connected,
}

/// Between two tries: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Link {
    /// To a cluster that is connected to.
    pub fn to(connected: Connected) -> Arc<Self> {
        Arc::new(Link {
            connected: OnceLock::from(connected.shared()),
            state: watch::Sender::new(State::Connected),
            patience: Duration::ZERO,
            connecting: OnceLock::new(),
        })
    }

    /// Connects in the background, in this runtime, for as long as somebody has the link.
    pub fn in_background(settings: AerospikeSettings, seeds: Seeds) -> Arc<Self> {
        let link = Arc::new(Link {
            connected: OnceLock::new(),
            state: watch::Sender::new(State::Connecting),
            patience: settings.access.timeout,
            connecting: OnceLock::new(),
        });
        let task = tokio::spawn(connect(Arc::downgrade(&link), settings, seeds));
        link.connecting.get_or_init(|| task.abort_handle());
        link
    }

    /// The cluster, if it is connected to.
    #[inline]
    pub fn now(&self) -> Option<&Arc<Connected>> {
        self.connected.get()
    }

    /// The cluster, as soon as the first try is over.
    ///
    /// # Errors
    /// It is not there, or the first try takes longer than a command may.
    pub async fn soon(&self) -> Result<Arc<Connected>, StoreError> {
        self.wait(self.patience, |state| !matches!(state, State::Connecting)).await
    }

    /// The cluster, as soon as it is there.
    ///
    /// # Errors
    /// It is not, within that time.
    pub async fn within(&self, within: Duration) -> Result<Arc<Connected>, StoreError> {
        self.wait(within, |state| matches!(state, State::Connected)).await
    }

    async fn wait(
        &self,
        within: Duration,
        enough: impl FnMut(&State) -> bool,
    ) -> Result<Arc<Connected>, StoreError> {
        let mut state = self.state.subscribe();
        let _late = timeout(within, state.wait_for(enough)).await;
        if let Some(connected) = self.now() {
            return Ok(Arc::clone(connected));
        }
        let problem = match &*self.state.borrow() {
            State::Failed(problem) => problem.to_string(),
            State::Connecting | State::Connected => "the first try is under way".to_owned(),
        };
        Err(StoreError::unavailable(format!("the cache is still connecting: {problem}")))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(connecting) = self.connecting.get() {
            connecting.abort();
        }
    }
}

async fn connect(link: Weak<Link>, settings: AerospikeSettings, seeds: Seeds) {
    let mut pause = PAUSES.0;
    let mut told = String::new();
    loop {
        let tried = Box::pin(Connected::open(&settings, &seeds)).await;
        let fit = match tried {
            Ok(connected) => connected.must_be_fit().await.map(|()| connected),
            Err(problem) => Err(problem),
        };
        let Some(link) = link.upgrade() else { return };
        match fit {
            Ok(connected) => {
                link.connected.get_or_init(|| connected.shared());
                link.state.send_replace(State::Connected);
                tracing::info!("connected to {}", settings.named());
                return;
            }
            Err(problem) => {
                let problem_text = problem.to_string();
                // Once for as long as it is the same.
                if problem_text != told {
                    tracing::warn!(error = %problem, "the cache cannot be opened yet; it is tried again");
                    told = problem_text;
                }
                link.state.send_replace(State::Failed(problem));
            }
        }
        drop(link);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
