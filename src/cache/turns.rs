//! Writers of one key take turns within a process: a server keeps a short queue for each key, and refuses whoever
//! finds it full (20 by default, answer 14).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Reserves of one key that are under way at once.
const AT_ONCE: usize = 8;

/// How long one waits for its turn. After that it goes all the same: this is a courtesy, not a lock.
const PATIENCE: Duration = Duration::from_secs(2);

/// The keys with reserves under way.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Bytes, Arc<Semaphore>>>);

/// One of the reserves that may be under way.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    key: &'t Bytes,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub async fn take<'t>(&'t self, key: &'t Bytes) -> Turn<'t> {
        let mut turn = Turn { turns: self, key, permit: None };
        let queue = {
            let mut keys = self.0.lock();
            let new = || Arc::new(Semaphore::new(AT_ONCE));
            Arc::clone(keys.entry(key.clone()).or_insert_with(new))
        };
        turn.permit = timeout(PATIENCE, queue.acquire_owned()).await.ok().and_then(Result::ok);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut keys = self.turns.0.lock();
        // Under the lock that every newcomer takes it from.
        if keys.get(self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            keys.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn so_many_go_at_once_the_others_follow_and_nothing_is_left() {
        let (turns, key) = (Turns::default(), Bytes::from("k"));
        let mut held = join_all((0..AT_ONCE).map(|_| turns.take(&key))).await;
        let mut next = Box::pin(turns.take(&key));
        assert!(poll!(&mut next).is_pending());
        let other = Bytes::from("other");
        drop(turns.take(&other).await);
        held.pop();
        drop(next.await);
        let gone = Box::pin(turns.take(&key));
        drop(gone);
        drop(held);
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_goes_all_the_same() {
        let (turns, key) = (Turns::default(), Bytes::from("k"));
        let _held = join_all((0..AT_ONCE).map(|_| turns.take(&key))).await;
        assert!(turns.take(&key).await.permit.is_none());
    }
}
