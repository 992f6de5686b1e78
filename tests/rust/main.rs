//! What a cache does, seen from outside. One program, so that it is linked once after a change and
//! what waits in one test leaves the machine to the others; `cargo test --test rust outcomes::` runs one file.

#[cfg(feature = "tls")]
mod certificates;
mod support;
#[cfg(feature = "aerospike")]
mod used;

#[cfg(all(unix, feature = "undone"))]
mod asleep;
#[cfg(feature = "aerospike")]
mod background;
mod bad_input;
mod batches_of_changes;
#[cfg(feature = "aerospike")]
mod changes_on_wire;
#[cfg(feature = "aerospike")]
mod cluster_guard;
mod coalescing;
#[cfg(all(feature = "cli", feature = "aerospike"))]
mod contract;
mod dependencies;
#[cfg(all(feature = "cli", feature = "aerospike"))]
mod doctor;
mod documents;
mod doubt;
mod embedded;
mod floors;
mod follower;
#[cfg(feature = "capi")]
#[cfg(all(feature = "cli", feature = "aerospike"))]
mod homes;
mod keys;
mod loads;
#[cfg(feature = "aerospike")]
mod login;
#[cfg(feature = "aerospike")]
mod merged;
mod near;
mod outcomes;
mod platforms;
mod refresh;
mod regions;
#[cfg(feature = "aerospike")]
mod regions_on_wire;
#[cfg(feature = "aerospike")]
mod reservations;
#[cfg(feature = "aerospike")]
mod result_codes;
#[cfg(feature = "aerospike")]
mod runtimes;
mod serving;
mod shared_cases;
mod stale;
#[cfg(feature = "aerospike")]
mod strong_consistency;
mod stuck;
mod tags;
#[cfg(feature = "aerospike")]
mod tags_on_wire;
#[cfg(feature = "tls")]
mod tls;
mod transactions;
#[cfg(feature = "serde")]
mod typed;
#[cfg(feature = "aerospike")]
mod wire_faults;
