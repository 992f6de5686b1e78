#![allow(dead_code, reason = "every test binary uses some of it")]

use std::sync::Arc;

use aerospike::{Bins, Client, ClientPolicy, Error, Key, ReadPolicy, WritePolicy};
use genfence_wire::{Clock, Config, Server};

/// A server and a client that is connected to it.
pub struct Pair {
    pub server: Server,
    pub client: Arc<Client>,
}

impl Pair {
    pub async fn new() -> Pair {
        Pair::with(Config::default(), Clock::system()).await
    }

    /// With a clock that only the test moves.
    pub async fn timeless() -> Pair {
        Pair::with(Config::default(), Clock::manual()).await
    }

    pub async fn with(config: Config, clock: Clock) -> Pair {
        let server = Server::start_with(config, clock, 0).await.unwrap();
        let client = connect(&server).await;
        Pair { server, client }
    }

    pub async fn get(&self, key: &Key) -> Result<aerospike::Record, Error> {
        self.client.get(&reads(), key, Bins::All).await
    }

    /// The server's record.
    pub fn record(&self, key: &Key) -> genfence_wire::Record {
        self.server.record(&key.digest()).expect("the record is there")
    }
}

pub async fn connect(server: &Server) -> Arc<Client> {
    Arc::new(Client::new(&ClientPolicy::default(), &server.address().to_string()).await.unwrap())
}

pub fn key(name: &str) -> Key {
    Key::new("test", "things", aerospike::Value::from(name)).unwrap()
}

/// Reads that are tried once.
pub fn reads() -> ReadPolicy {
    let mut policy = ReadPolicy::default();
    policy.base_policy.max_retries = 0;
    policy
}

/// Writes that are tried once.
pub fn writes() -> WritePolicy {
    let mut policy = WritePolicy::default();
    policy.base_policy.max_retries = 0;
    policy
}

/// The server's result code.
pub fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> u8 {
    u8::from(result.expect_err("refused").server_result_code().expect("by the server"))
}
