use std::time::Duration;

use super::{Hit, Record, Refusal, Terms, Time, Token, get, in_time, run};

/// Until when copies of a key's value may be served that are not read from the record: a *near deadline*, which a
/// writer waits for before its change of the source may take place.
///
/// # Example
/// ```
/// use genfence::protocol::{Near, Time};
/// use std::time::Duration;
///
/// let (deadline, longest) = (Time::from_nanos(50), Duration::from_nanos(20));
/// let near = Near { deadline, longest, hushed: None };
/// let clocks = Duration::from_nanos(3);
/// assert_eq!(near.left(Time::from_nanos(40), clocks), Duration::from_nanos(13));
/// assert_eq!(near.left(Time::from_nanos(10), clocks), Duration::from_nanos(20), "that clock went back");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Near {
    /// No copy lives longer. (`nd`)
    pub deadline: Time,
    /// The longest time that a copy was given which may still live. (`nn`)
    pub longest: Duration,
    /// No leave is given for more of them, as a writer waits for those that there are.
    pub hushed: Option<Hushed>,
}

/// What keeps copies from being made: a *hush*.
///
/// # Example
/// ```
/// use genfence::protocol::{Hushed, Time, Token};
/// use std::time::Duration;
///
/// let hushed = Hushed { token: Token::new(1), until: Time::from_nanos(9) };
/// assert!(hushed.is_live(Time::from_nanos(8)) && !hushed.is_live(Time::from_nanos(9)));
/// assert!(!hushed.stands(Time::from_nanos(8), Duration::from_nanos(1)), "on another clock it is over");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hushed {
    /// Names all the time since it began, however often it was prolonged. (`nt`)
    pub token: Token,
    /// When it ends. (`nh`)
    pub until: Time,
}

impl Hushed {
    /// Whether a stamp is refused now.
    #[must_use]
    pub fn is_live(&self, now: Time) -> bool {
        self.until > now
    }

    /// Whether stamps were refused ever since it began, where clocks may differ by that much.
    #[must_use]
    pub fn stands(&self, now: Time, clocks: Duration) -> bool {
        self.is_live(now.after(clocks))
    }
}

impl Near {
    /// As of a key whose record says nothing of copies.
    pub(super) fn unsaid(now: Time, terms: &Terms) -> Self {
        Near { deadline: now.after(terms.unsaid), longest: terms.unsaid, hushed: None }
    }

    /// Begins a hush, or goes on with the one that stands.
    pub(super) fn hush(&mut self, now: Time, token: Token, time: Duration, terms: &Terms) -> Time {
        let standing = self.hushed.filter(|hushed| hushed.stands(now, terms.clocks));
        let (token, until) = (standing.map_or(token, |hushed| hushed.token), now.after(time));
        self.hushed = Some(Hushed { token, until });
        until
    }

    /// What a writer is told: how long copies may still live, and the hush that stands.
    pub(crate) fn told(&self, now: Time, terms: &Terms) -> (Duration, Option<Token>) {
        let hushed = self.hushed.filter(|hushed| hushed.stands(now, terms.clocks));
        (self.left(now, terms.clocks), hushed.map(|hushed| hushed.token))
    }

    /// How long copies may still live, where clocks may differ by that much.
    #[must_use]
    pub fn left(&self, now: Time, clocks: Duration) -> Duration {
        self.deadline.after(clocks).remaining(now).min(self.longest)
    }

    /// How long a copy may be served that is taken now, without a stamp of its own.
    #[must_use]
    pub fn lives(&self, now: Time) -> Duration {
        self.left(now, Duration::ZERO)
    }
}

/// **stamp**: leave to keep a copy of the value, and to serve it for a time.
///
/// # Example
/// ```
/// use genfence::protocol::{Change, Claim, Near, Stamp, Terms, Time, Token, Ttl, change, claim, stamp};
/// use std::time::Duration;
///
/// let (now, time, ttl) = (Time::from_nanos(1), Duration::from_secs(1), Ttl::from_secs(60).unwrap());
/// let (mut slot, terms) = (None, Terms::default());
/// change(&mut slot, now, &terms, &Change::Set { token: Token::new(1), value: "v", ttl }).unwrap();
/// let copy = stamp(&mut slot, now, &terms, &Stamp { time, until: None }).unwrap();
/// assert_eq!((copy.hit.value, copy.lives), ("v", time));
///
/// // A writer is told how long copies may still be served.
/// let reserve = Claim::Reserve { token: Token::new(2), previous: vec![], time, ttl };
/// assert_eq!(claim(&mut slot, now, &terms, &reserve).unwrap().wait, time);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// How long the copy may be served, from before the stamp was sent; no longer than every program that uses the
    /// records reckons with.
    pub time: Duration,
    /// From when on it is refused, on the server's clock: see [`Change`](super::Change).
    pub until: Option<Time>,
}

/// A value that may be kept.
///
/// # Example
/// ```
/// use genfence::protocol::{Time, look};
///
/// assert_eq!(look::<&str>(None, Time::from_nanos(1)), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copied<V> {
    /// The value.
    pub hit: Hit<V>,
    /// How long it may be served, from before the command was sent.
    pub lives: Duration,
}

/// Applies a [`Stamp`] to the record of its key.
///
/// # Errors
/// The [`Refusal`] that says why no copy may be kept; the record is as it was.
pub fn stamp<V: Clone>(
    slot: &mut Option<Record<V>>,
    now: Time,
    terms: &Terms,
    stamp: &Stamp,
) -> Result<Copied<V>, Refusal> {
    let Stamp { time, until } = *stamp;
    run(slot, now, terms, false, None, |record| {
        in_time(now, until)?;
        let hit = record.stored.as_ref()?.hit(record.expires, now);
        let end = now.after(time);
        // Where nothing is said of copies there are none for as long as the record lives, or they are waited for.
        if terms.unsaid.is_zero() && record.expires <= end.after(terms.clocks) {
            return None;
        }
        let known = record.near().unwrap_or_else(|| Near::unsaid(now, terms));
        if known.hushed.is_some_and(|hushed| hushed.is_live(now)) {
            return None;
        }
        let over = known.deadline.after(terms.clocks) <= now;
        record.near = Some(Box::new(Near {
            deadline: known.deadline.max(end),
            longest: if over { time } else { known.longest.max(time) },
            ..known
        }));
        Some(Copied { hit, lives: time })
    })
}

/// **look**: the value, and how long a copy of it may be served under the stamps that there are. It may be none.
pub fn look<V: Clone>(slot: Option<&Record<V>>, now: Time) -> Option<Copied<V>> {
    let hit = get(slot, now)?;
    let lives = slot?.near().map_or(Duration::ZERO, |near| near.lives(now));
    Some(Copied { hit, lives })
}
