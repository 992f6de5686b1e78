use std::time::Duration;

use super::{Hit, Record, Refusal, Terms, Time, get, in_time, run};

/// Until when copies of a key's value may be served that are not read from the record: a *near deadline*, which a
/// writer waits for before its change of the source may take place.
///
/// # Example
/// ```
/// use genfence::protocol::{Near, Time};
/// use std::time::Duration;
///
/// let near = Near { deadline: Time::from_nanos(50), longest: Duration::from_nanos(20) };
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
}

impl Near {
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
        let unsaid = Near { deadline: now.after(terms.unsaid), longest: terms.unsaid };
        let known = record.near().unwrap_or(unsaid);
        let over = known.deadline.after(terms.clocks) <= now;
        record.near = Some(Box::new(Near {
            deadline: known.deadline.max(end),
            longest: if over { time } else { known.longest.max(time) },
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
