//! What an error of the client means to the protocol: one table.

use aerospike::{Error, ErrorKind, ResultCode};

use crate::protocol::Refusal;
use crate::store::StoreError;

/// What became of a command that was not simply done.
pub(super) enum NotDone {
    /// The server answered, and the answer is no.
    Refused(Refusal),
    /// There was no answer, or none to the command.
    Error(StoreError),
}

/// Reads the table. `write`: whether the command could have changed anything.
pub(super) fn failure(error: Error, write: bool) -> NotDone {
    // The client says whether the command had left when it failed.
    let unanswered = |message: &str| {
        if error.in_doubt() && write {
            StoreError::doubtful(message)
        } else {
            StoreError::unavailable(message)
        }
    };
    // The client wraps what it would have retried, so the code may stand further down.
    let Some(code) = error.server_result_code() else {
        let message = match root(&error).kind() {
            ErrorKind::Timeout => "no answer within the time-out",
            ErrorKind::NoMoreConnections | ErrorKind::ConnectionPoolEmpty => {
                "no connection was free: raise max_connections"
            }
            ErrorKind::MaxErrorRate => "too many errors from this node of late",
            ErrorKind::InvalidNode | ErrorKind::InvalidNamespace => {
                "no node of the cluster has this key: is the cluster there, and is this its namespace?"
            }
            _ => "the connection failed",
        };
        return NotDone::Error(unanswered(message).because(error));
    };
    let told = match code {
        // 2, 3, 27: the three ways to say that the command's condition does not hold.
        ResultCode::KeyNotFoundError => return NotDone::Refused(Refusal::Missing),
        ResultCode::GenerationError => return NotDone::Refused(Refusal::Generation),
        ResultCode::FilteredOut => return NotDone::Refused(Refusal::Condition),
        // 9: the server gave up; whether before or after it wrote is not known.
        ResultCode::Timeout if write => StoreError::doubtful("the server timed out (9)"),
        ResultCode::Timeout => StoreError::unavailable("the server timed out (9)"),
        // 8, 11, 14, 18: not applied, and it may be in a moment.
        ResultCode::ServerMemError => StoreError::unavailable(
            "the server takes no writes (8): it is out of memory or past stop-writes",
        ),
        ResultCode::PartitionUnavailable => {
            StoreError::unavailable("the key's partition is unavailable (11)")
        }
        ResultCode::KeyBusy => StoreError::unavailable("too many commands wait for this key (14)"),
        ResultCode::DeviceOverload => StoreError::unavailable(
            "the server's storage is overloaded (18): see its write-queue limits",
        ),
        // 5, 13, 20, 22, 25, 26: another try would meet the same.
        ResultCode::KeyExistsError => StoreError::refused("the record exists (5)"),
        ResultCode::RecordTooBig => StoreError::refused(
            "the record is too big for the server (13): lower max_value_bytes, or raise the \
             namespace's max-record-size",
        ),
        ResultCode::InvalidNamespace => {
            StoreError::refused("the server has no such namespace (20): check the URL")
        }
        ResultCode::FailForbidden | ResultCode::AlwaysForbidden => StoreError::refused(
            "the server forbids it (22): records with a time to live need nsup-period above 0 in \
             the namespace, or allow-ttl-without-nsup",
        ),
        ResultCode::EnterpriseOnly => {
            StoreError::refused("the server's edition does not know this (25)")
        }
        ResultCode::OpNotApplicable => StoreError::refused(
            "the operation does not fit the record (26): the set holds somebody else's records",
        ),
        // 150, 151, 152: of a batch, of which nothing was done. What goes by itself is not concerned.
        ResultCode::BatchDisabled
        | ResultCode::BatchMaxRequestsExceeded
        | ResultCode::BatchQueuesFull => StoreError::unavailable(
            "the server takes no batch now (150, 151, 152): see its batch-index-threads and batch-max-requests, or \
             set merge=false",
        ),
        // 80, 81: who asks may not.
        ResultCode::NotAuthenticated => {
            StoreError::refused("the server asks for a login (80): give user and password")
        }
        ResultCode::RoleViolation => StoreError::refused(
            "the user may not do this (81): grant a role with the privilege read-write, for the \
             namespace and the set",
        ),
        other if error.in_doubt() && write => {
            StoreError::doubtful(format!("the server answered: {other:?}"))
        }
        other => StoreError::refused(format!("the server answered: {other:?}")),
    };
    NotDone::Error(told.answered(u8::from(code).into()).because(error))
}

/// Whether the server refused for the moment, as one that is busy does (9, 11, 14, 18).
pub(super) fn is_for_the_moment(error: &Error) -> bool {
    use ResultCode::{DeviceOverload, KeyBusy, PartitionUnavailable, Timeout};
    let code = error.server_result_code();
    matches!(code, Some(Timeout | PartitionUnavailable | KeyBusy | DeviceOverload))
}

/// The error at the end of the chain: what it began with.
pub(super) fn root(error: &Error) -> &Error {
    error.cause().map_or(error, root)
}
