//! What the server says about itself, and what it refuses.

mod support;

use aerospike::{AdminPolicy, as_bin};
use genfence_wire::{Clock, Config};
use support::{Pair, key, writes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn info(pair: &Pair, command: &str) -> String {
    let node = pair.client.nodes().remove(0);
    let answers = node.info(&AdminPolicy::default(), &[command]).await.unwrap();
    answers[command].clone()
}

#[tokio::test]
async fn the_configuration_is_not_told() {
    let mut config = Config { nsup_period: 7, default_ttl: 60, ..Config::default() };
    config.info.insert("get-config:context=xdr".to_owned(), "dcs=east".to_owned());
    let pair = Pair::with(config, Clock::system()).await;
    pair.client.put(&writes(), &key("a"), &[as_bin!("n", 1)]).await.unwrap();
    for command in [
        "namespace/test",
        "get-config:context=namespace;id=test",
        "get-config:context=namespace;namespace=test",
    ] {
        let answer = info(&pair, command).await;
        for pair in [
            "nsup-period=7",
            "default-ttl=60",
            "strong-consistency=false",
            "max-record-size=1048576",
        ] {
            assert!(answer.split(';').any(|found| found == pair), "{pair} in {answer}");
        }
    }
    pair.server.configure(|config| config.stop_writes = true);
    assert!(info(&pair, "namespace/test").await.contains("stop_writes=true"));
    assert_eq!(info(&pair, "get-config:context=xdr").await, "dcs=east");
    assert_eq!(info(&pair, "sets/test").await, "ns=test:set=things:objects=1");
    assert_eq!(info(&pair, "build").await, "8.1.2.0");
    assert!(info(&pair, "nonsense").await.starts_with("ERROR:4:"));
}

#[tokio::test]
async fn another_cluster_or_namespace_is_taken_for_this_one() {
    let config = Config { cluster_name: "east".to_owned(), ..Config::default() };
    let pair = Pair::with(config, Clock::system()).await;
    assert_eq!(pair.client.server_cluster_name().as_deref(), Some("east"));
    let elsewhere = aerospike::Key::new("other", "things", aerospike::Value::from("a")).unwrap();
    pair.client.put(&writes(), &elsewhere, &[as_bin!("n", 1)]).await.unwrap_err();
    assert!(pair.server.records().is_empty());
}

/// Sends bytes and returns the answer's first bytes, as many as come before the end.
async fn raw(pair: &Pair, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(pair.server.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A server that gives up before it has read everything resets the connection.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn nonsense_hangs_or_crashes_the_server() {
    let pair = Pair::new().await;
    assert_eq!(raw(&pair, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    // A compressed message.
    assert_eq!(raw(&pair, &[2, 4, 0, 0, 0, 0, 0, 1, 0]).await, b"");
    // A log-in: security is not supported.
    assert_eq!(raw(&pair, &[2, 2, 0, 0, 0, 0, 0, 0]).await[8..10], [0, 51]);
    // A header that promises more than there is, one that stops short, and one with nothing to do.
    let fields = [&[2, 3, 0, 0, 0, 0, 0, 22, 22, 1][..], &[0; 16], &[0, 9, 0, 0]].concat();
    let short = [2, 3, 0, 0, 0, 0, 0, 3, 22, 1, 0];
    let idle = [&[2, 3, 0, 0, 0, 0, 0, 22, 22][..], &[0; 21]].concat();
    for message in [&fields[..], &short, &idle] {
        assert_eq!(raw(&pair, message).await[13], 4);
    }
    pair.client.put(&writes(), &key("a"), &[as_bin!("n", 1)]).await.unwrap();
}
