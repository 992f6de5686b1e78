//! Several keys of one transaction: reserve and release of all, over those of one key. On the cluster that `AEROSPIKE_HOSTS` names, else on the
//! wire test server. Rounds are interleaved.
//!
//!     cargo bench -p genfence-benches --bench many

use std::time::{Duration, Instant};

use genfence::Cache;

const ROUNDS: usize = 9;
/// Transactions of a round.
const EACH: u32 = 200;
const KEYS: [usize; 3] = [1, 8, 64];

fn median(all: &mut [Duration]) -> Duration {
    all.sort();
    all[all.len() / 2]
}

#[tokio::main]
async fn main() {
    let server = genfence_wire::Server::start().await.unwrap();
    let hosts = std::env::var("AEROSPIKE_HOSTS").unwrap_or_else(|_| server.address().to_string());
    let set = std::process::id();
    let cache =
        Cache::connect(&format!("aerospike://{hosts}/test/bench-many-{set}")).await.unwrap();
    let mut all = [const { Vec::new() }; KEYS.len()];
    // The first warms up, and shows how many messages are best.
    for round in 0..=ROUNDS {
        for (count, all) in KEYS.iter().zip(&mut all) {
            let keys: Vec<String> = (0..*count).map(|key| format!("{count} {key}")).collect();
            let start = Instant::now();
            for _ in 0..EACH {
                let reservations = cache.reserve_many(&keys).await.unwrap();
                assert_eq!(reservations.release().await.len(), *count);
            }
            if round > 0 {
                all.push(start.elapsed() / EACH);
            }
        }
    }
    let one = median(&mut all[0]);
    for (count, all) in KEYS.iter().zip(&mut all) {
        let (median, over) = (median(all), all[all.len() / 2].as_secs_f64() / one.as_secs_f64());
        println!(
            "{count} keys: {median:?} ({:?} to {:?}), {over:.2} of one",
            all[0],
            all[all.len() - 1]
        );
    }
}
