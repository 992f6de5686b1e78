//! The load: callers that each await one operation after the other, for a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use super::ways::Way;
use super::{Args, Failure};

/// What is done, and for how long.
pub struct Load {
    pub value: Bytes,
    keys: u32,
    zipf: Option<Zipf<f64>>,
    updates: u8,
    turn: Duration,
}

/// What one turn did. Latencies are in microseconds.
#[derive(Clone, Default)]
pub struct Turn {
    pub operations: u64,
    pub span: Duration,
    pub cpu: Duration,
    pub p50_us: u64,
    pub p99_us: u64,
}

impl Turn {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.span.as_secs_f64()
    }

    /// Microseconds of an operation.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }
}

impl Load {
    pub fn new(args: &Args) -> Self {
        let zipf = (args.zipf > 0.0).then(|| {
            Zipf::new(args.keys.into(), args.zipf)
                .expect("there is a key, and the exponent is above 0")
        });
        Load {
            value: vec![7; args.value as usize].into(),
            keys: args.keys,
            zipf,
            updates: args.updates,
            turn: Duration::from_secs(args.seconds.into()) / args.rounds,
        }
    }

    /// So many callers, for a turn. The first that fails ends it.
    pub async fn turn(&self, way: &Arc<Way>, callers: u64) -> Result<Turn, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let (start, cpu) = (Instant::now(), ProcessTime::now());
        let running: Vec<_> = (0..callers)
            .map(|number| {
                let caller = Caller {
                    way: Arc::clone(way),
                    over: Arc::clone(&over),
                    dice: SmallRng::seed_from_u64(number),
                    value: self.value.clone(),
                    keys: self.keys,
                    zipf: self.zipf,
                    updates: self.updates,
                };
                tokio::spawn(caller.run())
            })
            .collect();
        let _ends = Ends(Arc::clone(&over));
        tokio::time::sleep(self.turn).await;
        over.store(true, Relaxed);
        let mut latencies = histogram();
        let mut failed = None;
        for caller in running {
            match caller.await? {
                Ok(own) => latencies.add(own)?,
                Err(problem) => failed = Some(problem),
            }
        }
        if let Some(problem) = failed {
            return Err(format!("{}: {problem}", way.name).into());
        }
        Ok(Turn {
            operations: latencies.len(),
            span: start.elapsed(),
            cpu: cpu.elapsed(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
        })
    }
}

/// Nobody goes on when a turn is given up.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

struct Caller {
    way: Arc<Way>,
    over: Arc<AtomicBool>,
    dice: SmallRng,
    value: Bytes,
    keys: u32,
    zipf: Option<Zipf<f64>>,
    updates: u8,
}

impl Caller {
    async fn run(mut self) -> Result<Histogram<u64>, Failure> {
        let mut latencies = histogram();
        let mut start = Instant::now();
        while !self.over.load(Relaxed) {
            let key = self.key();
            if self.dice.random_range(0..100) < self.updates {
                self.way.update(key, &self.value).await?;
            } else {
                self.way.read(key, &self.value).await?;
            }
            let end = Instant::now();
            let micros = end.duration_since(start).as_micros();
            latencies.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
            start = end;
            // What never waits would keep the others of this thread from their turn.
            tokio::task::coop::consume_budget().await;
        }
        Ok(latencies)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number from 1 on"
    )]
    fn key(&mut self) -> u32 {
        match &self.zipf {
            Some(zipf) => zipf.sample(&mut self.dice) as u32 - 1,
            None => self.dice.random_range(0..self.keys),
        }
    }
}

/// In microseconds: up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are in order")
}
