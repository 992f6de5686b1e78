//! Commands of concurrent callers that travel together.
//!
//! Few commands go at once, each in a message of its own, sent by its caller's task. Where there are more than that
//! pays for, they gather while messages are under way, and leave as one batch when one of these is back: there is no
//! timer, and nothing waits for others to come. How many messages may be under way adapts (`pace.rs`). A message that
//! others wait for is sent by a task of its own, as a caller may be slow to look after its own, or go.
//!
//! Each node has a lane for what reads and one for what writes, so that neither a slow node nor a slow write keeps a
//! read elsewhere waiting. A row of a batch has its own policy, its own answer and its own error, as if it had gone
//! by itself. Reads of one key that wait are one read: whoever joins it began before it was sent.

mod batch;
mod lane;
mod many;
mod nodes;
mod pace;
mod presence;
mod work;

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aerospike::{BatchOperation, BatchPolicy, Client, Key};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Connected;
use super::owned::Owned;
use crate::settings::Access;
use crate::store::{StoreError, Traffic};
use lane::{Job, Lane, Step};
pub(super) use many::{Asked, Command};
pub(super) use nodes::{Heard, Nodes};
use presence::Presence;
pub(super) use presence::gone;
pub(super) use work::{Get, Look, Run};

/// What is merged.
pub(super) trait Work: Send + Sized + 'static {
    /// What a store says to it.
    type Said: Clone + Send + 'static;
    /// Whether it may change anything.
    const WRITES: bool;

    /// The bytes that it sends beside its key.
    fn bytes(&self) -> usize;
    fn row(self, on: &Connected, key: Key) -> BatchOperation;
    fn policy(on: &Connected) -> &BatchPolicy;
    /// What became of a row; `None` if it is to go again, by itself, which no write does.
    fn answer(row: aerospike::Result<aerospike::Record>) -> Option<Answer<Self>>;
    /// What the answer weighs, where that tells what the next will.
    fn weight(answer: &Answer<Self>) -> Option<usize>;
    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>>;
    /// The same once more; no write is sent twice.
    fn again() -> Option<Self>;
    fn alone(
        self,
        on: &Connected,
        client: &Client,
        key: Key,
    ) -> impl Future<Output = Answer<Self>> + Send;
}

/// What a command's caller gets.
pub(super) type Answer<W> = Result<<W as Work>::Said, StoreError>;

/// The lanes of a node, and the way there.
pub(super) struct Lanes {
    /// It knows no other node, unless the program brought it: so it is known where a command goes.
    pub client: Client,
    /// The same, where it is closed with the lanes.
    _own: Option<Owned>,
    reads: Arc<Lane<Get>>,
    looks: Arc<Lane<Look>>,
    writes: Arc<Lane<Run>>,
    pub presence: Presence,
}

/// What all lanes have in common.
pub(super) struct Merger {
    runtime: Handle,
    is_on: bool,
    /// How many messages may be under way, if somebody has said it.
    messages: Option<usize>,
    /// How long a command may wait for its turn.
    patience: Duration,
    pub counts: Counts,
}

/// See [`Traffic`].
#[derive(Default)]
pub(super) struct Counts {
    merged: AtomicU64,
    batches: AtomicU64,
    joined: AtomicU64,
    queued_micros: AtomicU64,
}

impl Counts {
    /// A message leaves, with so many commands.
    fn sent(&self, commands: usize) {
        if commands > 1 {
            self.batches.fetch_add(1, Relaxed);
            self.merged.fetch_add(commands as u64, Relaxed);
        }
    }

    pub fn traffic(&self) -> Traffic {
        Traffic {
            merged: self.merged.load(Relaxed),
            batches: self.batches.load(Relaxed),
            joined: self.joined.load(Relaxed),
            queued_micros: self.queued_micros.load(Relaxed),
            ..Traffic::default()
        }
    }
}

/// What a command waits for.
pub(super) enum Way<W: Work> {
    /// It went with others, and this came back.
    Back(Answer<W>),
    /// It went with others, to no avail, and is to go by itself.
    Again(Key),
}

/// A message under way. When it ends, what waited goes.
pub(super) struct Turn<W: Work> {
    on: Arc<Connected>,
    lanes: Arc<Lanes>,
    commands: usize,
    of: PhantomData<W>,
}

impl<W: Work> Turn<W> {
    /// Its commands are answered; those who waited for them may come again before it ends.
    fn done(&mut self, callers: usize) {
        W::lane(&self.lanes).done(std::mem::take(&mut self.commands), callers);
    }
}

impl<W: Work> Drop for Turn<W> {
    fn drop(&mut self) {
        go::<W>(&self.on, &self.lanes, W::lane(&self.lanes).back(self.commands));
    }
}

impl Merger {
    /// In this runtime.
    pub fn here(access: &Access) -> Self {
        Merger {
            runtime: Handle::current(),
            is_on: access.merge,
            messages: (access.merge_messages > 0).then_some(access.merge_messages),
            patience: access.timeout,
            counts: Counts::default(),
        }
    }

    /// `own`: a client for this node alone.
    fn lanes(&self, client: Client, own: Option<Owned>, presence: Presence) -> Lanes {
        Lanes {
            client,
            _own: own,
            reads: Lane::new(self.messages, self.patience),
            looks: Lane::new(self.messages, self.patience),
            writes: Lane::new(self.messages, self.patience),
            presence,
        }
    }
}

impl Connected {
    /// Runs a command, by itself or with others. It ends when its node is found to be gone.
    pub(super) async fn run<W: Work>(self: &Arc<Self>, key: Key, work: W) -> Answer<W> {
        let lanes = self.nodes.of(&key);
        if let Some(problem) = lanes.presence.problem() {
            return Err(gone(problem, false));
        }
        if !self.merger.is_on {
            return self.alone(&lanes, key, work).await;
        }
        let lane = W::lane(&lanes);
        let _here = lane.here();
        let way = match lane.arrive(key, work).await {
            Ok(Step::Go(key, work)) => {
                let answer = self.alone(&lanes, key, work).await;
                lane.went();
                return answer;
            }
            Ok(Step::Joined(answer)) => {
                self.merger.counts.joined.fetch_add(1, Relaxed);
                wait(answer).await
            }
            Ok(Step::Queued(answer, ready)) => {
                go::<W>(self, &lanes, ready);
                wait(answer).await
            }
            Err(error) => Way::Back(Err(error)),
        };
        match way {
            Way::Back(answer) => answer,
            Way::Again(key) => match W::again() {
                Some(work) => self.alone(&lanes, key, work).await,
                None => Err(StoreError::doubtful("the server gave this command no answer")),
            },
        }
    }
}

impl Connected {
    /// Boxed, as the client's command is several thousand bytes, which one that goes with others need not carry.
    fn alone<W: Work>(
        &self,
        lanes: &Lanes,
        key: Key,
        work: W,
    ) -> Pin<Box<impl Future<Output = Answer<W>> + Send>> {
        Box::pin(async move {
            let command = work.alone(self, &lanes.client, key);
            match lanes.presence.unless_gone(command).await {
                Ok(answer) => {
                    let is_said = |error: &StoreError| error.server_code().is_some();
                    if answer.as_ref().map_or_else(is_said, |_| true) {
                        lanes.presence.answered();
                    }
                    answer
                }
                Err(problem) => Err(gone(problem, W::WRITES)),
            }
        })
    }
}

/// Without an answer the batch was dropped, and that the runtime does when it ends.
async fn wait<W: Work>(answer: oneshot::Receiver<Way<W>>) -> Way<W> {
    answer.await.unwrap_or_else(|_| {
        let ended = "the runtime that this cache was opened in has ended";
        let lost = if W::WRITES { StoreError::doubtful } else { StoreError::unavailable };
        Way::Back(Err(lost(ended)))
    })
}

/// Sends what may go.
fn go<W: Work>(on: &Arc<Connected>, lanes: &Arc<Lanes>, ready: Vec<Vec<Job<W>>>) {
    for jobs in ready {
        let (on, lanes) = (Arc::clone(on), Arc::clone(lanes));
        let turn = Turn { on, lanes, commands: jobs.len(), of: PhantomData };
        turn.on.merger.runtime.clone().spawn(batch::travel::<W>(turn, jobs));
    }
}
