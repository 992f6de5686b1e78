//! Many commands of one caller: to each node in batches, of which some are under way at once.
//!
//! They do not queue with what others send, as they have come together already, and one who brings thousands is not to keep
//! the others waiting. What a batch may be is the same for both.

use std::iter::from_fn;
use std::sync::Arc;
use std::time::Instant;
use std::vec::IntoIter;

use aerospike::Key;
use futures_util::StreamExt;
use futures_util::stream::iter;

use super::batch::send;
use super::lane::{MOST, MOST_BYTES, late};
use super::{Answer, Lanes, Run, gone};
use crate::protocol::Claim;
use crate::store::aerospike::Connected;
use crate::store::aerospike::commands::{self, Plan};
use crate::store::{Change, StoreError};

/// How many batches to a node are under way at once, where nobody has said it.
const BATCHES: usize = 4;
/// How many commands are under way to a node where each goes by itself, and takes a connection.
const SINGLES: usize = 32;

/// What one caller may have many of.
pub(in super::super) trait Command: Clone + Send + Sync + 'static {
    fn plan(&self, on: &Connected) -> Plan;
}

impl Command for Claim {
    fn plan(&self, on: &Connected) -> Plan {
        commands::claim(self, &on.write, &on.terms)
    }
}

impl Command for Change {
    fn plan(&self, on: &Connected) -> Plan {
        commands::change(self, &on.write, &on.terms)
    }
}

/// A command, and its place in what was asked for.
pub(in super::super) struct Asked<C> {
    pub place: usize,
    pub key: Key,
    pub command: C,
}

/// What goes in one message.
type Batch = Vec<(usize, Key, Plan)>;
/// What came of it.
type Told = Vec<(usize, Answer<Run>)>;

impl Connected {
    /// Runs commands whose keys are all at one node. A time-out after they were asked for no more are sent, so that all end
    /// within two, as does what waits for a message.
    pub(in super::super) async fn run_many<C: Command>(
        &self,
        lanes: Arc<Lanes>,
        commands: Vec<Asked<C>>,
    ) -> Told {
        let (most, at_once) = if self.merger.is_on && lanes.writes.takes_batches() {
            (MOST, self.merger.messages.unwrap_or(BATCHES))
        } else {
            (1, SINGLES)
        };
        let (since, several) = (Instant::now(), commands.len() > most);
        let mut told = Vec::with_capacity(commands.len());
        let mut left = commands.into_iter();
        // A batch is built when its turn comes.
        let batches = iter(from_fn(|| self.next_batch(&mut left, most)));
        let lanes = &*lanes;
        let mut sent = batches
            .map(|batch| self.run_batch(lanes, batch, since, several))
            .buffer_unordered(at_once);
        while let Some(answers) = sent.next().await {
            told.extend(answers);
        }
        told
    }

    /// As many as go in one message.
    fn next_batch<C: Command>(&self, left: &mut IntoIter<Asked<C>>, most: usize) -> Option<Batch> {
        let mut batch = Batch::with_capacity(most.min(left.len()));
        let mut bytes = 0;
        while batch.len() < most && bytes < MOST_BYTES {
            let Some(Asked { place, key, command }) = left.next() else { break };
            let plan = command.plan(self);
            bytes += plan.bytes;
            batch.push((place, key, plan));
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn run_batch(
        &self,
        lanes: &Lanes,
        mut batch: Batch,
        since: Instant,
        several: bool,
    ) -> Told {
        let problem = lanes.presence.problem().map(|problem| gone(problem, false));
        let is_late = || (since.elapsed() > self.merger.patience).then(late);
        if let Some(error) = problem.or_else(is_late) {
            return batch.into_iter().map(|(place, ..)| (place, Err(error.clone()))).collect();
        }
        if batch.len() == 1
            && let Some((place, key, plan)) = batch.pop()
        {
            return vec![(place, self.alone(lanes, key, Run(Box::new(plan))).await)];
        }
        self.merger.counts.sent(batch.len());
        let (places, rows): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|(place, key, plan)| (place, plan.row(key))).unzip();
        let silent = || Err(StoreError::doubtful("the server gave this command no answer"));
        let answers = send::<Run>(self, lanes, rows, several).await;
        let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(silent));
        places.into_iter().zip(answers).collect()
    }
}
