//! Stale answers, for callers who ask for them: when they are given, and that they are nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use genfence::store::Clock;
use genfence::{Answer, Builder, Cache, CallError, Error, Fresh, Lookup, SourceResult};
use tokio::sync::Semaphore;

use crate::support::{Fault, Kind, embedded_with, faulty_with, settle};

const SECOND: Duration = Duration::from_secs(1);

fn lenient() -> Builder {
    Cache::builder().ttl(60 * SECOND).ttl_jitter(0.0).stale_for(3600 * SECOND)
}

async fn fill(cache: &Cache, value: &'static str) {
    cache.get_or_fill("k", async || Ok::<_, Infallible>(value)).await.unwrap();
}

/// The value ends, on the store's clock and on the process's own.
async fn end(clock: &Clock) {
    clock.advance(61 * SECOND);
    tokio::time::advance(61 * SECOND).await;
}

async fn read_in_vain(cache: &Cache) -> Result<Answer, CallError<Arc<&'static str>>> {
    cache.get_or_fill_or_stale("k", || async { Err::<&str, _>("the source is down") }).await
}

/// The value that is answered as a stale one while the source is down.
async fn stale(cache: &Cache) -> String {
    match read_in_vain(cache).await.unwrap() {
        Answer::Stale { value, .. } => text(value),
        other @ Answer::Value(_) => panic!("expected a stale answer, got {other:?}"),
    }
}

fn text(value: Option<bytes::Bytes>) -> String {
    String::from_utf8(value.expect("a value, not nothing").to_vec()).unwrap()
}

/// A loader that answers when the test says so.
fn held(value: &'static str) -> (Arc<Semaphore>, impl FnOnce() -> Held) {
    let gate = Arc::new(Semaphore::new(0));
    let entered = Arc::clone(&gate);
    let load = move || -> Held {
        Box::pin(async move {
            entered.acquire().await.unwrap().forget();
            Ok(value.into())
        })
    };
    (gate, load)
}

type Held = std::pin::Pin<Box<dyn Future<Output = Result<Fresh, String>> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_is_no_error_while_the_last_known_value_is_young_enough() {
    let (cache, _, clock) = embedded_with(lenient());
    fill(&cache, "old").await;
    assert_eq!(read_in_vain(&cache).await.unwrap(), Answer::Value(Some("old".into())));
    end(&clock).await;
    let Answer::Stale { value, age } = read_in_vain(&cache).await.unwrap() else {
        panic!("the value has ended");
    };
    assert_eq!(text(value), "old");
    assert!(age >= 61 * SECOND && age < 62 * SECOND, "{age:?}");
    tokio::time::advance(3600 * SECOND).await;
    let error = read_in_vain(&cache).await.unwrap_err();
    assert!(matches!(error, CallError::Caller(error) if *error == "the source is down"));
    assert_eq!(cache.stats().stale_served, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_no_hit_and_never_goes_back_into_the_cache() {
    let (cache, store, clock) = embedded_with(lenient());
    fill(&cache, "old").await;
    end(&clock).await;
    let before = cache.stats();
    for _ in 0..3 {
        assert_eq!(stale(&cache).await, "old");
    }
    assert!(cache.get("k").await.unwrap().is_none());
    let other = Cache::builder().build(Arc::clone(&store)).unwrap();
    assert!(other.get("k").await.unwrap().is_none());
    let after = cache.stats();
    assert_eq!((after.hits, after.fills_stored), (before.hits, before.fills_stored));
    assert_eq!(after.stale_served, 3);
    let error = cache.get_or_fill("k", async || Err::<&str, _>("down")).await.unwrap_err();
    assert!(matches!(error, CallError::Caller(_)), "who does not ask for it has none");
}

#[tokio::test(start_paused = true)]
async fn without_the_option_there_is_none() {
    let (cache, _, clock) = embedded_with(Cache::builder().ttl(60 * SECOND).ttl_jitter(0.0));
    fill(&cache, "old").await;
    end(&clock).await;
    assert!(read_in_vain(&cache).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_another_process_has_loaded_is_known_from_a_hit() {
    let (other, store, clock) = embedded_with(lenient());
    let cache = lenient().build(store).unwrap();
    fill(&other, "old").await;
    assert!(cache.get("k").await.unwrap().is_some());
    end(&clock).await;
    assert_eq!(stale(&cache).await, "old");
    assert_eq!(stale(&other).await, "old");
}

#[tokio::test(start_paused = true)]
async fn that_the_source_had_nothing_is_an_answer_too() {
    let (cache, _, clock) = embedded_with(lenient());
    cache.get_or_fill("k", async || Ok::<_, Infallible>(Fresh::nothing())).await.unwrap();
    end(&clock).await;
    assert!(matches!(read_in_vain(&cache).await.unwrap(), Answer::Stale { value: None, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_goes_on_behind_a_stale_answer_and_fills() {
    let (cache, _, clock) = embedded_with(lenient().soft_timeout(SECOND / 10));
    fill(&cache, "old").await;
    end(&clock).await;
    let (gate, load) = held("new");
    let answer = cache.get_or_fill_or_stale("k", load).await.unwrap();
    assert!(matches!(answer, Answer::Stale { value, .. } if text(value.clone()) == "old"));
    gate.add_permits(1);
    settle().await;
    assert_eq!(text(cache.get("k").await.unwrap().unwrap().value), "new");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_known_a_slow_load_is_waited_for() {
    let (cache, ..) = embedded_with(lenient().soft_timeout(SECOND / 10));
    let (gate, load) = held("new");
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_fill_or_stale("k", load).await }
    });
    tokio::time::sleep(SECOND).await;
    gate.add_permits(1);
    assert_eq!(reader.await.unwrap().unwrap(), Answer::Value(Some("new".into())));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_load_that_goes_on_behind_a_stale_answer() {
    let (cache, _, clock) = embedded_with(lenient().soft_timeout(SECOND / 10));
    fill(&cache, "old").await;
    end(&clock).await;
    let (gate, load) = held("new");
    let _ = cache.get_or_fill_or_stale("k", load).await.unwrap();
    assert!(!cache.close(SECOND).await);
    settle().await;
    assert_eq!(Arc::strong_count(&gate), 1, "the loader is gone");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_is_an_error_of_its_own_for_all_who_waited() {
    let (cache, _, clock) = embedded_with(lenient().hard_timeout(5 * SECOND));
    let reader = |cache: &Cache| {
        let cache = cache.clone();
        tokio::spawn(async move {
            let never = std::future::pending::<Result<&str, String>>;
            cache.get_or_fill("k", never).await
        })
    };
    let first = reader(&cache);
    settle().await;
    let began = tokio::time::Instant::now();
    // One of them loads next, and the other had come before that began.
    let others = [reader(&cache), reader(&cache)];
    for reader in [first].into_iter().chain(others) {
        let error = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Cache(Error::LoadTimedOut)), "{error:?}");
    }
    assert!(began.elapsed() <= 11 * SECOND, "{:?}", began.elapsed());
    let never = async |_: Vec<bytes::Bytes>| {
        std::future::pending::<Result<Vec<(&str, &str)>, String>>().await
    };
    let error = cache.get_or_fill_many(["k", "l"], never).await.unwrap_err();
    assert!(matches!(error, CallError::Cache(Error::LoadTimedOut)), "{error:?}");

    fill(&cache, "old").await;
    end(&clock).await;
    let never = || std::future::pending::<Result<&str, String>>();
    let answer = cache.get_or_fill_or_stale("k", never).await.unwrap();
    assert!(matches!(answer, Answer::Stale { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_this_process_committed_is_what_it_last_knew() {
    let (cache, ..) = embedded_with(lenient());
    fill(&cache, "old").await;
    let update = cache.update("k", async |_: &genfence::Reservation| {
        Ok::<_, Infallible>(SourceResult::Committed("new".into()))
    });
    let _ = update.await.unwrap();
    cache.invalidate("k", None).await.unwrap();
    assert_eq!(stale(&cache).await, "new");
    let _ = cache.set("k", "newest").await.unwrap();
    cache.invalidate("k", None).await.unwrap();
    assert_eq!(stale(&cache).await, "newest");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_commit_does_not_bring_the_old_value_back() {
    let (cache, ..) = embedded_with(lenient());
    let writer = cache.reserve("k").await.unwrap();
    let (gate, load) = held("old");
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_fill_or_stale("k", load).await }
    });
    settle().await;
    let _ = writer.commit("new").await.unwrap();
    gate.add_permits(1);
    assert_eq!(reader.await.unwrap().unwrap(), Answer::Value(Some("old".into())));
    cache.invalidate("k", None).await.unwrap();
    assert_eq!(stale(&cache).await, "new");
}

#[tokio::test(start_paused = true)]
async fn an_older_version_does_not_take_the_place_of_a_newer_one() {
    let (cache, ..) = embedded_with(lenient());
    let writer = cache.reserve("k").await.unwrap();
    let _ = writer.commit_versioned("new", 7).await.unwrap();
    cache.invalidate("k", Some(9)).await.unwrap();
    let replica = || async { Ok::<_, Infallible>(Fresh::from("of a replica").version(6)) };
    let _ = cache.get_or_fill_or_stale("k", replica).await.unwrap();
    assert_eq!(stale(&cache).await, "new");
}

/// It is what is meant by last known: that it is right no more is known, and nothing better is.
#[tokio::test(start_paused = true)]
async fn after_a_release_the_value_of_before_is_the_last_known() {
    let (cache, ..) = embedded_with(lenient());
    fill(&cache, "old").await;
    let _ = cache.reserve("k").await.unwrap().release(None).await.unwrap();
    assert_eq!(stale(&cache).await, "old");
}

#[tokio::test(start_paused = true)]
async fn a_writer_and_a_store_that_gives_no_answer_are_loaded_past_first() {
    let (cache, store, _) = faulty_with(lenient());
    fill(&cache, "old").await;
    store.next_many(Kind::Get, &Fault::Lost, 2);
    let load = || async { Ok::<_, Infallible>("new") };
    let answer = cache.get_or_fill_or_stale("k", load).await.unwrap();
    assert_eq!(answer, Answer::Value(Some("new".into())));
    assert_eq!(stale(&cache).await, "new", "it was loaded, though not stored");
    let _writer = cache.reserve("k").await.unwrap();
    let load = || async { Ok::<_, Infallible>("newer") };
    let answer = cache.get_or_fill_or_stale("k", load).await.unwrap();
    assert_eq!(answer, Answer::Value(Some("newer".into())));
    assert_eq!(stale(&cache).await, "newer");
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn a_value_of_a_type_is_last_known_as_long_as_it_can_be_read() {
    let (cache, store, clock) = embedded_with(lenient().soft_timeout(SECOND / 10));
    let numbers = cache.typed::<u32>();
    let down = || async { Err::<Option<u32>, _>("the source is down") };
    assert!(numbers.get_or_fill_or_stale("k", down).await.is_err());
    let load = || async { Ok::<_, &str>(Some(1)) };
    assert_eq!(numbers.get_or_fill_or_stale("k", load).await.unwrap(), Answer::Value(Some(1)));
    end(&clock).await;
    let answer = numbers.get_or_fill_or_stale("k", down).await.unwrap();
    assert!(matches!(answer, Answer::Stale { value: Some(1), .. }), "{answer:?}");

    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let load = move || {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            Ok::<_, String>(Some(2))
        }
    };
    let answer = numbers.get_or_fill_or_stale("k", load).await.unwrap();
    assert!(matches!(answer, Answer::Stale { value: Some(1), .. }), "{answer:?}");
    gate.add_permits(1);
    settle().await;
    assert_eq!(numbers.get("k").await.unwrap(), Some(Some(2)), "it is filled behind");

    let other = lenient().build(store).unwrap();
    let _ = cache.set("k", "no number").await.unwrap();
    assert!(other.get("k").await.unwrap().is_some());
    end(&clock).await;
    assert!(other.typed::<u32>().get_or_fill_or_stale("k", down).await.is_err());
    assert_eq!((cache.stats().stale_served, other.stats().stale_served), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_value_that_bears_tags_what_was_right_is_known_and_not_what_was_purged() {
    for many in [false, true] {
        let (cache, store, _) = embedded_with(lenient().tags(true));
        let [sees, comes_late] =
            [(); 2].map(|()| lenient().tags(true).build(store.clone()).unwrap());
        fill(&cache.tagged(["a"]).unwrap(), "old").await;
        let reads = async |cache: &Cache| {
            if many {
                let found = cache.lookup_many(&["k"]).await.unwrap().pop();
                matches!(found, Some(Some(Lookup::Hit(_))))
            } else {
                cache.get("k").await.unwrap().is_some()
            }
        };
        assert!(reads(&sees).await);
        cache.purge_tag("a").await.unwrap();
        assert!(!reads(&comes_late).await);
        for knows in [&cache, &sees] {
            assert_eq!(stale(knows).await, "old");
        }
        assert!(read_in_vain(&comes_late).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_has_a_bound() {
    let (cache, ..) = embedded_with(lenient().stale_bytes(64 << 10));
    let large = Fresh::from(vec![0; 1 << 10]);
    for key in 0..1000 {
        let load = async || Ok::<_, Infallible>(large.clone());
        cache.get_or_fill(format!("{key}"), load).await.unwrap();
        cache.invalidate(format!("{key}"), None).await.unwrap();
    }
    let mut known = 0;
    for key in 0..1000 {
        let load = || async { Err::<&str, _>("down") };
        known += usize::from(cache.get_or_fill_or_stale(format!("{key}"), load).await.is_ok());
    }
    assert!((1..64).contains(&known), "{known} values of 1 KiB in 64 KiB");
}
