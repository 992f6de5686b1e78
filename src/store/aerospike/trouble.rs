//! Why connecting failed, in words that say what to do.
//!
//! Of each host's failure the client keeps the text alone, so the text is what is read here: result
//! codes as it writes them, and the words of rustls. What is not recognised is passed on as it is.

use aerospike::{Error, ResultCode};

use super::AerospikeSettings;
use crate::settings::Access;
use crate::store::StoreError;

/// An error of the client, when connecting.
pub(super) fn explain(settings: &AerospikeSettings, error: Error) -> StoreError {
    let (hosts, text) = (settings.named(), error.base_message());
    // A line to each host, after one that only counts them.
    let told = text.split_once('\n').map_or(&*text, |(_, hosts)| hosts);
    let told = told.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let explained = match refusal(&told) {
        Some(code) => StoreError::refused(refused(&settings.access, &hosts, code)),
        None => StoreError::unavailable(match hint(&settings.access, &told) {
            Some(hint) => format!("no connection to {hosts}: {hint} ({told})"),
            None => format!("no connection to {hosts}: {told}"),
        }),
    };
    explained.because(error)
}

/// Nothing at all, within the connect time-out.
pub(super) fn silence(settings: &AerospikeSettings) -> StoreError {
    StoreError::unavailable(format!(
        "no connection to {} within {:?}: is the server there, is the port its service port, and \
         {}?",
        settings.named(),
        settings.access.connect_timeout,
        if settings.access.is_encrypted() {
            "does it speak TLS"
        } else {
            "does it speak without TLS, for which there are `tls_ca` and `tls`"
        },
    ))
}

/// The result code of a server that let nobody in: `Error 65, node=…`.
fn refusal(told: &str) -> Option<ResultCode> {
    told.split("Error ").skip(1).find_map(|rest| {
        let number = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        let code: u8 = number.parse().ok()?;
        // Those of the server's security.
        (51..=99).contains(&code).then(|| ResultCode::from(code))
    })
}

fn refused(access: &Access, hosts: &str, code: ResultCode) -> String {
    let number = u8::from(code);
    match &access.login {
        Some(_) if code == ResultCode::SecurityNotSupported => format!(
            "{hosts} takes no login ({number}: {code}), as a Community Edition: leave out user and \
             password"
        ),
        Some(login) => format!(
            "{hosts} refused the login of user {:?} ({number}: {code}): check user, password and \
             `auth`",
            login.user
        ),
        None => format!(
            "{hosts} refused the login by certificate ({number}: {code}): is the name in its \
             subject a user of the cluster?"
        ),
    }
}

/// What the words mean. The first that are found count, so the special stand before the general.
fn hint(access: &Access, told: &str) -> Option<&'static str> {
    const CLOSED: &[&str] =
        &["eof", "fill whole buffer", "reset by peer", "forcibly closed", "Broken pipe"];
    // A server that asks for a login does not even tell its name without.
    if told.contains("Missing node name") && access.login.is_none() {
        return Some(
            "it asks for a login: give user and password, in a URL as user:password@ before the host",
        );
    }
    let authority = match access.tls_ca {
        Some(_) => "its certificate is of no authority that `tls_ca` names",
        None => "its certificate is of no authority that this system trusts: give `tls_ca`",
    };
    let (unwelcome, closed) = match access.tls_certificate {
        Some(_) => (
            "it does not accept the certificate in `tls_certificate`",
            "does it speak TLS on this port, and accept the certificate in `tls_certificate`?",
        ),
        None => (
            "it asks for a certificate: give `tls_certificate` and `tls_key`",
            "does it speak TLS on this port? If so it may ask for a certificate, for which there \
             are `tls_certificate` and `tls_key`",
        ),
    };
    let name = "its certificate has another name: if that is right, give it as `tls_name`";
    let encrypted: &[(&[&str], &str)] = &[
        (&["UnknownIssuer", "BadSignature"], authority),
        (&["not valid for name", "UnrecognisedName"], name),
        (&["certificate expired"], "its certificate has expired: renew it there"),
        (&["not valid yet"], "its certificate is not valid yet: is a clock wrong?"),
        (&["peer certificate"], "its certificate cannot be accepted"),
        (&["HandshakeFailure", "UnknownCA", "Certificate"], unwelcome),
        (&["corrupt message"], "does it speak TLS on this port?"),
        (CLOSED, closed),
    ];
    let plain: &[(&[&str], &str)] =
        &[(CLOSED, "it hung up on what it was asked: if it speaks TLS, give `tls_ca` or `tls`")];
    let table = if access.is_encrypted() { encrypted } else { plain };
    let is_told = |words: &[&str]| words.iter().any(|words| told.contains(words));
    table.iter().find_map(|(words, hint)| is_told(words).then_some(*hint))
}
