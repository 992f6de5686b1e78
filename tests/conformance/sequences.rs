//! Random sequences of commands: each store against the pure transitions, and what every record must
//! fulfil whatever came before.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use genfence::protocol::{
    self, Claim, Generation, Grant, Refusal, Stamp, Time, Token, Ttl, Version,
};
use genfence::store::{Change, Clock, MemoryStore, Read, Record, Store};
use proptest::prelude::*;

use crate::cases::TERMS;

/// One step. Numbers are small, so that commands meet each other's tokens.
#[derive(Clone, Debug)]
enum Step {
    Advance { millis: u64 },
    Lease { key: u8, token: u64, previous: Vec<u64>, over: Option<u64> },
    Extend { key: u8, token: u64 },
    Refresh { key: u8, token: u64, stamp: u64, previous: Vec<u64> },
    Refill { key: u8, token: u64, stamp: u64, version: Option<u64> },
    Reserve { key: u8, token: u64, previous: Vec<u64> },
    Renew { key: u8, token: u64 },
    Fill { key: u8, token: u64, version: Option<u64>, off: bool },
    Unlease { key: u8, token: u64 },
    Commit { key: u8, token: u64, off: bool },
    CommitVersioned { key: u8, token: u64, version: u64 },
    Release { key: u8, token: u64, version: Option<u64> },
    Abort { key: u8, token: u64, previous: Vec<u64> },
    Invalidate { key: u8, version: Option<u64> },
    Set { key: u8, token: u64 },
    Replace { key: u8, stamp: u64, token: u64 },
    Touch { key: u8 },
    Stamp { key: u8, millis: u64 },
    Hush { key: u8, token: u64, millis: u64 },
    Evict { key: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..2u8;
    let token = 1..5u64;
    let previous = || prop::collection::vec(1..5u64, 0..2);
    let version = || prop::option::of(1..4u64);
    let off = || prop::bool::weighted(0.1);
    let over = prop::option::weighted(0.2, 1..5u64);
    let step = prop_oneof![
        3 => (0..3000u64).prop_map(|millis| Step::Advance { millis }),
        6 => (key.clone(), token.clone(), previous(), over).prop_map(
            |(key, token, previous, over)| Step::Lease { key, token, previous, over }
        ),
        2 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Extend { key, token }),
        4 => (key.clone(), token.clone(), token.clone(), previous()).prop_map(
            |(key, token, stamp, previous)| Step::Refresh { key, token, stamp, previous }
        ),
        4 => (key.clone(), token.clone(), token.clone(), version())
            .prop_map(|(key, token, stamp, version)| Step::Refill { key, token, stamp, version }),
        6 => (key.clone(), token.clone(), previous())
            .prop_map(|(key, token, previous)| Step::Reserve { key, token, previous }),
        2 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Renew { key, token }),
        6 => (key.clone(), token.clone(), version(), off())
            .prop_map(|(key, token, version, off)| Step::Fill { key, token, version, off }),
        1 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Unlease { key, token }),
        5 => (key.clone(), token.clone(), off())
            .prop_map(|(key, token, off)| Step::Commit { key, token, off }),
        5 => (key.clone(), token.clone(), 1..4u64)
            .prop_map(|(key, token, version)| Step::CommitVersioned { key, token, version }),
        3 => (key.clone(), token.clone(), version())
            .prop_map(|(key, token, version)| Step::Release { key, token, version }),
        2 => (key.clone(), token.clone(), previous())
            .prop_map(|(key, token, previous)| Step::Abort { key, token, previous }),
        2 => (key.clone(), version()).prop_map(|(key, version)| Step::Invalidate { key, version }),
        2 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Set { key, token }),
        2 => (key.clone(), token.clone(), token.clone())
            .prop_map(|(key, stamp, token)| Step::Replace { key, stamp, token }),
        1 => key.clone().prop_map(|key| Step::Touch { key }),
        4 => (key.clone(), 0..2000u64).prop_map(|(key, millis)| Step::Stamp { key, millis }),
        3 => (key.clone(), token.clone(), 0..2000u64)
            .prop_map(|(key, token, millis)| Step::Hush { key, token, millis }),
        1 => key.prop_map(|key| Step::Evict { key }),
    ];
    prop::collection::vec(step, 1..60)
}

enum Command {
    Claim(Token, Claim),
    Change(Change),
    Stamp(Stamp),
}

/// The grants that were seen, for commands that name one.
#[derive(Default)]
struct Grants(HashMap<(u8, u64), Grant>);

impl Grants {
    fn of(&self, key: u8, token: u64) -> Grant {
        let none = Grant {
            generation: Generation::new(1),
            deadline: Time::ZERO,
            alone: false,
            wait: Duration::ZERO,
            hush: None,
        };
        self.0.get(&(key, token)).copied().unwrap_or(none)
    }

    fn remember(&mut self, key: u8, token: Token, answer: Result<Grant, Refusal>) {
        if let Ok(grant) = answer {
            self.0.insert((key, token.bits()), grant);
        }
    }

    fn claim(&self, step: Step, ttl: Ttl) -> Option<Claim> {
        let (time, until) = (Duration::from_secs(2), None);
        let held = |key, token| (Token::new(token), self.of(key, token).deadline);
        Some(match step {
            Step::Lease { token, previous, over, .. } => Claim::Lease {
                token: Token::new(token),
                previous: tokens(previous),
                time,
                ttl,
                over: over.map(Token::new),
            },
            Step::Refresh { token, stamp, previous, .. } => {
                let (token, stamp) = (Token::new(token), Token::new(stamp));
                Claim::Refresh { token, previous: tokens(previous), stamp, time, until }
            }
            Step::Hush { token, millis, .. } => {
                Claim::Hush { token: Token::new(token), time: Duration::from_millis(millis), until }
            }
            Step::Reserve { token, previous, .. } => {
                Claim::Reserve { token: Token::new(token), previous: tokens(previous), time, ttl }
            }
            Step::Extend { key, token } => {
                let (token, deadline) = held(key, token);
                Claim::Extend { token, deadline, time, ttl, until }
            }
            Step::Renew { key, token } => {
                let (token, deadline) = held(key, token);
                Claim::Renew { token, deadline, time, ttl, until }
            }
            _ => return None,
        })
    }

    fn command(&self, step: Step, ttl: Ttl) -> Option<(u8, Command)> {
        let versions = |number: Option<u64>| number.and_then(Version::new);
        let value = |name: u64| Some(Bytes::from(format!("value {name}")));
        let shifted =
            |generation: Generation, off| if off { generation.next() } else { generation };
        Some(match step {
            Step::Advance { .. } | Step::Evict { .. } => return None,
            Step::Lease { key, token, .. }
            | Step::Extend { key, token }
            | Step::Refresh { key, token, .. }
            | Step::Reserve { key, token, .. }
            | Step::Hush { key, token, .. }
            | Step::Renew { key, token } => {
                (key, Command::Claim(Token::new(token), self.claim(step, ttl)?))
            }
            Step::Fill { key, token, version, off } => {
                let Grant { generation, deadline, .. } = self.of(key, token);
                (
                    key,
                    Command::Change(Change::Fill {
                        token: Token::new(token),
                        deadline,
                        generation: shifted(generation, off),
                        value: value(token),
                        version: versions(version),
                        ttl,
                        until: None,
                    }),
                )
            }
            Step::Refill { key, token, stamp, version } => (
                key,
                Command::Change(Change::Refill {
                    token: Token::new(token),
                    deadline: self.of(key, token).deadline,
                    stamp: Token::new(stamp),
                    value: value(token),
                    version: versions(version),
                    ttl,
                    until: None,
                }),
            ),
            Step::Unlease { key, token } => {
                (key, Command::Change(Change::Unlease { token: Token::new(token), until: None }))
            }
            Step::Commit { key, token, off } => {
                let Grant { generation, deadline, .. } = self.of(key, token);
                (
                    key,
                    Command::Change(Change::Commit {
                        token: Token::new(token),
                        deadline,
                        generation: shifted(generation, off),
                        value: value(token),
                        ttl,
                        until: None,
                    }),
                )
            }
            Step::CommitVersioned { key, token, version } => (
                key,
                Command::Change(Change::CommitVersioned {
                    token: Token::new(token),
                    deadline: self.of(key, token).deadline,
                    value: value(token),
                    version: Version::new(version).unwrap(),
                    ttl,
                    until: None,
                }),
            ),
            Step::Release { key, token, version } => {
                let (token, version) = (Token::new(token), versions(version));
                (key, Command::Change(Change::Release { token, version, ttl }))
            }
            Step::Abort { key, token, previous } => {
                let (token, previous) = (Token::new(token), tokens(previous));
                (key, Command::Change(Change::Abort { token, previous }))
            }
            Step::Invalidate { key, version } => {
                (key, Command::Change(Change::Invalidate { version: versions(version), ttl }))
            }
            Step::Set { key, token } => {
                let (token, value) = (Token::new(token), value(token));
                (key, Command::Change(Change::Set { token, value, ttl }))
            }
            Step::Replace { key, stamp, token } => {
                let (stamp, value) = (Token::new(stamp), value(token));
                (
                    key,
                    Command::Change(Change::Replace {
                        stamp,
                        token: Token::new(token),
                        value,
                        ttl,
                        until: None,
                    }),
                )
            }
            Step::Touch { key } => (key, Command::Change(Change::Touch { ttl, until: None })),
            Step::Stamp { key, millis } => (key, Command::Stamp(stamp(millis))),
        })
    }
}

fn stamp(millis: u64) -> Stamp {
    Stamp { time: Duration::from_millis(millis), until: None }
}

fn tokens(bits: Vec<u64>) -> Vec<Token> {
    bits.into_iter().map(Token::new).collect()
}

/// What holds of every record, whatever came before.
fn check_record(record: Option<&Record>, now: Time) {
    let Some(record) = record else { return };
    assert!(record.generation.get() > 0);
    if let Some(stored) = &record.stored {
        assert!(!record.is_reserved(now), "a value beside a live reservation: {record:?}");
        assert!(record.alone.is_none(), "a value beside a lone writer: {record:?}");
        assert!(stored.version <= record.floor, "a value above its floor: {record:?}");
    }
    if record.live_lease(now).is_some() {
        assert!(record.reservations.is_empty(), "a lease beside reservations: {record:?}");
    }
    if let Some(alone) = record.alone {
        assert!(record.reservations.keys().all(|token| *token == alone), "not alone: {record:?}");
    }
}

/// What a refusal and a success each leave behind.
fn check_step(before: Option<&Record>, after: Option<&Record>, answer: Result<(), Refusal>) {
    match (answer, before, after) {
        (Err(_), _, _) => assert_eq!(before, after, "a refused command changed the record"),
        (Ok(()), Some(before), Some(after)) => {
            assert_eq!(after.generation, before.generation.next());
            assert!(after.floor >= before.floor, "the floor fell: {before:?} {after:?}");
        }
        (Ok(()), None, Some(after)) => assert_eq!(after.generation, Generation::new(1)),
        (Ok(()), _, None) => {}
    }
}

/// The sequence on the embedded store, whose clock is the model's: all is equal to the nanosecond.
async fn embedded(steps: Vec<Step>) {
    let clock = Clock::manual();
    let store = MemoryStore::with_clock(64 << 20, clock.clone()).on_terms(TERMS);
    let mut model: HashMap<u8, Option<Record>> = HashMap::new();
    let mut grants = Grants::default();
    for step in steps {
        if let Step::Advance { millis } = step {
            clock.advance(Duration::from_millis(millis));
        }
        let now = clock.now();
        if let Step::Evict { key } = step {
            let slot = model.entry(key).or_default();
            let evicted = slot.take_if(|record| !record.is_reserved(now)).is_some();
            assert_eq!(store.evict(&[key]), evicted);
        }
        if let Some((key, command)) = grants.command(step, Ttl::from_secs(3).unwrap()) {
            let slot = model.entry(key).or_default();
            let before = slot.clone().filter(|record| record.expires > now);
            let answer = match command {
                Command::Claim(token, claim) => {
                    let answer = protocol::claim(slot, now, &TERMS, &claim);
                    assert_eq!(store.claim(&[key], &claim).await.unwrap(), answer);
                    grants.remember(key, token, answer);
                    answer.map(drop)
                }
                Command::Change(change) => {
                    let answer = protocol::change(slot, now, &TERMS, &change);
                    assert_eq!(store.change(&[key], &change).await.unwrap(), answer);
                    answer
                }
                Command::Stamp(stamp) => {
                    let answer = protocol::stamp(slot, now, &TERMS, &stamp);
                    let hit = answer.clone().map(|copied| copied.hit);
                    assert_eq!(store.stamp(&[key], &stamp).await.unwrap(), hit);
                    answer.map(drop)
                }
            };
            check_step(before.as_ref(), slot.as_ref(), answer);
        }
        for (key, slot) in &model {
            let live = slot.as_ref().filter(|record| record.expires > now);
            check_record(live, now);
            let snapshot = store.inspect(&[*key]).await.unwrap();
            assert_eq!(snapshot.as_ref().map(|snapshot| &snapshot.record), live);
            let read = store.get(&[*key]).await.unwrap();
            let expected = match protocol::get(slot.as_ref(), now) {
                Some(hit) => Read::Hit(hit),
                None if live.is_some_and(Record::is_claimed) => Read::Claimed,
                None => Read::Free,
            };
            let copied = protocol::look(slot.as_ref(), now);
            let lives = copied.map_or(Duration::ZERO, |copied| copied.lives);
            let look = store.look(&[*key]).await.unwrap();
            assert_eq!((&look.read, look.lives()), (&expected, lives));
            assert_eq!(look.near, live.and_then(Record::near));
            assert_eq!(read, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_embedded_store_answers_as_the_pure_transitions_do(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(embedded(steps));
    }
}

#[cfg(feature = "aerospike")]
mod elsewhere {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::target::{self, Target, Wire};

    /// What of a record does not depend on whose clock its deadlines are on.
    fn shape(record: &Record, now: Time) -> String {
        let live: Vec<(Token, bool)> =
            record.reservations.iter().map(|(token, until)| (*token, *until > now)).collect();
        let lease = record.lease.map(|lease| (lease.token, lease.deadline > now));
        let near = record.near().map(|near| (near.deadline > now, near.longest));
        let Record { stored, floor, alone, generation, .. } = record;
        format!("{stored:?} {floor:?} {live:?} {alone:?} {lease:?} {near:?} {generation:?}")
    }

    /// The sequence on a server. Its clock is its own, so each side is given the deadlines that it
    /// granted itself. Records live long, as servers count their lives in whole seconds.
    async fn on_a_server(target: &impl Target, run: usize, steps: &[Step]) {
        let ttl = Ttl::from_secs(3600).unwrap();
        let mut now = Time::from_nanos(1_000_000_000);
        let mut model: HashMap<u8, Option<Record>> = HashMap::new();
        let (mut ours, mut theirs) = (Grants::default(), Grants::default());
        for step in steps {
            if let Step::Advance { millis } = step {
                now = now.after(Duration::from_millis(*millis));
                target.pass(Duration::from_millis(*millis)).await;
            }
            let Some((key, command)) = ours.command(step.clone(), ttl) else { continue };
            let Some((_, sent)) = theirs.command(step.clone(), ttl) else { continue };
            let name = format!("sequence {run} key {key}").into_bytes();
            let slot = model.entry(key).or_default();
            match (command, sent) {
                (Command::Claim(token, claim), Command::Claim(_, sent)) => {
                    let expected = protocol::claim(slot, now, &TERMS, &claim);
                    let answer = target.claim(&name, &sent).await;
                    let told = |grant: Grant| (grant.generation, grant.alone);
                    assert_eq!(answer.map(told), expected.map(told), "{claim:?}");
                    ours.remember(key, token, expected);
                    theirs.remember(key, token, answer);
                }
                (Command::Change(change), Command::Change(sent)) => {
                    let expected = protocol::change(slot, now, &TERMS, &change);
                    assert_eq!(target.change(&name, &sent).await, expected, "{change:?}");
                }
                (Command::Stamp(stamp), Command::Stamp(_)) => {
                    let expected = protocol::stamp(slot, now, &TERMS, &stamp);
                    let answer = target.store().stamp(&name, &stamp).await.unwrap();
                    let expected = expected.map(|copied| copied.hit.stamp);
                    assert_eq!(answer.map(|hit| hit.stamp), expected, "{stamp:?}");
                }
                _ => unreachable!("one step is one command"),
            }
            let there = target.inspect(&name).await;
            let there = there.map(|snapshot| shape(&snapshot.record, snapshot.now));
            assert_eq!(there, slot.as_ref().map(|record| shape(record, now)), "after {step:?}");
        }
    }

    async fn sequences(target: &impl Target, count: usize) {
        let mut runner = TestRunner::default();
        for run in 0..count {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            let attempt = std::panic::AssertUnwindSafe(on_a_server(target, run, &steps));
            let alike = futures_util::FutureExt::catch_unwind(attempt).await.is_ok();
            assert!(alike, "this sequence differs: {steps:#?}");
        }
        println!("{count} random sequences answered alike");
    }

    #[tokio::test]
    async fn the_aerospike_store_answers_as_the_pure_transitions_do_on_the_wire() {
        sequences(&Wire::start(1, |settings| settings).await, 1000).await;
    }

    #[tokio::test]
    async fn rows_of_a_batch_answer_as_the_pure_transitions_do() {
        let rows = target::Rows(Wire::start(1, crate::one).await);
        sequences(&rows, 300).await;
        rows.went_together();
    }

    #[tokio::test]
    async fn the_aerospike_store_answers_as_the_pure_transitions_do_on_a_real_server() {
        // Time passes as slowly as it does: few sequences, and most of them wait for seconds.
        let Some(server) = target::real("sequences", |settings| settings).await else { return };
        sequences(&server, 20).await;
    }
}
