//! A server for tests that speaks the part of Aerospike's wire protocol that genfence needs, over
//! TCP: info and tend, commands on one record, batches, generation and existence policies, TTLs,
//! filters and operations by expression, maps, TLS and logging in. It runs whatever expression comes over the wire and
//! knows nothing of genfence, so it can contradict it. What it does not know it refuses with a
//! parameter error and a line on stderr.
//!
//! Its semantics are those of a Community Edition 8.1.2, learnt from the client's source (named in the modules) and from
//! observation. [`Faults`] make it fail on demand, [`Clock`] lets time pass without sleeping. A [`Server`] is one node by
//! itself; a [`Cluster`] has several, which can be paused, cut off and killed.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use genfence_wire::{Action, Kind, Rule, Server, Then};
//!
//! let server = Server::start().await?;
//! println!("connect a client to {}", server.address());
//! // The next write is applied, and its client never hears of it.
//! let lost = server.faults().add(Rule::new(Action::DropReply(Then::Close)).on(Kind::Write));
//! assert_eq!(lost.happened(), 0);
//! # Ok(())
//! # }
//! ```

mod batch;
mod clock;
mod cluster;
mod code;
mod command;
mod expression;
mod faults;
mod info;
mod map;
mod message;
mod security;
mod server;
mod store;
mod tls;
mod value;

pub use clock::Clock;
pub use cluster::Cluster;
pub use code::Code;
pub use faults::{Action, Fault, Faults, Gate, Kind, Request, Rule, Then};
pub use map::Map;
pub use security::User;
pub use server::Server;
pub use store::{Config, Digest, Record};
pub use tls::Tls;
pub use value::Value;
