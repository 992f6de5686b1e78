//! The load: readers, writers that are slow or crash, and evictions, all in threads of their own.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use super::measure::Measure;
use super::progress::Progress;
use super::report::Outcome;
use super::source::{Connection, Source};
use super::strategies::{Change, Strategy};
use super::{Args, Failure, Key, dice};

/// The share of writers that go away right after their source commit.
const CRASHES: f64 = 0.02;
/// The share of writers that are slow, before their source commit or after it.
const SLOW: f64 = 0.3;

/// What a thread does until the race is over.
type Work<'r> = Box<dyn FnOnce(&Race<'r>, &mut Latencies) -> Result<(), Failure> + Send>;

/// One strategy under load.
pub struct Race<'r> {
    args: &'r Args,
    source: &'r dyn Source,
    strategy: &'r dyn Strategy,
    measure: Measure,
    over: AtomicBool,
}

impl<'r> Race<'r> {
    pub fn new(args: &'r Args, source: &'r dyn Source, strategy: &'r dyn Strategy) -> Self {
        let measure = Measure::new(args.keys() as usize);
        Race { args, source, strategy, measure, over: AtomicBool::new(false) }
    }

    /// Runs until the time is up, somebody interrupts, or a thread fails.
    pub fn run(&self, interrupted: &CancellationToken) -> Result<Outcome, Failure> {
        // Connecting takes time that is not the strategy's.
        let (readers, writers) =
            (self.connect(self.args.readers)?, self.connect(self.args.writers)?);
        let latencies = thread::scope(|threads| {
            let mut running = Vec::new();
            let mut spawn = |work: Work<'r>| {
                let seed = self.args.seed ^ ((running.len() as u64 + 1) << 32);
                running.push(threads.spawn(move || self.work(seed, work)));
            };
            for source in readers {
                spawn(Box::new(move |race, latencies| race.read(source, latencies)));
            }
            for source in writers {
                spawn(Box::new(move |race, _| race.write(source)));
            }
            spawn(Box::new(|race, _| race.evict()));
            self.watch(interrupted);
            running.into_iter().try_fold(histogram(), gather)
        })?;
        Ok(Outcome::new(self.strategy.name(), &self.measure, &latencies))
    }

    fn connect(&self, count: u32) -> Result<Vec<Box<dyn Connection>>, Failure> {
        (0..count).map(|_| self.source.connect()).collect()
    }

    /// Shows how the race goes, and ends it.
    fn watch(&self, interrupted: &CancellationToken) {
        let progress = Progress::of(self.args, self.strategy.name());
        while let Some(pause) = progress.pause() {
            if interrupted.is_cancelled() || self.over.load(Relaxed) {
                break;
            }
            thread::sleep(pause);
            progress.show(self.measure.to_string());
        }
        self.over.store(true, Relaxed);
    }

    /// One thread's work. If it fails, the race is over.
    fn work(&self, seed: u64, work: Work<'r>) -> Result<Latencies, Failure> {
        dice::seed(seed);
        let mut latencies = histogram();
        let done = work(self, &mut latencies);
        if done.is_err() {
            self.over.store(true, Relaxed);
        }
        done.map(|()| latencies)
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    fn any_key(&self) -> Key {
        dice::pick(self.args.keys() as usize)
    }

    fn read(
        &self,
        mut source: Box<dyn Connection>,
        latencies: &mut Latencies,
    ) -> Result<(), Failure> {
        while self.goes_on() {
            let key = self.any_key();
            let mut loaded = false;
            let latest = self.measure.latest(key);
            let start = Instant::now();
            let version = self.strategy.read(key, &mut || {
                loaded = true;
                source.read(key)
            })?;
            let micros = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
            latencies.saturating_record(micros);
            self.measure.count(version, latest, loaded);
        }
        Ok(())
    }

    fn write(&self, mut source: Box<dyn Connection>) -> Result<(), Failure> {
        while self.goes_on() {
            dice::sleep(0..20_000);
            let key = self.any_key();
            self.strategy.write(key, &mut |time| self.change(&mut *source, key, time))?;
        }
        Ok(())
    }

    /// What a writer does between the first step of its strategy and the last.
    fn change(
        &self,
        source: &mut dyn Connection,
        key: Key,
        remaining: &dyn Fn() -> Duration,
    ) -> Result<Change, Failure> {
        const DAWDLE: std::ops::Range<u64> = 1_000..5_000;
        let (slow, early) = (dice::chance(SLOW), dice::chance(0.5));
        if slow && early {
            dice::sleep(DAWDLE);
        }
        let Some(version) = source.write(key, remaining)? else { return Ok(Change::TooLate) };
        self.measure.committed(key, version);
        if dice::chance(CRASHES) {
            return Ok(Change::Crashed);
        }
        if slow && !early {
            dice::sleep(DAWDLE);
        }
        Ok(Change::Committed(version))
    }

    fn evict(&self) -> Result<(), Failure> {
        while self.goes_on() {
            dice::sleep(1_000..5_000);
            self.strategy.evict(self.any_key())?;
        }
        Ok(())
    }
}

/// Of reads, in microseconds: up to a minute.
pub type Latencies = Histogram<u64>;

pub fn histogram() -> Latencies {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are in order")
}

fn gather(
    mut all: Latencies,
    thread: ScopedJoinHandle<'_, Result<Latencies, Failure>>,
) -> Result<Latencies, Failure> {
    let own = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    all.add(own)?;
    Ok(all)
}
