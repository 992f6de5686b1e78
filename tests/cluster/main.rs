//! Clusters of several nodes, and what befalls them.

#![allow(clippy::large_futures, reason = "a test has one of each")]

mod chaos;
mod harm;
mod load;
mod nodes;
mod rules;
mod server;

use harm::Cluster;

#[tokio::test]
async fn nodes_of_the_wire_test_server_behave_as_a_cluster() {
    server::behaves(&Cluster::wire().await).await;
    server::a_read_asks_all_copies_if_it_says_so(&Cluster::wire().await).await;
}

#[tokio::test]
async fn so_does_a_real_cluster() {
    let Some(cluster) = Cluster::real() else { return };
    server::behaves(&cluster).await;
}
