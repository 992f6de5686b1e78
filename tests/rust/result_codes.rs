//! What each answer of the server means, one by one, and what it means that there is none.

use std::time::Duration;

use genfence::protocol::{Claim, Refusal, Token, Ttl};
use genfence::store::{AerospikeSettings, AerospikeStore, Change, Read, Store, StoreError};
use genfence::{Bypass, Cache, Error, Lookup, SetOutcome};
use genfence_wire::{Action, Code, Kind, Rule, Server, Then};

use crate::support::kept;

async fn store(server: &Server) -> AerospikeStore {
    let address = server.address();
    let settings = AerospikeSettings::new("test", "cache")
        .host(address.ip().to_string(), address.port())
        .timeout(Duration::from_millis(150))
        .max_errors(0);
    AerospikeStore::connect(&settings).await.unwrap()
}

fn ttl() -> Ttl {
    Ttl::from_secs(60).unwrap()
}

/// A command that is one operate, and one that is one put.
fn reserve() -> Claim {
    let (token, time) = (Token::new(1), Duration::from_secs(1));
    Claim::Reserve { token, previous: vec![], time, ttl: ttl() }
}

fn set() -> Change {
    Change::Set { token: Token::new(2), value: Some("v".into()), ttl: ttl() }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Refused(Refusal),
    /// It may have been applied; another try may tell.
    Doubtful,
    /// It was not applied; another try may be.
    Unavailable,
    /// It was not applied, and no other try would be.
    Never,
}

fn meaning<T>(answer: Result<Result<T, Refusal>, StoreError>) -> (Meaning, String) {
    match answer {
        Ok(Ok(_)) => panic!("the fault did not happen"),
        Ok(Err(refusal)) => (Meaning::Refused(refusal), String::new()),
        Err(error) => {
            let meaning = match (error.in_doubt(), error.may_retry()) {
                (true, _) => Meaning::Doubtful,
                (false, true) => Meaning::Unavailable,
                (false, false) => Meaning::Never,
            };
            (meaning, error.to_string())
        }
    }
}

fn codes() -> Vec<(Code, Meaning, &'static str)> {
    use Meaning::{Doubtful, Never, Refused, Unavailable};
    vec![
        (Code::NOT_FOUND, Refused(Refusal::Missing), ""),
        (Code::GENERATION, Refused(Refusal::Generation), ""),
        (Code::FILTERED_OUT, Refused(Refusal::Condition), ""),
        (Code::EXISTS, Never, "(5)"),
        (Code::OUT_OF_SPACE, Unavailable, "stop-writes"),
        (Code::TIMEOUT, Doubtful, "(9)"),
        (Code(11), Unavailable, "(11)"),
        (Code::TOO_BIG, Never, "max-record-size"),
        (Code::KEY_BUSY, Unavailable, "(14)"),
        (Code::DEVICE_OVERLOAD, Unavailable, "(18)"),
        (Code::NAMESPACE, Never, "check the URL"),
        (Code::FORBIDDEN, Never, "nsup-period"),
        (Code::ENTERPRISE_ONLY, Never, "(25)"),
        (Code::NOT_APPLICABLE, Never, "somebody else"),
        (Code::PARAMETER, Never, "ParameterError"),
    ]
}

#[tokio::test]
async fn each_result_code_of_a_write_means_what_it_should_and_is_said_in_words() {
    let server = Server::start().await.unwrap();
    let store = store(&server).await;
    for (code, expected, said) in codes() {
        let fault = server.faults().add(Rule::new(Action::Fail(code)).times(2));
        let (by_operate, words) = meaning(store.claim(b"k", &reserve()).await);
        assert_eq!(by_operate, expected, "{code:?}: {words}");
        assert!(words.contains(said), "{code:?}: {words}");
        let (by_put, _) = meaning(store.change(b"k", &set()).await);
        assert_eq!(by_put, expected, "{code:?}");
        assert_eq!(fault.happened(), 2, "{code:?}: a write is sent once");
        server.faults().clear();
    }
    assert_eq!(store.get(b"k").await.unwrap(), Read::Free, "a refused write was applied");
}

#[tokio::test]
async fn a_read_is_never_in_doubt_and_what_it_does_not_find_is_an_answer() {
    let server = Server::start().await.unwrap();
    let store = store(&server).await;
    for (code, expected, said) in codes() {
        server.faults().add(Rule::new(Action::Fail(code)).always());
        let read = store.get(b"k").await;
        match expected {
            Meaning::Refused(_) => assert_eq!(read.unwrap(), Read::Free, "{code:?}"),
            Meaning::Doubtful | Meaning::Unavailable | Meaning::Never => {
                let error = read.unwrap_err();
                assert!(!error.in_doubt() && error.to_string().contains(said), "{error}");
                assert_eq!(error.may_retry(), expected != Meaning::Never, "{code:?}");
            }
        }
        server.faults().clear();
    }
}

#[tokio::test]
async fn a_write_that_nobody_answered_is_in_doubt_whether_or_not_it_was_applied() {
    let server = Server::start().await.unwrap();
    let store = store(&server).await;
    for (action, applied, said) in [
        (Action::DropReply(Then::Silence), true, "within the time-out"),
        (Action::DropReply(Then::Close), true, "connection"),
        (Action::CutReply(11), true, "connection"),
        (Action::DropRequest(Then::Silence), false, "within the time-out"),
        (Action::DropRequest(Then::Close), false, "connection"),
    ] {
        server.evict_all();
        let fault = server.faults().add(data(action.clone()));
        let (meant, words) = meaning(store.change(b"k", &set()).await);
        assert_eq!(meant, Meaning::Doubtful, "{action:?}: {words}");
        assert!(words.contains(said), "{action:?}: {words}");
        assert_eq!(fault.happened(), 1, "{action:?}: a write is sent once");
        server.faults().clear();
        let read = store.get(b"k").await.unwrap();
        assert_eq!(matches!(read, Read::Hit(_)), applied, "{action:?}");
    }
}

#[tokio::test]
async fn a_read_that_nobody_answered_is_no_doubt() {
    let server = Server::start().await.unwrap();
    let store = store(&server).await;
    for then in [Then::Silence, Then::Close] {
        server.faults().add(data(Action::DropRequest(then)));
        let error = store.get(b"k").await.unwrap_err();
        assert!(!error.in_doubt() && error.may_retry(), "{error}");
        server.faults().clear();
    }
}

#[tokio::test]
async fn a_server_that_is_gone_was_certainly_not_reached() {
    let server = Server::start().await.unwrap();
    let store = store(&server).await;
    assert!(store.change(b"k", &set()).await.unwrap().is_ok());
    drop(server);
    // Connections that were open break when they are used; then there are none.
    let mut last = None;
    for _ in 0..20 {
        let (meant, words) = meaning(store.change(b"k", &set()).await);
        assert!(matches!(meant, Meaning::Doubtful | Meaning::Unavailable), "{words}");
        last = Some(meant);
    }
    assert_eq!(last, Some(Meaning::Unavailable));
}

/// What the caller of a cache is told.
#[tokio::test]
async fn a_code_that_is_final_is_not_retried_and_one_that_is_not_is() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache?attempts=3&timeout=150ms", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    for (code, tries) in [(Code::TOO_BIG, 1), (Code::FORBIDDEN, 1), (Code::KEY_BUSY, 3)] {
        let key = format!("{code:?}");
        let fault = server.faults().add(data(Action::Fail(code)));
        let error = cache.set(&key, "v").await.unwrap_err();
        assert!(matches!(error, genfence::Error::Store(_)), "{error}");
        assert_eq!(fault.happened(), tries, "{code:?}");
        server.faults().clear();
    }
}

/// Each time, but not to what the client asks of itself.
fn data(action: Action) -> Rule {
    Rule::new(action).always().when(|request| request.kind != Kind::Info)
}

/// Writes bins to the record of a key past the library.
async fn put(server: &Server, key: &str, bins: &[aerospike::Bin]) {
    let (policy, host) = (aerospike::ClientPolicy::default(), server.address().to_string());
    let client = aerospike::Client::new(&policy, &host).await.unwrap();
    let key = match key {
        "genfence format" => aerospike::Value::from(key),
        key => aerospike::Value::Blob(key.as_bytes().to_vec()),
    };
    let key = aerospike::Key::new("test", "cache", key).unwrap();
    client.put(&aerospike::WritePolicy::default(), &key, bins).await.unwrap();
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_refused_by_name_and_keeps_its_number() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache?unreachable_read=error", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let _ = cache.set("k", "v").await.unwrap();
    put(&server, "k", &[aerospike::Bin::new("f", aerospike::Value::Int(2))]).await;

    let told = |error: Error| {
        let told = error.to_string();
        assert!(told.contains("format 2") && told.contains("update every program"), "{told}");
    };
    told(cache.get("k").await.map(drop).unwrap_err());
    told(cache.lookup("k").await.map(drop).unwrap_err());
    // Nothing is stored over it, and a writer is told before it changes the source.
    assert_eq!(cache.set("k", "w").await.unwrap(), SetOutcome::Busy);
    told(cache.reserve("k").await.map(drop).unwrap_err());
    told(cache.get("k").await.map(drop).unwrap_err());
}

#[tokio::test]
async fn a_set_of_a_newer_format_is_refused_when_connecting() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    let set_to = async |format: i64| {
        let format = aerospike::Bin::new("f", aerospike::Value::Int(format));
        put(&server, "genfence format", &[format]).await;
    };
    set_to(1).await;
    let cache = Cache::connect(&url).await.unwrap();
    assert!(cache.get("genfence format").await.unwrap().is_none(), "no key has that record");
    set_to(2).await;
    let error = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("the set has format 2"), "{error}");
    assert_eq!(kept(&server), 1, "connecting leaves nothing behind");
}

/// A record that somebody else has put into the set costs its own key, and no other of the same call.
#[tokio::test]
async fn one_bad_row_of_many_is_a_bypass_of_its_own() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("key {number}")).collect();
    for key in &keys {
        let _ = cache.set(key, "v").await.unwrap();
    }
    let bin = aerospike::Bin::new("v", aerospike::Value::from("a string"));
    put(&server, "key 7", &[bin]).await;

    let lookups = cache.lookup_many(&keys).await.unwrap();
    for (key, lookup) in keys.iter().zip(lookups) {
        match lookup {
            Some(Lookup::Hit(_)) => assert_ne!(key, "key 7"),
            Some(Lookup::Bypass(why)) => assert_eq!((&**key, why), ("key 7", Bypass::Unreachable)),
            other => panic!("{key}: {other:?}"),
        }
    }
    let load = async |asked: Vec<bytes::Bytes>| {
        assert_eq!(asked, ["key 7"]);
        Ok::<_, std::convert::Infallible>([("key 7", "loaded")])
    };
    let values = cache.get_or_fill_many(&keys, load).await.unwrap();
    assert_eq!(values[7].as_deref(), Some(&b"loaded"[..]));
    assert_eq!(values[8].as_deref(), Some(&b"v"[..]));
}
