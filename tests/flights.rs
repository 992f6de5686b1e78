//! Single flight, explored: shuttle runs the same file that the cache uses under thousands of
//! schedules, and looks for one in which somebody hangs, two lead, or a waiter gets a value older
//! than its own call.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use shuttle::{future, thread};

#[expect(dead_code, reason = "the cache uses more of it")]
#[path = "../src/cache/flight.rs"]
mod flight;

/// What `flight` locks with, in this test.
mod sync {
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            // A leader that panics does so without the lock.
            self.0.lock().expect("nobody panics with the lock held")
        }
    }
}

use flight::{Flights, Leader, Role, Verdict, Waiter};

type Table = Flights<u64, u64>;

const SCHEDULES: usize = 5_000;

/// What the callers of one schedule share.
struct World {
    flights: std::sync::Arc<Table>,
    /// The source: a version that only grows.
    source: AtomicU64,
    leaders: AtomicUsize,
    /// Leads that were dropped with nobody to take over, and what they carried.
    abandoned: std::sync::Arc<std::sync::Mutex<Vec<u64>>>,
    carried: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let abandoned = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = abandoned.clone();
        Arc::new(World {
            flights: Flights::new(1, move |_, carried| told.lock().unwrap().extend(carried)),
            source: AtomicU64::new(1),
            leaders: AtomicUsize::new(0),
            abandoned,
            carried: AtomicU64::new(0),
        })
    }

    /// One caller: joins, and leads or waits, until it has a value or goes away.
    async fn call(&self) {
        let before = self.source.load(SeqCst);
        loop {
            match self.flights.join(&Bytes::from_static(b"k")) {
                Role::Leader(leader) => return self.lead(leader).await,
                Role::Waiter(waiter) => match patience(waiter).await {
                    None => return,
                    Some(Verdict::Lead(leader)) => return self.lead(leader).await,
                    Some(Verdict::Again) => {}
                    Some(Verdict::Answer(value)) => {
                        assert!(value >= before, "a value older than the call");
                        return;
                    }
                },
            }
        }
    }

    async fn lead(&self, mut leader: Leader<u64, u64>) {
        assert_eq!(self.leaders.fetch_add(1, SeqCst), 0, "two lead at once");
        leader.carried.push(self.carried.fetch_add(1, SeqCst));
        let mark = leader.mark();
        let value = self.source.load(SeqCst);
        future::yield_now().await;
        // Before the lead is given up, as from then on another may have it.
        self.leaders.fetch_sub(1, SeqCst);
        match thread_rng().gen_range(0..3) {
            0 => drop(leader),
            _ => leader.finish(&value, mark),
        }
    }
}

/// Waits for the verdict, or goes away while it waits, or when it has it and did not look.
async fn patience(waiter: Waiter<u64, u64>) -> Option<Verdict<u64, u64>> {
    struct Some<F>(F, u32);
    impl<F: Future + Unpin> Future for Some<F> {
        type Output = Option<F::Output>;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            if let Poll::Ready(output) = Pin::new(&mut self.0).poll(context) {
                return Poll::Ready(Option::Some(output));
            }
            if self.1 == 0 {
                return Poll::Ready(None);
            }
            self.1 -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    match thread_rng().gen_range(0..3) {
        0 => Some(waiter, thread_rng().gen_range(0..3)).await,
        _ => Option::Some(waiter.await),
    }
}

fn explore(callers: usize, schedule: impl Fn(&Arc<World>) + Send + Sync + 'static) {
    shuttle::check_random(
        move || {
            let world = World::new();
            let threads: Vec<_> = (0..callers)
                .map(|_| {
                    let world = world.clone();
                    thread::spawn(move || future::block_on(world.call()))
                })
                .collect();
            schedule(&world);
            for thread in threads {
                thread.join().unwrap();
            }
            // Nobody is left, so nothing may be: the next to come leads at once.
            let next = world.flights.join(&Bytes::from_static(b"k"));
            assert!(matches!(next, Role::Leader(_)), "a flight without a leader is left behind");
        },
        SCHEDULES,
    );
}

#[test]
fn nobody_hangs_and_no_two_lead_whoever_goes_away() {
    explore(4, |_| {});
}

#[test]
fn no_waiter_gets_a_value_older_than_its_call() {
    explore(3, |world| {
        for _ in 0..3 {
            world.source.fetch_add(1, SeqCst);
            thread::yield_now();
        }
    });
}

/// What a lead carries goes to the next leader or, if there is none, to whoever cleans up: each
/// token ends in one place.
#[test]
fn what_a_lead_carries_is_never_lost_and_never_doubled() {
    shuttle::check_random(
        || {
            let world = World::new();
            let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (world, seen) = (world.clone(), seen.clone());
                    thread::spawn(move || {
                        future::block_on(async {
                            let role = world.flights.join(&Bytes::from_static(b"k"));
                            let mut leader = match role {
                                Role::Leader(leader) => leader,
                                Role::Waiter(waiter) => match patience(waiter).await {
                                    Some(Verdict::Lead(leader)) => leader,
                                    _ => return,
                                },
                            };
                            // Takes over what was carried, and carries one more.
                            seen.lock().unwrap().append(&mut leader.carried);
                            leader.carried.push(world.carried.fetch_add(1, SeqCst));
                            drop(leader);
                        });
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            let mut ended = seen.lock().unwrap().clone();
            ended.extend(world.abandoned.lock().unwrap().iter());
            ended.sort_unstable();
            let all: Vec<u64> = (0..world.carried.load(SeqCst)).collect();
            assert_eq!(ended, all);
        },
        SCHEDULES,
    );
}

/// A leader that panics hands over like one that is dropped.
#[test]
fn a_leader_that_panics_hands_over() {
    shuttle::check_random(
        || {
            let world = World::new();
            let Role::Leader(leader) = world.flights.join(&Bytes::from_static(b"k")) else {
                panic!("nobody else is here")
            };
            let waiting = {
                let world = world.clone();
                thread::spawn(move || {
                    let role = world.flights.join(&Bytes::from_static(b"k"));
                    match role {
                        Role::Leader(_) => true,
                        Role::Waiter(waiter) => {
                            matches!(future::block_on(pin!(waiter)), Verdict::Lead(_))
                        }
                    }
                })
            };
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _leader = leader;
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(unwound.is_err());
            assert!(waiting.join().unwrap());
        },
        SCHEDULES,
    );
}
