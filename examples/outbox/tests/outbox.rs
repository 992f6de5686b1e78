//! The example runs to its end, and leaves nothing behind.

#![cfg(unix)]

#[path = "../../../tests/postgres/server.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod server;

use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_runs_and_leaves_nothing() {
    let Some(postgres) = server::Postgres::start().await else { return };
    let url = postgres.url();
    let run = move || Command::new(env!("CARGO_BIN_EXE_outbox")).arg(url).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("1 changes heard"), "{said}");
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'outbox_example'";
    let client = postgres.connect().await.unwrap();
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}
