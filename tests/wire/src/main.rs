//! Runs the server by itself: `genfence-wire [--port PORT]`. Prints its address and serves until it
//! is stopped.

use std::process::ExitCode;

use genfence_wire::{Clock, Config, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match &arguments[..] {
        [] => Some(0),
        [flag, port] if flag == "--port" => port.parse().ok(),
        _ => None,
    };
    let Some(port) = port else {
        eprintln!("usage: genfence-wire [--port PORT]");
        return ExitCode::from(2);
    };
    match Server::start_with(Config::default(), Clock::system(), port).await {
        Ok(server) => {
            println!("{}", server.address());
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("genfence-wire cannot listen on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
