//! A batch under way, and what becomes of its rows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use aerospike::{BatchOperation, Error};
use futures_util::FutureExt;
use tokio::sync::oneshot::Sender;
use tokio::task::yield_now;

use super::lane::{Callers, Job};
use super::work::{is_of_the_batch, takes_none};
use super::{Answer, Lanes, Turn, Way, Work, gone};
use crate::panics;
use crate::store::StoreError;
use crate::store::aerospike::{Connected, batch_of, outcome};

/// Sends a batch, and tells each caller what came of it.
pub(super) async fn travel<W: Work>(mut turn: Turn<W>, jobs: Vec<Job<W>>) {
    let on = Arc::clone(&turn.on);
    let (now, counts) = (Instant::now(), &on.merger.counts);
    let mut rows = Vec::with_capacity(jobs.len());
    let mut callers = Vec::with_capacity(jobs.len());
    let told = jobs.iter().map(|job| job.waiters.len()).sum();
    counts.sent(told);
    for job in jobs {
        counts.queued_micros.fetch_add(job.waited_micros(now), Relaxed);
        callers.push((job.key.digest(), job.waiters));
        rows.push(job.work.row(&on, job.key));
    }
    let answers = send::<W>(&on, &turn.lanes, rows, false).await;
    turn.done(told);
    for (callers, answer) in callers.into_iter().zip(answers) {
        tell(&on, callers, answer);
    }
    // Those who were told come again before it is looked who waits.
    yield_now().await;
    drop(turn);
}

/// Sends rows to a node in one message. What came of each; without an answer it is to go by itself, which no write does.
/// `several`: its caller has more of them under way.
pub(super) async fn send<W: Work>(
    on: &Connected,
    lanes: &Lanes,
    mut rows: Vec<BatchOperation>,
    several: bool,
) -> Vec<Option<Answer<W>>> {
    let policy = batch_of(W::policy(on), several);
    let batch = Box::pin(lanes.client.batch(&policy, &mut rows));
    let sent = lanes.presence.unless_gone(batch);
    match AssertUnwindSafe(sent).catch_unwind().await {
        Ok(Err(problem)) => vec![Some(Err(gone(problem, W::WRITES))); rows.len()],
        Ok(Ok(whole)) => {
            let whole = whole.err();
            match &whole {
                Some(error) => on.forgive(&lanes.client, error),
                None => lanes.presence.answered(),
            }
            answers::<W>(lanes, rows, whole.as_ref())
        }
        // At an answer that is malformed.
        Err(panic) => {
            let told = panics::told(&*panic).unwrap_or("a panic");
            let failed =
                StoreError::doubtful(format!("the client failed at the server's answer: {told}"));
            vec![W::WRITES.then(|| Err(failed)); rows.len()]
        }
    }
}

/// What came of each row. Notes what they weigh on average, where that is known.
fn answers<W: Work>(
    lanes: &Lanes,
    rows: Vec<BatchOperation>,
    whole: Option<&Error>,
) -> Vec<Option<Answer<W>>> {
    let (mut weight, mut weighed) = (0, 0);
    // A server that refuses a batch tells it of one row, and of the others nothing.
    let refusal =
        rows.iter().filter_map(BatchOperation::error).find(|error| is_of_the_batch(error));
    let refusal = refusal.cloned();
    if refusal.as_ref().is_some_and(takes_none) || whole.is_some_and(takes_none) {
        lanes.reads.refused();
        lanes.looks.refused();
        lanes.writes.refused();
    }
    let whole = whole.or(refusal.as_ref());
    let answer = |row| {
        let answer = match outcome(row, whole) {
            Some(outcome) => W::answer(outcome),
            None => W::WRITES.then(|| Err(StoreError::doubtful("the batch left no answer"))),
        };
        if let Some(bytes) = answer.as_ref().and_then(W::weight) {
            weight += bytes;
            weighed += 1;
        }
        answer
    };
    let answers = rows.into_iter().map(answer).collect();
    W::lane(lanes).learn(weight.checked_div(weighed));
    answers
}

/// Each hears the same; without an answer it goes by itself.
fn tell<W: Work>(
    on: &Connected,
    (digest, mut callers): ([u8; 20], Callers<W>),
    answer: Option<Answer<W>>,
) {
    let send = |caller: Sender<Way<W>>, answer| {
        let _gone = caller.send(match answer {
            Some(answer) => Way::Back(answer),
            None => Way::Again(on.key_of(digest)),
        });
    };
    let last = callers.pop();
    for caller in callers {
        send(caller, answer.clone());
    }
    if let Some(last) = last {
        send(last, answer);
    }
}
