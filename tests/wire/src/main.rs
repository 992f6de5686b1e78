//! Runs the server by itself: `genfence-wire [--port PORT] [--control]`. Prints its address and serves
//! until it is stopped.
//!
//! With `--control` it takes orders from standard input, one a line, answers each with a line once it is in
//! force, and ends with its input; so tests in other languages can switch its faults and move its clock:
//!
//! - `advance MS`: its clock goes forward by so many milliseconds;
//! - `lose-replies N`: the next N commands that are no plain reads are applied, and their answers lost;
//! - `lose-requests N`: the next N such commands are lost;
//! - `delay-reply MS`: the next such command, or batch, is applied, and answered so many milliseconds later;
//! - `clear`: ends what was ordered of commands before;
//! - `evict-all`: all records go.

use std::process::ExitCode;
use std::time::Duration;

use genfence_wire::{Action, Clock, Config, Kind, Rule, Server, Then};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((port, control)) = read(&arguments) else {
        eprintln!("usage: genfence-wire [--port PORT] [--control]");
        return ExitCode::from(2);
    };
    match Server::start_with(Config::default(), Clock::system(), port).await {
        Ok(server) => {
            println!("{}", server.address());
            if control {
                // A thread of its own, as standard input can only be waited for.
                std::thread::spawn(move || take_orders(&server));
                return std::future::pending().await;
            }
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("genfence-wire cannot listen on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Option<(u16, bool)> {
    let (mut port, mut control) = (0, false);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match &**flag {
            "--port" => port = rest.next()?.parse().ok()?,
            "--control" => control = true,
            _ => return None,
        }
    }
    Some((port, control))
}

fn take_orders(server: &Server) {
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { break };
        let known = obey(server, &line).is_some();
        println!("{}", if known { "done" } else { "this is no order" });
    }
    std::process::exit(0);
}

/// Commands that are no plain reads.
const CHANGES: [Kind; 3] = [Kind::Write, Kind::Delete, Kind::Operate];

fn obey(server: &Server, line: &str) -> Option<()> {
    let (order, number) = line.split_once(' ').unwrap_or((line, "0"));
    let number: u64 = number.parse().ok()?;
    let fault = |action, kinds: &'static [Kind], times| {
        let is_one = |request: &genfence_wire::Request| kinds.contains(&request.kind);
        drop(server.faults().add(Rule::new(action).when(is_one).times(times)));
    };
    match order {
        "advance" => server.clock().advance(Duration::from_millis(number)),
        "lose-replies" if number > 0 => fault(Action::DropReply(Then::Close), &CHANGES, number),
        "lose-requests" if number > 0 => fault(Action::DropRequest(Then::Close), &CHANGES, number),
        "delay-reply" => {
            let kinds = &[Kind::Write, Kind::Delete, Kind::Operate, Kind::Batch];
            fault(Action::DelayReply(Duration::from_millis(number)), kinds, 1);
        }
        "clear" => server.faults().clear(),
        "evict-all" => drop(server.evict_all()),
        _ => return None,
    }
    Some(())
}
