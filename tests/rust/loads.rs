//! One load for all who wait in a process: its value, its error, and what is not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use genfence::{Bypass, Cache, CallError, Fresh, Lookup};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{Fault, Kind, embedded, embedded_with, faulty, faulty_with, settle};

type Loaded = Result<Option<Bytes>, CallError<Arc<String>>>;

/// A source that answers when the test says so, and counts.
#[derive(Clone)]
struct Source {
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    answer: Arc<dyn Fn(usize) -> Result<Fresh, String> + Send + Sync>,
}

impl Source {
    fn new(answer: impl Fn(usize) -> Result<Fresh, String> + Send + Sync + 'static) -> Self {
        Source {
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            answer: Arc::new(answer),
        }
    }

    /// Numbers its answers.
    fn counting() -> Self {
        Source::new(|asked| Ok(Fresh::from(asked.to_string())))
    }

    fn down() -> Self {
        Source::new(|asked| Err(format!("failure {asked}")))
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// Answers as many questions, now and later.
    async fn answer(&self, count: usize) {
        self.gate.add_permits(count);
        settle().await;
    }

    fn reader(&self, cache: &Cache) -> JoinHandle<Loaded> {
        let (cache, source) = (cache.clone(), self.clone());
        tokio::spawn(async move {
            let load = async || {
                let asked = source.asked.fetch_add(1, SeqCst) + 1;
                source.gate.acquire().await.unwrap().forget();
                (source.answer)(asked)
            };
            cache.get_or_fill("k", load).await
        })
    }

    async fn readers(&self, cache: &Cache, count: usize) -> Vec<JoinHandle<Loaded>> {
        let readers = (0..count).map(|_| self.reader(cache)).collect();
        settle().await;
        readers
    }
}

/// What all of them got.
async fn all(readers: Vec<JoinHandle<Loaded>>) -> Vec<String> {
    let mut said = Vec::new();
    for reader in readers {
        said.push(match reader.await.unwrap() {
            Ok(value) => String::from_utf8(value.unwrap().to_vec()).unwrap(),
            Err(error) => error.to_string(),
        });
    }
    said
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_is_asked_twice_by_a_thousand_callers_and_each_has_its_error() {
    let (cache, ..) = embedded();
    let source = Source::down();
    let first = source.readers(&cache, 1).await;
    let others = source.readers(&cache, 999).await;
    let start = Instant::now();
    source.answer(1).await;
    assert_eq!(all(first).await, ["failure 1"]);
    // The others came while it was asked: what it said may be older than they are.
    assert_eq!(source.asked(), 2);
    source.answer(1).await;
    assert!(all(others).await.iter().all(|said| said == "failure 2"));
    assert_eq!((source.asked(), start.elapsed().as_millis()), (2, 0));
    // It gave up its lease.
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_longer_than_the_wait_is_the_only_one_of_its_process() {
    let (cache, _, clock) = embedded_with(Cache::builder().wait(Duration::from_millis(100)));
    let source = Source::counting();
    let readers = source.readers(&cache, 100).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        clock.advance(Duration::from_millis(500));
    }
    source.answer(1).await;
    assert!(all(readers).await.iter().all(|said| said == "1"));
    assert_eq!((source.asked(), cache.stats().fills_stored), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_makes_place_for_another_when_the_load_time_is_over() {
    let load_time = Duration::from_secs(10);
    for is_reserved in [false, true] {
        let (cache, ..) = embedded_with(Cache::builder().load_time(load_time));
        let writer = if is_reserved { Some(cache.reserve("k").await.unwrap()) } else { None };
        let hangs = Source::counting();
        let hung = hangs.readers(&cache, 1).await;
        let source = Source::counting();
        let readers = source.readers(&cache, 5).await;
        source.answer(5).await;
        assert_eq!(source.asked(), 0);
        tokio::time::sleep(load_time + Duration::from_secs(1)).await;
        assert!(all(readers).await.iter().all(|said| said == "1"), "reserved: {is_reserved}");
        hangs.answer(1).await;
        assert_eq!(all(hung).await, ["1"]);
        drop(writer);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_beside_a_writer_read_the_source_one_at_a_time_and_store_nothing() {
    let (cache, store, _) = embedded();
    let _writer = cache.reserve("k").await.unwrap();
    let source = Source::counting();
    let first = source.readers(&cache, 1).await;
    let others = source.readers(&cache, 99).await;
    source.answer(1).await;
    source.answer(1).await;
    assert_eq!(all(first).await, ["1"]);
    assert!(all(others).await.iter().all(|said| said == "2"), "they came while the first was read");
    assert_eq!(source.asked(), 2);
    assert!(cache.get("k").await.unwrap().is_none());
    assert_eq!((cache.stats().fills_stored, store.len()), (0, 1));
}

/// The plain lookup beside them keeps its word: its bypass comes at the end of its own wait.
#[tokio::test(start_paused = true)]
async fn a_lookup_beside_a_load_that_is_not_stored_waits_no_longer_than_it_may() {
    let (cache, ..) = embedded_with(Cache::builder().wait(Duration::from_millis(300)));
    let _writer = cache.reserve("k").await.unwrap();
    let source = Source::counting();
    let _reader = source.readers(&cache, 1).await;
    let start = Instant::now();
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Bypass(Bypass::Slow)));
    assert_eq!(start.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_store_that_does_not_answer_read_the_source_one_at_a_time() {
    let (cache, store, _) = faulty();
    store.next_many(Kind::Get, &Fault::Lost, 1_000);
    store.next_many(Kind::Lease, &Fault::Lost, 1_000);
    let source = Source::counting();
    let first = source.readers(&cache, 1).await;
    let others = source.readers(&cache, 99).await;
    source.answer(1).await;
    source.answer(1).await;
    assert_eq!(all(first).await, ["1"]);
    assert!(all(others).await.iter().all(|said| said == "2"));
    assert_eq!(source.asked(), 2);
    assert!(
        !store.sent().contains(&Kind::Lease),
        "a store that just gave no answer is not asked for a lease"
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_wait_for_another_process_one_caller_reads_the_source_for_all() {
    let builder = Cache::builder().wait(Duration::from_millis(300));
    let (cache, store, _) = embedded_with(builder.clone());
    let other = builder.build(store).unwrap();
    let Lookup::Leased(_theirs) = other.lookup("k").await.unwrap() else { panic!() };
    let source = Source::counting();
    let readers = source.readers(&cache, 100).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    source.answer(1).await;
    assert!(all(readers).await.iter().all(|said| said == "1"));
    assert_eq!((source.asked(), cache.stats().fills_stored), (1, 0));
}

/// What the program does with a lease, nobody knows; it may even be the one who waits.
#[tokio::test(start_paused = true)]
async fn a_lease_that_the_program_holds_is_waited_for_no_longer_than_the_wait() {
    let (cache, ..) = embedded_with(Cache::builder().wait(Duration::from_millis(300)));
    let Lookup::Leased(held) = cache.lookup("k").await.unwrap() else { panic!() };
    let source = Source::counting();
    let readers = source.readers(&cache, 100).await;
    assert_eq!(source.asked(), 0);
    tokio::time::sleep(Duration::from_millis(301)).await;
    // The first reads; those who come to wait for that at the same moment may be too late for it.
    source.answer(2).await;
    assert!(all(readers).await.iter().all(|said| said == "1" || said == "2"));
    assert_eq!(source.asked(), 2);
    let down = Source::down();
    let readers = down.readers(&cache, 100).await;
    tokio::time::sleep(Duration::from_millis(301)).await;
    down.answer(2).await;
    assert!(all(readers).await.iter().all(|said| said.starts_with("failure")));
    assert_eq!(down.asked(), 2);
    assert_eq!(held.fill("v").await.unwrap(), genfence::FillOutcome::Stored);
    assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
}

/// What a load beside the cache brought is the source's answer, which may come from a replica that lags: a lookup
/// beside it gets no hit of that.
#[tokio::test(start_paused = true)]
async fn what_is_not_stored_is_no_hit() {
    let (cache, ..) = embedded_with(Cache::builder().wait(Duration::from_secs(30)));
    let writer = cache.reserve("k").await.unwrap();
    let (first, source) = (Source::counting(), Source::counting());
    let before = first.readers(&cache, 1).await;
    // Both come before the load that follows.
    let readers = source.readers(&cache, 2).await;
    let lookup = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.lookup("k").await })
    };
    settle().await;
    first.answer(1).await;
    source.answer(1).await;
    assert_eq!(
        (all(before).await, all(readers).await),
        (vec!["1".into()], vec!["1".into(), "1".into()])
    );
    assert!(matches!(lookup.await.unwrap().unwrap(), Lookup::Bypass(Bypass::Reserved)));
    writer.abort().await;
}

/// Read from a replica that lags, which the cache knows: the others look for themselves.
#[tokio::test(start_paused = true)]
async fn what_is_not_stored_and_below_the_floor_is_not_shared() {
    let (cache, ..) = embedded();
    cache.invalidate("k", Some(2)).await.unwrap();
    let _writer = cache.reserve("k").await.unwrap();
    let source = Source::new(|asked| {
        Ok(Fresh::from(asked.to_string()).version(asked.min(2).try_into().unwrap()))
    });
    let hung = Source::counting();
    let before = hung.readers(&cache, 1).await;
    let readers = source.readers(&cache, 3).await;
    hung.answer(1).await;
    source.answer(1).await;
    source.answer(1).await;
    assert_eq!(all(before).await, ["1"]);
    // The second read, of version 2, is good for those who waited.
    assert_eq!(all(readers).await, ["1", "2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_another_type_is_nobody_elses() {
    let (cache, store, _) = faulty();
    let (granted, source) = (Arc::new(Semaphore::new(0)), Source::down());
    store.next(Kind::Lease, Fault::Held(Arc::clone(&granted)));
    let first = source.readers(&cache, 1).await;
    let other = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_or_fill("k", async || Err::<&str, _>(7_u32)).await })
    };
    settle().await;
    granted.add_permits(1);
    source.answer(1).await;
    assert_eq!(all(first).await, ["failure 1"]);
    assert!(matches!(other.await.unwrap(), Err(CallError::Caller(error)) if *error == 7));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_waited_for_a_load_that_failed_gets_the_lease() {
    let (cache, store, _) = faulty();
    let (granted, source) = (Arc::new(Semaphore::new(0)), Source::down());
    store.next(Kind::Lease, Fault::Held(Arc::clone(&granted)));
    let reader = source.readers(&cache, 1).await;
    let lookup = tokio::spawn(async move { cache.lookup("k").await });
    settle().await;
    granted.add_permits(1);
    source.answer(1).await;
    assert_eq!(all(reader).await, ["failure 1"]);
    assert!(matches!(lookup.await.unwrap().unwrap(), Lookup::Leased(_)));
}

/// The store dies between lease and fill. Those who came before the read have nothing to wait for.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_to_a_fill_holds_back_nobody_who_waits() {
    let (cache, store, _) = faulty_with(Cache::builder().attempts(1));
    let granted = Arc::new(Semaphore::new(0));
    store.next(Kind::Lease, Fault::Held(Arc::clone(&granted)));
    store.next(Kind::Fill, Fault::Held(Arc::new(Semaphore::new(0))));
    let source = Source::counting();
    let readers = source.readers(&cache, 10).await;
    granted.add_permits(1);
    settle().await;
    let start = Instant::now();
    source.answer(1).await;
    assert!(all(readers).await.iter().all(|said| said == "1"));
    assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_tells_those_who_waited_for_its_keys() {
    let (cache, store, _) = faulty();
    let granted = Arc::new(Semaphore::new(0));
    store.next(Kind::Lease, Fault::Held(Arc::clone(&granted)));
    let batch = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let load =
                async |_: Vec<Bytes>| Err::<[(Bytes, Fresh); 0], _>("the batch failed".to_owned());
            cache.get_or_fill_many(["k", "other"], load).await
        })
    };
    settle().await;
    let source = Source::counting();
    let readers = source.readers(&cache, 2).await;
    granted.add_permits(1);
    assert!(
        matches!(batch.await.unwrap(), Err(CallError::Caller(error)) if *error == "the batch failed")
    );
    assert_eq!(all(readers).await, ["the batch failed"; 2]);
    assert_eq!(source.asked(), 0);
}
