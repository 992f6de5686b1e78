//! Every command, outcome and edge of the protocol, told as what a client sends and is answered.
//!
//! Each case gets a key of its own. Claims last [`TIME`]; a target lets time pass in its own way.

use genfence::protocol::Refusal::{Condition, Generation as Stale, Missing};
use genfence::protocol::{Claim, Generation, Grant, Refusal, Time, Token, Ttl, Version};
use genfence::store::{Change, Record, Value};

use crate::target::{KeyOf, TIME, Target};

type Answer<T> = Result<T, Refusal>;

/// A key on a target, and short names for what can be sent to it.
pub struct Key<'t, T>(pub &'t T, pub KeyOf);

pub const A: Token = Token::new(0xa);
pub const B: Token = Token::new(0xffff_ffff_ffff_fff0); // negative, as a signed integer
pub const C: Token = Token::new(0xc);

pub fn ttl() -> Ttl {
    Ttl::from_secs(60).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "values may also be nothing")]
fn bytes(text: &'static str) -> Value {
    Some(text.into())
}

impl<T: Target> Key<'_, T> {
    async fn claim(&self, claim: Claim) -> Answer<Grant> {
        self.0.claim(&self.1, &claim).await
    }

    async fn change(&self, change: Change) -> Answer<()> {
        self.0.change(&self.1, &change).await
    }

    async fn lease(&self, token: Token) -> Answer<Grant> {
        self.lease_after(token, &[]).await
    }

    async fn lease_after(&self, token: Token, previous: &[Token]) -> Answer<Grant> {
        let previous = previous.to_vec();
        self.claim(Claim::Lease { token, previous, time: TIME, ttl: ttl() }).await
    }

    async fn extend(&self, token: Token, deadline: Time) -> Answer<Grant> {
        self.claim(Claim::Extend { token, deadline, time: 2 * TIME, ttl: ttl() }).await
    }

    async fn reserve(&self, token: Token) -> Grant {
        self.reserve_after(token, &[]).await
    }

    async fn reserve_after(&self, token: Token, previous: &[Token]) -> Grant {
        let previous = previous.to_vec();
        self.claim(Claim::Reserve { token, previous, time: TIME, ttl: ttl() }).await.unwrap()
    }

    async fn renew(&self, token: Token, deadline: Time) -> Answer<Grant> {
        self.claim(Claim::Renew { token, deadline, time: 2 * TIME, ttl: ttl() }).await
    }

    async fn fill(&self, token: Token, grant: Grant, value: Value) -> Answer<()> {
        self.fill_version(token, grant, value, None).await
    }

    async fn fill_version(
        &self,
        token: Token,
        grant: Grant,
        value: Value,
        version: Option<Version>,
    ) -> Answer<()> {
        let Grant { generation, deadline, .. } = grant;
        self.change(Change::Fill { token, deadline, generation, value, version, ttl: ttl() }).await
    }

    /// A lease and a fill at once.
    async fn filled(&self, text: &'static str, version: Option<Version>) {
        let grant = self.lease(C).await.unwrap();
        self.fill_version(C, grant, bytes(text), version).await.unwrap();
    }

    async fn commit(&self, token: Token, grant: Grant) -> Answer<()> {
        let Grant { generation, deadline, .. } = grant;
        let value = bytes("committed");
        self.change(Change::Commit { token, deadline, generation, value, ttl: ttl() }).await
    }

    async fn commit_version(&self, token: Token, grant: Grant, number: u64) -> Answer<()> {
        self.change(Change::CommitVersioned {
            token,
            deadline: grant.deadline,
            value: bytes("committed"),
            version: version(number),
            ttl: ttl(),
        })
        .await
    }

    async fn release(&self, token: Token, number: Option<u64>) -> Answer<()> {
        self.change(Change::Release { token, version: number.map(version), ttl: ttl() }).await
    }

    async fn abort(&self, token: Token, previous: &[Token]) -> Answer<()> {
        self.change(Change::Abort { token, previous: previous.to_vec() }).await
    }

    async fn invalidate(&self, number: Option<u64>) -> Answer<()> {
        self.change(Change::Invalidate { version: number.map(version), ttl: ttl() }).await
    }

    async fn set(&self, token: Token, text: &'static str) -> Answer<()> {
        self.change(Change::Set { token, value: bytes(text), ttl: ttl() }).await
    }

    async fn record(&self) -> Option<Record> {
        self.0.inspect(&self.1).await.map(|snapshot| snapshot.record)
    }

    async fn there(&self) -> Record {
        self.record().await.expect("the record is there")
    }

    async fn text(&self) -> Option<String> {
        let hit = self.0.get(&self.1).await?;
        Some(String::from_utf8(hit.value.expect("not nothing").to_vec()).unwrap())
    }

    async fn past(&self) {
        self.0.pass(TIME).await;
    }
}

macro_rules! cases {
    ($($name:ident($key:ident) $body:block)*) => {
        /// The names of all cases, in order.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Runs one case.
        pub async fn run<T: Target>(name: &str, key: Key<'_, T>) {
            match name {
                $(stringify!($name) => $name(key).await,)*
                _ => unreachable!("{name} is no case"),
            }
        }

        $(async fn $name<T: Target>($key: Key<'_, T>) $body)*
    };
}

cases! {
    get_of_nothing(key) {
        assert_eq!(key.text().await, None);
        assert_eq!(key.record().await, None);
    }

    lease_creates_the_record_at_generation_one(key) {
        let grant = key.lease(A).await.unwrap();
        assert_eq!((grant.generation, grant.alone), (Generation::new(1), false));
        let record = key.there().await;
        assert_eq!(record.generation, grant.generation);
        let lease = record.lease.unwrap();
        assert_eq!((lease.token, lease.deadline), (A, grant.deadline));
        assert_eq!(key.text().await, None);
    }

    lease_of_a_leased_key_is_refused_and_changes_nothing(key) {
        key.lease(A).await.unwrap();
        let before = key.there().await;
        assert_eq!(key.lease(B).await, Err(Condition));
        assert_eq!(key.there().await.lease, before.lease);
        assert_eq!(key.there().await.generation, before.generation);
    }

    lease_after_the_callers_own_earlier_attempt_is_granted(key) {
        key.lease(A).await.unwrap();
        assert_eq!(key.lease_after(B, &[C]).await, Err(Condition));
        let grant = key.lease_after(B, &[C, A]).await.unwrap();
        assert_eq!(grant.generation, Generation::new(2));
        assert_eq!(key.there().await.lease.unwrap().token, B);
    }

    lease_of_a_lapsed_lease_is_granted(key) {
        key.lease(A).await.unwrap();
        key.past().await;
        key.lease(B).await.unwrap();
    }

    lease_of_a_value_is_refused(key) {
        key.filled("v", None).await;
        assert_eq!(key.lease(A).await, Err(Condition));
        assert_eq!(key.lease_after(A, &[C]).await, Err(Condition));
    }

    lease_of_a_reserved_key_is_refused_until_the_reservation_expires(key) {
        key.reserve(A).await;
        assert_eq!(key.lease(B).await, Err(Condition));
        key.past().await;
        key.lease(B).await.unwrap();
        let record = key.there().await;
        assert!(record.reservations.is_empty() && record.alone.is_none());
    }

    extend_gives_a_new_deadline_and_generation(key) {
        let grant = key.lease(A).await.unwrap();
        let extended = key.extend(A, grant.deadline).await.unwrap();
        assert!(extended.deadline > grant.deadline);
        assert_eq!(extended.generation, Generation::new(2));
        assert_eq!(key.fill(A, grant, bytes("v")).await, Err(Stale));
        key.fill(A, extended, bytes("v")).await.unwrap();
    }

    extend_of_a_lapsed_lease_that_nobody_took_is_granted(key) {
        let grant = key.lease(A).await.unwrap();
        key.past().await;
        key.extend(A, grant.deadline).await.unwrap();
        assert_eq!(key.lease(B).await, Err(Condition));
    }

    extend_of_anothers_or_an_older_lease_is_refused(key) {
        let grant = key.lease(A).await.unwrap();
        assert_eq!(key.extend(B, grant.deadline).await, Err(Condition));
        key.extend(A, grant.deadline).await.unwrap();
        assert_eq!(key.extend(A, grant.deadline).await, Err(Condition));
    }

    extend_of_a_missing_record_is_refused(key) {
        assert_eq!(key.extend(A, Time::from_nanos(1)).await, Err(Missing));
        assert_eq!(key.record().await, None);
    }

    fill_stores_and_ends_the_lease(key) {
        let grant = key.lease(A).await.unwrap();
        key.fill(A, grant, bytes("v")).await.unwrap();
        let record = key.there().await;
        let stored = record.stored.clone().unwrap();
        assert_eq!((stored.token, stored.version), (A, None));
        assert_eq!((record.lease, record.floor), (None, None));
        assert_eq!(key.text().await.unwrap(), "v");
    }

    fill_of_nothing_and_of_empty_bytes_differ(key) {
        let grant = key.lease(A).await.unwrap();
        key.fill(A, grant, None).await.unwrap();
        assert_eq!(key.0.get(&key.1).await.unwrap().value, None);
        key.invalidate(None).await.unwrap();
        let grant = key.lease(B).await.unwrap();
        key.fill(B, grant, bytes("")).await.unwrap();
        assert_eq!(key.text().await.unwrap(), "");
    }

    fill_with_a_version_sets_the_floor(key) {
        key.filled("v", Some(version(7))).await;
        let record = key.there().await;
        assert_eq!(record.floor, Some(version(7)));
        assert_eq!(record.stored.unwrap().version, Some(version(7)));
        assert_eq!(key.0.get(&key.1).await.unwrap().version, Some(version(7)));
    }

    fill_below_the_floor_is_refused_at_the_floor_it_is_stored(key) {
        key.invalidate(Some(7)).await.unwrap();
        let grant = key.lease(A).await.unwrap();
        assert_eq!(key.fill_version(A, grant, bytes("v"), Some(version(6))).await, Err(Condition));
        key.fill_version(A, grant, bytes("v"), Some(version(7))).await.unwrap();
    }

    fill_without_a_version_passes_any_floor(key) {
        key.invalidate(Some(7)).await.unwrap();
        let grant = key.lease(A).await.unwrap();
        key.fill(A, grant, bytes("v")).await.unwrap();
        let record = key.there().await;
        assert_eq!(record.floor, Some(version(7)));
        assert_eq!(record.stored.unwrap().version, None);
    }

    fill_after_a_lapsed_lease_that_nobody_took_is_stored(key) {
        let grant = key.lease(A).await.unwrap();
        key.past().await;
        key.fill(A, grant, bytes("v")).await.unwrap();
    }

    fill_under_another_token_or_deadline_is_refused(key) {
        let grant = key.lease(A).await.unwrap();
        assert_eq!(key.fill(B, grant, bytes("v")).await, Err(Condition));
        let off = Grant { deadline: Time::from_nanos(grant.deadline.as_nanos() + 1), ..grant };
        assert_eq!(key.fill(A, off, bytes("v")).await, Err(Condition));
        key.fill(A, grant, bytes("v")).await.unwrap();
    }

    fill_twice_is_refused_the_second_time(key) {
        let grant = key.lease(A).await.unwrap();
        key.fill(A, grant, bytes("v")).await.unwrap();
        assert_eq!(key.fill(A, grant, bytes("v")).await, Err(Stale));
        assert_eq!(key.there().await.stored.unwrap().token, A);
    }

    fill_of_a_missing_record_is_refused_and_creates_none(key) {
        let grant = Grant { generation: Generation::new(1), deadline: Time::from_nanos(1), alone: false };
        assert_eq!(key.fill(A, grant, bytes("v")).await, Err(Missing));
        assert_eq!(key.record().await, None);
    }

    fill_after_a_reserve_is_refused(key) {
        let grant = key.lease(A).await.unwrap();
        key.reserve(B).await;
        assert_eq!(key.fill(A, grant, bytes("old")).await, Err(Stale));
        let anyway = Grant { generation: key.there().await.generation, ..grant };
        assert_eq!(key.fill(A, anyway, bytes("old")).await, Err(Condition));
    }

    fill_after_a_retaken_lease_is_refused(key) {
        let grant = key.lease(A).await.unwrap();
        key.past().await;
        key.lease(B).await.unwrap();
        let anyway = Grant { generation: key.there().await.generation, ..grant };
        assert_eq!(key.fill(A, anyway, bytes("old")).await, Err(Condition));
    }

    unlease_ends_the_lease_and_an_empty_record(key) {
        key.lease(A).await.unwrap();
        assert_eq!(key.change(Change::Unlease { token: B }).await, Err(Condition));
        key.change(Change::Unlease { token: A }).await.unwrap();
        assert_eq!(key.record().await, None);
        assert_eq!(key.change(Change::Unlease { token: A }).await, Err(Missing));
        assert_eq!(key.lease(B).await.unwrap().generation, Generation::new(1));
    }

    unlease_leaves_a_floor(key) {
        key.invalidate(Some(7)).await.unwrap();
        key.lease(A).await.unwrap();
        key.change(Change::Unlease { token: A }).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(7)));
    }

    reserve_creates_the_record_and_is_alone(key) {
        let grant = key.reserve(A).await;
        assert!(grant.alone);
        assert_eq!(grant.generation, Generation::new(1));
        let record = key.there().await;
        assert_eq!(record.alone, Some(A));
        assert_eq!(record.reservations.into_iter().collect::<Vec<_>>(), [(A, grant.deadline)]);
    }

    reserve_removes_value_version_and_lease_and_keeps_the_floor(key) {
        key.filled("v", Some(version(7))).await;
        key.reserve(A).await;
        let record = key.there().await;
        assert_eq!((record.stored, record.floor), (None, Some(version(7))));
        key.abort(A, &[]).await.unwrap();
        key.lease(B).await.unwrap();
        key.reserve(A).await;
        assert_eq!(key.there().await.lease, None);
    }

    reserve_beside_a_live_one_is_not_alone_and_ends_its_being_alone(key) {
        let first = key.reserve(A).await;
        let second = key.reserve(B).await;
        assert!(first.alone && !second.alone);
        let record = key.there().await;
        assert_eq!(record.alone, None);
        assert_eq!(record.reservations.len(), 2);
    }

    reserve_after_a_dead_one_is_alone_and_empties_the_dead(key) {
        key.reserve(A).await;
        key.past().await;
        assert!(key.reserve(B).await.alone);
        let record = key.there().await;
        assert_eq!(record.reservations.into_keys().collect::<Vec<_>>(), [B]);
    }

    reserve_keeps_the_dead_while_another_is_live(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        key.renew(B, second.deadline).await.unwrap();
        key.past().await;
        assert!(!key.reserve(C).await.alone);
        assert_eq!(key.there().await.reservations.len(), 3);
    }

    reserve_after_the_callers_own_earlier_attempt_is_alone(key) {
        key.reserve(A).await;
        assert!(key.reserve_after(B, &[A]).await.alone);
        let record = key.there().await;
        assert_eq!(record.reservations.into_keys().collect::<Vec<_>>(), [B]);
    }

    renew_prolongs_and_answers_anew(key) {
        let grant = key.reserve(A).await;
        let renewed = key.renew(A, grant.deadline).await.unwrap();
        assert!(renewed.deadline > grant.deadline && renewed.alone);
        assert_eq!(renewed.generation, grant.generation.next());
        key.past().await;
        assert_eq!(key.lease(B).await, Err(Condition));
        assert_eq!(key.commit(A, grant).await, Err(Stale));
        key.commit(A, renewed).await.unwrap();
    }

    renew_of_an_expired_or_unknown_reservation_is_refused(key) {
        assert_eq!(key.renew(A, Time::from_nanos(1)).await, Err(Missing));
        let grant = key.reserve(A).await;
        assert_eq!(key.renew(B, grant.deadline).await, Err(Condition));
        let other = Time::from_nanos(grant.deadline.as_nanos() + 1);
        assert_eq!(key.renew(A, other).await, Err(Condition));
        key.past().await;
        assert_eq!(key.renew(A, grant.deadline).await, Err(Condition));
    }

    renew_beside_another_is_not_alone(key) {
        let first = key.reserve(A).await;
        key.reserve(B).await;
        assert!(!key.renew(A, first.deadline).await.unwrap().alone);
    }

    commit_stores_and_ends_the_reservation(key) {
        let grant = key.reserve(A).await;
        key.commit(A, grant).await.unwrap();
        let record = key.there().await;
        assert_eq!(record.stored.as_ref().unwrap().token, A);
        assert!(record.reservations.is_empty() && record.alone.is_none());
        assert_eq!(key.text().await.unwrap(), "committed");
    }

    commit_twice_is_refused_the_second_time(key) {
        let grant = key.reserve(A).await;
        key.commit(A, grant).await.unwrap();
        assert_eq!(key.commit(A, grant).await, Err(Stale));
        let anyway = Grant { generation: key.there().await.generation, ..grant };
        assert_eq!(key.commit(A, anyway).await, Err(Condition));
    }

    commit_beside_another_is_refused(key) {
        let first = key.reserve(A).await;
        let second = key.reserve(B).await;
        assert_eq!(key.commit(A, first).await, Err(Stale));
        assert_eq!(key.commit(B, second).await, Err(Condition));
        key.abort(A, &[]).await.unwrap();
        let anyway = Grant { generation: key.there().await.generation, ..second };
        assert_eq!(key.commit(B, anyway).await, Err(Condition));
    }

    commit_after_expiry_stores_if_nobody_came(key) {
        let grant = key.reserve(A).await;
        key.past().await;
        key.commit(A, grant).await.unwrap();
    }

    commit_after_expiry_is_refused_if_a_reader_came(key) {
        let grant = key.reserve(A).await;
        key.past().await;
        key.lease(B).await.unwrap();
        let anyway = Grant { generation: key.there().await.generation, ..grant };
        assert_eq!(key.commit(A, anyway).await, Err(Condition));
    }

    commit_of_a_missing_record_is_refused_and_creates_none(key) {
        let grant = Grant { generation: Generation::new(1), deadline: Time::from_nanos(1), alone: true };
        assert_eq!(key.commit(A, grant).await, Err(Missing));
        assert_eq!(key.commit_version(A, grant, 1).await, Err(Missing));
        assert_eq!(key.record().await, None);
    }

    commit_after_an_invalidate_is_refused(key) {
        let grant = key.reserve(A).await;
        key.invalidate(None).await.unwrap();
        let anyway = Grant { generation: key.there().await.generation, ..grant };
        assert_eq!(key.commit(A, anyway).await, Err(Condition));
    }

    versioned_commit_stores_and_raises_the_floor(key) {
        let grant = key.reserve(A).await;
        key.commit_version(A, grant, 7).await.unwrap();
        let record = key.there().await;
        assert_eq!(record.floor, Some(version(7)));
        assert_eq!(record.stored.unwrap().version, Some(version(7)));
        assert!(record.reservations.is_empty() && record.alone.is_none());
    }

    versioned_commit_beside_another_is_refused_until_that_released_an_older_version(key) {
        let first = key.reserve(A).await;
        let second = key.reserve(B).await;
        assert_eq!(key.commit_version(A, first, 1).await, Err(Condition));
        key.release(A, Some(1)).await.unwrap();
        key.commit_version(B, second, 2).await.unwrap();
    }

    versioned_commit_below_the_floor_is_refused(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        key.release(A, Some(5)).await.unwrap();
        assert_eq!(key.commit_version(B, second, 4).await, Err(Condition));
        key.commit_version(B, second, 5).await.unwrap();
    }

    versioned_commit_beside_a_dead_entry_is_refused(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        let second = key.renew(B, second.deadline).await.unwrap();
        key.past().await;
        assert_eq!(key.commit_version(B, second, 2).await, Err(Condition));
    }

    versioned_commit_beside_an_unversioned_release_is_refused(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        key.release(A, None).await.unwrap();
        let record = key.there().await;
        assert!(!record.reservations.contains_key(&A));
        assert_eq!(record.reservations[&Token::TOMBSTONE], Time::ZERO);
        assert_eq!(key.commit_version(B, second, 2).await, Err(Condition));
    }

    releases_of_writers_that_always_overlap_leave_one_mark(key) {
        key.reserve(A).await;
        for _ in 0..10 {
            key.reserve(B).await;
            key.release(A, None).await.unwrap();
            key.reserve(A).await;
            key.release(B, None).await.unwrap();
        }
        assert_eq!(key.there().await.reservations.len(), 2);
        key.release(A, None).await.unwrap();
        assert_eq!(key.record().await, None);
    }

    release_of_the_only_one_empties_the_record(key) {
        key.reserve(A).await;
        key.release(A, None).await.unwrap();
        assert_eq!(key.record().await, None);
        assert_eq!(key.release(A, None).await, Err(Missing));
    }

    release_removes_a_value_that_came_meanwhile(key) {
        key.reserve(A).await;
        key.past().await;
        key.filled("old", None).await;
        key.release(A, None).await.unwrap();
        assert_eq!(key.text().await, None);
    }

    release_ends_a_lease(key) {
        key.reserve(A).await;
        key.past().await;
        let grant = key.lease(B).await.unwrap();
        key.release(A, None).await.unwrap();
        assert!(key.fill(B, grant, bytes("old")).await.is_err());
        assert!(key.record().await.is_none_or(|record| record.lease.is_none()));
    }

    versioned_release_creates_the_record_for_its_floor(key) {
        key.release(A, Some(7)).await.unwrap();
        let record = key.there().await;
        assert_eq!(record.floor, Some(version(7)));
        assert!(record.reservations.is_empty());
        key.release(B, Some(6)).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(7)));
    }

    versioned_release_leaves_the_others(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        key.release(A, Some(7)).await.unwrap();
        let record = key.there().await;
        assert_eq!(record.reservations.into_iter().collect::<Vec<_>>(), [(B, second.deadline)]);
        assert_eq!(key.lease(C).await, Err(Condition));
    }

    abort_of_the_only_one_empties_the_record(key) {
        key.reserve(A).await;
        key.abort(A, &[]).await.unwrap();
        assert_eq!(key.record().await, None);
        assert_eq!(key.abort(A, &[]).await, Err(Missing));
    }

    abort_takes_earlier_attempts_along_and_leaves_the_others(key) {
        key.reserve(A).await;
        key.reserve(B).await;
        key.reserve(C).await;
        key.abort(B, &[A]).await.unwrap();
        assert_eq!(key.there().await.reservations.into_keys().collect::<Vec<_>>(), [C]);
        assert_eq!(key.lease(A).await, Err(Condition));
    }

    abort_leaves_another_alone(key) {
        key.reserve(A).await;
        key.past().await;
        let second = key.reserve(B).await;
        key.abort(A, &[]).await.unwrap();
        assert_eq!(key.there().await.alone, Some(B));
        let grant = Grant { generation: key.there().await.generation, ..second };
        key.commit(B, grant).await.unwrap();
    }

    invalidate_removes_value_and_lease_and_keeps_reservations(key) {
        key.filled("v", None).await;
        key.invalidate(None).await.unwrap();
        assert_eq!(key.record().await, None);
        assert_eq!(key.invalidate(None).await, Err(Missing));
        key.lease(A).await.unwrap();
        key.invalidate(None).await.unwrap();
        assert_eq!(key.record().await, None);
        key.reserve(A).await;
        key.invalidate(None).await.unwrap();
        let record = key.there().await;
        assert_eq!((record.reservations.len(), record.alone), (1, None));
    }

    versioned_invalidate_creates_the_record_and_raises_the_floor(key) {
        key.invalidate(Some(7)).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(7)));
        key.invalidate(Some(6)).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(7)));
        key.invalidate(Some(8)).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(8)));
    }

    versioned_invalidate_keeps_what_is_new_enough_and_writes_nothing(key) {
        key.filled("v", Some(version(7))).await;
        let before = key.there().await;
        assert_eq!(key.invalidate(Some(7)).await, Err(Condition));
        assert_eq!(key.invalidate(Some(6)).await, Err(Condition));
        assert_eq!(key.there().await.generation, before.generation);
        key.invalidate(Some(8)).await.unwrap();
        assert_eq!(key.text().await, None);
        assert_eq!(key.there().await.floor, Some(version(8)));
    }

    versioned_invalidate_removes_a_value_without_a_version(key) {
        key.filled("v", None).await;
        key.invalidate(Some(1)).await.unwrap();
        assert_eq!(key.text().await, None);
    }

    set_stores_blindly_and_the_last_one_wins(key) {
        key.set(A, "first").await.unwrap();
        assert_eq!(key.there().await.generation, Generation::new(1));
        key.set(B, "second").await.unwrap();
        assert_eq!(key.text().await.unwrap(), "second");
    }

    set_over_a_live_reservation_is_refused_over_a_dead_one_not(key) {
        key.reserve(A).await;
        assert_eq!(key.set(B, "v").await, Err(Condition));
        key.past().await;
        key.set(B, "v").await.unwrap();
        let record = key.there().await;
        assert!(record.reservations.is_empty() && record.alone.is_none());
    }

    set_ends_a_lease_and_drops_the_version_not_the_floor(key) {
        let grant = key.lease(A).await.unwrap();
        key.set(B, "set").await.unwrap();
        assert_eq!(key.fill(A, grant, bytes("old")).await, Err(Stale));
        key.invalidate(None).await.unwrap();
        key.filled("v", Some(version(7))).await;
        key.set(B, "set").await.unwrap();
        let record = key.there().await;
        assert_eq!(record.floor, Some(version(7)));
        assert_eq!(record.stored.unwrap().version, None);
    }

    replace_needs_the_stamp(key) {
        let replace = |stamp, token| Change::Replace { stamp, token, value: bytes("new"), ttl: ttl() };
        assert_eq!(key.change(replace(A, B)).await, Err(Missing));
        key.filled("v", Some(version(7))).await;
        assert_eq!(key.change(replace(A, B)).await, Err(Condition));
        key.change(replace(C, B)).await.unwrap();
        let stored = key.there().await.stored.unwrap();
        assert_eq!((stored.token, stored.version), (B, None));
        assert_eq!(key.change(replace(C, A)).await, Err(Condition));
    }

    touch_needs_a_value(key) {
        let touch = || Change::Touch { ttl: Ttl::from_secs(1000).unwrap() };
        assert_eq!(key.change(touch()).await, Err(Missing));
        key.lease(A).await.unwrap();
        assert_eq!(key.change(touch()).await, Err(Condition));
        key.set(A, "v").await.unwrap();
        key.change(touch()).await.unwrap();
        let snapshot = key.0.inspect(&key.1).await.unwrap();
        let left = snapshot.record.expires.remaining(snapshot.now).as_secs();
        assert!((900..=1001).contains(&left), "{left} s");
    }

    commands_without_a_ttl_leave_it(key) {
        let long = Ttl::from_secs(1000).unwrap();
        let reserve = |token| Claim::Reserve { token, previous: vec![], time: TIME, ttl: long };
        key.claim(reserve(A)).await.unwrap();
        key.claim(reserve(B)).await.unwrap();
        key.release(A, None).await.unwrap();
        key.invalidate(None).await.unwrap();
        key.abort(C, &[]).await.unwrap();
        let snapshot = key.0.inspect(&key.1).await.unwrap();
        let left = snapshot.record.expires.remaining(snapshot.now).as_secs();
        assert!((900..=1001).contains(&left), "{left} s");
    }

    generation_restarts_when_the_record_was_away(key) {
        let first = key.lease(A).await.unwrap();
        key.change(Change::Unlease { token: A }).await.unwrap();
        let again = key.lease(B).await.unwrap();
        assert_eq!(first.generation, again.generation);
        assert_eq!(key.fill(A, first, bytes("old")).await, Err(Condition));
        key.fill(B, again, bytes("new")).await.unwrap();
    }

    a_large_value_comes_back_whole(key) {
        let large: Vec<u8> = (0..200_000u32).map(|number| number.to_be_bytes()[3]).collect();
        let grant = key.lease(A).await.unwrap();
        key.fill(A, grant, Some(large.clone().into())).await.unwrap();
        assert_eq!(key.0.get(&key.1).await.unwrap().value.unwrap(), large);
    }
}
