use std::collections::BTreeMap;

use super::{Generation, Hit, Life, MAX_TTL, Near, Time, Token, Ttl, Version};

/// All that the cache knows of one key. Beside each field stands the name of its bin on a server.
///
/// # Example
/// ```
/// use genfence::protocol::{Record, Time};
///
/// let record: Record<&str> = Record::default();
/// assert!(record.is_empty() && !record.is_reserved(Time::from_nanos(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record<V> {
    /// The value, if there is one. Present means servable. (`v`, `vt`, `vv`)
    pub stored: Option<Stored<V>>,
    /// The newest version the cache has heard of: nothing older is stored any more. (`fl`)
    pub floor: Option<Version>,
    /// Writers' claims and their deadlines. Dead ones stay until none is live, so that a writer
    /// can see that it was not alone. (`q`)
    pub reservations: BTreeMap<Token, Time>,
    /// The reservation that has been alone since it was taken. (`a`)
    pub alone: Option<Token>,
    /// The reader's permission to fill this key. (`lt`, `ld`)
    pub lease: Option<Lease>,
    /// Until when copies of the value may be served, as far as it was said. (`nd`, `nn`)
    /// Apart, as most records have none, and there are many.
    pub near: Option<Box<Near>>,
    /// How often this record was written since it was created.
    pub generation: Generation,
    /// When the record is gone of itself.
    pub expires: Time,
}

/// A value in the cache.
///
/// # Example
/// ```
/// use genfence::protocol::{Stored, Token};
///
/// let stored = Stored { value: "v", token: Token::new(1), version: None, life: None };
/// assert_eq!(stored.value, "v");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored<V> {
    /// The value itself. (`v`)
    pub value: V,
    /// The token that stored it. (`vt`)
    pub token: Token,
    /// Its version, where the source has versions. (`vv`)
    pub version: Option<Version>,
    /// How long it was stored for, where that is known. (`vl`)
    pub life: Option<Ttl>,
}

impl<V: Clone> Stored<V> {
    /// The value as it is served, of a record that is gone then.
    pub(crate) fn hit(&self, expires: Time, now: Time) -> Hit<V> {
        let left = Ttl::from_span(expires.remaining(now).min(MAX_TTL));
        let life = self.life.zip(left).map(|(whole, left)| Life { whole, left });
        Hit { value: self.value.clone(), stamp: self.token, version: self.version, life }
    }
}

/// A reader's claim.
///
/// # Example
/// ```
/// use genfence::protocol::{Lease, Record, Time, Token};
///
/// let lease = Lease { token: Token::new(1), deadline: Time::from_nanos(9) };
/// let record: Record<&str> = Record { lease: Some(lease), ..Record::default() };
/// assert_eq!(record.live_lease(Time::from_nanos(8)), Some(lease));
/// assert_eq!(record.live_lease(Time::from_nanos(9)), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The packet that took it. (`lt`)
    pub token: Token,
    /// When it lapses, on the server's clock. (`ld`)
    pub deadline: Time,
}

impl<V> Default for Record<V> {
    fn default() -> Self {
        Record {
            stored: None,
            floor: None,
            reservations: BTreeMap::new(),
            alone: None,
            lease: None,
            near: None,
            generation: Generation::default(),
            expires: Time::ZERO,
        }
    }
}

impl<V> Record<V> {
    /// Until when copies of the value may be served, as far as it was said.
    #[must_use]
    pub fn near(&self) -> Option<Near> {
        self.near.as_deref().copied()
    }

    /// Whether any writer's claim on the key is live.
    #[must_use]
    pub fn is_reserved(&self, now: Time) -> bool {
        self.reserved_until(now) != Time::ZERO
    }

    /// Whether there is a lease or a reservation, live or not.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.lease.is_some() || !self.reservations.is_empty()
    }

    /// The deadline of the last live reservation, or [`Time::ZERO`] if none is live.
    #[must_use]
    pub fn reserved_until(&self, now: Time) -> Time {
        let last = self.reservations.values().max().copied().unwrap_or_default();
        if last > now { last } else { Time::ZERO }
    }

    /// The lease, if it is live.
    #[must_use]
    pub fn live_lease(&self, now: Time) -> Option<Lease> {
        self.lease.filter(|lease| lease.deadline > now)
    }

    /// Whether nothing is left in the record. A server removes such a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stored.is_none()
            && self.floor.is_none()
            && self.reservations.is_empty()
            && self.alone.is_none()
            && self.lease.is_none()
    }

    /// Whether `token`'s reservation is there with exactly this deadline.
    pub(super) fn holds(&self, token: Token, deadline: Time) -> bool {
        self.reservations.get(&token) == Some(&deadline)
    }

    /// Leaves a mark beside the reservations that are there, dead ones too: somebody came and went
    /// without a version. One mark is enough for any number of them; where nobody is, nobody needs it.
    pub(super) fn mark_overlap(&mut self) {
        self.reservations.remove(&Token::TOMBSTONE);
        if !self.reservations.is_empty() {
            self.reservations.insert(Token::TOMBSTONE, Time::ZERO);
        }
    }

    /// Folds what is dead among the reservations into one mark, while others are live: these must be
    /// able to see that they were not alone, and no more than that.
    pub(super) fn fold_dead(&mut self, now: Time) {
        let before = self.reservations.len();
        self.reservations.retain(|_, deadline| *deadline > now);
        if self.reservations.len() < before {
            self.mark_overlap();
        }
    }

    pub(super) fn raise_floor(&mut self, version: Version) {
        self.floor = self.floor.max(Some(version));
    }

    pub(super) fn live_for(&mut self, ttl: Ttl, now: Time) {
        self.expires = now.after(ttl.span());
    }
}
