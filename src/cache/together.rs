//! The commands of one caller who looks after several keys: what is ready to be sent at one time goes in one message to each node.
//!
//! Each key has a future of its own, which takes its turn, tries again and falls back as if it were the only one. Only the sending is
//! another: what such a future asks of the store is gathered, and leaves when all of them were polled. So one that waits, for its turn or
//! before its next try, keeps none of the others.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use super::Cache;
use crate::protocol::{Claim, Grant};
use crate::store::{Answer, Change, Look, Read, Store as _, StoreError};

tokio::task_local! {
    static GATHERED: Arc<Mutex<Gathered>>;
}

/// What was asked for since the last messages left.
#[derive(Default)]
struct Gathered {
    asked: Vec<Asked>,
    /// What goes on in the background.
    aside: Option<(Cache, Vec<BoxFuture<'static, ()>>)>,
}

/// What was asked of one cache's store.
struct Asked {
    cache: Cache,
    claims: Commands<Claim, Answer<Grant>>,
    changes: Commands<Change, Answer<()>>,
    reads: Commands<(), Read>,
    looks: Commands<(), Look>,
}

/// Commands of one kind, and who waits for what came of each.
struct Commands<C, S> {
    commands: Vec<(Bytes, C)>,
    waiting: Vec<oneshot::Sender<Result<S, StoreError>>>,
}

/// What all of them come to, in their order.
pub(super) async fn together<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    // Boxed, as each is handed on several times.
    let mut all: Vec<Pin<Box<F>>> = all.into_iter().map(Box::pin).collect();
    if all.len() == 1
        && let Some(one) = all.pop()
    {
        return vec![one.await];
    }
    let gathered = Arc::default();
    // Else the runtime would have only some of them polled at a time.
    let all = GATHERED.scope(Arc::clone(&gathered), unconstrained(join_all(all)));
    let mut all = pin!(all);
    let mut under_way = FuturesUnordered::new();
    poll_fn(|context| {
        loop {
            let outcomes = all.as_mut().poll(context);
            let Gathered { asked, aside } = std::mem::take(&mut *gathered.lock());
            if let Some((cache, aside)) = aside {
                go_on_aside(&cache, aside);
            }
            if outcomes.is_ready() {
                return outcomes;
            }
            under_way.extend(asked.into_iter().flat_map(Asked::messages));
            if !matches!(under_way.poll_next_unpin(context), Poll::Ready(Some(()))) {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn go_on_aside(cache: &Cache, aside: Vec<BoxFuture<'static, ()>>) {
    cache.spawn(async move {
        together(aside).await;
    });
}

impl Cache {
    /// Lets it go on in the background, with what else the same caller lets go on there.
    pub(super) fn spawn_aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task = Some(task);
        let _alone = GATHERED.try_with(|gathered| {
            let mut gathered = gathered.lock();
            let (_, aside) = gathered.aside.get_or_insert_with(|| (self.clone(), Vec::new()));
            aside.extend(task.take().map(|task| Box::pin(task) as BoxFuture<'static, ()>));
        });
        if let Some(task) = task {
            self.spawn(task);
        }
    }

    /// Asks the store, with what else the same caller asks.
    pub(super) async fn send_claim(
        &self,
        key: &[u8],
        claim: &Claim,
    ) -> Result<Answer<Grant>, StoreError> {
        match self.gathered(|asked| asked.claims.wait(key, claim.clone())) {
            Some(answer) => answer.await.unwrap_or_else(|_| unanswered()),
            None => self.0.store.claim(key, claim).await,
        }
    }

    /// The same of a change.
    pub(super) async fn send_change(
        &self,
        key: &[u8],
        change: &Change,
    ) -> Result<Answer<()>, StoreError> {
        match self.gathered(|asked| asked.changes.wait(key, change.clone())) {
            Some(answer) => answer.await.unwrap_or_else(|_| unanswered()),
            None => self.0.store.change(key, change).await,
        }
    }

    /// The same of a look.
    pub(super) async fn send_look(&self, key: &[u8]) -> Result<Look, StoreError> {
        match self.gathered(|asked| asked.looks.wait(key, ())) {
            Some(answer) => answer.await.unwrap_or_else(|_| unanswered()),
            None => self.0.store.look(key).await,
        }
    }

    /// The same of plain reads.
    pub(super) async fn send_reads(&self, keys: &[Bytes]) -> Vec<Result<Read, StoreError>> {
        let wait = |asked: &mut Asked| {
            let wait = keys.iter().map(|key| asked.reads.wait(key, ()));
            wait.collect::<Vec<_>>()
        };
        match self.gathered(wait) {
            Some(answers) => {
                let answers = join_all(answers).await.into_iter();
                answers.map(|answer| answer.unwrap_or_else(|_| unanswered())).collect()
            }
            None => self.0.store.get_many(keys).await,
        }
    }

    /// Adds to what is gathered; `None` where nothing is. The embedded store has no messages.
    fn gathered<T>(&self, add: impl FnOnce(&mut Asked) -> T) -> Option<T> {
        if self.is_embedded() {
            return None;
        }
        let add = |gathered: &Arc<Mutex<Gathered>>| {
            let asked = &mut gathered.lock().asked;
            let is_its = |asked: &Asked| Arc::ptr_eq(&asked.cache.0, &self.0);
            let place = asked.iter().position(is_its).unwrap_or_else(|| {
                asked.push(Asked::of(self));
                asked.len() - 1
            });
            add(&mut asked[place])
        };
        GATHERED.try_with(add).ok()
    }
}

/// Without an answer the message was dropped, and then so is who waits.
fn unanswered<T>() -> Result<T, StoreError> {
    Err(StoreError::doubtful("the store gave this command no answer"))
}

impl Asked {
    fn of(cache: &Cache) -> Self {
        Asked {
            cache: cache.clone(),
            claims: Commands::default(),
            changes: Commands::default(),
            reads: Commands::default(),
            looks: Commands::default(),
        }
    }

    /// For each kind one.
    fn messages(self) -> impl Iterator<Item = BoxFuture<'static, ()>> {
        let Asked { cache, claims, changes, reads, looks } = self;
        let of = || cache.clone();
        let messages = [
            claims.message(of(), |cache, claims| {
                Box::pin(async move { cache.0.store.claim_many(&claims).await })
            }),
            changes.message(of(), |cache, changes| {
                Box::pin(async move { cache.0.store.change_many(&changes).await })
            }),
            reads.once(of(), |cache, keys| {
                Box::pin(async move { cache.0.store.get_many(&keys).await })
            }),
            looks.once(of(), |cache, keys| {
                Box::pin(async move { cache.0.store.look_many(&keys).await })
            }),
        ];
        messages.into_iter().flatten()
    }
}

type Answers<S> = BoxFuture<'static, Vec<Result<S, StoreError>>>;

impl<C, S: Send + 'static> Commands<C, S> {
    fn wait(&mut self, key: &[u8], command: C) -> oneshot::Receiver<Result<S, StoreError>> {
        let (told, answer) = oneshot::channel();
        self.commands.push((Bytes::copy_from_slice(key), command));
        self.waiting.push(told);
        answer
    }

    fn message(
        self,
        cache: Cache,
        send: impl FnOnce(Cache, Vec<(Bytes, C)>) -> Answers<S>,
    ) -> Option<BoxFuture<'static, ()>> {
        if self.commands.is_empty() {
            return None;
        }
        let (answers, waiting) = (send(cache, self.commands), self.waiting);
        Some(Box::pin(async move {
            for (told, answer) in waiting.into_iter().zip(answers.await) {
                let _gone = told.send(answer);
            }
        }))
    }
}

impl<S: Clone + Send + 'static> Commands<(), S> {
    /// Each key once, as what was read of it is the same for all who asked before.
    fn once(
        self,
        cache: Cache,
        send: impl FnOnce(Cache, Vec<Bytes>) -> Answers<S>,
    ) -> Option<BoxFuture<'static, ()>> {
        if self.commands.is_empty() {
            return None;
        }
        let mut places: HashMap<Bytes, usize, RandomState> = HashMap::default();
        let (mut keys, mut waiting) = (Vec::new(), Vec::<Vec<_>>::new());
        for ((key, ()), told) in self.commands.into_iter().zip(self.waiting) {
            let place = *places.entry(key).or_insert_with_key(|key| {
                keys.push(key.clone());
                waiting.push(Vec::new());
                keys.len() - 1
            });
            waiting[place].push(told);
        }
        let answers = send(cache, keys);
        Some(Box::pin(async move {
            for (all, answer) in waiting.into_iter().zip(answers.await) {
                for told in all {
                    let _gone = told.send(answer.clone());
                }
            }
        }))
    }
}

impl<C, S> Default for Commands<C, S> {
    fn default() -> Self {
        Commands { commands: Vec::new(), waiting: Vec::new() }
    }
}
