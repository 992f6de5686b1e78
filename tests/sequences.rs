//! Random sequences of commands: the embedded store against the pure transitions, and what every
//! record must fulfil whatever came before.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use genfence::protocol::{self, Claim, Generation, Grant, Refusal, Time, Token, Ttl, Version};
use genfence::store::{Change, Clock, MemoryStore, Record, Store};
use proptest::prelude::*;

/// One step. Numbers are small, so that commands meet each other's tokens.
#[derive(Clone, Debug)]
enum Step {
    Advance { millis: u64 },
    Lease { key: u8, token: u64, previous: Vec<u64> },
    Extend { key: u8, token: u64 },
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
    Evict { key: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..2u8;
    let token = 0..4u64;
    let previous = || prop::collection::vec(0..4u64, 0..2);
    let version = || prop::option::of(1..4u64);
    let off = || prop::bool::weighted(0.1);
    let step = prop_oneof![
        3 => (0..3000u64).prop_map(|millis| Step::Advance { millis }),
        6 => (key.clone(), token.clone(), previous())
            .prop_map(|(key, token, previous)| Step::Lease { key, token, previous }),
        2 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Extend { key, token }),
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
        2 => (key.clone(), token.clone(), token)
            .prop_map(|(key, stamp, token)| Step::Replace { key, stamp, token }),
        1 => key.clone().prop_map(|key| Step::Touch { key }),
        1 => key.prop_map(|key| Step::Evict { key }),
    ];
    prop::collection::vec(step, 1..60)
}

enum Command {
    Claim(Token, Claim),
    Change(Change),
}

/// The grants that were seen, for commands that name one.
#[derive(Default)]
struct Grants(HashMap<(u8, u64), Grant>);

impl Grants {
    fn of(&self, key: u8, token: u64) -> Grant {
        let none = Grant { generation: Generation::new(1), deadline: Time::ZERO, alone: false };
        self.0.get(&(key, token)).copied().unwrap_or(none)
    }

    fn command(&self, step: Step) -> Option<(u8, Command)> {
        let time = Duration::from_secs(2);
        let ttl = Ttl::from_secs(3).unwrap();
        let tokens = |bits: Vec<u64>| bits.into_iter().map(Token::new).collect::<Vec<_>>();
        let versions = |number: Option<u64>| number.and_then(Version::new);
        let value = |name: u64| Some(Bytes::from(format!("value {name}")));
        let shifted =
            |generation: Generation, off| if off { generation.next() } else { generation };
        Some(match step {
            Step::Advance { .. } | Step::Evict { .. } => return None,
            Step::Lease { key, token, previous } => {
                let token = Token::new(token);
                let previous = tokens(previous);
                (key, Command::Claim(token, Claim::Lease { token, previous, time, ttl }))
            }
            Step::Extend { key, token } => {
                let deadline = self.of(key, token).deadline;
                let token = Token::new(token);
                (key, Command::Claim(token, Claim::Extend { token, deadline, time, ttl }))
            }
            Step::Reserve { key, token, previous } => {
                let token = Token::new(token);
                let previous = tokens(previous);
                (key, Command::Claim(token, Claim::Reserve { token, previous, time, ttl }))
            }
            Step::Renew { key, token } => {
                let deadline = self.of(key, token).deadline;
                let token = Token::new(token);
                (key, Command::Claim(token, Claim::Renew { token, deadline, time, ttl }))
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
                    }),
                )
            }
            Step::Unlease { key, token } => {
                (key, Command::Change(Change::Unlease { token: Token::new(token) }))
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
                    }),
                )
            }
            Step::Touch { key } => (key, Command::Change(Change::Touch { ttl })),
        })
    }
}

/// What holds of every record, whatever came before.
fn check_record(record: Option<&Record>, now: Time) {
    let Some(record) = record else { return };
    assert!(!record.is_empty(), "an empty record is removed");
    assert!(record.generation.get() > 0);
    if let Some(stored) = &record.stored {
        assert!(!record.is_reserved(now), "a value beside a live reservation: {record:?}");
        assert!(record.lease.is_none(), "a value beside a lease: {record:?}");
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

async fn run(steps: Vec<Step>) {
    let clock = Clock::manual();
    let store = MemoryStore::with_clock(support::ROOM, clock.clone());
    let mut model: HashMap<u8, Option<Record>> = HashMap::new();
    let mut grants = Grants::default();
    for step in steps {
        let now = match step {
            Step::Advance { millis } => {
                clock.advance(Duration::from_millis(millis));
                clock.now()
            }
            _ => clock.now(),
        };
        if let Step::Evict { key } = step {
            let slot = model.entry(key).or_default();
            let evicted = slot.take_if(|record| !record.is_reserved(now)).is_some();
            assert_eq!(store.evict(&[key]), evicted);
        }
        if let Some((key, command)) = grants.command(step) {
            let slot = model.entry(key).or_default();
            let before = slot.clone().filter(|record| record.expires > now);
            let answer = match command {
                Command::Claim(token, claim) => {
                    let answer = protocol::claim(slot, now, &claim);
                    assert_eq!(store.claim(&[key], &claim).await.unwrap(), answer);
                    if let Ok(grant) = answer {
                        grants.0.insert((key, token.bits()), grant);
                    }
                    answer.map(drop)
                }
                Command::Change(change) => {
                    let answer = protocol::change(slot, now, &change);
                    assert_eq!(store.change(&[key], &change).await.unwrap(), answer);
                    answer
                }
            };
            check_step(before.as_ref(), slot.as_ref(), answer);
        }
        for (key, slot) in &model {
            let live = slot.as_ref().filter(|record| record.expires > now);
            check_record(live, now);
            let snapshot = store.inspect(&[*key]).await.unwrap();
            assert_eq!(snapshot.as_ref().map(|snapshot| &snapshot.record), live);
            let hit = store.get(&[*key]).await.unwrap();
            assert_eq!(hit, protocol::get(slot.as_ref(), now));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_embedded_store_answers_as_the_pure_transitions_do(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}
