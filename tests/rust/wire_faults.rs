//! The cache on the Aerospike store, over TCP, with things going wrong: at each command in turn, and
//! then everywhere at random. Nothing stale, nothing stuck, and every call within its bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use genfence::{Cache, Error, Fresh, Lookup, Reservation, SourceResult};
use genfence_wire::{Action, Clock, Code, Config, Gate, Kind, Rule, Server, Then};
use rand::RngExt;

const TRY: Duration = Duration::from_millis(40);
const ATTEMPTS: u32 = 3;
/// A commit that nobody answers: its tries, the look for its own work, and a release, each with
/// pauses. Generous, as the machine may be busy.
const BOUND: Duration = Duration::from_secs(5);

async fn connect(server: &Server, options: &str) -> Result<Cache, Error> {
    let url = format!("aerospike://{}/test/cache?{options}", server.address());
    Cache::connect(&url).await
}

async fn start(clock: Clock) -> Server {
    Server::start_with(Config::default(), clock, 0).await.unwrap()
}

fn options() -> String {
    format!(
        "timeout={}ms&attempts={ATTEMPTS}&wait=100ms&lease_time=300ms&reservation_time=1s\
         &reservation_margin=500ms&max_errors=0&cluster_guard_time=10s",
        TRY.as_millis()
    )
}

/// A source whose only value is how often it was changed.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    async fn read(&self, cache: &Cache, key: &str) {
        let before = self.0.load(SeqCst);
        let load = async || Ok::<_, Infallible>(self.0.load(SeqCst).to_string());
        let read = tokio::time::timeout(BOUND, cache.get_or_fill(key, load)).await;
        let value = read.expect("a read within its bound").unwrap().unwrap();
        let value: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        assert!(value >= before, "read {value} when the source was at {before}");
    }

    async fn change(&self, cache: &Cache, key: &str, versioned: bool) {
        let update = async |reservation: &Reservation| {
            if reservation.remaining().is_zero() {
                return Ok::<_, Infallible>(SourceResult::RolledBack);
            }
            let value = self.0.fetch_add(1, SeqCst) + 1;
            let fresh = Fresh::from(value.to_string());
            Ok(SourceResult::Committed(if versioned { fresh.version(value) } else { fresh }))
        };
        let updated = tokio::time::timeout(BOUND, cache.update(key, update)).await;
        // No reservation, no change: that is an answer, too.
        let _ = updated.expect("an update within its bound");
    }

    /// When all claims have lapsed, a value is the source's, and a key without one can be filled.
    async fn at_rest(&self, cache: &Cache, key: &str) {
        match tokio::time::timeout(BOUND, cache.lookup(key)).await.unwrap().unwrap() {
            Lookup::Hit(hit) => {
                assert_eq!(hit.value.unwrap(), self.0.load(SeqCst).to_string(), "stale at rest");
            }
            Lookup::Leased(lease) => drop(lease),
            Lookup::Bypass(why) => panic!("{key} is stuck: {why:?}"),
        }
    }
}

fn actions() -> Vec<Action> {
    vec![
        Action::DropReply(Then::Close),
        Action::DropReply(Then::Silence),
        Action::DropRequest(Then::Close),
        Action::DropRequest(Then::Silence),
        Action::Delay(TRY / 2),
        Action::Delay(TRY * 2),
        Action::DelayReply(TRY * 2),
        Action::CutReply(11),
        Action::Stall,
        Action::Fail(Code::KEY_BUSY),
        Action::Fail(Code::DEVICE_OVERLOAD),
        Action::Fail(Code::TIMEOUT),
    ]
}

/// Commands of a cache, not what connecting and tending ask.
fn data(rule: Rule) -> Rule {
    rule.when(|request| request.kind != Kind::Info)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_each_command_in_turn_leaves_nothing_stale_and_nothing_stuck() {
    let (mut injected, mut cases) = (0, 0);
    let server = start(Clock::manual()).await;
    let cache = connect(&server, &options()).await.unwrap();
    for versioned in [false, true] {
        for action in actions() {
            // A read, a change, a read: no more commands than this.
            for position in 0..8 {
                cases += 1;
                let key = format!("{versioned} {action:?} {position}");
                let source = Counter::default();
                let seen = AtomicU64::new(0);
                let fault =
                    server.faults().add(Rule::new(action.clone()).times(1).when(move |request| {
                        request.kind != Kind::Info && seen.fetch_add(1, SeqCst) == position
                    }));
                source.read(&cache, &key).await;
                source.change(&cache, &key, versioned).await;
                source.read(&cache, &key).await;
                injected += fault.happened();
                server.faults().clear();
                tokio::time::sleep(TRY * 2).await;
                server.clock().advance(Duration::from_secs(2));
                source.at_rest(&cache, &key).await;
            }
        }
    }
    println!("{injected} faults in {cases} cases, all survived");
    assert!(injected >= cases / 3, "{injected} faults in {cases} cases");
}

/// Packets that are applied long after their client gave up: at every command of a change, one is
/// held until the change is over and another one has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_that_is_applied_after_all_is_over_stores_nothing_old() {
    let server = start(Clock::manual()).await;
    let cache = connect(&server, &options()).await.unwrap();
    let mut held = 0;
    for versioned in [false, true] {
        for position in 0..6 {
            let key = format!("{versioned} {position}");
            let source = Counter::default();
            let gate = Gate::new();
            let seen = AtomicU64::new(0);
            let action = Action::HoldBefore(gate.clone());
            let fault = server.faults().add(Rule::new(action).times(1).when(move |request| {
                request.kind != Kind::Info && seen.fetch_add(1, SeqCst) == position
            }));
            source.read(&cache, &key).await;
            source.change(&cache, &key, versioned).await;
            source.change(&cache, &key, versioned).await;
            gate.open();
            tokio::time::sleep(TRY).await;
            source.read(&cache, &key).await;
            held += fault.happened();
            server.faults().clear();
            server.clock().advance(Duration::from_secs(2));
            source.at_rest(&cache, &key).await;
        }
    }
    assert!(held >= 8, "{held} packets were held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_faults_at_random_serve_nothing_stale() {
    faults_at_random("merge=false", 0.006).await;
}

/// A message has several commands, so there are fewer, and more of them go wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_faults_at_random_serve_nothing_stale_where_commands_travel_together() {
    let merged = faults_at_random("merge_messages=2", 0.015).await;
    assert!(merged > 1000, "{merged} commands went with others");
}

fn happened(faults: &[genfence_wire::Fault]) -> u64 {
    faults.iter().map(genfence_wire::Fault::happened).sum()
}

async fn faults_at_random(way: &str, share: f64) -> u64 {
    const CALLERS: u64 = 48;
    /// At least, and until there were a thousand faults: how many commands there are rests on how they meet.
    const CALLS: u64 = 400;
    const KEYS: u64 = 24;
    let server = start(Clock::system()).await;
    let cache = connect(&server, &format!("{}&{way}", options())).await.unwrap();
    let sources: Arc<Vec<Counter>> = Arc::new((0..KEYS).map(|_| Counter::default()).collect());
    let faults: Arc<[_]> = actions()
        .into_iter()
        .filter(|action| !matches!(action, Action::Stall))
        .map(|action| {
            let unlucky = Rule::new(action)
                .always()
                .when(move |request| request.kind != Kind::Info && rand::rng().random_bool(share));
            server.faults().add(unlucky)
        })
        .collect();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (cache, sources, faults) = (cache.clone(), sources.clone(), Arc::clone(&faults));
            tokio::spawn(async move {
                for call in 0..10 * CALLS {
                    if call >= CALLS && happened(&faults) > 1000 {
                        break;
                    }
                    let key = rand::rng().random_range(0..KEYS);
                    let source = &sources[usize::try_from(key).unwrap()];
                    let name = format!("key {key}");
                    // Writers of a key all pass versions, or none does.
                    match caller % 6 {
                        0 => source.change(&cache, &name, key % 2 == 0).await,
                        _ => source.read(&cache, &name).await,
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("nothing stale, and nothing beyond its bound");
    }
    let injected = happened(&faults);
    server.faults().clear();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (key, source) in sources.iter().enumerate() {
        source.at_rest(&cache, &format!("key {key}")).await;
    }
    println!("{injected} faults, all survived: {:?}", cache.stats());
    assert!(injected > 1000, "{injected} faults");
    let stats = cache.stats();
    assert!(stats.hits > 0 && stats.commits_stored > 0 && stats.fills_stored > 0);
    stats.merged
}

/// The circuit breaker: a server that answers nothing costs the first reads their time-outs, and the
/// others nothing.
#[tokio::test]
async fn reads_of_a_dead_server_bypass_at_once_and_come_back_when_it_does() {
    let server = start(Clock::system()).await;
    let options = "timeout=200ms&attempts=1&max_errors=5";
    let cache = connect(&server, options).await.unwrap();
    server.faults().add(data(Rule::new(Action::DropRequest(Then::Silence)).always()));
    let source = Counter::default();
    let readers = (0..20).map(|_| source.read(&cache, "k"));
    futures_util::future::join_all(readers).await;
    let begin = Instant::now();
    for _ in 0..50 {
        source.read(&cache, "k").await;
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "50 reads that wait take 10 s");
    server.faults().clear();
    tokio::time::timeout(BOUND, async {
        while cache.stats().hits == 0 {
            source.read(&cache, "k").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the cache is used again");
}

/// One key whose queue in the server is full says nothing against its node.
#[tokio::test]
async fn answers_do_not_trip_the_breaker() {
    let server = start(Clock::system()).await;
    let cache = connect(&server, "timeout=1s&attempts=1&max_errors=3").await.unwrap();
    for code in [Code::KEY_BUSY, Code::DEVICE_OVERLOAD, Code::TIMEOUT] {
        let refused =
            server.faults().add(data(Rule::new(Action::Fail(code)).on(Kind::Operate).always()));
        for _ in 0..3 {
            let writers = (0..20).map(|_| cache.reserve("hot"));
            assert!(futures_util::future::join_all(writers).await.iter().all(Result::is_err));
            assert!(cache.get("other").await.is_ok());
        }
        assert!(refused.happened() >= 60);
        server.faults().clear();
        assert_eq!(cache.stats().bypasses, 0);
        assert!(cache.reserve("other").await.unwrap().release(None).await.is_ok());
    }
}

#[tokio::test]
async fn reserves_of_one_key_take_turns() {
    let server = start(Clock::system()).await;
    let cache = connect(&server, "timeout=20s").await.unwrap();
    let gate = Gate::new();
    let held = server.faults().add(data(Rule::new(Action::HoldBefore(gate.clone())).always()));
    let writers: Vec<_> = (0..60)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.reserve("hot").await.map(drop) })
        })
        .collect();
    gate.reached(8).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(held.happened(), 8, "a server queues 20 for a key");
    gate.open();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_loses_everything_is_filled_anew() {
    let server = start(Clock::manual()).await;
    let cache = connect(&server, &options()).await.unwrap();
    let source = Counter::default();
    source.read(&cache, "k").await;
    let Lookup::Leased(lease) = cache.lookup("leased").await.unwrap() else { panic!("no lease") };
    server.restart_empty();
    assert!(!matches!(lease.fill("old").await, Ok(genfence::FillOutcome::Stored)));
    source.change(&cache, "k", false).await;
    source.read(&cache, "k").await;
    source.at_rest(&cache, "k").await;
}

#[tokio::test]
async fn records_evicted_between_any_two_commands_are_only_missed() {
    let server = start(Clock::manual()).await;
    let cache = connect(&server, &options()).await.unwrap();
    let Lookup::Leased(lease) = cache.lookup("k").await.unwrap() else { panic!("no lease") };
    server.evict_all();
    assert!(matches!(lease.fill("old").await.unwrap(), genfence::FillOutcome::Rejected(_)));
    let reservation = cache.reserve("k").await.unwrap();
    server.evict_all();
    assert_eq!(reservation.commit("new").await.unwrap(), genfence::CommitOutcome::Purged);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test]
async fn the_generation_may_wrap_at_any_time() {
    let server = start(Clock::manual()).await;
    let cache = connect(&server, &options()).await.unwrap();
    server.force_generation_near_wrap();
    let source = Counter::default();
    for _ in 0..20 {
        source.read(&cache, "k").await;
        source.change(&cache, "k", false).await;
        source.at_rest(&cache, "k").await;
    }
    assert_eq!(cache.stats().commits_stored, 20);
}

/// All connections are taken by commands that nobody answers: who comes then is told so in time, and
/// once they are free again the cache is used as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_exhausted_costs_no_more_than_the_time_out() {
    let server = start(Clock::system()).await;
    let options = "timeout=300ms&attempts=1&max_connections=2&max_errors=0";
    let cache = connect(&server, options).await.unwrap();
    let source = Counter::default();
    source.read(&cache, "k").await;
    let gate = Gate::new();
    let held = server.faults().add(data(Rule::new(Action::HoldBefore(gate.clone())).always()));
    let readers = (0..64).map(|_| source.read(&cache, "k"));
    futures_util::future::join_all(readers).await;
    let stats = cache.stats();
    assert!(stats.bypasses == 64 && held.happened() <= 64, "{stats:?}, {}", held.happened());
    server.faults().clear();
    gate.open();
    tokio::time::timeout(BOUND, async {
        let before = cache.stats().hits;
        while cache.stats().hits < before + 10 {
            source.read(&cache, "k").await;
        }
    })
    .await
    .expect("the cache is used again");
}

/// A restart that keeps the records: connections break in the middle of everything, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_under_load_serves_nothing_stale() {
    let server = start(Clock::system()).await;
    let cache = connect(&server, &options()).await.unwrap();
    let source = Counter::default();
    let load = (0..8).map(|caller| {
        let (cache, source) = (&cache, &source);
        async move {
            for _ in 0..60 {
                match caller {
                    0 => source.change(cache, "k", false).await,
                    _ => source.read(cache, "k").await,
                }
            }
        }
    });
    let restarts = async {
        for restart in 0..10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if restart % 2 == 0 { server.restart() } else { server.restart_empty() }
        }
    };
    tokio::join!(futures_util::future::join_all(load), restarts);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    source.at_rest(&cache, "k").await;
}

/// Beside its read, a lookup that finds the lease taken sends one command: that which says by whom.
#[tokio::test]
async fn a_lease_that_is_lost_costs_one_command() {
    let server = start(Clock::manual()).await;
    let cache = connect(&server, "wait=0s").await.unwrap();
    let other = connect(&server, "wait=0s").await.unwrap();
    let sent = || {
        let kinds = [Kind::Read, Kind::Write, Kind::Operate, Kind::Delete, Kind::Batch];
        kinds.into_iter().map(|kind| server.requests(kind)).sum::<u64>()
    };
    let Lookup::Leased(lease) = other.lookup("k").await.unwrap() else { panic!("nobody else") };
    let before = sent();
    let lost = cache.lookup("k").await.unwrap();
    assert!(matches!(lost, Lookup::Bypass(genfence::Bypass::Slow)), "{lost:?}");
    assert_eq!(sent() - before, 2, "the read, and one command");

    // A writer ends the lease: the fill is told so by one command.
    let reservation = other.reserve("k").await.unwrap();
    let before = sent();
    let lost = cache.lookup("k").await.unwrap();
    assert!(matches!(lost, Lookup::Bypass(genfence::Bypass::Reserved)), "{lost:?}");
    assert_eq!(sent() - before, 2, "the read, and one command");
    let filled = Rule::new(Action::Delay(Duration::ZERO)).on(Kind::Write).always();
    let filled = server.faults().add(filled.when(|request| request.bins.contains(&"v".to_owned())));
    assert!(matches!(lease.fill("old").await.unwrap(), genfence::FillOutcome::Rejected(_)));
    assert_eq!(filled.happened(), 1);
    reservation.abort().await;
}

#[tokio::test]
async fn no_server_there_is_an_error_within_the_bound_that_names_the_host() {
    let start = Instant::now();
    let url = "aerospike://ada:secret@127.0.0.1:1/test/cache?connect_timeout=500ms";
    let error = Cache::connect(url).await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(20), "it hangs");
    assert!(error.contains("127.0.0.1:1") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_an_error_within_the_bound() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let start = Instant::now();
    let url = format!("aerospike://{address}/test/cache?connect_timeout=500ms");
    let error = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(20), "it hangs");
    assert!(error.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_no_command_is_an_error_within_the_bound() {
    let server = start(Clock::system()).await;
    server.faults().add(data(Rule::new(Action::DropRequest(Then::Silence)).always()));
    let start = Instant::now();
    let error = connect(&server, "connect_timeout=300ms&timeout=1m").await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(20), "it hangs");
    assert!(error.to_string().contains("within 300ms"), "{error}");
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_an_error_that_says_so() {
    let server = start(Clock::system()).await;
    let url = format!("aerospike://{}/nowhere/cache?connect_timeout=2s", server.address());
    let error = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("no node of the cluster has this key"), "{error}");
}
