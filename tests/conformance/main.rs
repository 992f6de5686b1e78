//! The conformance suite: the same cases on every store there is.

mod cases;
mod sequences;
mod target;

use std::panic::AssertUnwindSafe;

use cases::Key;
use futures_util::FutureExt;
use target::{Embedded, Target};

/// Runs every case, and says all that failed.
async fn conforms<T: Target>(name: &str, target: T) {
    let (cases, mut failed) = (cases::names(), Vec::new());
    for case in &cases {
        let key = Key(&target, case.as_bytes().to_vec());
        if AssertUnwindSafe(self::cases::run(case, key)).catch_unwind().await.is_err() {
            failed.push(*case);
        }
    }
    println!("{name}: {} of {} cases", cases.len() - failed.len(), cases.len());
    assert!(failed.is_empty(), "on {name} failed: {failed:#?}");
}

#[tokio::test]
async fn the_embedded_store_conforms() {
    conforms("memory://", Embedded::new()).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn the_aerospike_store_conforms_on_the_wire() {
    conforms("the wire test server", target::Wire::start().await).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn a_real_server_conforms() {
    let Some(server) = target::real("conformance").await else { return };
    conforms("the real server", server).await;
}
