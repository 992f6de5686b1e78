//! Whether a node is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::StoreError;

/// Known from asking the node (`watch.rs`), so that commands need not find out one by one.
#[derive(Default)]
pub(in super::super) struct Presence {
    is_gone: AtomicBool,
    problem: Mutex<&'static str>,
    left: Notify,
    /// How often it has answered a command.
    answers: AtomicU64,
}

impl Presence {
    /// Of a node that was not asked yet since it was connected to, which may have taken a while.
    pub fn unknown() -> Self {
        let unknown = Presence::default();
        unknown.note(Some("was not asked yet who is in the cluster"));
        unknown
    }

    /// Says whether it leaves now.
    pub fn note(&self, problem: Option<&'static str>) -> bool {
        if let Some(problem) = problem {
            *self.problem.lock() = problem;
        }
        let was_gone = self.is_gone.swap(problem.is_some(), Ordering::AcqRel);
        let leaves = problem.is_some() && !was_gone;
        if leaves {
            self.left.notify_waiters();
        }
        leaves
    }

    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows while the node answers commands.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Why nothing need be sent there.
    #[inline]
    pub fn problem(&self) -> Option<&'static str> {
        self.is_gone.load(Ordering::Acquire).then(|| *self.problem.lock())
    }

    /// What a command comes to, unless the node goes before.
    pub async fn unless_gone<T>(
        &self,
        command: impl Future<Output = T>,
    ) -> Result<T, &'static str> {
        let left = self.left.notified();
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        tokio::select! {
            biased;
            done = command => Ok(done),
            () = left => Err(*self.problem.lock()),
        }
    }
}

/// The error of a command to a node that is not there.
pub(in super::super) fn gone(problem: &str, doubtful: bool) -> StoreError {
    let told = format!("the key's node {problem}");
    if doubtful { StoreError::doubtful(told) } else { StoreError::unavailable(told) }
}
