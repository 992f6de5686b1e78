//! Copies of a value: stamp, look, what a writer is told to wait, and a lease over a value that is not to be served.

use genfence::protocol::Refusal::{Condition, Missing};
use genfence::protocol::{Hushed, Near};
use genfence::store::Read;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_millis(200);

impl<T: Target> Key<'_, T> {
    async fn near(&self) -> Near {
        self.there().await.near().expect("it says something of copies")
    }

    /// A value whose record says that no copies are out any more.
    async fn filled_long_ago(&self) {
        self.filled("v", None).await;
        self.0.pass(TERMS.unsaid + TERMS.clocks).await;
    }

    async fn lives(&self) -> Duration {
        self.look().await.lives()
    }
}

cases! {
    a_record_that_was_missing_may_have_been_lost_and_copies_live_on(key) {
        let grant = key.reserve(A).await;
        assert_eq!(grant.wait, TERMS.unsaid);
        assert_eq!(key.near().await.longest, TERMS.unsaid);
        key.release(A, None).await.unwrap();
        key.0.pass(TERMS.unsaid + TERMS.clocks).await;
        assert_eq!(key.reserve(B).await.wait, Duration::ZERO);
    }

    every_command_that_creates_a_record_says_that_copies_may_be_out(key) {
        let other = |name: &str| Key(key.0, [&key.1, name.as_bytes()].concat());
        let (leased, set) = (other("leased"), other("set"));
        let (told, released) = (other("told"), other("released"));
        leased.lease(A).await.unwrap();
        set.set(A, "v").await.unwrap();
        told.invalidate(Some(1)).await.unwrap();
        released.release(A, Some(1)).await.unwrap();
        for created in [leased, set, told, released] {
            assert_eq!(created.near().await.longest, TERMS.unsaid);
            assert!(!created.reserve(A).await.wait.is_zero());
        }
    }

    a_stamp_of_no_value_is_refused(key) {
        assert_eq!(key.stamp(SHORT).await, Err(Missing));
        key.lease(A).await.unwrap();
        assert_eq!(key.stamp(SHORT).await, Err(Condition));
        key.reserve(A).await;
        assert_eq!(key.stamp(SHORT).await, Err(Condition));
    }

    a_stamp_answers_the_value_and_writers_wait_for_it(key) {
        key.filled_long_ago().await;
        let hit = key.stamp(LONG).await.unwrap();
        assert_eq!((hit.value, hit.stamp), (bytes("v"), C));
        let record = key.there().await;
        assert_eq!(record.near().unwrap().longest, LONG);
        let grant = key.reserve(A).await;
        assert!(grant.wait > SHORT && grant.wait <= LONG, "{:?}", grant.wait);
        assert_eq!(key.near().await, record.near().unwrap(), "a reserve keeps it");
    }

    a_hush_leaves_the_value_and_what_is_said_of_copies_and_refuses_more(key) {
        assert_eq!(key.hush(A, LONG).await, Err(Missing));
        key.filled_long_ago().await;
        key.stamp(LONG).await.unwrap();
        let near = key.near().await;
        let grant = key.hush(A, 2 * LONG).await.unwrap();
        assert!(grant.wait > SHORT && grant.wait <= LONG && grant.hush == Some(A), "{grant:?}");
        let hushed = key.near().await;
        assert_eq!(hushed.hushed, Some(Hushed { token: A, until: grant.deadline }));
        assert_eq!(Near { hushed: None, ..hushed }, near);
        assert_eq!(key.stamp(SHORT).await, Err(Condition));
        let look = key.look().await;
        assert!(look.is_hushed() && look.lives() > SHORT, "{look:?}");
        assert_eq!(look.read.hit().unwrap().value, bytes("v"));
        key.0.pass(2 * LONG).await;
        assert!(!key.look().await.is_hushed());
        key.stamp(SHORT).await.unwrap();
    }

    a_hush_of_no_value_is_refused(key) {
        key.lease(A).await.unwrap();
        assert_eq!(key.hush(A, LONG).await, Err(Condition));
        key.reserve(A).await;
        assert_eq!(key.hush(A, LONG).await, Err(Condition));
    }

    a_reserve_tells_of_the_hush_that_stands(key) {
        key.filled("v", None).await;
        assert_eq!(key.reserve(A).await.hush, None);
        key.release(A, None).await.unwrap();
        key.filled("v", None).await;
        key.hush(A, 100 * LONG).await.unwrap();
        let near = key.near().await;
        let grant = key.reserve(B).await;
        assert_eq!(grant.hush, Some(A));
        key.commit(B, grant).await.unwrap();
        assert_eq!(key.near().await, near);
        assert_eq!(key.stamp(SHORT).await, Err(Condition));
    }

    a_hush_goes_on_with_the_one_that_stands(key) {
        key.filled("v", None).await;
        let first = key.hush(A, 100 * LONG).await.unwrap();
        let second = key.hush(B, 200 * LONG).await.unwrap();
        assert_eq!(second.hush, Some(A));
        assert!(second.deadline > first.deadline);
        let shorter = key.hush(B, LONG).await.unwrap();
        assert_eq!(shorter.hush, Some(A));
        assert!(shorter.deadline < first.deadline);
    }

    a_hush_that_may_be_over_on_another_clock_does_not_stand(key) {
        key.filled("v", None).await;
        let grant = key.hush(A, TERMS.clocks).await.unwrap();
        assert_eq!(grant.hush, None, "it is too short");
        assert_eq!(key.hush(B, 100 * LONG).await.unwrap().hush, Some(B));
    }

    a_shorter_stamp_shortens_no_wait(key) {
        key.filled_long_ago().await;
        key.stamp(LONG).await.unwrap();
        let before = key.near().await;
        key.stamp(SHORT).await.unwrap();
        assert_eq!(key.near().await, before);
        assert!(key.reserve(A).await.wait > SHORT);
    }

    a_stamp_after_all_others_are_over_is_the_longest(key) {
        key.filled_long_ago().await;
        key.stamp(LONG).await.unwrap();
        key.0.pass(LONG + TERMS.clocks).await;
        key.stamp(SHORT).await.unwrap();
        assert_eq!(key.near().await.longest, SHORT);
        assert!(key.reserve(A).await.wait <= SHORT);
    }

    a_stamp_counts_the_clocks_before_it_takes_others_for_over(key) {
        key.filled_long_ago().await;
        key.stamp(SHORT).await.unwrap();
        key.stamp(LONG).await.unwrap();
        assert_eq!(key.near().await.longest, LONG);
    }

    a_look_finds_how_long_a_copy_may_live(key) {
        let look = key.look().await;
        assert_eq!((&look.read, look.wait(&TERMS)), (&Read::Free, TERMS.unsaid), "it may be lost");
        key.lease(A).await.unwrap();
        let look = key.look().await;
        assert_eq!((&look.read, look.lives()), (&Read::Claimed, Duration::ZERO));
        key.change(Change::Unlease { token: A, until: None }).await.unwrap();
        key.filled_long_ago().await;
        assert_eq!(key.lives().await, Duration::ZERO);
        key.stamp(LONG).await.unwrap();
        let look = key.look().await;
        let lives = look.lives();
        assert_eq!(look.read.hit().unwrap().value, bytes("v"));
        assert!(lives > SHORT && lives <= LONG, "{lives:?}");
        key.reserve(A).await;
        let look = key.look().await;
        assert_eq!((&look.read, look.lives()), (&Read::Claimed, Duration::ZERO));
        assert!(look.wait(&TERMS) > SHORT);
    }

    what_changes_the_value_keeps_what_is_said_of_copies(key) {
        key.filled_long_ago().await;
        key.stamp(LONG).await.unwrap();
        let near = key.near().await;
        key.invalidate(None).await.unwrap();
        assert_eq!(key.near().await, near);
        let grant = key.reserve(A).await;
        assert!(grant.wait > SHORT, "{:?}", grant.wait);
        key.commit(A, grant).await.unwrap();
        assert_eq!(key.near().await, near);
        key.reserve(A).await;
        key.abort(A, &[]).await.unwrap();
        key.filled("v", None).await;
        assert_eq!(key.near().await, near);
    }

    a_lease_over_a_value_that_was_seen_takes_it_away(key) {
        key.filled("v", None).await;
        assert_eq!(key.lease_over(A, B, &[]).await, Err(Condition));
        assert_eq!(key.text().await.unwrap(), "v");
        let grant = key.lease_over(A, C, &[]).await.unwrap();
        assert_eq!(key.text().await, None);
        assert_eq!(key.lease_over(B, C, &[]).await, Err(Condition), "it is leased");
        let again = key.lease_over(B, C, &[A]).await.unwrap();
        assert_eq!(key.fill(A, grant, bytes("w")).await, Err(genfence::protocol::Refusal::Generation));
        key.fill(B, again, bytes("w")).await.unwrap();
        assert_eq!(key.text().await.unwrap(), "w");
        assert_eq!(key.lease_over(A, C, &[]).await, Err(Condition), "that is another value");
    }

    a_lease_over_a_value_beside_a_refresh_is_refused(key) {
        key.filled("v", None).await;
        let grant = key.refresh(A, C, &[]).await.unwrap();
        assert_eq!(key.lease_over(B, C, &[]).await, Err(Condition));
        key.lease_over(B, C, &[A]).await.unwrap();
        assert_eq!(key.refill(A, grant, C, None).await, Err(Condition));
    }
}
