//! Every command, outcome and edge of the protocol, told as what a client sends and is answered.
//!
//! Each case gets a key of its own. Claims last [`TIME`]; a target lets time pass in its own way.

use std::time::Duration;

use genfence::protocol::{Claim, Grant, Refusal, Stamp, Terms, Time, Token, Ttl, Version};
use genfence::store::{Change, Hit, Look, Record, Store as _, Value};

use crate::target::{KeyOf, TIME, Target};

type Answer<T> = Result<T, Refusal>;

/// A key on a target, and short names for what can be sent to it.
pub struct Key<'t, T>(pub &'t T, pub KeyOf);

/// What copies are reckoned with where stores give leave to keep any.
pub const TERMS: Terms =
    Terms { unsaid: Duration::from_millis(100), clocks: Duration::from_millis(10) };

pub const A: Token = Token::new(0xa);
pub const B: Token = Token::new(0xffff_ffff_ffff_fff0); // negative, as a signed integer
pub const C: Token = Token::new(0xc);

pub fn ttl() -> Ttl {
    Ttl::from_secs(60).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "values may also be nothing")]
fn bytes(text: &'static str) -> Value {
    Some(text.into())
}

impl<T: Target> Key<'_, T> {
    async fn claim(&self, claim: Claim) -> Answer<Grant> {
        self.0.claim(&self.1, &claim).await
    }

    async fn change(&self, change: Change) -> Answer<()> {
        self.0.change(&self.1, &change).await
    }

    async fn lease(&self, token: Token) -> Answer<Grant> {
        self.lease_after(token, &[]).await
    }

    async fn lease_after(&self, token: Token, previous: &[Token]) -> Answer<Grant> {
        let previous = previous.to_vec();
        self.claim(Claim::Lease { token, previous, time: TIME, ttl: ttl(), over: None }).await
    }

    async fn extend(&self, token: Token, deadline: Time) -> Answer<Grant> {
        self.claim(Claim::Extend { token, deadline, time: 2 * TIME, ttl: ttl(), until: None }).await
    }

    async fn refresh(&self, token: Token, stamp: Token, previous: &[Token]) -> Answer<Grant> {
        let previous = previous.to_vec();
        self.claim(Claim::Refresh { token, previous, stamp, time: TIME, until: None }).await
    }

    async fn refill(
        &self,
        token: Token,
        grant: Grant,
        stamp: Token,
        number: Option<u64>,
    ) -> Answer<()> {
        self.change(Change::Refill {
            token,
            deadline: grant.deadline,
            stamp,
            value: bytes("refilled"),
            version: number.map(version),
            ttl: ttl(),
            until: None,
        })
        .await
    }

    async fn lease_over(&self, token: Token, over: Token, previous: &[Token]) -> Answer<Grant> {
        let (previous, over) = (previous.to_vec(), Some(over));
        self.claim(Claim::Lease { token, previous, time: TIME, ttl: ttl(), over }).await
    }

    async fn stamp(&self, time: Duration) -> Answer<Hit> {
        self.0.store().stamp(&self.1, &Stamp { time, until: None }).await.unwrap()
    }

    async fn hush(&self, token: Token, time: Duration) -> Answer<Grant> {
        self.claim(Claim::Hush { token, time, until: None }).await
    }

    async fn look(&self) -> Look {
        self.0.store().look(&self.1).await.unwrap()
    }

    async fn reserve(&self, token: Token) -> Grant {
        self.reserve_after(token, &[]).await
    }

    async fn reserve_after(&self, token: Token, previous: &[Token]) -> Grant {
        let previous = previous.to_vec();
        self.claim(Claim::Reserve { token, previous, time: TIME, ttl: ttl() }).await.unwrap()
    }

    async fn renew(&self, token: Token, deadline: Time) -> Answer<Grant> {
        self.claim(Claim::Renew { token, deadline, time: 2 * TIME, ttl: ttl(), until: None }).await
    }

    async fn fill(&self, token: Token, grant: Grant, value: Value) -> Answer<()> {
        self.fill_version(token, grant, value, None).await
    }

    async fn fill_version(
        &self,
        token: Token,
        grant: Grant,
        value: Value,
        version: Option<Version>,
    ) -> Answer<()> {
        let Grant { generation, deadline, .. } = grant;
        self.change(Change::Fill {
            token,
            deadline,
            generation,
            value,
            version,
            ttl: ttl(),
            until: None,
        })
        .await
    }

    /// A lease and a fill at once.
    async fn filled(&self, text: &'static str, version: Option<Version>) {
        let grant = self.lease(C).await.unwrap();
        self.fill_version(C, grant, bytes(text), version).await.unwrap();
    }

    async fn commit(&self, token: Token, grant: Grant) -> Answer<()> {
        let Grant { generation, deadline, .. } = grant;
        let value = bytes("committed");
        self.change(Change::Commit { token, deadline, generation, value, ttl: ttl(), until: None })
            .await
    }

    async fn commit_version(&self, token: Token, grant: Grant, number: u64) -> Answer<()> {
        self.change(Change::CommitVersioned {
            token,
            deadline: grant.deadline,
            value: bytes("committed"),
            version: version(number),
            ttl: ttl(),
            until: None,
        })
        .await
    }

    async fn release(&self, token: Token, number: Option<u64>) -> Answer<()> {
        self.change(Change::Release { token, version: number.map(version), ttl: ttl() }).await
    }

    async fn abort(&self, token: Token, previous: &[Token]) -> Answer<()> {
        self.change(Change::Abort { token, previous: previous.to_vec() }).await
    }

    async fn invalidate(&self, number: Option<u64>) -> Answer<()> {
        self.change(Change::Invalidate { version: number.map(version), ttl: ttl() }).await
    }

    async fn set(&self, token: Token, text: &'static str) -> Answer<()> {
        self.change(Change::Set { token, value: bytes(text), ttl: ttl() }).await
    }

    async fn record(&self) -> Option<Record> {
        self.0.inspect(&self.1).await.map(|snapshot| snapshot.record)
    }

    async fn there(&self) -> Record {
        self.record().await.expect("the record is there")
    }

    async fn text(&self) -> Option<String> {
        let hit = self.0.get(&self.1).await?;
        Some(String::from_utf8(hit.value.expect("not nothing").to_vec()).unwrap())
    }

    async fn past(&self) {
        self.0.pass(TIME).await;
    }
}

macro_rules! cases {
    ($($name:ident($key:ident) $body:block)*) => {
        /// The names of these cases, in order.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Runs one case.
        pub async fn run<T: Target>(name: &str, key: Key<'_, T>) {
            match name {
                $(stringify!($name) => Box::pin($name(key)).await,)*
                _ => unreachable!("{name} is no case"),
            }
        }

        $(async fn $name<T: Target>($key: Key<'_, T>) $body)*
    };
}

mod changes;
mod claims;
mod near;
mod refresh;

/// The names of all cases, in order.
pub fn names() -> Vec<&'static str> {
    [claims::NAMES, changes::NAMES, refresh::NAMES, near::NAMES].concat()
}

/// Runs one case.
pub async fn run<T: Target>(name: &str, key: Key<'_, T>) {
    if claims::NAMES.contains(&name) {
        claims::run(name, key).await;
    } else if near::NAMES.contains(&name) {
        near::run(name, key).await;
    } else if refresh::NAMES.contains(&name) {
        refresh::run(name, key).await;
    } else {
        changes::run(name, key).await;
    }
}
