//! Where commands run: the client's connections, and its look-out for nodes, live in the runtime that it was
//! opened in.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::panics;
use crate::store::StoreError;

/// The runtime that a store was opened in.
#[derive(Clone)]
pub(super) struct Home {
    runtime: Handle,
    /// How long a command may take from another runtime: the wait for this one, for its turn, and under way.
    bound: Duration,
}

/// What looks at every node, and waits for each, takes at most.
const LOOK_TIME: Duration = Duration::from_secs(30);

impl Home {
    /// The runtime of the caller, and the time-out of a command.
    pub fn here(timeout: Duration) -> Self {
        Home { runtime: Handle::current(), bound: 3 * timeout }
    }

    /// Runs a command at home, directly where the caller is there. `write`: whether it may change anything.
    /// A panic of the client, at an answer that is malformed, is an error of this command.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "else a command is copied each time it is handed on")]
    pub fn run<T: Send + 'static>(
        &self,
        write: bool,
        command: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        self.within(self.bound, write, command)
    }

    /// The same for what takes longer than a command, and changes nothing.
    pub fn take_time<T: Send + 'static>(
        &self,
        look: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        self.within(LOOK_TIME, false, look)
    }

    /// No `async fn`, which would hold the command twice.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as above")]
    fn within<T: Send + 'static>(
        &self,
        bound: Duration,
        write: bool,
        command: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        let unanswered = move |message: String| {
            if write { StoreError::doubtful(message) } else { StoreError::unavailable(message) }
        };
        let command = AssertUnwindSafe(command).catch_unwind();
        let command = command.map(move |done| {
            let failed = "the client failed at the server's answer";
            done.map_err(|panic| {
                unanswered(format!("{failed}: {}", panics::told(&*panic).unwrap_or("a panic")))
            })
        });
        if Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id()) {
            return command.left_future();
        }
        let task = self.runtime.spawn(command);
        let away = async move {
            match timeout(bound, task).await {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Err(unanswered(ENDED.into())),
                Err(_) => Err(unanswered(STANDS.into())),
            }
        };
        // Boxed, as it is seldom, and would make every command's future larger.
        Box::pin(away).right_future()
    }
}

const ENDED: &str =
    "the runtime that this cache was opened in has ended: open it in one that lives as long";
const STANDS: &str = "the runtime that this cache was opened in is not driven, or busy for longer than a \
                      command may take: open the cache in one that is driven all the time";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_client_is_an_error_of_the_command() {
        let home = Home::here(Duration::from_secs(1));
        let malformed = async { panic!("index out of range") };
        let error: StoreError = home.run::<()>(true, malformed).await.unwrap_err();
        assert!(error.in_doubt() && error.to_string().contains("index out of range"), "{error}");
        assert_eq!(home.run(false, async { 7 }).await.unwrap(), 7);
    }
}
