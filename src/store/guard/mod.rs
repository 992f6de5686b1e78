//! A lease on the cluster: for as long as its nodes are known to agree who is in it.
//!
//! Where a namespace is not strongly consistent, a node that was paused, or cut off, serves what it had, and brings it
//! back when it returns. It shows itself by the *key* that the nodes of a cluster give each other anew whenever somebody
//! comes or goes. So all nodes are asked for it, several times in the time that a lease lasts, and what a cache says,
//! claims or stores counts only while they agree. The rules are the model checker's (`tests/model/cluster.rs`):
//!
//! * the lease counts from before the question was sent;
//! * more than half of the largest membership that is known must have given the key, and the node that a command goes
//!   to: nothing is sent to one that has not;
//! * after a new key others may hold leases under the old one for as long as a lease lasts: until then nothing is
//!   claimed;
//! * a claim is confirmed by a majority that was asked after it was granted, as a cluster that is not yet known may have
//!   granted it;
//! * how long leases last at most, and how many nodes there were, is agreed on by all (`aerospike/contract.rs`).

mod round;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::StoreError;
use super::system::going_on;
pub(crate) use round::Round;
#[cfg(any(feature = "aerospike", test))]
pub(crate) use round::Told;
use round::{Agreed, Disagreed};

/// The lease on the cluster that a store's commands count under.
pub(crate) struct Guard {
    span: Duration,
    /// How long others' leases may last, in microseconds.
    longest: AtomicU64,
    /// How many nodes there are, if somebody has said it; else 0.
    size: usize,
    /// Which lease it is: another one after each gap, and after each change of the key.
    standing: AtomicU64,
    /// When it ends, in microseconds of the clock that goes on.
    until: AtomicU64,
    members: AtomicUsize,
    state: Mutex<State>,
    /// The rounds of questions that have ended.
    ended: watch::Sender<Ended>,
    begun: AtomicU64,
    asked: Notify,
}

/// A lease that held at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing(u64);

/// The numbers of the last rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    last: u64,
    /// The last that found a majority.
    agreed: u64,
}

#[derive(Default)]
struct State {
    key: Option<String>,
    /// The key under which was agreed with others last on what all reckon with.
    agreed: Option<String>,
    /// The key under which nodes said how many they are.
    counted: Option<String>,
    /// Nothing is claimed before.
    claims_from: Duration,
    largest: usize,
    /// Why there is no lease.
    problem: Option<String>,
    lost_at: Option<Duration>,
    lost: u64,
    without: Duration,
}

/// How often the nodes are asked in the time that a lease lasts, at least.
const ROUNDS: u32 = 4;

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Guard {
    /// A lease lasts for `span`. `size`: how many nodes the cluster has at least, if somebody has said it.
    pub fn new(span: Duration, size: usize) -> Self {
        Guard {
            span,
            longest: AtomicU64::new(micros(span)),
            size,
            standing: AtomicU64::new(0),
            until: AtomicU64::new(0),
            members: AtomicUsize::new(0),
            state: Mutex::default(),
            ended: watch::Sender::new(Ended::default()),
            begun: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }

    /// The present lease, which may be over.
    #[inline]
    pub fn standing(&self) -> Standing {
        Standing(self.standing.load(Ordering::Acquire))
    }

    /// What is left of a lease. Nothing, where there was a gap since.
    #[inline]
    pub fn left(&self, standing: Standing) -> Duration {
        self.left_at(standing, going_on())
    }

    /// The same, by who has read the clock.
    #[inline]
    pub fn left_at(&self, standing: Standing, now: Duration) -> Duration {
        let until = Duration::from_micros(self.until.load(Ordering::Acquire));
        if self.standing() != standing {
            return Duration::ZERO;
        }
        until.saturating_sub(now)
    }

    /// Whether a lease has held without a gap until now.
    #[inline]
    pub fn holds(&self, standing: Standing) -> bool {
        self.left(standing) > Duration::ZERO
    }

    /// Whether there is certainly no lease.
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.until.load(Ordering::Relaxed) == 0
    }

    /// How long a lease lasts.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// How many nodes there are, as far as is known.
    pub fn known(&self) -> usize {
        self.state.lock().largest.max(self.size)
    }

    /// Whether somebody has said how many there are.
    pub fn is_told_size(&self) -> bool {
        self.size > 0
    }

    /// The key of the cluster that is known now.
    pub fn key(&self) -> Option<String> {
        self.state.lock().key.clone()
    }

    /// What was agreed on with all others, from when this was the `key` on: for how long one waits for their leases, and
    /// how many nodes there were.
    pub fn agree(&self, key: Option<String>, longest: Duration, nodes: usize) {
        let mut state = self.state.lock();
        state.agreed = key;
        let longest = longest.max(self.span);
        let before = self.longest.swap(micros(longest), Ordering::Relaxed);
        // A wait that has begun was too short.
        state.claims_from += longest.saturating_sub(Duration::from_micros(before));
        if !self.is_told_size() {
            state.largest = state.largest.max(nodes);
            if self.members.load(Ordering::Relaxed) * 2 <= state.largest {
                // It was the majority of those that were known. The next round says so.
                self.until.store(0, Ordering::Release);
                self.standing.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Whether the cluster has changed since, so that what was agreed on may be gone. Asked again, it has not.
    pub fn must_agree(&self) -> bool {
        let State { agreed, key, .. } = &mut *self.state.lock();
        let changed = agreed.is_some() && agreed != key;
        if changed {
            agreed.clone_from(key);
        }
        changed
    }

    /// How long a node may take to say who is in the cluster.
    pub fn patience(&self) -> Duration {
        self.span / 2
    }

    /// Whether the nodes have said how many they are since the last change, and for how long.
    pub fn knows_cluster(&self) -> bool {
        let state = self.state.lock();
        state.key.is_some() && state.counted == state.key
    }

    /// Whether the cluster has several nodes, so that one of them may be cut off.
    pub fn may_split(&self) -> bool {
        self.members.load(Ordering::Relaxed) > 1
    }

    /// The lease, if something may be claimed under it now.
    pub fn for_claims(&self) -> Option<Standing> {
        let standing = self.standing();
        let waits = self.state.lock().claims_from > going_on();
        (!waits && self.holds(standing)).then_some(standing)
    }

    /// The same; where nobody asked the nodes for a while, as in a process that was paused, they are asked first.
    pub async fn for_claims_soon(&self) -> Option<Standing> {
        let standing = self.for_claims();
        if standing.is_some() || self.is_lost() || self.holds(self.standing()) {
            return standing;
        }
        self.has_ended(self.ask(), self.patience()).await;
        self.for_claims()
    }

    /// The lease, as soon as something may be claimed under it.
    ///
    /// # Errors
    /// There is none within that time; why.
    pub async fn settled(&self, within: Duration) -> Result<Standing, StoreError> {
        let mut ended = self.ended.subscribe();
        let settled = async {
            loop {
                if let Some(standing) = self.for_claims() {
                    return standing;
                }
                let wait = self.state.lock().claims_from.saturating_sub(going_on());
                if wait > Duration::ZERO {
                    sleep(wait).await;
                } else {
                    let _ = ended.changed().await;
                }
            }
        };
        timeout(within, settled).await.map_err(|_| self.absence())
    }

    /// Asks for a round that begins after this call. Its number.
    pub fn ask(&self) -> u64 {
        let next = self.begun.load(Ordering::Acquire) + 1;
        self.asked.notify_one();
        next
    }

    /// Whether the lease holds still, and the nodes were asked since [`ask`](Guard::ask), and agreed.
    pub async fn confirm(&self, standing: Standing, round: u64, within: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        let agreed = async {
            while self.holds(standing) {
                if ended.borrow_and_update().agreed >= round {
                    return true;
                }
                if ended.changed().await.is_err() {
                    break;
                }
            }
            false
        };
        timeout(within, agreed).await.unwrap_or(false) && self.holds(standing)
    }

    /// Whether a round ends within that time.
    async fn has_ended(&self, round: u64, within: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        let heard = timeout(within, ended.wait_for(|ended| ended.last >= round)).await;
        heard.is_ok_and(|heard| heard.is_ok())
    }

    /// Waits until it is time for the next round, or somebody asks for one.
    pub async fn next_round(&self, least: Duration) {
        sleep(least).await;
        let rest = (self.span / ROUNDS).saturating_sub(least);
        let _ = timeout(rest, self.asked.notified()).await;
    }

    /// Where a round begins: what is asked from now on is part of it. Its number, and when that is.
    pub fn begin(&self) -> (u64, Duration) {
        (self.begun.fetch_add(1, Ordering::AcqRel) + 1, going_on())
    }

    /// Whether a round finds a majority.
    pub fn agrees(&self, round: &Round) -> bool {
        let state = self.state.lock();
        round.agreed(state.largest.max(self.size), state.key.as_deref()).is_ok()
    }

    /// What became of a round.
    pub fn hear(&self, round: &Round) {
        let agreed = self.judge(round, going_on());
        self.ended.send_modify(|ended| {
            ended.last = round.number.max(ended.last);
            if agreed {
                ended.agreed = round.number.max(ended.agreed);
            }
        });
    }

    /// Why there is no lease.
    pub fn absence(&self) -> StoreError {
        let problem = self.state.lock().problem.clone();
        StoreError::unavailable(problem.unwrap_or_else(|| {
            if self.holds(self.standing()) {
                "the cluster has just changed, and others may not know it yet".into()
            } else {
                "the nodes were not asked for a while who is in the cluster: this process was paused, or the runtime \
                 of its cache not driven"
                    .into()
            }
        }))
    }

    /// How often the lease was lost, and how long there was none, in microseconds.
    pub fn losses(&self) -> (u64, u64) {
        let state = self.state.lock();
        let now = state.lost_at.map_or(Duration::ZERO, |at| going_on().saturating_sub(at));
        (state.lost, micros(state.without + now))
    }

    /// A node is not sent anything any more: what is under way there does not count.
    pub fn break_off(&self) {
        self.standing.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it found a majority.
    fn judge(&self, round: &Round, now: Duration) -> bool {
        let mut state = self.state.lock();
        let held = Duration::from_micros(self.until.load(Ordering::Relaxed)) > now;
        let agreed = match round.agreed(state.largest.max(self.size), state.key.as_deref()) {
            Ok(agreed) => agreed,
            Err(Disagreed { problem, said }) => {
                // Silence may be over before the lease is; a node that says otherwise ends it.
                if said || !held {
                    self.until.store(0, Ordering::Release);
                }
                state.lose(problem, now, held && !said);
                return false;
            }
        };
        let Agreed { key, since, members } = agreed;
        self.members.store(members, Ordering::Relaxed);
        // Of those that nobody here has heard of, too.
        state.largest = state.largest.max(members).max(round.size);
        if round.size > 0 {
            state.counted = Some(key.clone());
        }
        let changed = state.key.as_ref() != Some(&key);
        if changed || !held {
            self.until.store(0, Ordering::Release);
            self.standing.fetch_add(1, Ordering::AcqRel);
        }
        if changed {
            // Others may hold leases under the key before, if that was a short time ago.
            let since = if state.key.is_none() { now.saturating_sub(since) } else { now };
            let longest = Duration::from_micros(self.longest.load(Ordering::Relaxed));
            state.claims_from = since + longest;
            state.key = Some(key);
        }
        state.regain(now);
        self.until.store(micros(round.sent + self.span), Ordering::Release);
        true
    }
}

impl State {
    fn lose(&mut self, problem: String, now: Duration, holds: bool) {
        if holds {
            return;
        }
        if self.lost_at.is_none() {
            tracing::warn!(%problem, "no lease on the cluster: until its nodes agree, reads bypass");
            self.lost_at = Some(now);
            self.lost += 1;
        }
        self.problem = Some(problem);
    }

    fn regain(&mut self, now: Duration) {
        if let Some(at) = self.lost_at.take() {
            let without = now.saturating_sub(at);
            self.without += without;
            tracing::info!(?without, "a lease on the cluster again");
        }
        self.problem = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(1);

    fn key(key: &str) -> Told {
        Told::Key(key.into(), Duration::ZERO)
    }

    fn round(told: &[Told]) -> Round {
        let names = ["a", "b", "c", "d"].map(String::from);
        Round {
            number: 0,
            sent: going_on(),
            all: false,
            size: 0,
            told: names.into_iter().zip(told.iter().cloned()).collect(),
        }
    }

    fn guard(size: usize) -> Guard {
        Guard::new(SPAN, size)
    }

    #[test]
    fn a_lease_holds_while_all_agree_and_a_new_key_is_another_lease() {
        let guard = guard(0);
        assert!(!guard.holds(guard.standing()));
        guard.hear(&round(&[key("1"), key("1")]));
        let first = guard.standing();
        assert!(guard.holds(first) && guard.left(first) <= SPAN);
        guard.hear(&round(&[key("1"), key("1")]));
        assert!(guard.holds(first), "the same without a gap");
        guard.hear(&round(&[key("2"), key("2")]));
        assert!(!guard.holds(first) && guard.holds(guard.standing()));
    }

    #[test]
    fn who_is_not_of_the_majority_counts_for_nothing_and_without_one_there_is_no_lease() {
        let guard = guard(0);
        guard.hear(&round(&[key("1"), key("1"), key("1")]));
        let first = guard.standing();
        for other in [key("2"), Told::Absent, Told::Nothing("silence".into())] {
            guard.hear(&round(&[key("1"), key("1"), other]));
            assert!(guard.holds(first));
        }
        let silent = || Told::Nothing("no answer".into());
        guard.hear(&round(&[key("1"), silent(), silent()]));
        assert!(guard.holds(first), "silence may be over before it is");
        guard.hear(&round(&[key("1"), key("2"), silent()]));
        assert!(!guard.holds(first) && !guard.holds(guard.standing()));
        let told = guard.absence().to_string();
        assert!(
            told.contains("1 of 3 nodes agree") && told.contains("c does not answer"),
            "{told}"
        );
        guard.hear(&round(&[key("1"), key("1"), key("1")]));
        assert!(!guard.holds(first), "there was a gap");
        assert_eq!(guard.losses().0, 1);
        let told = Guard::new(SPAN, 3);
        told.hear(&round(&[key("1")]));
        assert!(!told.holds(told.standing()), "one of three that were told of");
    }

    #[test]
    fn another_key_ends_the_lease_also_where_nobody_else_says_anything() {
        let guard = guard(0);
        guard.hear(&round(&[key("1"), key("1"), key("1")]));
        let first = guard.standing();
        let silent = || Told::Nothing("no answer".into());
        guard.hear(&round(&[silent(), silent(), key("1")]));
        assert!(guard.holds(first), "it is as before");
        guard.hear(&round(&[silent(), silent(), key("2")]));
        assert!(!guard.holds(first));
    }

    #[test]
    fn nodes_count_that_only_other_nodes_know() {
        let guard = guard(0);
        guard.hear(&round(&[key("1")]));
        assert!(guard.holds(guard.standing()) && !guard.knows_cluster());
        guard.hear(&Round { size: 3, ..round(&[key("1")]) });
        guard.hear(&Round { size: 3, ..round(&[key("2")]) });
        assert!(!guard.holds(guard.standing()), "one of three");
        guard.hear(&Round { size: 3, ..round(&[key("2"), key("2")]) });
        assert!(guard.holds(guard.standing()) && guard.knows_cluster());
        guard.hear(&round(&[key("3"), key("3")]));
        assert!(!guard.knows_cluster(), "it is another");
    }

    #[test]
    fn where_nobody_knows_the_way_of_commands_all_must_agree_that_are_there() {
        let guard = guard(0);
        let hear = |told: &[Told]| guard.hear(&Round { all: true, ..round(told) });
        hear(&[key("1"), key("1"), key("1")]);
        hear(&[key("1"), key("1"), Told::Absent]);
        assert!(guard.holds(guard.standing()));
        hear(&[key("1"), key("1"), key("2")]);
        assert!(!guard.holds(guard.standing()));
    }

    #[test]
    fn what_is_under_way_to_a_node_that_leaves_does_not_count() {
        let guard = guard(0);
        guard.hear(&round(&[key("1"), key("1"), key("1")]));
        let first = guard.standing();
        guard.break_off();
        assert!(!guard.holds(first) && guard.holds(guard.standing()));
    }

    #[test]
    fn nothing_is_claimed_while_others_may_hold_the_lease_before() {
        let guard = guard(0);
        guard.hear(&round(&[Told::Key("1".into(), 2 * SPAN)]));
        assert!(guard.for_claims().is_some(), "it has been that for long");
        guard.hear(&round(&[Told::Key("2".into(), 2 * SPAN)]));
        assert!(guard.holds(guard.standing()) && guard.for_claims().is_none());
        let new = Guard::new(SPAN, 0);
        new.hear(&round(&[key("1")]));
        assert!(new.for_claims().is_none(), "nobody knows for how long");
    }

    #[test]
    fn others_may_have_longer_leases_and_have_seen_more_nodes() {
        let guard = guard(0);
        guard.hear(&round(&[Told::Key("1".into(), 2 * SPAN)]));
        assert!(!guard.must_agree(), "nothing was agreed on yet");
        guard.agree(guard.key(), 4 * SPAN, 3);
        assert!(!guard.must_agree());
        guard.hear(&round(&[key("2"), key("2")]));
        assert!(guard.must_agree() && !guard.must_agree(), "once for each key");
        let wait = guard.state.lock().claims_from.saturating_sub(going_on());
        assert!(wait > 3 * SPAN, "{wait:?}");
        guard.hear(&round(&[key("3")]));
        assert!(!guard.holds(guard.standing()), "one of three");
        let new = Guard::new(SPAN, 0);
        new.hear(&round(&[key("1")]));
        let from = new.state.lock().claims_from;
        new.agree(new.key(), 4 * SPAN, 3);
        assert_eq!(new.state.lock().claims_from, from + 3 * SPAN, "also the wait that has begun");
        assert!(!new.holds(new.standing()), "one of three, as it now knows");
        let told = Guard::new(SPAN, 1);
        told.hear(&round(&[key("1")]));
        told.agree(told.key(), SPAN, 3);
        told.hear(&round(&[key("1")]));
        assert!(told.holds(told.standing()), "somebody said that there is one");
    }

    #[test]
    fn it_counts_from_before_the_question() {
        let guard = guard(0);
        let mut late = round(&[key("1")]);
        late.sent = late.sent.saturating_sub(SPAN);
        guard.hear(&late);
        assert!(!guard.holds(guard.standing()));
    }

    #[tokio::test]
    async fn a_claim_is_confirmed_by_a_round_that_began_after_it() {
        let guard = guard(0);
        guard.hear(&round(&[key("1")]));
        let standing = guard.standing();
        let asked = guard.ask();
        assert!(!guard.confirm(standing, asked, Duration::ZERO).await);
        let under_way = guard.begin().0;
        guard.hear(&Round { number: under_way - 1, ..round(&[key("1")]) });
        assert!(!guard.confirm(standing, asked, Duration::ZERO).await);
        guard.hear(&Round { number: under_way, ..round(&[key("1")]) });
        assert!(guard.confirm(standing, asked, Duration::ZERO).await);
        let asked = guard.ask();
        let number = guard.begin().0;
        guard.hear(&Round { number, ..round(&[Told::Nothing("no answer".into())]) });
        let confirmed = guard.confirm(standing, asked, Duration::ZERO).await;
        assert!(!confirmed && guard.holds(standing), "it ended, and found nothing");
        let asked = guard.ask();
        let number = guard.begin().0;
        guard.hear(&Round { number, ..round(&[key("2")]) });
        assert!(!guard.confirm(standing, asked, Duration::ZERO).await);
    }
}
