//! The conformance suite: the same cases on every store there is.

mod cases;
mod sequences;
mod target;

use std::panic::AssertUnwindSafe;

use cases::Key;
use futures_util::FutureExt;
use target::{Embedded, Many, Target};

/// Runs every case, and says all that failed.
async fn conforms<T: Target>(name: &str, target: &T) {
    let (cases, mut failed) = (cases::names(), Vec::new());
    for case in &cases {
        let key = Key(target, case.as_bytes().to_vec());
        if AssertUnwindSafe(self::cases::run(case, key)).catch_unwind().await.is_err() {
            failed.push(*case);
        }
    }
    println!("{name}: {} of {} cases", cases.len() - failed.len(), cases.len());
    assert!(failed.is_empty(), "on {name} failed: {failed:#?}");
}

#[tokio::test]
async fn the_embedded_store_conforms() {
    conforms("memory://", &Embedded::new()).await;
}

#[tokio::test]
async fn many_commands_at_once_conform() {
    conforms("many at once in memory://", &Many(Embedded::new())).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn many_commands_at_once_conform_on_the_wire() {
    let nodes = target::Wire::start(3, |settings| settings).await;
    conforms("many at once on the wire test server", &Many(nodes)).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn the_aerospike_store_conforms_on_the_wire() {
    conforms("the wire test server", &target::Wire::start(1, |settings| settings).await).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn it_does_on_several_nodes() {
    let nodes = target::Wire::start(3, |settings| settings).await;
    conforms("three nodes of the wire test server", &nodes).await;
}

/// One message at a time.
#[cfg(feature = "aerospike")]
fn one(settings: genfence::store::AerospikeSettings) -> genfence::store::AerospikeSettings {
    settings.merge_messages(1)
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn commands_that_travel_together_conform_on_the_wire() {
    let rows = target::Rows(target::Wire::start(1, one).await);
    conforms("rows on the wire test server", &rows).await;
    rows.went_together();
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn a_real_server_conforms() {
    let Some(server) = target::real("conformance", |settings| settings).await else { return };
    conforms("the real server", &server).await;
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn commands_that_travel_together_conform_on_a_real_server() {
    let Some(server) = target::real("conformance-rows", one).await else { return };
    let rows = target::Rows(server);
    conforms("rows on the real server", &rows).await;
    rows.went_together();
}

#[cfg(feature = "aerospike")]
#[tokio::test]
async fn many_commands_at_once_conform_on_a_real_server() {
    let Some(server) = target::real("conformance-many", |settings| settings).await else { return };
    conforms("many at once on the real server", &Many(server)).await;
}
