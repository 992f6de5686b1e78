//! Logging in: who gets in and who does not, on the wire test server, what is said of it, and that the
//! password is told to nobody.

use std::fmt::Write as _;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use crate::certificates::Authority;
use crate::used::{BOUND, use_it};
use genfence::store::{AerospikeSettings, AerospikeStore};
use genfence::{Cache, Error};
use genfence_wire::{Action, Clock, Code, Config, Kind, Rule, Server, User};

const PASSWORD: &str = "open sesame";
/// How it stands in a URL.
const ENCODED: &str = "open%20sesame";

/// All that anybody logs while these tests run.
struct Log(Mutex<String>);

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let mut lines = self.0.lock().unwrap();
        writeln!(lines, "{} {}", record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

static LOG: Log = Log(Mutex::new(String::new()));

async fn start(config: Config) -> Server {
    static LOGGING: Once = Once::new();
    LOGGING.call_once(|| {
        log::set_logger(&LOG).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    Server::start_with(config, Clock::manual(), 0).await.unwrap()
}

/// A server that knows Ada.
async fn secured() -> Server {
    start(Config { users: vec![User::internal("ada", PASSWORD)], ..Config::default() }).await
}

async fn connect(server: &Server, login: &str, options: &str) -> Result<Cache, Error> {
    let url =
        format!("aerospike://{login}{}/test/cache?connect_timeout=1m&{options}", server.address());
    Cache::connect(&url).await
}

fn settings(server: &Server) -> AerospikeSettings {
    AerospikeSettings::new("test", "cache")
        .host("127.0.0.1", server.address().port())
        .connect_timeout(BOUND)
}

/// What is said when it cannot be connected.
async fn refused(server: &Server, login: &str, options: &str) -> String {
    let error = connect(server, login, options).await.map(drop).unwrap_err();
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    error.to_string()
}

fn ada() -> String {
    format!("ada:{ENCODED}@")
}

#[tokio::test]
async fn who_logs_in_uses_the_cache() {
    let server = secured().await;
    use_it(&connect(&server, &ada(), "").await.unwrap()).await;
    use_it(&connect(&server, &ada(), "auth=internal").await.unwrap()).await;
    let store = AerospikeStore::connect(&settings(&server).login("ada", PASSWORD)).await.unwrap();
    use_it(&Cache::builder().build(store).unwrap()).await;
    let builder = Cache::builder().login("ada", PASSWORD);
    let url = format!("aerospike://{}/test/cache?connect_timeout=1m", server.address());
    use_it(&builder.connect(&url).await.unwrap()).await;
}

#[tokio::test]
async fn a_wrong_password_is_said_to_be_refused_and_not_repeated() {
    let server = secured().await;
    for (login, said) in [
        ("ada:sesame@", "refused the login of user \"ada\" (65: Invalid credential)"),
        ("ada:@", "refused the login of user \"ada\" (65: Invalid credential)"),
        ("eve:sesame@", "refused the login of user \"eve\" (60: Invalid user)"),
    ] {
        let error = refused(&server, login, "").await;
        assert!(error.contains(said) && error.contains("check user, password"), "{error}");
        assert!(!error.contains("no connection"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_login_is_said_to_be_missing() {
    let server = secured().await;
    let error = refused(&server, "", "").await;
    assert!(error.contains("asks for a login: give user and password"), "{error}");
}

#[tokio::test]
async fn a_server_without_users_is_told_from_one_that_refuses() {
    let server = start(Config::default()).await;
    let error = refused(&server, &ada(), "").await;
    assert!(error.contains("takes no login (51: Security not supported)"), "{error}");
    assert!(error.contains("leave out user and password"), "{error}");
}

/// So that users can be set up on a cluster whose clients log in already.
#[tokio::test]
async fn a_server_whose_security_is_off_takes_any_login() {
    let server = start(Config::default()).await;
    let off = Rule::new(Action::Fail(Code::SECURITY_NOT_ENABLED)).on(Kind::Admin).always();
    let off = server.faults().add(off);
    use_it(&connect(&server, &ada(), "").await.unwrap()).await;
    assert!(off.happened() > 0);
}

#[tokio::test]
async fn a_user_who_may_not_write_is_told_so_when_connecting() {
    let server = secured().await;
    server.faults().add(Rule::new(Action::Fail(Code::ROLE_VIOLATION)).always());
    let error = connect(&server, &ada(), "").await.unwrap_err().to_string();
    assert!(error.contains("(81)") && error.contains("read-write"), "{error}");
}

#[tokio::test]
async fn a_login_that_is_never_answered_is_an_error_within_the_bound() {
    let server = secured().await;
    server.faults().add(Rule::new(Action::Stall).on(Kind::Admin).always());
    let start = Instant::now();
    let error = refused(&server, &ada(), "connect_timeout=300ms").await;
    assert!(start.elapsed() < BOUND, "{error}");
    assert!(error.contains("within 300ms"), "{error}");
}

/// A cache outlives the session that it began with.
#[tokio::test]
async fn a_session_that_is_over_is_begun_anew() {
    let server = secured().await;
    let cache = connect(&server, &ada(), "").await.unwrap();
    use_it(&cache).await;
    server.clock().advance(Duration::from_secs(2 * 86400));
    server.restart();
    let logins = server.requests(Kind::Admin);
    use_it(&cache).await;
    assert!(server.requests(Kind::Admin) > logins, "nobody logged in again");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_user_of_another_directory_logs_in_over_tls_and_not_without() {
    let authority = Authority::new("authority");
    let users = vec![User::external("ada", PASSWORD)];
    let tls = Some(authority.certify(["127.0.0.1"]).shown());
    let server = start(Config { users, tls, ..Config::default() }).await;
    let ca = format!("tls_ca={}", authority.ca().display());
    use_it(&connect(&server, &ada(), &format!("{ca}&auth=external")).await.unwrap()).await;
    let error = refused(&server, &ada(), &ca).await;
    assert!(error.contains("(65: Invalid credential)") && error.contains("`auth`"), "{error}");
    let error = refused(&server, "ada:sesame@", &format!("{ca}&auth=external")).await;
    assert!(error.contains("(65: Invalid credential)"), "{error}");
    let before = server.connections();
    let error = connect(&server, &ada(), "auth=external").await.unwrap_err().to_string();
    assert!(error.starts_with("auth: `external` sends the password itself"), "{error}");
    assert_eq!(server.connections(), before, "something was sent");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_certificate_alone_logs_in() {
    let authority = Authority::new("authority");
    let client = authority.certify(["ada"]);
    let users = vec![User::certified("ada", client.der.clone())];
    let tls = Some(authority.certify(["127.0.0.1"]).shown_to(&authority));
    let server = start(Config { users, tls, ..Config::default() }).await;
    let settings = settings(&server)
        .tls_ca(authority.ca())
        .tls_certificate(authority.file("ada.pem", &client.chain))
        .tls_key(authority.file("ada.key", &client.key))
        .auth(genfence::store::Auth::Pki);
    let store = AerospikeStore::connect(&settings).await.unwrap();
    use_it(&Cache::builder().build(store).unwrap()).await;
    let stranger = authority.certify(["eve"]);
    let settings = settings
        .tls_certificate(authority.file("eve.pem", &stranger.chain))
        .tls_key(authority.file("eve.key", &stranger.key));
    let error = AerospikeStore::connect(&settings).await.unwrap_err().to_string();
    assert!(error.contains("refused the login by certificate (60: Invalid user)"), "{error}");
}

#[tokio::test]
async fn a_login_that_cannot_be_is_refused_before_anything_is_sent() {
    let server = secured().await;
    let long = "x".repeat(64) + ":sesame@";
    let longer = format!("ada:{}@", "sesame".repeat(100));
    for (login, options, problem) in [
        (&*long, "", "user: 64 is out of bounds, must be 1 to 63"),
        (&*longer, "", "password: is too long, must be at most 512 bytes"),
        ("", "auth=ldap", "auth: must be internal, external or pki"),
        ("", "auth=external", "auth: `external` must have a user and a password"),
        ("", "auth=pki", "auth: `pki` must have `tls_certificate` and `tls_key`"),
        ("ada:sesame@", "auth=pki", "auth: `pki` goes by the client's certificate"),
    ] {
        let error = connect(&server, login, options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(error.to_string().starts_with(problem), "{login} {options}: {error}");
        assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
    }
    assert_eq!(server.connections(), 0, "something was sent");
}

#[tokio::test]
async fn a_password_is_never_printed_or_logged() {
    let server = secured().await;
    let settings = settings(&server).login("ada", PASSWORD);
    let builder = Cache::builder().login("ada", PASSWORD);
    let cache = connect(&server, &ada(), "").await.unwrap();
    let store = AerospikeStore::connect(&settings).await.unwrap();
    use_it(&cache).await;
    let shown = format!("{settings:?} {builder:?} {cache:?} {store:?}");
    assert!(shown.contains("ada") && !shown.contains("sesame"), "{shown}");
    // Also where it is refused, and the client says why.
    refused(&server, "ada:wrong%20sesame@", "").await;
    let logged = LOG.0.lock().unwrap();
    assert!(logged.contains("Invalid credential"), "the client's log is not seen: {logged}");
    assert!(!logged.contains("sesame"), "{logged}");
    // Nor what stands in for it on the wire.
    assert!(!logged.contains("$2a$10$"), "{logged}");
}
