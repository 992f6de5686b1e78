use std::fmt;
use std::time::Duration;

use super::{Refusal, Time};

/// A stretch of time in which a region serves without a gap. It is part of the key of every record, so that
/// nothing that was sent in an earlier one lands in it. 0 names none.
///
/// # Example
/// ```
/// use genfence::protocol::Epoch;
///
/// assert!(Epoch::new(2) > Epoch::new(1) && Epoch::NONE.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Names no epoch.
    pub const NONE: Epoch = Epoch(0);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Epoch(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether this names no epoch.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The least that is greater.
    #[must_use]
    pub const fn next(self) -> Self {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a cluster that grants serving leases keeps of a region. Beside each field stands the name of its bin.
///
/// # Example
/// ```
/// use genfence::protocol::{Epoch, Standing, Time};
///
/// let standing =
///     Standing { epoch: Epoch::new(1), until: Time::from_nanos(5), bar: Epoch::NONE };
/// assert!(standing.may_serve(Epoch::new(1), Time::from_nanos(4)));
/// assert!(!standing.may_serve(Epoch::new(1), Time::from_nanos(5)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The epoch that the region serves in, or has joined to serve in. (`ep`)
    pub epoch: Epoch,
    /// Until when it may, on this cluster's clock. (`sd`)
    pub until: Time,
    /// Epochs below this get no time any more. (`bar`)
    pub bar: Epoch,
}

impl Standing {
    /// Whether the region may serve in that epoch, as far as this cluster has a say.
    #[must_use]
    pub fn may_serve(&self, epoch: Epoch, now: Time) -> bool {
        self.epoch == epoch && self.until > now
    }

    /// Whether the region serves in that epoch no more, as far as this cluster has a say: the time there is over, and a
    /// lapsed lease is never renewed; or the region has gone on to a newer epoch.
    #[must_use]
    pub fn is_out(&self, epoch: Epoch, now: Time) -> bool {
        self.epoch > epoch || self.until <= now
    }
}

/// A command on a region's [`Standing`].
///
/// # Example
///
/// A region that a writer could not reach is kept from serving, once its lease is over.
///
/// ```
/// use genfence::protocol::{Epoch, Refusal, Serving, Standing, Time, serving};
/// use std::time::Duration;
///
/// let (span, epoch) = (Duration::from_nanos(5), Epoch::new(1));
/// let mut slot =
///     Some(Standing { epoch, until: Time::from_nanos(9), bar: Epoch::NONE });
/// serving(&mut slot, Time::from_nanos(6), span, Serving::Bar { epoch })?;
/// let renew = Serving::Renew { epoch };
/// assert_eq!(serving(&mut slot, Time::from_nanos(7), span, renew), Err(Refusal::Condition));
/// assert!(slot.unwrap().is_out(epoch, Time::from_nanos(9)));
///
/// // It may serve again under another epoch, which whoever changes the source from now on reads first.
/// let join = Serving::Join { epoch: epoch.next() };
/// assert!(serving(&mut slot, Time::from_nanos(9), span, join).is_ok());
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serving {
    /// **renew**: more time in an epoch. A lapsed lease is never renewed: a writer may have gone on without the region.
    Renew {
        /// The epoch that the region serves in.
        epoch: Epoch,
    },
    /// **join**: a new epoch, once the time of the one before is over.
    Join {
        /// Greater than every epoch that the region ever had.
        epoch: Epoch,
    },
    /// **bar**: no more time for this epoch, and for earlier ones. Always granted.
    Bar {
        /// The epoch that a writer goes on without.
        epoch: Epoch,
    },
}

/// Applies a [`Serving`] command to a region's standing; a lease lasts for `span`. Answers the standing that is there then.
///
/// Where there is none, as in a cluster that was restarted empty, it is not known who may serve until when: so *join* and
/// *bar* leave one that names no epoch, and is over when every lease that was granted before is.
///
/// # Errors
/// The [`Refusal`]. The standing is as it was, but for a *join* that found none: then it is to be tried again when
/// the time that it left is over.
pub fn serving(
    slot: &mut Option<Standing>,
    now: Time,
    span: Duration,
    command: Serving,
) -> Result<Standing, Refusal> {
    let unknown = Standing { epoch: Epoch::NONE, until: now.after(span), bar: Epoch::NONE };
    let standing = match (command, &mut *slot) {
        (_, Some(standing)) => standing,
        (Serving::Renew { .. }, None) => return Err(Refusal::Missing),
        (Serving::Join { .. }, None) => {
            *slot = Some(unknown);
            return Err(Refusal::Missing);
        }
        (Serving::Bar { .. }, slot) => slot.insert(unknown),
    };
    let granted = match command {
        Serving::Renew { epoch } => {
            !epoch.is_none()
                && standing.epoch == epoch
                && standing.until > now
                && standing.bar <= epoch
        }
        Serving::Join { epoch } => {
            standing.until <= now && standing.epoch < epoch && standing.bar <= epoch
        }
        Serving::Bar { .. } => true,
    };
    if !granted {
        return Err(Refusal::Condition);
    }
    match command {
        Serving::Renew { epoch } | Serving::Join { epoch } => {
            standing.epoch = epoch;
            standing.until = now.after(span);
        }
        Serving::Bar { epoch } => standing.bar = standing.bar.max(epoch.next()),
    }
    Ok(*standing)
}
