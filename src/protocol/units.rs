use std::fmt;
use std::time::Duration;

/// Names one sent lease or reserve packet, or one stored value: 64 random bits.
///
/// A token is the proof that a claim is still the caller's own, so it is never used for two
/// packets. Drawing them at random is the caller's part; the protocol only compares them.
///
/// # Example
/// ```
/// use genfence::protocol::Token;
///
/// assert_eq!(Token::new(7).bits(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// Names no packet: it stands among the reservations of a key, dead from the beginning, for
    /// writers that released without a version. Never drawn.
    pub const TOMBSTONE: Token = Token(0);

    /// The token with these bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Token(bits)
    }

    /// The bits of the token.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The largest [`Version`]: 2⁶³ − 1, as Aerospike's integers are signed.
pub const MAX_VERSION: u64 = i64::MAX as u64;

/// A number from the source that only grows per key and never restarts: a rowversion, a log
/// sequence number. A counter that begins anew after delete and re-insert is *not* one.
///
/// # Example
/// ```
/// use genfence::protocol::{MAX_VERSION, Version};
///
/// assert!(Version::new(2) > Version::new(1));
/// assert_eq!(Version::new(MAX_VERSION + 1), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version with this number; `None` above [`MAX_VERSION`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= MAX_VERSION { Some(Version(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a record was written since it was created: 16 bits, 1 on create, 65,535 → 1, as on an
/// Aerospike server. It restarts when the record is removed, which is why it proves nothing alone.
///
/// # Example
/// ```
/// use genfence::protocol::Generation;
///
/// assert_eq!(Generation::new(u16::MAX).next(), Generation::new(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u16);

impl Generation {
    /// The generation with this number. No record has generation 0.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Generation(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The generation after one more write.
    #[must_use]
    pub const fn next(self) -> Self {
        Generation(if self.0 == u16::MAX { 1 } else { self.0 + 1 })
    }
}

/// The longest time to live: ten years, the bound of an Aerospike server.
///
/// Source: Aerospike's configuration reference, `default-ttl`, whose maximum is `3650D`.
pub const MAX_TTL: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// How long a record lives after the command that carries this: whole seconds, 1 s to [`MAX_TTL`].
///
/// # Example
/// ```
/// use genfence::protocol::Ttl;
/// use std::time::Duration;
///
/// assert_eq!(Ttl::from_span(Duration::from_millis(1500)), Ttl::from_secs(2));
/// assert_eq!(Ttl::from_span(Duration::ZERO), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// A time to live in seconds; `None` for 0 and above [`MAX_TTL`].
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Option<Self> {
        if seconds == 0 || seconds as u64 > MAX_TTL.as_secs() { None } else { Some(Ttl(seconds)) }
    }

    /// A span rounded up to whole seconds; `None` for a span of 0 and above [`MAX_TTL`].
    #[must_use]
    pub fn from_span(span: Duration) -> Option<Self> {
        if span > MAX_TTL {
            return None;
        }
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        u32::try_from(seconds).ok().and_then(Ttl::from_secs)
    }

    /// Whole seconds.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// The span.
    #[must_use]
    pub const fn span(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_wraps_to_one_and_never_reads_zero() {
        assert_eq!(Generation::new(u16::MAX).next().get(), 1);
        assert_eq!(Generation::default().next().get(), 1);
    }

    #[test]
    fn a_ttl_is_rounded_up_and_bounded() {
        assert_eq!(Ttl::from_span(Duration::ZERO), None);
        assert_eq!(Ttl::from_span(Duration::from_nanos(1)).unwrap().as_secs(), 1);
        assert_eq!(Ttl::from_span(Duration::from_millis(1_001)).unwrap().as_secs(), 2);
        assert_eq!(Ttl::from_span(MAX_TTL).unwrap().span(), MAX_TTL);
        assert_eq!(Ttl::from_span(MAX_TTL + Duration::from_nanos(1)), None);
    }

    #[test]
    fn a_version_above_the_signed_range_is_no_version() {
        assert!(Version::new(MAX_VERSION).is_some());
        assert_eq!(Version::new(MAX_VERSION + 1), None);
    }
}
