//! A server of PostgreSQL, as its URL says, without TLS.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use crate::{Failure, system};

#[derive(Debug)]
pub struct Server(Config);

/// How long connecting may take.
pub const CONNECTING: Duration = Duration::from_secs(5);

pub const ADVICE: &str = "is PostgreSQL there, does it take connections without TLS, \
    and are user, password and database right?";

impl Server {
    pub fn parse(url: &str, program: &str, password: Option<&str>) -> Result<Self, Failure> {
        // What the parser says may hold parts of the password.
        let mut config: Config = url.parse().map_err(|_| {
            "this is no URL of PostgreSQL; expected \
             postgres://user:password@host:port/database, the password percent-encoded"
        })?;
        if config.get_application_name().is_none() {
            config.application_name(program);
        }
        if let Some(password) = password {
            config.password(password);
        }
        Ok(Server(config))
    }

    pub async fn connect(&self) -> Result<Client, Failure> {
        let problem = match timeout(CONNECTING, self.0.connect(NoTls)).await {
            Ok(Ok((client, connection))) => {
                // It ends with the client, which hears of all that goes wrong.
                tokio::spawn(connection);
                return Ok(client);
            }
            Ok(Err(error)) => told(&error),
            Err(_) => format!("no answer within {CONNECTING:?}"),
        };
        Err(format!("no connection to {self}: {problem}").into())
    }
}

/// As a URL, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PORT: u16 = 5432;
        let ports = self.0.get_ports();
        f.write_str("postgres://")?;
        for (place, host) in self.0.get_hosts().iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            let at = system::place(host);
            let is_ipv6 = at.contains(':') && !at.starts_with('/');
            if is_ipv6 { write!(f, "[{at}]") } else { f.write_str(&at) }?;
            write!(f, ":{}", ports.get(place).or(ports.first()).unwrap_or(&PORT))?;
        }
        write!(f, "/{}", self.0.get_dbname().unwrap_or_default())
    }
}

/// The whole of an error: the client's are short, and what lies behind them says why.
pub fn told(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
