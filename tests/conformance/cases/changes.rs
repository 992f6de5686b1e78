//! Changes: commit, release, abort, invalidate, set, replace, touch.

use genfence::protocol::Refusal::{Condition, Generation as Stale, Missing};
use genfence::protocol::{Generation, Grant, Time};

use super::*;

cases! {
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
        let grant = Grant { generation: Generation::new(1), deadline: Time::from_nanos(1), alone: true, wait: Duration::ZERO, hush: None };
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
        assert!(key.there().await.is_empty());
    }

    release_of_the_only_one_leaves_an_empty_record(key) {
        key.reserve(A).await;
        key.release(A, None).await.unwrap();
        assert!(key.there().await.is_empty());
        key.release(A, None).await.unwrap();
        assert!(key.there().await.is_empty());
    }

    release_of_a_missing_record_creates_none(key) {
        assert_eq!(key.release(A, None).await, Err(Missing));
        assert_eq!(key.record().await, None);
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

    abort_of_the_only_one_leaves_an_empty_record(key) {
        key.reserve(A).await;
        key.abort(A, &[]).await.unwrap();
        assert!(key.there().await.is_empty());
    }

    abort_without_a_reservation_of_its_own_writes_nothing(key) {
        assert_eq!(key.abort(A, &[]).await, Err(Missing));
        key.filled("v", None).await;
        let before = key.there().await;
        assert_eq!(key.abort(A, &[]).await, Err(Condition));
        assert_eq!(key.abort(A, &[B, C]).await, Err(Condition));
        key.reserve(B).await;
        assert_eq!(key.abort(A, &[C]).await, Err(Condition));
        let after = key.there().await;
        assert_eq!(after.generation, before.generation.next());
        assert_eq!(after.alone, Some(B));
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
        assert_eq!(key.abort(A, &[]).await, Err(Condition));
        assert_eq!(key.there().await.alone, Some(B));
        let grant = Grant { generation: key.there().await.generation, ..second };
        key.commit(B, grant).await.unwrap();
    }

    invalidate_removes_value_and_lease_and_keeps_reservations(key) {
        assert_eq!(key.invalidate(None).await, Err(Missing));
        key.filled("v", None).await;
        key.invalidate(None).await.unwrap();
        assert!(key.there().await.is_empty());
        key.lease(A).await.unwrap();
        key.invalidate(None).await.unwrap();
        assert!(key.there().await.is_empty());
        key.reserve(A).await;
        key.invalidate(None).await.unwrap();
        let record = key.there().await;
        assert!(record.reservations.contains_key(&A));
        assert_eq!(record.alone, None);
    }

    invalidate_beside_a_versioned_writer_leaves_a_mark(key) {
        let grant = key.reserve(A).await;
        key.invalidate(None).await.unwrap();
        assert_eq!(key.there().await.reservations.len(), 2);
        key.invalidate(None).await.unwrap();
        assert_eq!(key.there().await.reservations.len(), 2);
        assert_eq!(key.commit_version(A, grant, 9).await, Err(Condition));
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
        let replace = |stamp, token| {
            let (value, ttl) = (bytes("new"), ttl());
            Change::Replace { stamp, token, value, ttl, until: None }
        };
        assert_eq!(key.change(replace(A, B)).await, Err(Missing));
        key.filled("v", Some(version(7))).await;
        assert_eq!(key.change(replace(A, B)).await, Err(Condition));
        key.change(replace(C, B)).await.unwrap();
        let stored = key.there().await.stored.unwrap();
        assert_eq!((stored.token, stored.version), (B, None));
        assert_eq!(key.change(replace(C, A)).await, Err(Condition));
    }

    touch_needs_a_value(key) {
        let touch = || Change::Touch { ttl: Ttl::from_secs(1000).unwrap(), until: None };
        assert_eq!(key.change(touch()).await, Err(Missing));
        key.lease(A).await.unwrap();
        assert_eq!(key.change(touch()).await, Err(Condition));
        key.set(A, "v").await.unwrap();
        key.change(touch()).await.unwrap();
        let snapshot = key.0.inspect(&key.1).await.unwrap();
        let left = snapshot.record.expires.remaining(snapshot.now).as_secs();
        assert!((900..=1001).contains(&left), "{left} s");
    }

    what_comes_too_late_is_refused(key) {
        let ttl = ttl();
        let value = bytes("late");
        // At the instant of the grant, and so before anything that follows; and long after it.
        let bounds = |deadline: Time| {
            let granted = deadline.as_nanos() - u64::try_from(TIME.as_nanos()).unwrap();
            let later = deadline.after(Duration::from_secs(3600));
            [(Time::from_nanos(granted), Err(Condition)), (later, Ok(()))]
        };
        for version in [None, Some(version(7))] {
            let Grant { deadline, generation, .. } = key.lease(A).await.unwrap();
            for (until, answer) in bounds(deadline) {
                let (token, value, until) = (A, value.clone(), Some(until));
                let fill = Change::Fill { token, deadline, generation, value, version, ttl, until };
                assert_eq!(key.change(fill).await, answer, "a fill");
            }
            for (until, answer) in bounds(deadline) {
                let touch = Change::Touch { ttl, until: Some(until) };
                assert_eq!(key.change(touch).await, answer, "a touch");
            }
            for (until, answer) in bounds(deadline) {
                let hush = Claim::Hush { token: B, time: TIME, until: Some(until) };
                assert_eq!(key.claim(hush).await.map(drop), answer, "a hush");
            }
            for (until, answer) in bounds(deadline) {
                for previous in [vec![], vec![C]] {
                    let (token, stamp, time, until) = (C, A, TIME, Some(until));
                    let refresh = Claim::Refresh { token, previous, stamp, time, until };
                    assert_eq!(key.claim(refresh).await.map(drop), answer, "a refresh");
                }
            }
            for (until, answer) in bounds(deadline) {
                let unlease = Change::Unlease { token: C, until: Some(until) };
                assert_eq!(key.change(unlease).await, answer, "an unlease");
            }
            for (until, answer) in bounds(deadline) {
                let (value, until) = (value.clone(), Some(until));
                let replace = Change::Replace { stamp: A, token: A, value, ttl, until };
                assert_eq!(key.change(replace).await, answer, "a replace");
            }
            let Grant { deadline, generation, .. } = key.reserve(B).await;
            for (until, answer) in bounds(deadline) {
                let (token, value, until) = (B, value.clone(), Some(until));
                let commit = match version {
                    None => Change::Commit { token, deadline, generation, value, ttl, until },
                    Some(version) => {
                        Change::CommitVersioned { token, deadline, value, version, ttl, until }
                    }
                };
                assert_eq!(key.change(commit).await, answer, "a commit");
            }
            key.invalidate(version.map(|_| 9)).await.unwrap();
        }
        let (token, time) = (A, 2 * TIME);
        let deadline = key.lease(token).await.unwrap().deadline;
        for (until, answer) in bounds(deadline) {
            let extend = Claim::Extend { token, deadline, time, ttl, until: Some(until) };
            assert_eq!(key.claim(extend).await.map(drop), answer, "an extend");
        }
        let deadline = key.reserve(token).await.deadline;
        for (until, answer) in bounds(deadline) {
            let renew = Claim::Renew { token, deadline, time, ttl, until: Some(until) };
            assert_eq!(key.claim(renew).await.map(drop), answer, "a renew");
        }
    }

    commands_without_a_ttl_leave_it(key) {
        let long = Ttl::from_secs(1000).unwrap();
        let reserve = |token| Claim::Reserve { token, previous: vec![], time: TIME, ttl: long };
        key.claim(reserve(A)).await.unwrap();
        key.claim(reserve(B)).await.unwrap();
        key.release(A, None).await.unwrap();
        key.invalidate(None).await.unwrap();
        key.abort(B, &[]).await.unwrap();
        let snapshot = key.0.inspect(&key.1).await.unwrap();
        let left = snapshot.record.expires.remaining(snapshot.now).as_secs();
        assert!((900..=1001).contains(&left), "{left} s");
    }

    generation_goes_on_when_nothing_is_left_of_the_record(key) {
        let first = key.lease(A).await.unwrap();
        key.change(Change::Unlease { token: A, until: None }).await.unwrap();
        let again = key.lease(B).await.unwrap();
        assert_eq!(first.generation.next().next(), again.generation);
        let first = Grant { generation: again.generation, ..first };
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
