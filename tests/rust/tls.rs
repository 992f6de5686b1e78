//! TLS: who is trusted and who is not, on the wire test server, and what is said of a connection that
//! does not come about.

use std::path::Path;
use std::time::Instant;

use crate::certificates::{Authority, Certified};
use crate::used::{BOUND, use_it};
use genfence::store::{AerospikeSettings, AerospikeStore};
use genfence::{Cache, Error};
use genfence_wire::{Clock, Config, Server, Tls};
use tokio::net::TcpListener;

async fn start(tls: impl Into<Option<Tls>>) -> Server {
    let config = Config { tls: tls.into(), ..Config::default() };
    Server::start_with(config, Clock::system(), 0).await.unwrap()
}

async fn connect(server: &Server, options: &str) -> Result<Cache, Error> {
    let url = format!("aerospike://{}/test/cache?connect_timeout=1m&{options}", server.address());
    Cache::connect(&url).await
}

fn settings(server: &Server) -> AerospikeSettings {
    AerospikeSettings::new("test", "cache")
        .host("127.0.0.1", server.address().port())
        .connect_timeout(BOUND)
}

/// What is said when it cannot be connected.
async fn refused(server: &Server, options: &str) -> String {
    let error = connect(server, options).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    error.to_string()
}

fn ca(authority: &Authority) -> String {
    format!("tls_ca={}", authority.ca().display())
}

/// The files of a client's certificate.
fn mine(authority: &Authority, certified: &Certified) -> String {
    let chain = authority.file("client.pem", &certified.chain);
    let key = authority.file("client.key", &certified.key);
    format!("tls_certificate={}&tls_key={}", chain.display(), key.display())
}

#[tokio::test]
async fn a_node_that_the_authority_vouches_for_is_reached() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    use_it(&connect(&server, &ca(&authority)).await.unwrap()).await;
    use_it(&connect(&server, &format!("{}&tls=true", ca(&authority))).await.unwrap()).await;
    let settings = settings(&server).tls_ca(authority.ca());
    let store = AerospikeStore::connect(&settings).await.unwrap();
    use_it(&Cache::builder().build(store).unwrap()).await;
}

/// The host's name is what the certificate must have, and not the address that it stands for.
#[tokio::test]
async fn the_hosts_name_is_checked_though_it_was_resolved() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["localhost"]).shown()).await;
    let (port, ca) = (server.address().port(), ca(&authority));
    let url = format!("aerospike://localhost:{port}/test/cache?{ca}");
    use_it(&Cache::connect(&url).await.unwrap()).await;
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused_and_tls_ca_named() {
    let (mine, other) = (Authority::new("mine"), Authority::new("other"));
    let server = start(other.certify(["127.0.0.1"]).shown()).await;
    let error = refused(&server, &ca(&mine)).await;
    assert!(error.contains("of no authority that `tls_ca` names"), "{error}");
    // One that only has the same name.
    let namesake = Authority::new("other");
    let error = refused(&server, &ca(&namesake)).await;
    assert!(error.contains("of no authority that `tls_ca` names"), "{error}");
    let error = refused(&server, "tls=true").await;
    assert!(error.contains("this system trusts: give `tls_ca`"), "{error}");
    // Both in one file.
    let both = mine.file("both.pem", mine.pem() + &other.pem());
    use_it(&connect(&server, &format!("tls_ca={}", both.display())).await.unwrap()).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new("authority");
    let server = start(authority.certify_once(["127.0.0.1"]).shown()).await;
    let error = refused(&server, &ca(&authority)).await;
    assert!(error.contains("its certificate has expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_and_tls_name_named() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["cluster.example"]).shown()).await;
    let ca = ca(&authority);
    let error = refused(&server, &ca).await;
    assert!(error.contains("another name") && error.contains("`tls_name`"), "{error}");
    assert!(error.contains("cluster.example"), "which is not said: {error}");
    let error = refused(&server, &format!("{ca}&tls_name=other.example")).await;
    assert!(error.contains("another name"), "{error}");
    use_it(&connect(&server, &format!("{ca}&tls_name=cluster.example")).await.unwrap()).await;
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_asked_for_is_told_so() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let server = start(authority.certify(["127.0.0.1"]).shown_to(&authority)).await;
    let ca = ca(&authority);
    let error = refused(&server, &ca).await;
    assert!(error.contains("give `tls_certificate` and `tls_key`"), "{error}");
    let foreign = mine(&other, &other.certify(["client"]));
    let error = refused(&server, &format!("{ca}&{foreign}")).await;
    assert!(error.contains("does not accept the certificate in `tls_certificate`"), "{error}");
    let mine = mine(&authority, &authority.certify(["client"]));
    use_it(&connect(&server, &format!("{ca}&{mine}")).await.unwrap()).await;
    // A certificate that nobody asks for does no harm.
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    use_it(&connect(&server, &format!("{ca}&{mine}")).await.unwrap()).await;
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn tls_without_an_authority_trusts_those_of_the_system() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    let url = format!("aerospike://{}/test/cache?tls=true", server.address());
    // The environment of a process of its own says which these are.
    let inspect = async |authorities: &Path| {
        let mut tool = tokio::process::Command::new(env!("CARGO_BIN_EXE_genfence"));
        tool.args(["inspect", &url, "k"]).env_remove("SSL_CERT_DIR");
        let output = tool.env("SSL_CERT_FILE", authorities).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let said = inspect(&authority.ca()).await;
    assert!(said.contains("nothing is known of this key"), "{said}");
    let said = inspect(&Authority::new("other").ca()).await;
    assert!(said.contains("this system trusts: give `tls_ca`"), "{said}");
    let said = inspect(&authority.file("none.pem", "")).await;
    assert!(said.contains("tls: the system trusts no certificate authority"), "{said}");
}

#[tokio::test]
async fn where_one_side_alone_speaks_tls_it_is_said() {
    let authority = Authority::new("authority");
    let encrypted = start(authority.certify(["127.0.0.1"]).shown()).await;
    let error = refused(&encrypted, "").await;
    assert!(error.contains("if it speaks TLS, give `tls_ca` or `tls`"), "{error}");
    let plain = start(None).await;
    let error = refused(&plain, &ca(&authority)).await;
    assert!(error.contains("does it speak TLS on this port?"), "{error}");
    let mine = mine(&authority, &authority.certify(["client"]));
    let error = refused(&plain, &format!("{}&{mine}", ca(&authority))).await;
    assert!(error.contains("does it speak TLS on this port, and accept"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_is_an_error_within_the_bound() {
    let authority = Authority::new("authority");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let ca = ca(&authority);
    let url = format!("aerospike://{address}/test/cache?connect_timeout=300ms&{ca}");
    let start = Instant::now();
    let error = Cache::connect(&url).await.unwrap_err().to_string();
    assert!(start.elapsed() < BOUND, "{error}");
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("within 300ms") && error.contains("does it speak TLS"), "{error}");
}

#[tokio::test]
async fn a_silent_host_hides_none_of_those_behind_it() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (good, silent) = (server.address(), silent.local_addr().unwrap());
    for hosts in [format!("{silent},{good}"), format!("{good},{silent}")] {
        let options = format!("connect_timeout=6s&{}", ca(&authority));
        let url = format!("aerospike://{hosts}/test/cache?{options}");
        use_it(&Cache::connect(&url).await.unwrap()).await;
    }
}

/// Connections come and go while a cache is used; none of them is made in the clear.
#[tokio::test]
async fn connections_after_the_first_are_encrypted_as_well() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    let cache = connect(&server, &ca(&authority)).await.unwrap();
    let before = server.connections();
    server.restart();
    futures_util::future::join_all((0..20).map(|_| use_it(&cache))).await;
    assert!(server.connections() > before, "there was no other connection");
}

/// A file that says it holds a certificate and a key.
fn pem(content: &str) -> String {
    let section = |name| format!("-----BEGIN {name}-----\n{content}\n-----END {name}-----\n");
    section("CERTIFICATE") + &section("PRIVATE KEY")
}

#[tokio::test]
async fn a_bad_file_is_named_before_anything_is_sent() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown()).await;
    let client = authority.certify(["client"]);
    let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ";
    let ca = authority.ca();
    let chain = authority.file("chain.pem", &client.chain);
    let key = authority.file("key.pem", &client.key);
    let stranger = authority.file("stranger.pem", authority.certify(["client"]).key);
    let missing = authority.file("x", "").with_file_name("missing.pem");
    let folder = ca.parent().unwrap();
    let empty = authority.file("empty.pem", "");
    let noise = authority.file("noise.pem", format!("{secret}\n{secret}\n"));
    let cut = authority.file("cut.pem", pem(secret).replace("END", "end"));
    let garbled = authority.file("garbled.pem", pem(&format!("{secret}!")));
    let hollow = authority.file("hollow.pem", pem("AAAA"));
    let odd = authority.file("odd.pem", format!("-----BEGIN {secret}\n"));
    let locked = pem(secret).replace("PRIVATE", "ENCRYPTED PRIVATE");
    let locked = authority.file("locked.pem", locked);
    for (field, [ca, chain, key], problem) in [
        ("tls_ca", [&*missing, &chain, &key], "cannot be read"),
        ("tls_ca", [folder, &chain, &key], "is no file"),
        ("tls_ca", [&empty, &chain, &key], "holds no certificate"),
        ("tls_ca", [&noise, &chain, &key], "holds no certificate"),
        ("tls_ca", [&cut, &chain, &key], "a section has no end"),
        ("tls_ca", [&garbled, &chain, &key], "a section is not Base64"),
        ("tls_ca", [&odd, &chain, &key], "is no PEM"),
        ("tls_ca", [&hollow, &chain, &key], "a certificate that cannot be used"),
        ("tls_certificate", [&ca, &missing, &key], "cannot be read"),
        ("tls_certificate", [&ca, &key, &key], "holds no certificate"),
        ("tls_certificate", [&ca, &garbled, &key], "a section is not Base64"),
        ("tls_key", [&ca, &chain, &missing], "cannot be read"),
        ("tls_key", [&ca, &chain, &chain], "holds no private key"),
        ("tls_key", [&ca, &chain, &noise], "holds no private key"),
        ("tls_key", [&ca, &chain, &locked], "holds no private key that is not encrypted"),
        ("tls_key", [&ca, &chain, &garbled], "a section is not Base64"),
        ("tls_key", [&ca, &chain, &hollow], "is not the key of `tls_certificate`"),
        ("tls_key", [&ca, &chain, &stranger], "is not the key of `tls_certificate`"),
    ] {
        let named = match field {
            "tls_ca" => ca,
            "tls_certificate" => chain,
            _ => key,
        };
        let [ca_option, chain_option, key_option] = [ca, chain, key].map(Path::display);
        let options =
            format!("tls_ca={ca_option}&tls_certificate={chain_option}&tls_key={key_option}");
        let error = connect(&server, &options).await.map(drop).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Invalid { field: it, .. } if it == field), "{error:?}");
        assert!(said.contains(&named.display().to_string()), "{problem}: {said}");
        assert!(said.contains(problem), "{problem}: {said}");
        assert!(!format!("{error:?}").contains(&secret[..8]), "{said}");
        // The store's own settings say the same.
        let settings = settings(&server).tls_ca(ca).tls_certificate(chain).tls_key(key);
        let error = AerospikeStore::connect(&settings).await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(!error.may_retry());
    }
    assert_eq!(server.connections(), 0, "something was sent");
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let server = start(None).await;
    for (options, problem) in [
        ("tls=yes", "tls: must be true or false"),
        ("tls=false&tls_ca=/ca", "tls: is false, though `tls_ca` is given: leave out one of them"),
        (
            "tls=false&tls_name=n",
            "tls: is false, though `tls_name` is given: leave out one of them",
        ),
        ("tls_name=n", "tls_name: there is no TLS: give `tls_ca`, or `tls`"),
        ("tls_key=/k", "tls_key: there is no TLS"),
        ("tls_certificate=/c&tls_key=/k", "tls_certificate: there is no TLS"),
        ("tls=true&tls_certificate=/c", "tls_key: is missing; `tls_certificate` must have its key"),
        ("tls_ca=/ca&tls_key=/k", "tls_certificate: is missing; `tls_key` must have one"),
        ("tls=true&tls_name=a%20b", "tls_name: `a b` is neither a DNS name nor an IP address"),
        ("tls=true&tls_name=", "tls_name: `` is neither a DNS name nor an IP address"),
    ] {
        let error = connect(&server, options).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(error.to_string().starts_with(problem), "{options}: {error}");
    }
    let error = Cache::connect("aerospike://a%20b/test/cache?tls=true").await.unwrap_err();
    assert!(error.to_string().starts_with("host: `a%20b` is neither a DNS name"), "{error}");
    let error = Cache::connect("memory://?tls_ca=/ca").await.unwrap_err();
    assert!(error.to_string().starts_with("tls_ca: is an option of aerospike:// alone"), "{error}");
    assert_eq!(server.connections(), 0, "something was sent");
}

#[tokio::test]
async fn the_clients_key_is_never_printed() {
    let authority = Authority::new("authority");
    let server = start(authority.certify(["127.0.0.1"]).shown_to(&authority)).await;
    let client = authority.certify(["client"]);
    let key = authority.file("key.pem", &client.key);
    let settings = settings(&server)
        .tls_ca(authority.ca())
        .tls_certificate(authority.file("chain.pem", &client.chain))
        .tls_key(&key);
    let store = AerospikeStore::connect(&settings).await.unwrap();
    let shown = format!("{settings:?} {store:?}");
    assert!(shown.contains(&key.display().to_string()), "{shown}");
    let secret = client.key.lines().nth(1).unwrap();
    assert!(secret.len() > 40 && !shown.contains(secret), "{shown}");
}
