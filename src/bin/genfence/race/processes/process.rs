//! One of the processes: readers and writers on copies of its own.

use std::io::{self, BufRead, Read as _};
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until};

use super::super::{Failure, dice};
use super::talk::{Ask, Read, Source, Task};
use super::ways::Keeper;
use crate::{interrupt, system};

/// How many reads a reader makes in a row, and what it rests then.
const BURST: usize = 16;
const READER_RESTS: Duration = Duration::from_millis(1);

/// Runs until it is told that the race is over, or whoever started it is gone.
pub fn run() -> Result<ExitCode, Failure> {
    system::end_with_parent()?;
    let mut told = String::new();
    io::stdin().lock().read_line(&mut told)?;
    let task: Task = serde_json::from_str(&told).map_err(
        |_| "this is a part of `genfence race --near` and `--tags`, which start it by themselves",
    )?;
    thread::spawn(|| {
        let _: Result<_, _> = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    dice::seed(task.seed);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Of Ctrl-C hears whoever started it.
    let _interrupted = interrupt::listen(&runtime);
    LocalSet::new().block_on(&runtime, work(task))?;
    Ok(ExitCode::SUCCESS)
}

async fn work(task: Task) -> Result<(), Failure> {
    let source = Source::connect(task.at).await?;
    let keeper = match Keeper::open(&task).await {
        Ok(keeper) => Rc::new(keeper),
        Err(problem) => {
            source.tell(&Ask::Failed(problem.to_string())).await;
            // The others end with it, and it with whoever started it, who has heard why.
            return std::future::pending().await;
        }
    };
    let mut callers = JoinSet::new();
    let task = Rc::new(task);
    let mut waiting = Vec::new();
    for caller in 0..task.readers + task.writers {
        let source = Source::connect(task.at).await?;
        let (task, keeper) = (Rc::clone(&task), Rc::clone(&keeper));
        waiting.push((caller, Caller { task, keeper, source }));
    }
    source.ready().await;
    for (number, caller) in waiting {
        if number < caller.task.readers {
            callers.spawn_local(caller.reads());
        } else {
            callers.spawn_local(caller.writes());
        }
    }
    while callers.join_next().await.transpose()?.is_some() {}
    keeper.close().await;
    Ok(())
}

struct Caller {
    task: Rc<Task>,
    keeper: Rc<Keeper>,
    source: Source,
}

impl Caller {
    async fn reads(self) {
        loop {
            let mut reads = Vec::with_capacity(BURST);
            for _ in 0..BURST {
                let key = dice::pick(self.task.keys);
                let (began, start) = (self.source.now(), Instant::now());
                let Some((version, loaded)) = self.keeper.read(key, &self.source).await else {
                    continue;
                };
                let micros = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
                reads.push(Read { row: self.task.row(key), began, version, loaded, micros });
            }
            if !self.source.read(reads).await {
                return;
            }
            sleep(READER_RESTS).await;
        }
    }

    /// Each begins a change once in one to three near times, whatever the change before took.
    async fn writes(self) {
        let near = u64::try_from(self.task.near.as_micros()).unwrap_or(u64::MAX / 3);
        let mut next = tokio::time::Instant::now();
        loop {
            next = (next + dice::micros(near..near * 3)).max(tokio::time::Instant::now());
            sleep_until(next).await;
            if !self.source.goes_on().await {
                return;
            }
            let row = dice::pick(self.task.rows);
            let start = Instant::now();
            if self.keeper.write(row, &self.source).await {
                let micros = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
                self.source.tell(&Ask::Wrote(micros)).await;
            }
        }
    }
}
