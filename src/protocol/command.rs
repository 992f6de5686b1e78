use std::time::Duration;

use super::{Generation, Time, Token, Ttl, Version};

/// What **get** answers when a value may be served.
///
/// # Example
/// ```
/// use genfence::protocol::{Change, Hit, Terms, Time, Token, Ttl, change, get};
///
/// let (mut slot, now, token) = (None, Time::from_nanos(1), Token::new(1));
/// change(&mut slot, now, &Terms::default(), &Change::Set { token, value: "v", ttl: Ttl::from_secs(1).unwrap() }).unwrap();
/// let hit: Hit<&str> = get(slot.as_ref(), now).unwrap();
/// assert_eq!((hit.value, hit.stamp, hit.version), ("v", token, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// Names this stored value: what [`Change::Replace`] compares with.
    pub stamp: Token,
    /// The version it was stored with, where the source has versions.
    pub version: Option<Version>,
    /// How long it was stored for, and how much of that is left. `None` where that is not known: of a value that
    /// comes from the source and not from the cache, or that a program stored which did not say it.
    pub life: Option<Life>,
}

/// The life of a stored value, in whole seconds, rounded up. What is left is reckoned on the caller's clock where the
/// store tells an instant, as Aerospike does; it may be more than the whole, too, after a touch.
///
/// # Example
/// ```
/// use genfence::protocol::{Life, Ttl};
///
/// let life = Life { whole: Ttl::from_secs(100).unwrap(), left: Ttl::from_secs(20).unwrap() };
/// assert_eq!(life.share_over(), 0.8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// How long the value was stored for.
    pub whole: Ttl,
    /// How long it will still be there.
    pub left: Ttl,
}

impl Life {
    /// How much of it is over, from 0 to 1.
    #[must_use]
    pub fn share_over(&self) -> f64 {
        (1.0 - f64::from(self.left.as_secs()) / f64::from(self.whole.as_secs())).max(0.0)
    }
}

/// A command that takes or prolongs a claim. It answers a [`Grant`].
///
/// # Example
/// ```
/// use genfence::protocol::{Claim, Record, Terms, Time, Token, Ttl, claim};
/// use std::time::Duration;
///
/// let mut slot: Option<Record<&str>> = None;
/// let reserve = Claim::Reserve {
///     token: Token::new(1),
///     previous: vec![],
///     time: Duration::from_secs(10),
///     ttl: Ttl::from_secs(60).unwrap(),
/// };
/// let grant = claim(&mut slot, Time::from_nanos(1), &Terms::default(), &reserve).unwrap();
/// assert!(grant.alone);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// **lease**: permission to fill a key that holds no value, or only the one it is taken over, no live reservation and
    /// no live lease of somebody else's. Creates the record. Removes dead reservations.
    Lease {
        /// Names this packet. A retry takes a new one.
        token: Token,
        /// Tokens of the caller's own earlier attempts whose answer never came.
        previous: Vec<Token>,
        /// How long the lease lasts.
        time: Duration,
        /// How long the record lives.
        ttl: Ttl,
        /// The stamp of a value that the caller saw and that must not be served any more, for a reason which the
        /// record does not know: it goes.
        over: Option<Token>,
    },
    /// **extend**: more time for a lease that is still the caller's own.
    Extend {
        /// The lease's token.
        token: Token,
        /// The deadline it was last granted.
        deadline: Time,
        /// How long the lease lasts from now.
        time: Duration,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **refresh**: permission to put a new value in the place of one that stays servable meanwhile. Only while
    /// that is the value which the caller saw, and beside no live lease of somebody else's.
    Refresh {
        /// Names this packet. A retry takes a new one.
        token: Token,
        /// Tokens of the caller's own earlier attempts whose answer never came.
        previous: Vec<Token>,
        /// The stamp of the value that the caller saw.
        stamp: Token,
        /// How long the permission is the caller's alone.
        time: Duration,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **hush**: no leave to keep a copy of the value is given for a while. A writer takes it before it reserves, so
    /// that the value can be served while it waits for the copies that there are. One that stands goes on, from now.
    Hush {
        /// Names it, unless one stands.
        token: Token,
        /// How long no leave is given, from now.
        time: Duration,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **reserve**: a writer's claim, taken before it changes the source. Always granted; creates
    /// the record; removes the value and any lease.
    Reserve {
        /// Names this packet. A retry takes a new one.
        token: Token,
        /// Tokens of the caller's own earlier attempts whose answer never came.
        previous: Vec<Token>,
        /// How long the reservation lasts.
        time: Duration,
        /// How long the record lives.
        ttl: Ttl,
    },
    /// **renew**: more time for a reservation that is live.
    Renew {
        /// The reservation's token.
        token: Token,
        /// The deadline it was last granted.
        deadline: Time,
        /// How long the reservation lasts from now.
        time: Duration,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
}

/// What a granted [`Claim`] answers.
///
/// # Example
/// ```
/// use genfence::protocol::{Claim, Generation, Terms, Time, Token, Ttl, claim};
/// use std::time::Duration;
///
/// let (time, ttl) = (Duration::from_nanos(8), Ttl::from_secs(60).unwrap());
/// let reserve = Claim::Reserve { token: Token::new(1), previous: vec![], time, ttl };
/// let grant = claim::<&str>(&mut None, Time::from_nanos(1), &Terms::default(), &reserve).unwrap();
/// assert_eq!((grant.generation, grant.deadline), (Generation::new(1), Time::from_nanos(9)));
/// assert!(grant.alone && grant.wait.is_zero());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The record's generation after the grant.
    pub generation: Generation,
    /// When the claim lapses, on the server's clock.
    pub deadline: Time,
    /// For reservations: whether no other writer has held the key since this one was taken. Without
    /// versions, only such a reservation can still store. Always false for leases.
    pub alone: bool,
    /// For reservations that were taken, and a hush: how long copies of the value may still be served elsewhere, from the answer on.
    /// The change of the source must not take place before.
    pub wait: Duration,
    /// For the same: the hush that stands. Since it began nobody was given leave to keep a copy, so who has waited for
    /// what it was told under the same hush needs not wait again.
    pub hush: Option<Token>,
}

/// A command that stores, removes, or gives a claim back.
///
/// What stores or prolongs, or leaves a value where it is, may say until when it counts. A node that was paused, or cut off, may read it long after
/// others have changed the key elsewhere; done then, on a copy of the record that was forgotten, it would make that
/// copy the newest there is. So from `until` on it is refused.
///
/// # Example
/// ```
/// use genfence::protocol::{Change, Refusal, Terms, Time, Ttl, change};
///
/// let mut slot = None::<genfence::protocol::Record<&str>>;
/// let touch = Change::Touch { ttl: Ttl::from_secs(60).unwrap(), until: None };
/// let terms = Terms::default();
/// assert_eq!(change(&mut slot, Time::from_nanos(1), &terms, &touch), Err(Refusal::Missing));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change<V> {
    /// **fill**: stores what the holder of a lease read from the source after it was granted.
    Fill {
        /// The lease's token.
        token: Token,
        /// The deadline it was last granted.
        deadline: Time,
        /// The generation it was last granted at.
        generation: Generation,
        /// The value.
        value: V,
        /// Its version, where the source has versions.
        version: Option<Version>,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **refill**: stores what the holder of a refresh read from the source after it was granted, in the place of the
    /// value that it saw. One without a version takes no place of one that has one.
    Refill {
        /// The refresh's token.
        token: Token,
        /// The deadline it was granted.
        deadline: Time,
        /// The stamp of the value that it was granted beside.
        stamp: Token,
        /// The value.
        value: V,
        /// Its version, where the source has versions.
        version: Option<Version>,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **unlease**: gives a lease, or a refresh, back.
    Unlease {
        /// The lease's token.
        token: Token,
        /// From when on it is refused, on the server's clock: see [`Change`]. Of a lease beside which there is no value
        /// nobody needs to say it.
        until: Option<Time>,
    },
    /// **commit**, unversioned: stores if the reservation was alone from reserve until now.
    Commit {
        /// The reservation's token.
        token: Token,
        /// The deadline it was last granted.
        deadline: Time,
        /// The generation it was last granted at.
        generation: Generation,
        /// The value.
        value: V,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **commit**, versioned: stores if every other writer of the overlap has left with a version
    /// not above this one.
    CommitVersioned {
        /// The reservation's token.
        token: Token,
        /// The deadline it was last granted.
        deadline: Time,
        /// The value.
        value: V,
        /// The version the source gave it.
        version: Version,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **release**: the source was changed and nothing can be stored. Removes the value.
    Release {
        /// The reservation's token.
        token: Token,
        /// The version the source gave the change, where it has versions.
        version: Option<Version>,
        /// How long the record lives, where a version leaves a floor in it.
        ttl: Ttl,
    },
    /// **abort**: the source was certainly not changed and will not be.
    Abort {
        /// The reservation's token.
        token: Token,
        /// Tokens of the caller's own earlier attempts whose answer never came.
        previous: Vec<Token>,
    },
    /// **invalidate**: somebody says that the source changed. With a version: to this one, which is
    /// refused where the value is that new already.
    Invalidate {
        /// The version the source changed to, where it has versions.
        version: Option<Version>,
        /// How long the record lives, where a version leaves a floor and no value in it.
        ttl: Ttl,
    },
    /// **set**: stores without asking the source. Outside the guarantee; the last one wins.
    Set {
        /// Names the stored value.
        token: Token,
        /// The value.
        value: V,
        /// How long the record lives.
        ttl: Ttl,
    },
    /// **replace**: stores if the value is still the one that the caller saw. Asks no source, so
    /// it is outside the guarantee.
    Replace {
        /// The stamp of the value that the caller saw.
        stamp: Token,
        /// Names the new value.
        token: Token,
        /// The new value.
        value: V,
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
    /// **touch**: sets the time to live of a value anew.
    Touch {
        /// How long the record lives.
        ttl: Ttl,
        /// From when on it is refused, on the server's clock: see [`Change`].
        until: Option<Time>,
    },
}

/// Why a command was refused. A refused command has changed nothing.
///
/// # Example
/// ```
/// use genfence::protocol::Refusal;
///
/// assert_eq!(Refusal::Missing.to_string(), "the record is missing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There is no record, and the command does not create one.
    #[error("the record is missing")]
    Missing,
    /// The record was written since the generation that the command expects.
    #[error("the record was written by somebody else")]
    Generation,
    /// The record is not in the state that the command needs.
    #[error("the command's condition does not hold")]
    Condition,
}
