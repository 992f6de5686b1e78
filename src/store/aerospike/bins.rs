//! The record on the server: the names of its bins, and how to read it back.

use std::time::Duration;

use aerospike::Value as Wire;
use bytes::Bytes;

use crate::protocol::{
    Claim, Generation, Grant, Hushed, Lease, Near, Stored, Terms, Time, Token, Ttl, Version,
};
use crate::store::{Look, Read, Record, StoreError, Value};

pub(super) const VALUE: &str = "v";
pub(super) const VALUE_TOKEN: &str = "vt";
pub(super) const VALUE_VERSION: &str = "vv";
/// In seconds. Beside another value, or none, it says nothing: whoever stores a value writes it.
pub(super) const VALUE_LIFE: &str = "vl";
pub(super) const FLOOR: &str = "fl";
pub(super) const RESERVATIONS: &str = "q";
pub(super) const ALONE: &str = "a";
pub(super) const LEASE_TOKEN: &str = "lt";
pub(super) const LEASE_DEADLINE: &str = "ld";
pub(super) const NEAR_DEADLINE: &str = "nd";
/// In nanoseconds.
pub(super) const NEAR_LONGEST: &str = "nn";
pub(super) const HUSH_TOKEN: &str = "nt";
pub(super) const HUSH_DEADLINE: &str = "nh";

/// How the other bins are to be read: [`FORMAT_NUMBER`], as every record has that bin from its creation
/// on. Those without one are of the format 1, too.
pub(super) const FORMAT: &str = "f";

pub(super) const ALL: [&str; 14] = [
    FORMAT,
    VALUE,
    VALUE_TOKEN,
    VALUE_VERSION,
    VALUE_LIFE,
    FLOOR,
    RESERVATIONS,
    ALONE,
    LEASE_TOKEN,
    LEASE_DEADLINE,
    NEAR_DEADLINE,
    NEAR_LONGEST,
    HUSH_TOKEN,
    HUSH_DEADLINE,
];

/// What the answer to a claim is read from.
pub(super) const OF_A_LEASE: &[&str] = &[FORMAT, LEASE_DEADLINE];
pub(super) const OF_A_RESERVATION: &[&str] =
    &[FORMAT, RESERVATIONS, ALONE, NEAR_DEADLINE, NEAR_LONGEST, HUSH_TOKEN, HUSH_DEADLINE];
pub(super) const OF_A_HUSH: &[&str] =
    &[FORMAT, NEAR_DEADLINE, NEAR_LONGEST, HUSH_TOKEN, HUSH_DEADLINE];
/// What a value is read from.
pub(super) const OF_A_VALUE: &[&str] = &[FORMAT, VALUE, VALUE_TOKEN, VALUE_VERSION, VALUE_LIFE];

/// What a look is read from.
pub(super) const OF_A_LOOK: &[&str] = &[
    FORMAT,
    VALUE,
    VALUE_TOKEN,
    VALUE_VERSION,
    VALUE_LIFE,
    RESERVATIONS,
    LEASE_TOKEN,
    NEAR_DEADLINE,
    NEAR_LONGEST,
    HUSH_TOKEN,
    HUSH_DEADLINE,
];

/// The name of the record that has the format of the whole set. It is text, as no key of a cache is. The first
/// program that writes a format above 1 puts it there before anything else; format 1 is the lack of it.
pub(super) const SET_FORMAT: &str = "genfence format";

/// The format that this library writes, and the newest that it reads.
pub(super) const FORMAT_NUMBER: i64 = 1;

/// In an answer: the server's time.
pub(super) const NOW: &str = "now";

/// In the bin of the lone writer: there are several. No token is zero, and a bin that must go or get
/// a value is two operations, as an expression is of one type.
pub(super) const NOBODY: i64 = Token::TOMBSTONE.bits().cast_signed();

/// The integer that stands for "the source has nothing": values are blobs.
const NOTHING: i64 = 0;

/// Tokens use all 64 bits, which on the server are those of a signed integer.
pub(super) fn token(token: Token) -> i64 {
    token.bits().cast_signed()
}

/// A span in nanoseconds.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Instants and versions are below 2⁶³.
pub(super) fn time(time: Time) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn version(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}

pub(super) fn value(value: &Value) -> Wire {
    match value {
        Some(bytes) => Wire::Blob(bytes.to_vec()),
        None => Wire::Int(NOTHING),
    }
}

/// Takes a record's bins apart. Each is of the kind that this library writes, or the record is
/// somebody else's.
#[derive(Clone)]
pub(super) struct Reader(pub aerospike::Record);

impl Reader {
    /// Of a row of a batch, whose answer has each operation's: what was read of a bin is the last of its own.
    pub fn of_row(mut record: aerospike::Record) -> Self {
        for bin in record.bins.values_mut() {
            if let Wire::MultiResult(answers) = bin {
                *bin = answers.pop().unwrap_or(Wire::Nil);
            }
        }
        Reader(record)
    }

    /// Whether this library knows the format of a whole set, as a record of its own says it.
    pub fn is_of_known_set(&self) -> Result<(), StoreError> {
        known("the set", self.0.bins.get(FORMAT).unwrap_or(&Wire::Nil))
    }

    pub fn generation(&self) -> Generation {
        Generation::new(u16::try_from(self.0.generation).unwrap_or_default())
    }

    pub fn int(&self, bin: &'static str) -> Result<Option<i64>, StoreError> {
        int(bin, self.0.bins.get(bin).unwrap_or(&Wire::Nil))
    }

    pub fn text(&self, bin: &'static str) -> Result<Option<String>, StoreError> {
        match self.0.bins.get(bin) {
            None | Some(Wire::Nil) => Ok(None),
            Some(Wire::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(foreign(bin)),
        }
    }

    pub fn time(&self, bin: &'static str) -> Result<Option<Time>, StoreError> {
        Ok(self.count(bin)?.map(Time::from_nanos))
    }

    /// A number that is not below zero.
    pub fn count(&self, bin: &'static str) -> Result<Option<u64>, StoreError> {
        self.int(bin)?.map(u64::try_from).transpose().map_err(|_| foreign(bin))
    }

    /// What a claim was granted: the record as it left it.
    pub fn grant(&self, claim: &Claim, terms: &Terms) -> Result<Grant, StoreError> {
        known_format(self.0.bins.get(FORMAT).unwrap_or(&Wire::Nil))?;
        let (deadline, alone) = match *claim {
            Claim::Lease { .. } | Claim::Extend { .. } | Claim::Refresh { .. } => {
                (self.time(LEASE_DEADLINE)?, false)
            }
            Claim::Reserve { token, .. } | Claim::Renew { token, .. } => {
                (self.reservations()?.remove(&token), self.alone()? == Some(token))
            }
            Claim::Hush { .. } => (self.time(HUSH_DEADLINE)?, false),
        };
        let deadline =
            deadline.ok_or_else(|| StoreError::doubtful("the answer has no deadline"))?;
        // When it was granted.
        let granted = match *claim {
            Claim::Reserve { time, .. } | Claim::Hush { time, .. } => {
                Some(Time::from_nanos(deadline.as_nanos().saturating_sub(nanos(time))))
            }
            _ => None,
        };
        let told = granted.zip(self.near()?).map(|(now, near)| near.told(now, terms));
        let (wait, hush) = told.unwrap_or_default();
        Ok(Grant { generation: self.generation(), deadline, alone, wait, hush })
    }

    /// What the record says of copies.
    pub fn near(&self) -> Result<Option<Near>, StoreError> {
        Ok(match (self.time(NEAR_DEADLINE)?, self.count(NEAR_LONGEST)?) {
            (Some(deadline), Some(longest)) => {
                let (token, until) = (self.token(HUSH_TOKEN)?, self.time(HUSH_DEADLINE)?);
                let hushed = token.zip(until).map(|(token, until)| Hushed { token, until });
                Some(Near { deadline, longest: Duration::from_nanos(longest), hushed })
            }
            _ => None,
        })
    }

    fn alone(&self) -> Result<Option<Token>, StoreError> {
        Ok(self.token(ALONE)?.filter(|token| *token != Token::TOMBSTONE))
    }

    fn token(&self, bin: &'static str) -> Result<Option<Token>, StoreError> {
        Ok(self.int(bin)?.map(token_of))
    }

    fn version(&self, bin: &'static str) -> Result<Option<Version>, StoreError> {
        version_of(bin, self.int(bin)?)
    }

    /// The stored value, if there is one. Takes the bytes out of the record. Goes through the bins once,
    /// as each look-up by name hashes it: of all that this library adds to a hit that was the most.
    pub fn stored(&mut self) -> Result<Option<Stored<Value>>, StoreError> {
        let (mut value, mut token, mut version) = (None, &Wire::Nil, &Wire::Nil);
        let mut life = &Wire::Nil;
        for (name, bin) in &mut self.0.bins {
            match name.as_str() {
                VALUE => value = Some(bin),
                VALUE_TOKEN => token = bin,
                VALUE_VERSION => version = bin,
                VALUE_LIFE => life = bin,
                FORMAT => known_format(bin)?,
                _ => {}
            }
        }
        let value = match value {
            None | Some(Wire::Nil) => return Ok(None),
            Some(Wire::Blob(bytes)) => Some(Bytes::from(std::mem::take(bytes))),
            Some(Wire::Int(NOTHING)) => None,
            Some(_) => return Err(foreign(VALUE)),
        };
        let token = int(VALUE_TOKEN, token)?.map(token_of).ok_or_else(|| foreign(VALUE_TOKEN))?;
        let version = int(VALUE_VERSION, version)?;
        let version = version_of(VALUE_VERSION, version)?;
        Ok(Some(Stored { value, token, version, life: life_of(life)? }))
    }

    fn has(&self, bin: &str) -> bool {
        !matches!(self.0.bins.get(bin), None | Some(Wire::Nil))
    }

    /// What a plain read of all bins found.
    pub fn read(&mut self) -> Result<Read, StoreError> {
        Ok(match self.stored()? {
            Some(stored) => Read::Hit(stored.hit(self.expires(Time::ZERO), Time::ZERO)),
            None if self.has(RESERVATIONS) || self.has(LEASE_TOKEN) => Read::Claimed,
            None => Read::Free,
        })
    }

    /// The same, and what it says of copies.
    pub fn look(&mut self) -> Result<Look, StoreError> {
        let (near, now) = (self.near()?, self.time(NOW)?);
        let now = now.ok_or_else(|| StoreError::unavailable("the server did not tell the time"))?;
        Ok(Look { read: self.read()?, near, now })
    }

    /// The whole record, as it was at `now`.
    pub fn record(&mut self, now: Time) -> Result<Record, StoreError> {
        let lease = match (self.token(LEASE_TOKEN)?, self.time(LEASE_DEADLINE)?) {
            (Some(token), Some(deadline)) => Some(Lease { token, deadline }),
            _ => None,
        };
        Ok(Record {
            stored: self.stored()?,
            floor: self.version(FLOOR)?,
            reservations: self.reservations()?,
            alone: self.alone()?,
            lease,
            near: self.near()?.map(Box::new),
            generation: self.generation(),
            expires: self.expires(now),
        })
    }

    /// When the record is gone, if it was read at `now`.
    fn expires(&self, now: Time) -> Time {
        self.0.time_to_live().map_or(Time::from_nanos(u64::MAX), |left| now.after(left))
    }

    fn reservations(&self) -> Result<std::collections::BTreeMap<Token, Time>, StoreError> {
        let entry = |(token, deadline): (&Wire, &Wire)| match (token, deadline) {
            (Wire::Int(token), Wire::Int(deadline)) => u64::try_from(*deadline)
                .map(|nanos| (Token::new(token.cast_unsigned()), Time::from_nanos(nanos)))
                .map_err(|_| foreign(RESERVATIONS)),
            _ => Err(foreign(RESERVATIONS)),
        };
        match self.0.bins.get(RESERVATIONS) {
            None | Some(Wire::Nil) => Ok(std::collections::BTreeMap::new()),
            Some(Wire::SortedMap(map)) => map.iter().map(entry).collect(),
            Some(Wire::OrderedMap(map)) => map.iter().map(entry).collect(),
            Some(_) => Err(foreign(RESERVATIONS)),
        }
    }
}

fn int(name: &'static str, bin: &Wire) -> Result<Option<i64>, StoreError> {
    match bin {
        Wire::Nil => Ok(None),
        Wire::Int(number) => Ok(Some(*number)),
        _ => Err(foreign(name)),
    }
}

/// A record of a newer format is not guessed at.
fn known_format(bin: &Wire) -> Result<(), StoreError> {
    known("the record", bin)
}

fn known(what: &str, bin: &Wire) -> Result<(), StoreError> {
    match int(FORMAT, bin)? {
        None | Some(1..=FORMAT_NUMBER) => Ok(()),
        Some(newer) => Err(StoreError::refused(format!(
            "{what} has format {newer}, and this version of genfence knows formats up to \
             {FORMAT_NUMBER}: update every program that uses the set before one writes the newer format"
        ))),
    }
}

fn token_of(bits: i64) -> Token {
    Token::new(bits.cast_unsigned())
}

fn version_of(name: &'static str, number: Option<i64>) -> Result<Option<Version>, StoreError> {
    let number = number.map(u64::try_from).transpose().map_err(|_| foreign(name))?;
    Ok(number.and_then(Version::new))
}

fn life_of(seconds: &Wire) -> Result<Option<Ttl>, StoreError> {
    let seconds = int(VALUE_LIFE, seconds)?.map(u32::try_from).transpose();
    Ok(seconds.map_err(|_| foreign(VALUE_LIFE))?.and_then(Ttl::from_secs))
}

fn foreign(bin: &'static str) -> StoreError {
    StoreError::refused(format!(
        "bin `{bin}` is not as this library writes it: the set holds somebody else's records; \
         use a set of its own"
    ))
}
