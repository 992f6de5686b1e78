//! A cache in front of a database that never serves a stale value.
//!
//! A writer *reserves* a key, changes the source, and *commits*; a reader that misses takes a
//! *lease*, reads the source, and *fills*. Whoever loses the race stores nothing: the cache is then
//! empty for that key, never wrong.
//!
//! ```
//! use genfence::{Cache, Fresh, SourceResult};
//! # use std::convert::Infallible;
//! # async fn select(_: u32) -> Result<Option<String>, Infallible> { Ok(Some("Ada".into())) }
//! # async fn update_and_commit(_: u32, _: &str) -> Result<(), Infallible> { Ok(()) }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cache = Cache::connect("memory://?ttl=5m").await?;
//!
//! // Read: one caller in all processes asks the source; the others wait for it.
//! let name = cache.get_or_fill("user:1", async || select(1).await).await.unwrap();
//! assert_eq!(name.unwrap(), "Ada");
//!
//! // Change: from here to the commit no reader sees a cached value.
//! cache
//!     .update("user:1", async |_reservation: &genfence::Reservation| {
//!         update_and_commit(1, "Grace").await?;
//!         Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("Grace")))
//!     })
//!     .await
//!     .unwrap();
//! assert_eq!(cache.get("user:1").await?.unwrap().value.unwrap(), "Grace");
//! # Ok::<(), genfence::Error>(()) }).unwrap();
//! ```
//!
//! # The guarantee
//!
//! Where the store loses no record, and every writer of a key reserves it first and is done with the
//! source within [`Reservation::remaining`], **a hit returns a value that was the source's latest at
//! some instant during the call**. Without these assumptions a value is never older than its time
//! to live (sliding expiry by [`Cache::touch`] aside). [`Cache::set`] and [`Cache::replace`] ask no
//! source and are outside the guarantee.
//!
//! # The house
//!
//! * [`protocol`]: what each command does, as pure functions on one record. No I/O, no clock.
//! * [`store`]: where commands run. [`store::MemoryStore`] is the embedded one, `memory://`;
//!   `store::AerospikeStore` compiles each command to one of an Aerospike cluster, `aerospike://`.
//! * [`Cache`] and its calls, at the top of this page's lists: waiting, single flight, retries.
//!
//! Arrows run down only: the cache uses a store, a store runs the protocol.
//!
//! # Features
//!
//! * `aerospike` (default): the store on Aerospike.
//! * `tls`: TLS for it, by rustls with ring. A program that uses rustls with another provider has two then, and
//!   must say which is its own: `rustls::crypto::CryptoProvider::install_default`.
//! * `serde`: `Cache::typed`, for values of the caller's own types, as JSON.
//! * `capi`: the C interface, for `bindings/c` or a library of crate type `cdylib` or
//!   `staticlib`; of no use to Rust.
//! * `postgres`: sources of changes on PostgreSQL for [`Cache::follow`], an outbox table and logical replication.
//! * `cli`: the command-line tool `genfence`.

pub mod protocol;
pub mod store;

mod cache;
#[cfg(feature = "capi")]
pub mod ffi;
#[cfg(any(feature = "aerospike", feature = "capi"))]
mod panics;
#[cfg(feature = "postgres")]
pub mod postgres;
mod settings;
mod sync;

pub use cache::*;
pub use settings::{Fence, HomesPhase, UnreachableRead, UnreachableRegion, UnreachableReserve};

/// The README's own example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// The examples of the page on regions.
#[cfg(doctest)]
#[doc = include_str!("../docs/regions.md")]
mod regions {}

/// The examples of the page on what is loaded ahead.
#[cfg(doctest)]
#[doc = include_str!("../docs/refresh.md")]
mod refresh {}

/// The example of the page on several keys.
#[cfg(doctest)]
#[doc = include_str!("../docs/transactions.md")]
mod transactions {}

/// The examples of the page on tags.
#[cfg(doctest)]
#[doc = include_str!("../docs/tags.md")]
mod tags {}
