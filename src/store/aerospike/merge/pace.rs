//! How many messages to a node may be under way at once: as many as were seen to be best.
//!
//! With few messages each has many commands, which spares work on both sides; with many, each command waits less for
//! its turn. What is better depends on the machines, the network and the load, so it is tried: a choice is on for a
//! window of commands, and what counts is how long a command was there on average, waiting and under way. The choices
//! are compared at like load, and one that was worse is tried ever more seldom.
//!
//! A command may be there for a short time because few come: where those who send are kept busy by sending each by itself,
//! the others wait elsewhere. So a choice under which far fewer are done in a time is worse, however short they stay.

use std::time::{Duration, Instant};

/// The most messages under way. The first is no bound, so that all commands go by themselves.
const CHOICES: [Option<usize>; 3] = [None, Some(8), Some(2)];
/// Above so many commands at once they do not, as each wants a connection.
const MANY: f64 = 128.0;
/// Loads that are told apart: each is twice the one before.
const LOADS: usize = 12;
/// The fewest commands that are a window, and for each that is there at once.
const WINDOW: u64 = 256;
const WINDOW_EACH: u64 = 8;
/// Below this load, 8, none gains by going with others, but where the sender is kept busy.
const FEWS: usize = 3;
/// The load from which on 8 messages have more than a few commands each: 32.
const HALVES: usize = 5;
/// Far fewer are done, where the time for each is so many times as long.
const FAR: f64 = 2.0;
/// When nothing happened for so long, nobody was here: the last one is not seen to leave.
const GAP: Duration = Duration::from_millis(50);
/// Windows until a choice is tried that was not yet, one that was about as good, and one that was worse time and again.
const FIRST: u64 = 8;
const SOON: u64 = 64;
const LATE: u64 = 8192;

pub(super) struct Pace {
    /// What somebody has chosen.
    fixed: Option<usize>,
    choice: usize,
    load: usize,
    /// Callers that are here, when last looked.
    callers: usize,
    window: Window,
    /// How many windows there were.
    windows: u64,
    seen: [[Seen; CHOICES.len()]; LOADS],
}

struct Window {
    last: Instant,
    /// While at least one command was there.
    busy: Duration,
    /// The time that all commands spent here.
    spent: Duration,
    done: u64,
    /// A window after a change of the choice has commands of both, and does not count.
    counts: bool,
}

/// What was seen of a choice.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// How long a command was there, in seconds; unknown before the first window.
    stay: Option<f64>,
    /// The time for each, in seconds, while at least one was there.
    each: f64,
    /// When it is to be tried again, and how long it was left alone before.
    due: u64,
    pause: u64,
}

impl Window {
    fn at(now: Instant, counts: bool) -> Self {
        Window { last: now, busy: Duration::ZERO, spent: Duration::ZERO, done: 0, counts }
    }
}

impl Pace {
    /// With so many messages, or with as many as are seen to be best.
    pub fn new(fixed: Option<usize>, now: Instant) -> Self {
        let seen = [[Seen::default(); CHOICES.len()]; LOADS];
        Pace {
            fixed,
            choice: 0,
            load: 0,
            callers: 0,
            window: Window::at(now, false),
            windows: 0,
            seen,
        }
    }

    /// The most messages that may be under way; without one all commands go by themselves.
    pub fn messages(&self) -> Option<usize> {
        self.fixed.or(CHOICES[self.choice])
    }

    /// So many callers are here from now on.
    pub fn pass(&mut self, callers: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.window.last);
        if let (Ok(there @ 1..), true) = (u32::try_from(self.callers), passed < GAP) {
            self.window.busy += passed;
            self.window.spent += passed * there;
        }
        self.window.last = now;
        self.callers = callers;
    }

    /// So many commands are done.
    pub fn done(&mut self, commands: usize, callers: usize, now: Instant) {
        self.pass(callers, now);
        self.window.done += commands as u64;
        if self.window.done >= WINDOW.max(WINDOW_EACH * callers as u64) {
            self.close(now);
        }
    }

    fn close(&mut self, now: Instant) {
        self.windows += 1;
        let Window { busy, spent, done, counts, .. } = self.window;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (stay, each) = (spent.as_secs_f64() / done as f64, busy.as_secs_f64() / done as f64);
        let commands = spent.as_secs_f64() / busy.as_secs_f64().max(1e-9);
        if counts {
            self.learn(stay, each);
        }
        // A choice is judged by the load that it was made for: a bad one makes a load of its own.
        let was_best = Some(self.choice) == self.best();
        if was_best || self.best().is_none() {
            self.load = near(self.load, commands);
        }
        let choice = self.choose(commands > MANY);
        self.window = Window::at(now, choice == self.choice);
        self.choice = choice;
    }

    fn learn(&mut self, stay: f64, each: f64) {
        let nothing_known = self.best().is_none();
        let seen = &mut self.seen[self.load];
        if nothing_known {
            for (nth, seen) in (1..).zip(&mut *seen) {
                seen.due = self.windows + FIRST * nth;
            }
        }
        let own = &mut seen[self.choice];
        own.each = own.stay.map_or(each, |_| 0.75 * own.each + 0.25 * each);
        own.stay = Some(own.stay.map_or(stay, |known| 0.75 * known + 0.25 * stay));
        let own = *own;
        let best = self.best().map_or(own, |best| self.seen[self.load][best]);
        let is_worse = own.stay > best.stay.map(|best| 1.1 * best) || own.each > FAR * best.each;
        let seen = &mut self.seen[self.load][self.choice];
        // The more often it was worse, the longer it is left alone.
        seen.pause = if is_worse { (seen.pause * 4).clamp(SOON, LATE) } else { SOON };
        seen.due = self.windows + seen.pause;
    }

    fn choose(&self, many: bool) -> usize {
        let first = usize::from(many);
        let worth = |choice: &usize| self.load >= HALVES || CHOICES[*choice] != Some(8);
        let Some(best) = self.best().filter(|best| *best >= first) else { return usual(self.load) };
        let seen = &self.seen[self.load];
        let due = |choice: &usize| *choice != best && seen[*choice].due <= self.windows;
        (first..CHOICES.len()).filter(worth).find(due).unwrap_or(best)
    }

    /// Of those that were tried at this load.
    fn best(&self) -> Option<usize> {
        let seen = self.seen[self.load].iter().enumerate();
        let known = seen.filter_map(|(choice, seen)| Some((choice, seen.each, seen.stay?)));
        let (_, each, _) = known.clone().min_by(|one, other| one.1.total_cmp(&other.1))?;
        let known = known.filter(|known| known.1 <= FAR * each);
        let mut known = known.map(|(choice, _, stay)| (choice, stay));
        if self.load < FEWS && known.clone().any(|(choice, _)| choice == 0) {
            return Some(0);
        }
        let (_, least) = known.clone().min_by(|one, other| one.1.total_cmp(&other.1))?;
        // Of those that are as good: where many are there that with the fewest messages, which take the least CPU; where
        // few are, that which waits for nobody.
        let as_good = |(_, stay): &(usize, f64)| *stay <= 1.05 * least;
        let best = if self.load < HALVES { known.find(as_good) } else { known.rfind(as_good) };
        best.map(|(choice, _)| choice)
    }
}

/// The load of so many commands at once; the one that there was, where they are not far from it.
fn near(load: usize, commands: f64) -> usize {
    let is_far = |middle: f64| commands < 0.6 * middle || commands > 1.7 * middle;
    let there = (0..LOADS).zip(0_u32..).find(|(at, _)| *at == load);
    let middle = there.map_or(1.0, |(at, _)| 1.5 * f64::from(1_u32 << at));
    if !is_far(middle) {
        return load;
    }
    (0..LOADS - 1).find(|at| commands < f64::from(2_u32 << at)).unwrap_or(LOADS - 1)
}

/// What is good on a machine that is busy, before anything is known.
fn usual(load: usize) -> usize {
    if load < 4 { 0 } else { CHOICES.len() - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `callers` that come again as soon as they are answered, for so many messages; a message takes `each` for
    /// being one and `row` for each command, of which `at_once` are worked on at the same time. How many messages may
    /// be under way in the end, when nothing is tried.
    fn settles(callers: usize, each: Duration, row: Duration, at_once: usize) -> Option<usize> {
        let mut now = Instant::now();
        let mut pace = Pace::new(None, now);
        let mut choices = [0_u32; CHOICES.len()];
        for _ in 0..200_000 {
            let messages = pace.messages().unwrap_or(callers).min(callers);
            choices[pace.choice] += 1;
            // All messages have an equal share; a round is when all are back.
            let commands = callers.div_ceil(messages);
            let rounds = messages.div_ceil(at_once);
            let took =
                (each + row * u32::try_from(commands).unwrap()) * u32::try_from(rounds).unwrap();
            pace.pass(callers, now);
            now += took;
            pace.done(callers, callers, now);
        }
        let most = (0..CHOICES.len()).max_by_key(|choice| choices[*choice]).unwrap();
        assert!(choices[most] > 190_000, "it tries too often: {choices:?}");
        CHOICES[most]
    }

    #[test]
    fn where_messages_are_dear_few_are_sent_and_where_the_way_is_long_many() {
        let (dear, cheap) = (Duration::from_micros(20), Duration::from_micros(1));
        // One at a time is worked on, and being a message is what costs.
        assert_eq!(settles(120, dear, cheap, 1), Some(2));
        assert_eq!(settles(16, dear, cheap, 1), Some(2));
        assert_eq!(settles(512, dear, cheap, 1), Some(2));
        // All are worked on at once, and a row costs as much as a message.
        assert_eq!(settles(64, cheap, dear, 64), None);
        assert_eq!(settles(4, cheap, dear, 1), None, "few go by themselves");
    }

    /// A sender that is kept busy: one by one it sends the next only when the last has long been answered.
    #[test]
    fn where_few_are_there_as_they_are_dear_to_send_they_go_together() {
        let mut now = Instant::now();
        let mut pace = Pace::new(None, now);
        let mut together = 0;
        for _ in 0..100_000 {
            let (here, each) = match pace.messages() {
                None => (4, Duration::from_micros(40)),
                Some(_) => (100, Duration::from_micros(15)),
            };
            together += u32::from(here > 4);
            pace.pass(here, now);
            now += each * u32::try_from(here).unwrap();
            pace.done(here, here, now);
        }
        assert!(together > 95_000, "{together}");
    }

    #[test]
    fn what_somebody_has_chosen_stays() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Some(5), now);
        for _ in 0..10_000 {
            now += Duration::from_micros(10);
            pace.pass(100, now);
            pace.done(100, 100, now);
            assert_eq!(pace.messages(), Some(5));
        }
    }
}
