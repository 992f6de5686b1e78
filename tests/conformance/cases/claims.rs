//! Reads and claims: get, lease, extend, fill, unlease, reserve, renew.

use genfence::protocol::Refusal::{Condition, Generation as Stale, Missing};
use genfence::protocol::{Generation, Grant, Time};

use bytes::Bytes;
use genfence::store::{Read, Store as _};

use super::*;

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
        let grant = Grant { generation: Generation::new(1), deadline: Time::from_nanos(1), alone: false, wait: Duration::ZERO, hush: None };
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

    unlease_ends_the_lease_and_leaves_an_empty_record(key) {
        assert_eq!(key.change(Change::Unlease { token: A, until: None }).await, Err(Missing));
        key.lease(A).await.unwrap();
        assert_eq!(key.change(Change::Unlease { token: B, until: None }).await, Err(Condition));
        key.change(Change::Unlease { token: A, until: None }).await.unwrap();
        assert!(key.there().await.is_empty());
        assert_eq!(key.change(Change::Unlease { token: A, until: None }).await, Err(Condition));
        key.lease(B).await.unwrap();
    }

    unlease_leaves_a_floor(key) {
        key.invalidate(Some(7)).await.unwrap();
        key.lease(A).await.unwrap();
        key.change(Change::Unlease { token: A, until: None }).await.unwrap();
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

    reserve_folds_the_dead_into_one_mark_while_another_is_live(key) {
        key.reserve(A).await;
        let second = key.reserve(B).await;
        key.renew(B, second.deadline).await.unwrap();
        key.past().await;
        assert!(!key.reserve(C).await.alone);
        let held = key.there().await.reservations;
        assert_eq!(held[&Token::TOMBSTONE], Time::ZERO);
        assert_eq!(held.into_keys().collect::<Vec<_>>(), [Token::TOMBSTONE, C, B]);
        key.reserve(A).await;
        assert_eq!(key.there().await.reservations.len(), 4);
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

    a_read_of_many_keys_tells_each_in_its_place(key) {
        let other = |number: u8| Key(key.0, [&*key.1, &[number]].concat());
        let (leased, reserved, missing) = (other(1), other(2), other(3));
        key.filled("v", None).await;
        leased.lease(A).await.unwrap();
        reserved.reserve(B).await;
        let keys = [&reserved.1, &key.1, &missing.1, &leased.1].map(|key| Bytes::copy_from_slice(key));
        let reads = key.0.store().get_many(&keys).await;
        let reads: Vec<Read> = reads.into_iter().map(Result::unwrap).collect();
        let hit = Read::Hit(key.0.get(&key.1).await.unwrap());
        assert_eq!(reads, [Read::Claimed, hit, Read::Free, Read::Claimed]);
        // So does a look.
        let looks = key.0.store().look_many(&keys).await.into_iter().map(Result::unwrap);
        let (looked, near): (Vec<_>, Vec<_>) = looks.map(|look| (look.read, look.near)).unzip();
        assert_eq!(looked, reads);
        assert_eq!(near.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true]);
    }
}
