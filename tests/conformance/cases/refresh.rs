//! A new value in the place of one that stays servable meanwhile: refresh, refill.

use genfence::protocol::Refusal::{Condition, Missing};

use super::*;

cases! {
    refresh_leaves_the_value_and_its_life(key) {
        key.filled("v", None).await;
        let before = key.there().await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        let record = key.there().await;
        assert_eq!((&record.stored, record.generation), (&before.stored, before.generation.next()));
        assert_eq!(record.lease.unwrap().deadline, grant.deadline);
        assert!(record.expires <= before.expires.after(Duration::from_secs(1)), "{record:?}");
        assert_eq!(key.text().await.unwrap(), "v");
        assert_eq!(key.lease(B).await, Err(Condition));
    }

    refresh_of_another_value_is_refused(key) {
        assert_eq!(key.refresh(A, C, &[]).await, Err(Missing));
        key.lease(B).await.unwrap();
        assert_eq!(key.refresh(A, B, &[]).await, Err(Condition));
        key.reserve(B).await;
        assert_eq!(key.refresh(A, B, &[]).await, Err(Condition));
        key.release(B, None).await.unwrap();
        key.filled("v", None).await;
        assert_eq!(key.refresh(A, B, &[]).await, Err(Condition));
        key.refresh(A, C, &[]).await.unwrap();
    }

    refresh_beside_another_is_refused_until_that_lapses(key) {
        key.filled("v", None).await;
        key.refresh(A, C, &[]).await.unwrap();
        assert_eq!(key.refresh(B, C, &[]).await, Err(Condition));
        key.refresh(B, C, &[C, A]).await.unwrap();
        key.past().await;
        key.refresh(A, C, &[]).await.unwrap();
    }

    refill_takes_the_place_of_the_value(key) {
        key.filled("v", None).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        key.past().await;
        key.refill(A, grant, C, None).await.unwrap();
        let record = key.there().await;
        assert_eq!((record.stored.unwrap().token, record.lease), (A, None));
        assert_eq!(key.text().await.unwrap(), "refilled");
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
    }

    refill_after_a_writer_is_refused(key) {
        key.filled("v", None).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        let writer = key.reserve(B).await;
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
        key.commit(B, writer).await.unwrap();
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
        assert_eq!(key.refill(A, grant, B, None).await, Err(Condition));
        assert_eq!(key.text().await.unwrap(), "committed");
    }

    refill_of_a_value_that_was_replaced_is_refused(key) {
        key.filled("v", None).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        let replace = Change::Replace { stamp: C, token: B, value: bytes("other"), ttl: ttl(), until: None };
        key.change(replace).await.unwrap();
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
        assert_eq!(key.text().await.unwrap(), "other");
    }

    refill_under_another_deadline_is_refused(key) {
        key.filled("v", None).await;
        let first = key.refresh(A, C, &[]).await.unwrap();
        key.past().await;
        let again = key.refresh(A, C, &[]).await.unwrap();
        assert_eq!(key.refill(A, first, C, None).await, Err(Condition));
        assert_eq!(key.refill(B, again, C, None).await, Err(Condition));
        key.refill(A, again, C, None).await.unwrap();
    }

    refill_keeps_to_the_floor_and_to_versions(key) {
        key.filled("v", Some(version(5))).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
        assert_eq!(key.refill(A, grant, C, Some(4)).await, Err(Condition));
        assert_eq!(key.text().await.unwrap(), "v");
        key.refill(A, grant, C, Some(5)).await.unwrap();
        assert_eq!(key.there().await.floor, Some(version(5)));
    }

    refill_that_is_given_back_lets_another_refresh(key) {
        key.filled("v", None).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        key.change(Change::Unlease { token: A, until: None }).await.unwrap();
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
        key.refresh(B, C, &[]).await.unwrap();
    }

    a_hit_tells_its_life(key) {
        key.filled("v", None).await;
        let life = key.0.get(&key.1).await.unwrap().life.unwrap();
        assert_eq!(life.whole, ttl());
        // A server tells when it is over by a clock of its own, which here stands still, and is reckoned by this machine's.
        assert!((1..=120).contains(&life.left.as_secs()), "{life:?}");
    }
}
