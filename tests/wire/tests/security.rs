//! Who may come: logging in, and sessions.

use std::io;
use std::time::Duration;

use genfence_wire::{Clock, Code, Config, Server, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INFO: u8 = 1;
const ADMIN: u8 = 2;
const MESSAGE: u8 = 3;

const AUTHENTICATE: u8 = 0;
const LOGIN: u8 = 20;

const USER: u8 = 0;
const CREDENTIAL: u8 = 3;
const CLEAR_PASSWORD: u8 = 4;
const SESSION_TOKEN: u8 = 5;

/// What clients send for the password `password`.
const HASH: &[u8] = b"$2a$10$7EqJtq98hPqEX7fNZaFWoOqUH6KN8IKy3Yk5Kz..RHGKNAUCoP/LG";

async fn start() -> Server {
    let users = vec![User::internal("ada", "password"), User::external("bob", "secret")];
    let config = Config { users, session_ttl: 60, ..Config::default() };
    Server::start_with(config, Clock::manual(), 0).await.unwrap()
}

/// A connection, and nothing between the test and its bytes.
struct Raw(TcpStream);

impl Raw {
    async fn new(server: &Server) -> Raw {
        Raw(TcpStream::connect(server.address()).await.unwrap())
    }

    async fn ask(&mut self, kind: u8, body: &[u8]) -> io::Result<Vec<u8>> {
        let frame = u64::from_be_bytes([2, kind, 0, 0, 0, 0, 0, 0]) | body.len() as u64;
        self.0.write_u64(frame).await?;
        self.0.write_all(body).await?;
        let len = self.0.read_u64().await? & 0xffff_ffff_ffff;
        let mut answer = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// The result code of an admin message, and the session that it began.
    async fn admin(&mut self, command: u8, fields: &[(u8, &[u8])]) -> (Code, Vec<u8>) {
        let mut body = vec![0; 16];
        (body[2], body[3]) = (command, u8::try_from(fields.len()).unwrap());
        for (id, data) in fields {
            body.extend(u32::try_from(data.len() + 1).unwrap().to_be_bytes());
            body.push(*id);
            body.extend(*data);
        }
        let answer = self.ask(ADMIN, &body).await.unwrap();
        let token = answer.get(16..).unwrap_or_default();
        let token = token.get(5..).map(|token| token.split_at(token.len() - 9).0);
        (Code(answer[1]), token.unwrap_or_default().to_vec())
    }

    /// What comes of a read of nothing in particular: the code of a server that ran it.
    async fn command(&mut self) -> Code {
        let mut body = vec![22, 1];
        body.extend([0; 20]);
        Code(self.ask(MESSAGE, &body).await.unwrap()[5])
    }
}

#[tokio::test]
async fn a_command_of_nobody_is_run() {
    let server = start().await;
    let mut raw = Raw::new(&server).await;
    assert_eq!(raw.ask(INFO, b"node\n").await.unwrap(), b"ERROR:80:not authenticated\n");
    assert_eq!(raw.command().await, Code::NOT_AUTHENTICATED);
    let (code, token) = raw.admin(LOGIN, &[(USER, b"ada"), (CREDENTIAL, HASH)]).await;
    assert_eq!(code, Code::OK);
    assert!(!token.is_empty());
    assert!(raw.ask(INFO, b"node\n").await.unwrap().starts_with(b"node\t"));
    assert_eq!(raw.command().await, Code::PARAMETER, "it has no key, and is run as it is");
    // Who logged in is the connection, not the server.
    assert_eq!(Raw::new(&server).await.command().await, Code::NOT_AUTHENTICATED);
}

#[tokio::test]
async fn somebody_else_is_let_in() {
    let server = start().await;
    let mut raw = Raw::new(&server).await;
    for (fields, code) in [
        (&[(USER, &b"ada"[..]), (CREDENTIAL, &b"password"[..])][..], Code::INVALID_CREDENTIAL),
        (&[(USER, b"ada"), (CREDENTIAL, &HASH[..59])], Code::INVALID_CREDENTIAL),
        (&[(USER, b"ada")], Code::INVALID_CREDENTIAL),
        (&[(USER, b"eve"), (CREDENTIAL, HASH)], Code::INVALID_USER),
        (&[], Code::INVALID_CREDENTIAL),
        (&[(USER, b"bob"), (CREDENTIAL, HASH)], Code::INVALID_CREDENTIAL),
        (&[(USER, b"bob"), (CLEAR_PASSWORD, b"secret")], Code::ILLEGAL_STATE),
        (&[(USER, b"ada"), (2, b"old")], Code::INVALID_FIELD),
    ] {
        assert_eq!(raw.admin(LOGIN, fields).await.0, code, "{fields:?}");
    }
    // A new user, which is not asked for here.
    assert_eq!(raw.admin(1, &[(USER, b"eve")]).await.0, Code::INVALID_COMMAND);
    assert_eq!(raw.command().await, Code::NOT_AUTHENTICATED);
}

#[tokio::test]
async fn a_session_lets_others_in_or_lasts_for_ever() {
    let server = start().await;
    let (_, token) =
        Raw::new(&server).await.admin(LOGIN, &[(USER, b"ada"), (CREDENTIAL, HASH)]).await;
    let mut raw = Raw::new(&server).await;
    for (fields, code) in [
        (&[(USER, &b"bob"[..]), (SESSION_TOKEN, &token[..])][..], Code::INVALID_CREDENTIAL),
        (&[(USER, b"ada"), (SESSION_TOKEN, b"session 9")], Code::INVALID_CREDENTIAL),
        (&[(USER, b"ada")], Code::INVALID_CREDENTIAL),
    ] {
        assert_eq!(raw.admin(AUTHENTICATE, fields).await.0, code, "{fields:?}");
    }
    assert_eq!(raw.command().await, Code::NOT_AUTHENTICATED);
    let fields: &[(u8, &[u8])] = &[(USER, b"ada"), (SESSION_TOKEN, &token)];
    assert_eq!(raw.admin(AUTHENTICATE, fields).await.0, Code::OK);
    assert_eq!(raw.command().await, Code::PARAMETER);
    server.clock().advance(Duration::from_secs(61));
    let mut raw = Raw::new(&server).await;
    assert_eq!(raw.admin(AUTHENTICATE, fields).await.0, Code::EXPIRED_SESSION);
    assert_eq!(raw.command().await, Code::NOT_AUTHENTICATED);
}
