//! `genfence inspect` and `genfence invalidate`, on the wire test server.

use std::process::Output;

use genfence::{Cache, Fresh, Reservation, SourceResult};
use genfence_wire::Server;
use tokio::process::Command;

async fn genfence(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genfence")).args(args).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_without_its_value_and_with_it_only_on_request() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache?prefix=users:", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    let update = async |_: &Reservation| {
        Ok::<_, std::io::Error>(SourceResult::Committed(Fresh::from("a secret").version(7)))
    };
    let _ = cache.update("1", update).await.unwrap();

    let shown = genfence(&["inspect", &url, "1"]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let lines = text(&shown.stdout);
    assert!(lines.contains("8 bytes") && !lines.contains("secret"), "{lines}");
    assert!(lines.contains("version         7") && lines.contains("expires in"), "{lines}");

    let shown = genfence(&["inspect", &url, "1", "--value", "--json"]).await;
    let object: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&object["value"], &object["floor"]), (&"a secret".into(), &7.into()));

    let _writer = cache.reserve("1").await.unwrap();
    let shown = genfence(&["inspect", &url, "1"]).await;
    assert!(text(&shown.stdout).contains("reserved for"), "{}", text(&shown.stdout));

    let shown = genfence(&["inspect", &url, "2"]).await;
    assert_eq!(shown.status.code(), Some(1));
    assert_eq!(text(&shown.stdout), "nothing is known of this key\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_invalidated() {
    let server = Server::start().await.unwrap();
    let url = format!("aerospike://{}/test/cache", server.address());
    let cache = Cache::connect(&url).await.unwrap();
    for key in ["a", "b", "c"] {
        let _ = cache.set(key, "v").await.unwrap();
    }
    let done = genfence(&["invalidate", &url, "a", "b"]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(cache.get("a").await.unwrap().is_none());
    assert!(cache.get("b").await.unwrap().is_none());
    assert!(cache.get("c").await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_done_is_said_on_stderr_with_exit_code_2() {
    for (args, said) in [
        (vec!["inspect", "redis://x", "k"], "must begin with"),
        (vec!["inspect", "memory://", ""], "key: 0 bytes"),
        (vec!["invalidate", "memory://"], "required"),
        (
            vec!["inspect", "aerospike://a:secret@127.0.0.1:1/t/s?connect_timeout=300ms", "k"],
            "127.0.0.1:1",
        ),
    ] {
        let output = genfence(&args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = text(&output.stderr);
        assert!(error.contains(said) && !error.contains("secret"), "{args:?}: {error}");
    }
}
