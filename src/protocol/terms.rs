use std::time::Duration;

use super::{Near, Time};

/// What all programs that use the same records reckon with alike. The default: nobody keeps copies.
///
/// # Example
/// ```
/// use genfence::protocol::{Claim, Terms, Time, Token, Ttl, claim};
/// use std::time::Duration;
///
/// // A record that is missing may have been lost, and with it what it said of copies.
/// let terms = Terms { unsaid: Duration::from_secs(1), clocks: Duration::from_millis(100) };
/// let (time, ttl) = (Duration::from_secs(10), Ttl::from_secs(60).unwrap());
/// let reserve = Claim::Reserve { token: Token::new(1), previous: vec![], time, ttl };
/// let grant = claim::<&str>(&mut None, Time::from_nanos(1), &terms, &reserve).unwrap();
/// assert_eq!(grant.wait, Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How long copies may live of a value whose record says nothing of them: the longest time that any program gives
    /// one. Zero where there are none, or where no record is ever lost before its time.
    pub unsaid: Duration,
    /// What the clocks may differ by that a key's record is reckoned on, one after the other.
    pub clocks: Duration,
}

impl Terms {
    /// What a record is taken to say that says nothing.
    pub(super) fn near_unsaid(&self, now: Time) -> Option<Near> {
        (!self.unsaid.is_zero()).then(|| Near::unsaid(now, self))
    }
}
