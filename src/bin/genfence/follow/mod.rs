//! **follow**: tells a cache of what was changed in a PostgreSQL database.

mod seen;
mod settings;

use std::convert::Infallible;
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use genfence::postgres::{Error, Heartbeats, Outbox, Replication};
use genfence::{Cache, ChangeStream, FollowError};
use indicatif::ProgressBar;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::interrupt::INTERRUPTED;
use crate::postgres::{ADVICE, told};
use crate::wait::run;
use crate::{Failure, system};
use seen::{Counted, Seen};
use settings::{Kind, Settings};

/// Tell a cache of what was changed in a PostgreSQL database, until Ctrl-C or SIGTERM
///
/// Exit codes: 130 after Ctrl-C, 143 after SIGTERM, 2 if it cannot go on; 0 after --create.
#[derive(clap::Args)]
pub struct Args {
    /// The settings, as TOML: cache, source, kind, and what that needs
    file: PathBuf,
    /// Create what the source needs, the tables of an outbox, or a publication and a slot, and end
    #[arg(long)]
    create: bool,
}

/// What a shell expects of a program that SIGTERM ended.
const TERMINATED: u8 = 143;
/// How often a line is printed where nobody watches, and the one line renewed where somebody does.
const LINES: Duration = Duration::from_secs(10);
const RENEWED: Duration = Duration::from_millis(250);
/// Before the source is asked again: the first time, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// How long what goes on in the background may take at the end.
const CLOSING: Duration = Duration::from_secs(2);

impl Args {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let settings = settings::read(&self.file)?;
        let seen = Seen::default();
        run(async {
            let code = tokio::select! {
                // Signals are listened to before anything begins.
                biased;
                pressed = tokio::signal::ctrl_c() => pressed.map(|()| INTERRUPTED)?,
                asked = system::asked_to_end() => asked.map(|()| TERMINATED)?,
                created = create(&settings), if self.create => {
                    created?;
                    return Ok(ExitCode::SUCCESS);
                }
                failed = follow(&settings, &seen), if !self.create => return Err(failed),
            };
            println!("ended: {seen}; confirmed: {}", seen.confirmed());
            Ok(ExitCode::from(code))
        })
    }
}

async fn create(settings: &Settings) -> Result<(), Failure> {
    let statements = match &settings.kind {
        Kind::Outbox { options, .. } => vec![options.create()?],
        Kind::Replication(options) => options.create()?.into(),
    };
    let client = settings.source.connect().await?;
    for statement in statements {
        // In transactions of their own, as a slot must be.
        client.batch_execute(&statement).await.map_err(|error| told(&error))?;
        println!("{}", statement.trim_end());
    }
    Ok(())
}

/// Why a stream ended.
enum Problem {
    Passing(String),
    Lasting(String),
}

/// Until it cannot go on.
async fn follow(settings: &Settings, seen: &Seen) -> Failure {
    let mut builder = Cache::builder();
    if let Some((user, password)) = &settings.login {
        builder = builder.login(user, password);
    }
    let cache = match builder.connect(&settings.cache).await {
        Ok(cache) => cache,
        Err(error) => return format!("cache: {error}").into(),
    };
    let line = Line::new();
    let failed = tokio::select! {
        failed = again_and_again(&cache, settings, seen, &line) => failed,
        never = line.renew(seen) => match never {},
    };
    cache.close(CLOSING).await;
    format!("{failed}; confirmed: {}", seen.confirmed()).into()
}

async fn again_and_again(cache: &Cache, settings: &Settings, seen: &Seen, line: &Line) -> String {
    let (mut pause, mut is_open) = (PAUSES.0, false);
    loop {
        let before = seen.count();
        let problem = match once(cache, settings, seen, &mut is_open).await {
            Problem::Lasting(problem) => return problem,
            // Whoever starts it with a wrong address must see so.
            Problem::Passing(problem) if !is_open => return format!("source: {problem}; {ADVICE}"),
            Problem::Passing(problem) => problem,
        };
        if seen.count() > before {
            pause = PAUSES.0;
        }
        line.say(&format!("{problem}; it is tried again in {pause:?}"));
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn once(cache: &Cache, settings: &Settings, seen: &Seen, is_open: &mut bool) -> Problem {
    let connect = async || {
        settings.source.connect().await.map_err(|problem| Problem::Passing(problem.to_string()))
    };
    let (client, own) = match (connect().await, connect().await) {
        (Ok(client), Ok(own)) => (client, own),
        (Err(problem), _) | (_, Err(problem)) => return problem,
    };
    let ended = match &settings.kind {
        Kind::Outbox { follower, options } => {
            async {
                let stream = Outbox::open(client, follower, options.clone()).await?;
                let beats = stream.heartbeats(own).await?;
                *is_open = true;
                Ok(Box::pin(run_on(cache, stream, beats, seen)).await)
            }
            .await
        }
        Kind::Replication(options) => {
            async {
                let stream = Replication::open(client, options.clone()).await?;
                let beats = stream.heartbeats(own).await?;
                *is_open = true;
                Ok(Box::pin(run_on(cache, stream, beats, seen)).await)
            }
            .await
        }
    };
    ended.unwrap_or_else(|error| problem(&error))
}

async fn run_on<S>(cache: &Cache, stream: S, beats: Heartbeats, seen: &Seen) -> Problem
where
    S: ChangeStream<Position: fmt::Display + Copy, Error = Error>,
{
    let (stream, beats) = (Counted(stream, seen.clone()), Counted(beats, seen.clone()));
    match cache.follow(stream).heartbeats(beats).run().await {
        Ok(()) => Problem::Passing("the stream has ended".into()),
        Err(FollowError::Stream(error)) => problem(&error),
        Err(error) => Problem::Lasting(error.to_string()),
    }
}

fn problem(error: &Error) -> Problem {
    let told = error.to_string();
    if error.is_lasting() { Problem::Lasting(told) } else { Problem::Passing(told) }
}

/// What is seen of it: one line that is renewed, or a line from time to time.
struct Line(Option<ProgressBar>);

impl Line {
    fn new() -> Self {
        Line(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    fn say(&self, what: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| eprintln!("{what}")),
            None => eprintln!("{what}"),
        }
    }

    async fn renew(&self, seen: &Seen) -> Infallible {
        let mut ticks = interval(if self.0.is_some() { RENEWED } else { LINES });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match &self.0 {
                Some(bar) => {
                    bar.set_message(seen.to_string());
                    bar.tick();
                }
                None => println!("{seen}"),
            }
        }
    }
}
