//! A client of the library's own.

use std::ops::Deref;

use aerospike::Client;
use tokio::runtime::Handle;

/// Closed when it is dropped: its look-out for nodes, and with it its connections, would go on for ever.
pub(super) struct Owned {
    client: Client,
    runtime: Handle,
}

impl Owned {
    /// In this runtime.
    pub fn new(client: Client) -> Self {
        Owned { client, runtime: Handle::current() }
    }
}

impl Deref for Owned {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let client = self.client.clone();
        self.runtime.spawn(async move {
            if let Err(error) = client.close().await {
                tracing::debug!(%error, "a client could not be closed");
            }
        });
    }
}
