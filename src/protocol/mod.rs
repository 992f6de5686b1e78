//! The protocol as pure functions: one optional record, one command, the server's time.
//!
//! Nothing here does I/O, waits, reads a clock or draws a random number, so the same code can run
//! inside a store ([`crate::store::MemoryStore`]), be compiled into another store's own commands,
//! and be explored by a model checker. A *key* has at most one [`Record`]; every command reads and
//! replaces that record in one step:
//!
//! * [`get`] reads the value, if one may be served;
//! * [`claim`] takes or prolongs a claim on the key: a reader's lease, a writer's reservation;
//! * [`change`] does everything else: it stores, removes, or gives a claim back;
//! * [`stamp`] and [`look`] give leave to serve a copy of the value for a while.
//!
//! What all programs that use the records reckon with alike are [`Terms`].
//!
//! A refused command leaves the record exactly as it was.
//!
//! Beside that, [`serving`] runs the commands on what a cluster keeps of a *region*: whether its own cluster may serve.
//!
//! # Example
//!
//! A writer crosses a reader. The reader's fill is refused, and the cache is left empty, not wrong.
//!
//! ```
//! use genfence::protocol::{Change, Claim, Terms, Time, Token, Ttl, change, claim, get};
//! use std::time::Duration;
//!
//! let (now, time, ttl) = (Time::from_nanos(1), Duration::from_secs(2), Ttl::from_secs(60).unwrap());
//! let (mut slot, terms) = (None, Terms::default());
//!
//! // The reader misses, takes the lease, and reads the source …
//! let token = Token::new(1);
//! let lease = claim(&mut slot, now, &terms, &Claim::Lease { token, previous: vec![], time, ttl, over: None }).unwrap();
//! // … a writer reserves the key and changes the source …
//! let writer = Token::new(2);
//! claim(&mut slot, now, &terms, &Claim::Reserve { token: writer, previous: vec![], time, ttl }).unwrap();
//! // … and the reader comes back with what is now an old value.
//! let fill = Change::Fill {
//!     token,
//!     deadline: lease.deadline,
//!     generation: lease.generation,
//!     value: "old",
//!     version: None,
//!     ttl,
//!     until: None,
//! };
//! assert!(change(&mut slot, now, &terms, &fill).is_err());
//! assert_eq!(get(slot.as_ref(), now), None);
//! ```

mod changes;
mod claims;
mod command;
mod near;
mod record;
mod serving;
mod terms;
mod time;
mod units;

pub use changes::change;
pub use claims::claim;
pub use command::{Change, Claim, Grant, Hit, Life, Refusal};
pub use near::{Copied, Hushed, Near, Stamp, look, stamp};
pub use record::{Lease, Record, Stored};
pub use serving::{Epoch, Serving, Standing, serving};
pub use terms::Terms;
pub use time::Time;
pub use units::{Generation, MAX_TTL, MAX_VERSION, Token, Ttl, Version};

/// **get**: the value, if the record holds one. Present means servable.
///
/// A record whose time to live has passed reads as missing.
pub fn get<V: Clone>(slot: Option<&Record<V>>, now: Time) -> Option<Hit<V>> {
    let record = slot?;
    served(record, now).map(|stored| stored.hit(record.expires, now))
}

/// What **get** gives, where it stands.
#[inline]
pub(crate) fn served<V>(record: &Record<V>, now: Time) -> Option<&Stored<V>> {
    record.stored.as_ref().filter(|_| record.expires > now)
}

/// Whether a command that counts until then still does.
fn in_time(now: Time, until: Option<Time>) -> Option<()> {
    until.is_none_or(|until| now < until).then_some(())
}

/// Runs one command on a record that exists, or on a new one where the command creates.
///
/// `step` is the command proper: it checks its own condition and changes the record, or returns
/// `None` and has changed nothing. What is the same for every command is done here, in the order
/// of an Aerospike server: expiry, existence, generation, condition; then the time to live and the
/// generation. A record that has nothing left in it stays until its time to live is over: what vanished
/// would be no news to a copy of it that was away, and the value there would be back.
fn run<V, T>(
    slot: &mut Option<Record<V>>,
    now: Time,
    terms: &Terms,
    creates: bool,
    generation: Option<Generation>,
    step: impl FnOnce(&mut Record<V>) -> Option<T>,
) -> Result<T, Refusal> {
    slot.take_if(|record| record.expires <= now);
    let created = slot.is_none();
    if created {
        if !creates {
            return Err(Refusal::Missing);
        }
        *slot = Some(Record::default());
    }
    let record = slot.as_mut().expect("a record is there or was just made");
    if generation.is_some_and(|expected| expected != record.generation) {
        return Err(Refusal::Generation);
    }
    let says = creates && record.near.is_none();
    if says {
        record.near = terms.near_unsaid(now).map(Box::new);
    }
    let Some(answer) = step(record) else {
        record.near.take_if(|_| says);
        slot.take_if(|_| created);
        return Err(Refusal::Condition);
    };
    record.generation = record.generation.next();
    Ok(answer)
}
