use std::fmt;

/// A result code, as byte 13 of every reply carries it (`result_code.rs` of the client).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

impl Code {
    /// Done.
    pub const OK: Code = Code(0);
    /// There is no such record.
    pub const NOT_FOUND: Code = Code(2);
    /// The record's generation is not the expected one.
    pub const GENERATION: Code = Code(3);
    /// The command cannot be understood, or this server does not know what it asks for.
    pub const PARAMETER: Code = Code(4);
    /// The record must not exist, and does.
    pub const EXISTS: Code = Code(5);
    /// The bin must not exist, and does.
    pub const BIN_EXISTS: Code = Code(6);
    /// The namespace takes no writes at present.
    pub const OUT_OF_SPACE: Code = Code(8);
    /// The server gave up before it was done.
    pub const TIMEOUT: Code = Code(9);
    /// The bin holds a value of another type.
    pub const INCOMPATIBLE_TYPE: Code = Code(12);
    /// The record would be larger than `max-record-size`.
    pub const TOO_BIG: Code = Code(13);
    /// Too many commands wait for the record.
    pub const KEY_BUSY: Code = Code(14);
    /// The bin must exist, and does not.
    pub const BIN_NOT_FOUND: Code = Code(17);
    /// The storage cannot keep up.
    pub const DEVICE_OVERLOAD: Code = Code(18);
    /// The stored user key is not the one that was sent.
    pub const KEY_MISMATCH: Code = Code(19);
    /// There is no such namespace.
    pub const NAMESPACE: Code = Code(20);
    /// A bin's name is too long.
    pub const BIN_NAME: Code = Code(21);
    /// Forbidden at present: for instance a TTL where nothing would ever expire.
    pub const FORBIDDEN: Code = Code(22);
    /// The map has no such key.
    pub const ELEMENT_NOT_FOUND: Code = Code(23);
    /// The map has this key already.
    pub const ELEMENT_EXISTS: Code = Code(24);
    /// The Community Edition does not have it.
    pub const ENTERPRISE_ONLY: Code = Code(25);
    /// The operation makes no sense on what the record holds.
    pub const NOT_APPLICABLE: Code = Code(26);
    /// The filter expression is not true of the record.
    pub const FILTERED_OUT: Code = Code(27);
    /// The server has no users: a Community Edition.
    pub const SECURITY_NOT_SUPPORTED: Code = Code(51);
    /// The server could have users, and was set up without.
    pub const SECURITY_NOT_ENABLED: Code = Code(52);
    /// There is no such admin command.
    pub const INVALID_COMMAND: Code = Code(54);
    /// There is no such field of an admin command.
    pub const INVALID_FIELD: Code = Code(55);
    /// This may not be asked here.
    pub const ILLEGAL_STATE: Code = Code(56);
    /// There is no such user.
    pub const INVALID_USER: Code = Code(60);
    /// The password, certificate or session is not the user's.
    pub const INVALID_CREDENTIAL: Code = Code(65);
    /// The session is over: log in again.
    pub const EXPIRED_SESSION: Code = Code(66);
    /// Nobody has logged in on this connection.
    pub const NOT_AUTHENTICATED: Code = Code(80);
    /// The user who has logged in may not do this.
    pub const ROLE_VIOLATION: Code = Code(81);
    /// The server takes no batches.
    pub const BATCH_DISABLED: Code = Code(150);

    /// Says on stderr what this server does not do, so that a test that strays from what it knows
    /// fails loudly, and answers with a parameter error as a real server does.
    pub(crate) fn refuse(what: impl fmt::Display) -> Code {
        eprintln!("genfence-wire refuses: {what}");
        Code::PARAMETER
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result code {}", self.0)
    }
}
