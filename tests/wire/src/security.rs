//! Who may come: users, logging in, and sessions (`commands/admin_command.rs` of the client). A
//! server without users is one without security, as the Community Edition is.

use std::collections::HashMap;

use bytes::{Buf, BufMut, Bytes};

use crate::code::Code;
use crate::message::take;
use crate::store::Config;

const HEADER: usize = 16;

const AUTHENTICATE: u8 = 0;
const LOGIN: u8 = 20;

const USER: u8 = 0;
const CREDENTIAL: u8 = 3;
const CLEAR_PASSWORD: u8 = 4;
const SESSION_TOKEN: u8 = 5;
const SESSION_TTL: u8 = 6;

/// What clients hash passwords with, instead of sending them.
const COST: u32 = 10;
const SALT: [u8; 16] = [244, 107, 11, 190, 207, 254, 141, 27, 6, 103, 216, 79, 109, 193, 216, 169];

/// Somebody who may log in.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    proof: Proof,
}

/// What a user is known by.
#[derive(Clone, Debug)]
enum Proof {
    Hash(String),
    Password(String),
    Certificate(Vec<u8>),
}

impl User {
    /// A user whose password the server itself keeps, as a hash.
    ///
    /// # Panics
    /// If the password cannot be hashed.
    pub fn internal(name: impl Into<String>, password: &str) -> User {
        let hash = bcrypt::hash_with_salt(password, COST, SALT).expect("a password like others");
        let proof = Proof::Hash(hash.format_for_version(bcrypt::Version::TwoA));
        User { name: name.into(), proof }
    }

    /// A user of another directory, to which the server passes the password on. It must come over
    /// TLS.
    pub fn external(name: impl Into<String>, password: impl Into<String>) -> User {
        User { name: name.into(), proof: Proof::Password(password.into()) }
    }

    /// A user who is known by a certificate, here by all of it (DER); a real server takes the name
    /// from its subject.
    pub fn certified(name: impl Into<String>, certificate: impl Into<Vec<u8>>) -> User {
        User { name: name.into(), proof: Proof::Certificate(certificate.into()) }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    encrypted: bool,
    certificate: Option<Vec<u8>>,
    authenticated: bool,
}

impl Visitor {
    /// One who came over TLS, and the certificate that was shown.
    pub fn encrypted(certificate: Option<Vec<u8>>) -> Visitor {
        Visitor { encrypted: true, certificate, authenticated: false }
    }

    /// Whether commands of this visitor are run.
    pub fn check(&self, config: &Config) -> Result<(), Code> {
        if self.authenticated || config.users.is_empty() {
            Ok(())
        } else {
            Err(Code::NOT_AUTHENTICATED)
        }
    }
}

/// The sessions of those who logged in: token, whose it is, and when it ends in Unix milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<Bytes, (String, u64)>);

impl Sessions {
    /// Answers an admin message, without its frame.
    pub fn answer(
        &mut self,
        body: Bytes,
        visitor: &mut Visitor,
        config: &Config,
        now: u64,
    ) -> Vec<u8> {
        // A Community Edition reads no such message.
        if config.users.is_empty() {
            Code::refuse("logging in");
            return refusal(Code::SECURITY_NOT_SUPPORTED);
        }
        match Admin::parse(body).and_then(|admin| self.run(&admin, visitor, config, now)) {
            Ok(Some(token)) => {
                let mut answer = header(Code::OK, 2);
                field(&mut answer, SESSION_TOKEN, &token);
                field(&mut answer, SESSION_TTL, &config.session_ttl.to_be_bytes());
                answer
            }
            Ok(None) => header(Code::OK, 0),
            Err(code) => refusal(code),
        }
    }

    fn run(
        &mut self,
        admin: &Admin,
        visitor: &mut Visitor,
        config: &Config,
        now: u64,
    ) -> Result<Option<Bytes>, Code> {
        let token = match admin.command {
            LOGIN => {
                let name = admin.login(visitor, &config.users)?.name.clone();
                let token = Bytes::from(format!("session {} of {name}", self.0.len() + 1));
                self.0.insert(token.clone(), (name, now + u64::from(config.session_ttl) * 1000));
                Some(token)
            }
            AUTHENTICATE => {
                let token = admin.field(SESSION_TOKEN).ok_or(Code::INVALID_CREDENTIAL)?;
                let (name, end) = self.0.get(token).ok_or(Code::INVALID_CREDENTIAL)?;
                if admin.field(USER).is_some_and(|user| user != name.as_bytes()) {
                    return Err(Code::INVALID_CREDENTIAL);
                }
                if *end <= now {
                    return Err(Code::EXPIRED_SESSION);
                }
                None
            }
            other => {
                Code::refuse(format_args!("the admin command {other}"));
                return Err(Code::INVALID_COMMAND);
            }
        };
        visitor.authenticated = true;
        Ok(token)
    }
}

struct Admin {
    command: u8,
    fields: Vec<(u8, Bytes)>,
}

impl Admin {
    fn parse(mut body: Bytes) -> Result<Admin, Code> {
        let mut header = take(&mut body, HEADER)?;
        header.advance(2);
        let (command, count) = (header.get_u8(), header.get_u8());
        let mut fields = Vec::new();
        for _ in 0..count {
            let len = body.try_get_u32()?;
            let mut data = take(&mut body, usize::try_from(len).unwrap_or(usize::MAX))?;
            let id = data.try_get_u8()?;
            if !matches!(id, USER | CREDENTIAL | CLEAR_PASSWORD | SESSION_TOKEN) {
                Code::refuse(format_args!("the admin field {id}"));
                return Err(Code::INVALID_FIELD);
            }
            fields.push((id, data));
        }
        Ok(Admin { command, fields })
    }

    fn field(&self, id: u8) -> Option<&Bytes> {
        self.fields.iter().find_map(|(field, data)| (*field == id).then_some(data))
    }

    /// Who logs in here, if they are who they say.
    fn login<'u>(&self, visitor: &Visitor, users: &'u [User]) -> Result<&'u User, Code> {
        let Some(name) = self.field(USER) else {
            let shown = visitor.certificate.as_ref().ok_or(Code::INVALID_CREDENTIAL)?;
            let is_known =
                |user: &&User| matches!(&user.proof, Proof::Certificate(it) if it == shown);
            return users.iter().find(is_known).ok_or(Code::INVALID_USER);
        };
        let user = users.iter().find(|user| user.name.as_bytes() == name);
        let user = user.ok_or(Code::INVALID_USER)?;
        let password = self.field(CLEAR_PASSWORD);
        if password.is_some() && !visitor.encrypted {
            Code::refuse("a password in the clear");
            return Err(Code::ILLEGAL_STATE);
        }
        let (sent, expected) = match &user.proof {
            Proof::Hash(hash) => (self.field(CREDENTIAL), hash),
            Proof::Password(expected) => (password, expected),
            Proof::Certificate(_) => return Err(Code::INVALID_CREDENTIAL),
        };
        if sent.is_some_and(|sent| sent == expected.as_bytes()) {
            Ok(user)
        } else {
            Err(Code::INVALID_CREDENTIAL)
        }
    }
}

/// The answer, without its frame, of a server that does not do what it was asked.
pub(crate) fn refusal(code: Code) -> Vec<u8> {
    header(code, 0)
}

fn header(code: Code, fields: u8) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    (header[1], header[3]) = (code.0, fields);
    header
}

fn field(out: &mut Vec<u8>, id: u8, data: &[u8]) {
    out.put_u32(u32::try_from(1 + data.len()).expect("tokens are short"));
    out.put_u8(id);
    out.put_slice(data);
}
