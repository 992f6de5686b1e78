//! Values that are loaded anew before they end, while they go on being served.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use genfence::protocol::{Claim, Grant, Life, Ttl};
use genfence::store::{Answer, Change, Clock, Hit, MemoryStore, Read, Snapshot, Store, StoreError};
use genfence::{Builder, Cache, Fence, FillOutcome, Fresh, Lookup, SetOutcome, UpdateOutcome};
use tokio::sync::Semaphore;

use crate::support::{Fault, Faulty, Kind, ROOM, embedded_with, faulty_with, settle};

const SECOND: Duration = Duration::from_secs(1);

/// A value lives 100 s, and is old for certain after 90.
fn ahead() -> Builder {
    Cache::builder().ttl(100 * SECOND).ttl_jitter(0.0).refresh_at(0.8)
}

/// A source that answers when the test says so, with the number of times that it was asked.
#[derive(Clone)]
struct Source {
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Source {
    fn new() -> Self {
        Source { asked: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// Answers as many questions, now and later.
    async fn answer(&self, count: usize) {
        self.gate.add_permits(count);
        settle().await;
    }

    async fn load(self) -> Result<Fresh, String> {
        let asked = self.asked.fetch_add(1, SeqCst) + 1;
        self.gate.acquire().await.unwrap().forget();
        Ok(format!("loaded {asked}").into())
    }

    /// A read of a key that is there.
    async fn read_of(&self, cache: &Cache, key: &str) -> String {
        let source = self.clone();
        let value = cache.get_or_fill_ahead(key, move || source.load()).await.unwrap();
        settle().await;
        text(value)
    }

    async fn read(&self, cache: &Cache) -> String {
        self.read_of(cache, "k").await
    }
}

fn text(value: Option<bytes::Bytes>) -> String {
    String::from_utf8(value.expect("a value, not nothing").to_vec()).unwrap()
}

async fn set(cache: &Cache, value: &'static str) {
    assert_eq!(cache.set("k", value).await.unwrap(), SetOutcome::Stored);
}

async fn hit(cache: &Cache) -> Hit {
    cache.get("k").await.unwrap().expect("a value that is served")
}

async fn stored(cache: &Cache) -> String {
    text(hit(cache).await.value)
}

/// A read whose loader fails at once.
async fn read_in_vain(cache: &Cache, asked: &Arc<AtomicUsize>) -> String {
    let asked = Arc::clone(asked);
    let load = move || async move {
        asked.fetch_add(1, SeqCst);
        Err::<&str, _>("the source is down")
    };
    let value = cache.get_or_fill_ahead("k", load).await.unwrap();
    settle().await;
    text(value)
}

fn counted(cache: &Cache) -> (u64, u64, u64) {
    let stats = cache.stats();
    (stats.refreshes, stats.refreshed, stats.refreshes_failed)
}

#[tokio::test(start_paused = true)]
async fn a_hit_that_is_due_is_not_delayed_and_the_new_value_is_there_when_it_was_loaded() {
    let (cache, store, clock) = faulty_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    assert_eq!(source.asked(), 1, "it is loaded behind the hit");
    store.sent();
    for _ in 0..10 {
        assert_eq!(source.read(&cache).await, "old", "the loader is still held");
    }
    assert_eq!((source.asked(), counted(&cache)), (1, (1, 0, 0)));
    assert!(!store.sent().contains(&Kind::Refresh), "the process knows that it is at it");
    source.answer(1).await;
    assert_eq!(stored(&cache).await, "loaded 1");
    assert_eq!(counted(&cache), (1, 1, 0));
    clock.advance(50 * SECOND);
    assert_eq!(source.read(&cache).await, "loaded 1", "it lives anew from when it was stored");
    assert_eq!(source.asked(), 1);
    assert_eq!(cache.stats().misses, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_old_enough_is_not_loaded_and_without_the_option_nothing_is() {
    for (builder, age) in [(ahead(), 79), (Cache::builder().ttl(100 * SECOND).ttl_jitter(0.0), 99)]
    {
        let (cache, _, clock) = embedded_with(builder);
        set(&cache, "old").await;
        clock.advance(age * SECOND);
        let source = Source::new();
        assert_eq!(source.read(&cache).await, "old");
        assert!(cache.refresh("k", &hit(&cache).await).await.unwrap().is_none());
        assert_eq!((source.asked(), counted(&cache)), (0, (0, 0, 0)));
    }
}

/// Where on the way from 0.8 to 0.9 a value is old differs from value to value and from process to process.
#[tokio::test(start_paused = true)]
async fn processes_and_values_are_not_due_all_at_once() {
    let (mut due, mut values) = (0, 0);
    for _ in 0..20 {
        let (cache, _, clock) = embedded_with(ahead());
        for key in ["a", "b", "c", "d", "e"] {
            let _ = cache.set(key, "v").await.unwrap();
        }
        clock.advance(85 * SECOND);
        for key in ["a", "b", "c", "d", "e"] {
            let hit = cache.get(key).await.unwrap().unwrap();
            due += usize::from(cache.refresh(key, &hit).await.unwrap().is_some());
            values += 1;
        }
    }
    assert!((values / 10..values * 9 / 10).contains(&due), "{due} of {values}");
}

#[tokio::test(start_paused = true)]
async fn one_process_of_all_loads_anew() {
    let (first, store, clock) = embedded_with(ahead());
    let second = ahead().build(Arc::clone(&store)).unwrap();
    set(&first, "old").await;
    clock.advance(91 * SECOND);
    let source = Source::new();
    assert_eq!(source.read(&first).await, "old");
    assert_eq!(source.read(&second).await, "old");
    assert_eq!(source.asked(), 1);
    assert_eq!((counted(&first), counted(&second)), ((1, 0, 0), (0, 0, 0)));
    source.answer(1).await;
    assert_eq!(stored(&second).await, "loaded 1");
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_beside_a_writer_is_not_stored_and_no_failure() {
    let (cache, _, clock) = embedded_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    let update = cache.update("k", async |_: &genfence::Reservation| {
        Ok::<_, Infallible>(genfence::SourceResult::Committed("newer".into()))
    });
    assert_eq!(update.await.unwrap(), UpdateOutcome::Stored);
    source.answer(1).await;
    assert_eq!(stored(&cache).await, "newer");
    assert_eq!(counted(&cache), (1, 0, 0));

    clock.advance(91 * SECOND);
    assert_eq!(source.read(&cache).await, "newer");
    let writer = cache.reserve("k").await.unwrap();
    source.answer(1).await;
    assert!(cache.get("k").await.unwrap().is_none(), "it is the writer's");
    writer.abort().await;
    assert!(cache.get("k").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_fails_leaves_the_value_and_is_asked_again_later_each_time() {
    let (cache, _, clock) = embedded_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let asked = Arc::default();
    for (pause, times) in [(0, 1), (0, 1), (1, 2), (1, 2), (1, 3), (3, 3), (1, 4)] {
        tokio::time::advance(pause * SECOND).await;
        assert_eq!(read_in_vain(&cache, &asked).await, "old");
        assert_eq!(asked.load(SeqCst), times, "after {pause} s more");
    }
    assert_eq!(counted(&cache), (4, 0, 4));
    let source = Source::new();
    source.answer(1).await;
    tokio::time::advance(8 * SECOND).await;
    assert_eq!(source.read(&cache).await, "old");
    assert_eq!(stored(&cache).await, "loaded 1", "a permission that was not used is given back");
}

#[tokio::test(start_paused = true)]
async fn a_new_value_is_not_kept_waiting_by_the_failures_of_the_one_before() {
    let (cache, _, clock) = embedded_with(ahead());
    let asked = Arc::default();
    for times in 1..=3 {
        set(&cache, "old").await;
        clock.advance(91 * SECOND);
        read_in_vain(&cache, &asked).await;
        assert_eq!(asked.load(SeqCst), times);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_is_a_failure_and_not_the_end_of_it() {
    let (cache, _, clock) = embedded_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let load = || async { panic!("of the test's own") as Result<&str, String> };
    assert_eq!(text(cache.get_or_fill_ahead("k", load).await.unwrap()), "old");
    settle().await;
    assert_eq!(counted(&cache), (1, 0, 1));
    tokio::time::advance(SECOND).await;
    let source = Source::new();
    source.answer(1).await;
    assert_eq!(source.read(&cache).await, "old");
    assert_eq!(stored(&cache).await, "loaded 1");
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_takes_too_long_is_given_up() {
    let (cache, _, clock) = embedded_with(ahead().load_time(5 * SECOND));
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(counted(&cache), (1, 0, 1));
    source.answer(1).await;
    assert_eq!(source.asked(), 1);
    assert_eq!(source.read(&cache).await, "old");
    assert_eq!(stored(&cache).await, "loaded 2");
}

/// Where a server's clock and the process's own differ, each value looks as if it were at its end.
struct Skewed {
    inner: Arc<MemoryStore>,
    life: Option<Life>,
}

impl Store for Skewed {
    async fn get(&self, key: &[u8]) -> Result<Read, StoreError> {
        Ok(match self.inner.get(key).await? {
            Read::Hit(hit) => Read::Hit(Hit { life: self.life, ..hit }),
            other => other,
        })
    }

    async fn inspect(&self, key: &[u8]) -> Result<Option<Snapshot>, StoreError> {
        self.inner.inspect(key).await
    }

    async fn claim(&self, key: &[u8], claim: &Claim) -> Result<Answer<Grant>, StoreError> {
        self.inner.claim(key, claim).await
    }

    async fn change(&self, key: &[u8], change: &Change) -> Result<Answer<()>, StoreError> {
        self.inner.change(key, change).await
    }
}

fn skewed(life: Option<Life>) -> Cache {
    let inner = Arc::new(MemoryStore::with_clock(ROOM, Clock::manual()));
    ahead().build(Skewed { inner, life }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_wrong_does_not_load_all_the_time() {
    let ttl = |seconds| Ttl::from_secs(seconds).unwrap();
    let cache = skewed(Some(Life { whole: ttl(100), left: ttl(1) }));
    set(&cache, "old").await;
    let source = Source::new();
    source.answer(100).await;
    assert_eq!(source.read(&cache).await, "old");
    for _ in 0..10 {
        assert_eq!(source.read(&cache).await, "loaded 1");
    }
    tokio::time::advance(79 * SECOND).await;
    assert_eq!(source.read(&cache).await, "loaded 1");
    assert_eq!(source.asked(), 1);
    tokio::time::advance(SECOND).await;
    assert_eq!(source.read(&cache).await, "loaded 1");
    assert_eq!(stored(&cache).await, "loaded 2");
}

#[tokio::test(start_paused = true)]
async fn a_value_of_which_nobody_knows_how_long_it_lives_is_never_due() {
    let cache = skewed(None);
    set(&cache, "old").await;
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    assert_eq!(source.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_program_asked_for_and_did_not_use_is_given_back() {
    let (first, store, clock) = embedded_with(ahead());
    let second = ahead().build(Arc::clone(&store)).unwrap();
    set(&first, "old").await;
    clock.advance(91 * SECOND);
    let seen = hit(&first).await;
    let refresh = first.refresh("k", &seen).await.unwrap().expect("it is due");
    assert!(first.refresh("k", &seen).await.unwrap().is_none(), "it is out");
    assert!(second.refresh("k", &seen).await.unwrap().is_none(), "another has it");
    drop(refresh);
    settle().await;
    tokio::time::advance(SECOND).await;
    let refresh = second.refresh("k", &seen).await.unwrap().expect("it was given back");
    assert_eq!(refresh.fill("new").await.unwrap(), FillOutcome::Stored);
    assert_eq!((counted(&first), counted(&second)), ((1, 0, 1), (1, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_stays_out_and_is_not_tried_at_once() {
    let (cache, _, clock) = embedded_with(ahead().max_value_bytes(8));
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let seen = hit(&cache).await;
    let refresh = cache.refresh("k", &seen).await.unwrap().expect("it is due");
    assert_eq!(refresh.fill("123456789").await.unwrap(), FillOutcome::TooLarge);
    assert!(cache.refresh("k", &seen).await.unwrap().is_none());
    assert_eq!((stored(&cache).await, counted(&cache)), ("old".into(), (1, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_on_the_way_changes_nothing() {
    let (cache, store, clock) = faulty_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    store.next(Kind::Refresh, Fault::ReplyLost);
    store.next(Kind::Refill, Fault::ReplyLost);
    let seen = hit(&cache).await;
    let refresh = cache.refresh("k", &seen).await.unwrap().expect("the second packet is answered");
    assert_eq!(refresh.fill("new").await.unwrap(), FillOutcome::Stored);
    assert_eq!((store.pending_faults(), stored(&cache).await), (0, "new".into()));
    assert_eq!(counted(&cache), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gives_no_answer_is_not_asked_again_at_once() {
    let (cache, store, clock) = faulty_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    store.next_many(Kind::Refresh, &Fault::Lost, 3);
    let source = Source::new();
    for _ in 0..5 {
        assert_eq!(source.read(&cache).await, "old");
        tokio::time::advance(SECOND / 10).await;
    }
    assert_eq!((source.asked(), counted(&cache)), (0, (0, 0, 1)));
    assert_eq!(store.pending_faults(), 0);
}

/// Says when it is dropped.
struct Dropped(Arc<Mutex<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_a_load_in_the_background_and_then_ends_it() {
    let (cache, _, clock) = embedded_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let gone = Arc::new(Mutex::new(false));
    let dropped = Dropped(Arc::clone(&gone));
    let load = move || async move {
        let _dropped = dropped;
        std::future::pending::<Result<&str, String>>().await
    };
    cache.get_or_fill_ahead("k", load).await.unwrap();
    settle().await;
    assert!(!cache.close(SECOND).await, "it did not end by itself");
    settle().await;
    assert!(*gone.lock().unwrap());
    assert_eq!(counted(&cache), (1, 0, 0), "an end that was asked for is no failure");
}

#[tokio::test(start_paused = true)]
async fn no_loader_is_called_after_a_close() {
    let (cache, store, clock) = faulty_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let gate = Arc::new(Semaphore::new(0));
    store.next(Kind::Refresh, Fault::Held(Arc::clone(&gate)));
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    let closing = tokio::spawn({
        let cache = cache.clone();
        async move { cache.close(10 * SECOND).await }
    });
    settle().await;
    gate.add_permits(1);
    assert!(closing.await.unwrap());
    assert_eq!(source.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_keys_have_homes_a_value_is_loaded_anew_where_it_is_read() {
    let clock = Clock::manual();
    let [far, near] = [(); 2].map(|()| Faulty::new(clock.clone()));
    let us = ahead().build(far.clone()).unwrap();
    let builder = ahead().region("eu").fence(Fence::Home).peer("us", us);
    let eu = builder.home("by-name", |_: &[u8]| "us").build(near.clone()).unwrap();
    let _ = eu.set("k", "old").await.unwrap();
    clock.advance(91 * SECOND);
    let source = Source::new();
    source.answer(1).await;
    assert_eq!(source.read(&eu).await, "old");
    assert_eq!(stored(&eu).await, "loaded 1");
    assert!(far.sent().contains(&Kind::Refill) && near.sent().is_empty());
    assert_eq!(eu.stats().refreshed, 0, "what a cache counts that the program opened is its own");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_hits_while_a_value_is_loaded_anew() {
    let (cache, _, clock) = embedded_with(ahead());
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    let refresh = cache.refresh("k", &hit(&cache).await).await.unwrap().expect("it is due");
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Hit(_)));
    drop(refresh);
}

/// Two caches on one store, as of two processes, and a value there that bears a tag and is due.
async fn due_with_a_tag() -> (Cache, Cache, Faulty) {
    let (cache, store, clock) = faulty_with(ahead().tags(true));
    let other = ahead().tags(true).build(store.clone()).unwrap();
    let cache = cache.tagged(["a"]).unwrap();
    set(&cache, "old").await;
    clock.advance(91 * SECOND);
    (cache, other, store)
}

#[tokio::test(start_paused = true)]
async fn a_value_that_bears_tags_is_loaded_anew_with_them() {
    let (cache, other, _) = due_with_a_tag().await;
    let source = Source::new();
    assert_eq!(source.read(&cache).await, "old");
    source.answer(1).await;
    assert_eq!((stored(&other).await, counted(&cache)), ("loaded 1".into(), (1, 1, 0)));
    other.purge_tag("a").await.unwrap();
    assert!(cache.get("k").await.unwrap().is_none());
}

/// The permission stands beside the value, and knows nothing of the tag.
#[tokio::test(start_paused = true)]
async fn what_was_loaded_anew_across_a_change_of_its_group_is_served_to_nobody() {
    for purges in [true, false] {
        let (cache, other, _) = due_with_a_tag().await;
        let source = Source::new();
        assert_eq!(source.read(&cache).await, "old");
        if purges {
            other.purge_tag("a").await.unwrap();
        } else {
            crate::tags::update_tag(&other, "a").await;
        }
        source.answer(1).await;
        assert_eq!(source.asked(), 1);
        assert!(cache.get("k").await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_group_is_reserved_none_of_it_is_loaded_anew_and_after_that_it_takes_the_place_of_what_was_purged()
 {
    let (cache, other, store) = due_with_a_tag().await;
    let seen = hit(&cache).await;
    let group = other.reserve_tag("a").await.unwrap();
    assert!(cache.refresh("k", &seen).await.unwrap().is_none());
    assert_eq!(counted(&cache), (0, 0, 0), "a lost race is no failure");
    settle().await;
    assert!(store.sent().contains(&Kind::Unlease), "it is given back");
    group.abort().await;
    tokio::time::advance(SECOND).await;
    let refresh = cache.refresh("k", &seen).await.unwrap().expect("it is there, if not served");
    assert_eq!(refresh.fill("new").await.unwrap(), FillOutcome::Stored);
    assert_eq!(stored(&other).await, "new");
}

/// As for another process's fill, and looks whether it is over.
#[tokio::test(start_paused = true)]
async fn who_misses_what_was_purged_waits_for_who_loads_it_anew() {
    let (cache, other, store) = due_with_a_tag().await;
    let seen = hit(&cache).await;
    other.purge_tag("a").await.unwrap();
    let refresh = cache.refresh("k", &seen).await.unwrap().expect("it is due");
    store.sent();
    let misses = tokio::spawn(async move {
        other.get_or_fill("k", async || Ok::<_, Infallible>("of its own")).await.unwrap()
    });
    tokio::time::sleep(SECOND).await;
    let sent = store.sent();
    assert_eq!(sent.iter().filter(|kind| **kind == Kind::Lease).count(), 1, "{sent:?}");
    assert_eq!(refresh.fill("new").await.unwrap(), FillOutcome::Stored);
    assert_eq!(text(misses.await.unwrap()), "new");
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn values_of_a_type_are_loaded_anew_as_well() {
    let (cache, _, clock) = embedded_with(ahead());
    let numbers = cache.typed::<u32>();
    assert_eq!(numbers.set("k", &1).await.unwrap(), SetOutcome::Stored);
    clock.advance(91 * SECOND);
    let load = || async { Ok::<_, Infallible>(Some(2)) };
    assert_eq!(numbers.get_or_fill_ahead("k", load).await.unwrap(), Some(1));
    settle().await;
    assert_eq!(numbers.get("k").await.unwrap(), Some(Some(2)));
    assert_eq!(numbers.get_or_fill_ahead("other", load).await.unwrap(), Some(2));
}

/// What the client tells of a record's end it reckons on its own clock, which is ahead here: the value looks old.
#[cfg(feature = "aerospike")]
#[tokio::test(flavor = "multi_thread")]
async fn on_aerospike_a_value_is_loaded_anew_once_by_a_process_whose_clock_is_wrong() {
    let clock = genfence_wire::Clock::system();
    let config = genfence_wire::Config::default();
    let server = genfence_wire::Server::start_with(config, clock.clone(), 0).await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    let cache = ahead().connect(&url).await.unwrap();
    clock.skew(-95_000);
    let old = async || Ok::<_, Infallible>("old");
    let _ = cache.get_or_fill("k", old).await.unwrap();
    let source = Source::new();
    source.gate.add_permits(100);
    let wait = async {
        let _old = source.read(&cache).await;
        while cache.stats().refreshed == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(20 * SECOND, wait).await.expect("it is loaded anew");
    for _ in 0..20 {
        assert_eq!(source.read(&cache).await, "loaded 1");
    }
    assert_eq!((source.asked(), counted(&cache)), (1, (1, 1, 0)));
}
