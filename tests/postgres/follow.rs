//! `genfence follow`, as an operator runs it.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use genfence::Cache;
use genfence_wire::Server;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::server::Postgres;
use super::{BOUND, until};

/// What the tool is given, and a cache that it tells.
struct Followed {
    postgres: Postgres,
    service: Client,
    _cluster: Server,
    cache: Cache,
    file: PathBuf,
    _folder: TempDir,
}

const OUTBOX: &str = "kind = \"outbox\"\nfollower = \"eu\"\npause = \"5ms\"\n";
const REPLICATION: &str =
    "kind = \"replication\"\nslot = \"eu\"\npublication = \"genfence\"\npause = \"5ms\"\n
    [[tables]]\ntable = \"users\"\nkey = \"user:{id}\"\nversion = \"version\"\n";
const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, version bigint)";

pub fn tool(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_genfence"))
        .arg("follow")
        .args(args)
        .env("FOLLOW_TEST_PASSWORD", "the/secret@:")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// How it ended, which never shows a password.
pub async fn ended(tool: Child) -> Output {
    let output = timeout(BOUND, tool.wait_with_output()).await.expect("it hangs").unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(said).contains("secret"), "{output:?}");
    }
    output
}

impl Followed {
    async fn new(kind: &str) -> Option<Self> {
        let postgres = Postgres::start().await?;
        let service = postgres.connect().await.unwrap();
        service.batch_execute(USERS).await.unwrap();
        let cluster = Server::start().await.unwrap();
        let url = format!(
            "aerospike://{}/test/follow?stream_bound=3s&reservation_margin=200ms",
            cluster.address()
        );
        let cache = Cache::connect(&url).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("follow.toml");
        // The password from the environment goes before that of the URL.
        let source = postgres.url().replace("the%2Fsecret%40%3A", "wrong");
        let settings = format!(
            "cache = \"{url}\"\nsource = \"{source}\"\nsource_password_env = \"FOLLOW_TEST_PASSWORD\"\n{kind}"
        );
        fs::write(&file, settings).unwrap();
        Some(Followed { postgres, service, _cluster: cluster, cache, file, _folder: folder })
    }

    async fn create(&self) {
        let created = ended(tool(&[self.file.to_str().unwrap(), "--create"])).await;
        assert!(created.status.success(), "{created:?}");
    }

    fn start(&self) -> Child {
        tool(&[self.file.to_str().unwrap()])
    }

    /// Its value is stored and served, and gone when the change was told of.
    async fn hears(&self, key: &str, change: &str) {
        until("it serves", async || {
            let _: Result<_, _> = self.cache.set(key, "old").await;
            self.cache.get(key).await.unwrap().is_some()
        })
        .await;
        self.service.batch_execute(change).await.unwrap();
        until("it is told", async || {
            let known = self.cache.inspect(key).await.unwrap();
            known.is_none_or(|known| known.record.stored.is_none())
        })
        .await;
    }
}

async fn signal(tool: &Child, which: &str) {
    let pid = tool.id().unwrap().to_string();
    assert!(Command::new("kill").args([which, &pid]).status().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_is_created_and_followed_until_somebody_ends_it() {
    let Some(followed) = Followed::new(OUTBOX).await else { return };
    followed.create().await;
    for (which, code, version) in [("-INT", 130, 1), ("-TERM", 143, 2)] {
        let following = followed.start();
        let change = format!("INSERT INTO genfence_outbox (key, version) VALUES ('k', {version})");
        followed.hears("k", &change).await;
        // What was applied is confirmed a moment later.
        until("it is confirmed", async || {
            let asked = "SELECT count(*) FROM genfence_outbox o JOIN genfence_outbox_followers f
                ON (o.transaction, o.id) > (f.transaction, f.id) WHERE o.key IS NOT NULL";
            followed.service.query_one(asked, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        signal(&following, which).await;
        let output = ended(following).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(said.contains("1 changes") && said.contains("confirmed: transaction "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_and_a_slot_are_created_and_followed_over_a_restart() {
    let Some(mut followed) = Followed::new(REPLICATION).await else { return };
    followed.create().await;
    let following = followed.start();
    followed.hears("user:1", "INSERT INTO users VALUES (1, 1)").await;
    restart(&mut followed).await;
    followed.hears("user:1", "UPDATE users SET version = 2").await;
    followed.service.batch_execute("TRUNCATE users").await.unwrap();
    let output = ended(following).await;
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("tried again") && error.contains("public.users was truncated"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_is_followed_over_a_restart_and_nothing_is_passed_by() {
    let Some(mut followed) = Followed::new(OUTBOX).await else { return };
    followed.create().await;
    let following = followed.start();
    followed.hears("k", "INSERT INTO genfence_outbox (key, version) VALUES ('k', 1)").await;
    restart(&mut followed).await;
    followed.hears("k", "INSERT INTO genfence_outbox (key, version) VALUES ('k', 2)").await;
    signal(&following, "-INT").await;
    assert_eq!(ended(following).await.status.code(), Some(130));
}

async fn restart(followed: &mut Followed) {
    followed.postgres.crash();
    // The tool has seen it while the server is away.
    until("it is closed", async || followed.service.is_closed()).await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    followed.postgres.restart().await;
    followed.service = followed.postgres.connect().await.unwrap();
}
