//! How it goes, in one line that changes.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Args;

pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    span: Duration,
}

impl Progress {
    /// Of what is under load from now on.
    pub fn of(args: &Args, name: &'static str) -> Self {
        let bar = ProgressBar::new(u64::from(args.seconds()) * 1000).with_style(
            ProgressStyle::with_template("{prefix:20} {bar:24} {msg}").expect("it is well-formed"),
        );
        bar.set_prefix(name);
        if bar.is_hidden() {
            eprintln!("{name}: {} s …", args.seconds());
        }
        let span = Duration::from_secs(args.seconds().into());
        Progress { bar, start: Instant::now(), span }
    }

    /// How long to wait until it is shown again. `None`: the time is over.
    pub fn pause(&self) -> Option<Duration> {
        const STEP: Duration = Duration::from_millis(50);
        let left = self.span.saturating_sub(self.start.elapsed());
        (!left.is_zero()).then(|| left.min(STEP))
    }

    pub fn show(&self, so_far: String) {
        self.bar.set_position(self.start.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        self.bar.set_message(so_far);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
