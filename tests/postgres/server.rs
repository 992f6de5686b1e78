//! A PostgreSQL server of a test's own, where one is installed.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

/// It asks for a password, and syncs nothing. It ends when this is dropped.
pub struct Postgres {
    server: Child,
    port: u16,
    installed: Installed,
    /// Removed after the server has ended.
    directory: TempDir,
}

const USER: &str = "racer";
/// What is special in a URL is part of it.
const PASSWORD: &str = "the/secret@:";
const ENCODED: &str = "the%2Fsecret%40%3A";

impl Postgres {
    /// `None`, after saying why, where it cannot be; a failure where CI asks for all tests.
    pub async fn start() -> Option<Self> {
        let mut server = match Installed::find() {
            Ok(installed) => installed.start(),
            Err(reason) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
                println!("skipped: {reason}");
                return None;
            }
        };
        server.wait().await;
        Some(server)
    }

    /// What the tool is given.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{ENCODED}@127.0.0.1:{}/postgres", self.port)
    }

    /// What the tool may say of it.
    pub fn shown(&self) -> String {
        format!("postgres://127.0.0.1:{}/postgres", self.port)
    }

    /// How many tables of races there are.
    pub async fn tables(&self) -> i64 {
        let count = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'genfence_race_%'";
        self.connect().await.unwrap().query_one(count, &[]).await.unwrap().get(0)
    }

    /// Ends it as a crash would.
    pub fn crash(&mut self) {
        let pid = self.server.id().to_string();
        assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
        self.server.wait().unwrap();
    }

    /// Starts it again, with what it had.
    pub async fn restart(&mut self) {
        self.server = self.installed.serve(self.directory.path(), self.port);
        self.wait().await;
    }

    async fn wait(&mut self) {
        for _ in 0..600 {
            if self.connect().await.is_ok() {
                return;
            }
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none(), "PostgreSQL did not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("PostgreSQL is not ready: {}", self.log());
    }

    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(USER)
            .password(PASSWORD)
            .dbname("postgres")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(None) = self.server.try_wait() {
            self.crash();
        }
    }
}

/// Where the server's programs are, and who may run them.
struct Installed {
    programs: PathBuf,
    /// PostgreSQL does not run as root: its user's and group's numbers.
    instead_of_root: Option<(u32, u32)>,
}

impl Installed {
    fn find() -> Result<Self, String> {
        let programs = places()
            .into_iter()
            .find(|place| ["initdb", "postgres"].iter().all(|name| place.join(name).is_file()))
            .ok_or("PostgreSQL is not installed: neither on PATH nor in /usr/lib/postgresql")?;
        let instead_of_root = match id(&["-u"]) {
            Some(0) => match (id(&["-u", "postgres"]), id(&["-g", "postgres"])) {
                (Some(user), Some(group)) => Some((user, group)),
                _ => return Err("PostgreSQL does not run as root, and nobody is `postgres`".into()),
            },
            _ => None,
        };
        Ok(Installed { programs, instead_of_root })
    }

    fn start(self) -> Postgres {
        let directory = tempfile::Builder::new().prefix("genfence-postgres-").tempdir().unwrap();
        let home = directory.path();
        fs::write(home.join("password"), PASSWORD).unwrap();
        if let Some((user, group)) = self.instead_of_root {
            chown(home, Some(user), Some(group)).unwrap();
        }
        let made = self
            .program("initdb", home)
            .args(["--pgdata=data", "--username", USER, "--pwfile=password"])
            .args(["--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = self.serve(home, port);
        Postgres { server, port, installed: self, directory }
    }

    fn serve(&self, home: &Path, port: u16) -> Child {
        let log = File::options().create(true).append(true).open(home.join("log")).unwrap();
        self.program("postgres", home)
            .args(["-D", "data", "-p", &port.to_string(), "-k", "", "-c", "fsync=off"])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "wal_level=logical"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn program(&self, name: &str, home: &Path) -> Command {
        let mut program = Command::new(self.programs.join(name));
        program.current_dir(home);
        if let Some((user, group)) = self.instead_of_root {
            program.uid(user).gid(group);
        }
        program
    }
}

/// Where to look: the newest of the versions that Debian installs side by side comes first.
fn places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_by(|one, other| other.cmp(one));
    places.extend(versions);
    places
}

fn id(of: &[&str]) -> Option<u32> {
    let told = Command::new("id").args(of).output().ok()?;
    String::from_utf8(told.stdout).ok()?.trim().parse().ok()
}
