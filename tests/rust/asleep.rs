//! A process that was stopped, and a machine that was suspended, while copies were served: real processes, as both befall a whole
//! one. The other process is this program again, which is told what to do on its input.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use genfence::{Cache, Fresh, SourceResult};
use genfence_wire::Server;

const NEAR: Duration = Duration::from_secs(1);
const ADDRESS: &str = "GENFENCE_TEST_READER_OF";

async fn connect(address: &str) -> Cache {
    let options = "near=1s&cluster_guard=off&ttl=1h";
    Cache::connect(&format!("aerospike://{address}/test/cache?{options}")).await.unwrap()
}

/// Not a test of its own: what another one starts.
#[test]
#[ignore = "started by those beside it"]
fn reader() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let cache = connect(&address).await;
        for order in std::io::stdin().lines() {
            match order.unwrap().as_str() {
                "copy" => {
                    while cache.stats().near_hits == 0 {
                        cache.get("k").await.unwrap();
                    }
                    println!("it has a copy");
                }
                "suspend" => {
                    genfence::store::suspend(2 * NEAR);
                    println!("it was suspended");
                }
                _ => {
                    let near = cache.stats().near_hits;
                    let hit = cache.get("k").await.unwrap();
                    let value = hit.and_then(|hit| hit.value).unwrap_or_default();
                    let kind = if cache.stats().near_hits > near { "copy" } else { "store" };
                    println!("{kind}: {}", String::from_utf8_lossy(&value));
                }
            }
        }
    });
}

struct Reader(Child, BufReader<std::process::ChildStdout>);

impl Reader {
    fn start(server: &Server) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "asleep::reader", "--ignored", "--nocapture"])
            .env(ADDRESS, server.address().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Reader(child, said)
    }

    /// Gives an order, and waits for what it says to that.
    fn order(&mut self, order: &str, answers: &[&str]) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{order}").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() > 0, "it ended");
            // The test harness says something, too.
            if answers.iter().any(|answer| line.starts_with(answer)) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn read(&mut self) -> String {
        self.order("read", &["copy: ", "store: "])
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A reader that has a copy of the old value, and who changes it.
async fn reading(server: &Server) -> (Reader, Cache) {
    let writer = connect(&server.address().to_string()).await;
    writer.get_or_fill("k", async || Ok::<_, Infallible>("old")).await.unwrap();
    let mut reader = Reader::start(server);
    reader.order("copy", &["it has a copy"]);
    (reader, writer)
}

async fn change(writer: &Cache) {
    let commit = async |_: &_| Ok::<_, Infallible>(SourceResult::Committed(Fresh::from("new")));
    let _ = writer.update("k", commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_serves_nothing_old_when_it_goes_on() {
    let server = Server::start().await.unwrap();
    let (mut reader, writer) = reading(&server).await;
    reader.signal("-STOP");
    change(&writer).await;
    reader.signal("-CONT");
    assert_eq!(reader.read(), "store: new");
}

/// Nobody waits for it here: the writer's own clock has to go on as well, so that is another matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_suspended_finds_its_copies_over() {
    let server = Server::start().await.unwrap();
    let (mut reader, _writer) = reading(&server).await;
    assert_eq!(reader.read(), "copy: old");
    reader.order("suspend", &["it was suspended"]);
    assert_eq!(reader.read(), "store: old");
}
