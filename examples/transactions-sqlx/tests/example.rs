//! The example runs to its end.

#![cfg(unix)]

#[path = "../../../tests/postgres/server.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod server;

use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_runs() {
    let Some(postgres) = server::Postgres::start().await else { return };
    let url = postgres.url();
    let run =
        move || Command::new(env!("CARGO_BIN_EXE_transactions-sqlx")).arg(url).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("shelf 1 has 7, shelf 2 has 3"), "{said}");
}
