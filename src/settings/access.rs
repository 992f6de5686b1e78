use std::fmt;

use super::kinds::{Bounded, Choice, Count, File, Kind, Optional, Pairs, Span, Switch, Text};
use super::{
    Auth, ClusterGuard, Invalid, Of, access_settings, bound, default, define_settings, note, within,
};

/// A user and a password, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

macro_rules! define_access {
    ($($rows:tt)*) => {
        define_settings! {
            /// How a cluster is reached.
            Access { login: Option<Login>, }
            $($rows)*
        }
    };
}
access_settings!(define_access);

/// The server's own bound.
const MAX_USER: usize = 63;
/// What fits into a login message of the client.
const MAX_PASSWORD: usize = 512;

impl Access {
    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.unwrap_or(self.tls_ca.is_some())
    }

    /// Checks every setting by itself and beside the others. What files hold is not looked at.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_bounds(Of::aerospike)?;
        if let Some((from, to)) =
            self.address_map.iter().find(|(from, to)| from.is_empty() || to.is_empty())
        {
            let problem = format!("{from:?} to {to:?}: neither may be empty");
            return Err(Invalid::new("address_map", problem));
        }
        self.check_tls()?;
        self.check_login()
    }

    fn check_tls(&self) -> Result<(), Invalid> {
        let given = [
            ("tls_ca", self.tls_ca.is_some()),
            ("tls_certificate", self.tls_certificate.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_name", self.tls_name.is_some()),
        ];
        let given = given.into_iter().find_map(|(field, is_given)| is_given.then_some(field));
        match given {
            Some(field) if self.tls == Some(false) => {
                let problem = format!("is false, though `{field}` is given: leave out one of them");
                return Err(Invalid::new("tls", problem));
            }
            Some(field) if !self.is_encrypted() => return Err(needs_tls(field)),
            _ => {}
        }
        if self.is_encrypted() && !cfg!(feature = "tls") {
            let problem = "this build has no TLS; build genfence with its feature `tls`";
            return Err(Invalid::new(given.unwrap_or("tls"), problem));
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => {
                Err(Invalid::new("tls_key", "is missing; `tls_certificate` must have its key"))
            }
            (None, Some(_)) => {
                Err(Invalid::new("tls_certificate", "is missing; `tls_key` must have one"))
            }
            _ => Ok(()),
        }
    }

    fn check_login(&self) -> Result<(), Invalid> {
        if let Some(login) = &self.login {
            within("user", login.user.len(), 1, Some(MAX_USER))?;
            // Nothing is told of a password, not even how long it is.
            if login.password.len() > MAX_PASSWORD {
                let problem = format!("is too long, must be at most {MAX_PASSWORD} bytes");
                return Err(Invalid::new("password", problem));
            }
        }
        let refused = |problem: &str| Err(Invalid::new("auth", problem));
        match (self.auth, &self.login) {
            (Auth::External, None) => refused("`external` must have a user and a password"),
            (Auth::External, Some(_)) if !self.is_encrypted() => {
                refused("`external` sends the password itself: give `tls_ca`, or `tls`, as well")
            }
            (Auth::Pki, Some(_)) => {
                refused("`pki` goes by the client's certificate: leave out user and password")
            }
            (Auth::Pki, None) if self.tls_certificate.is_none() => {
                refused("`pki` must have `tls_certificate` and `tls_key`")
            }
            _ => Ok(()),
        }
    }
}

fn needs_tls(field: &'static str) -> Invalid {
    let problem = "there is no TLS: give `tls_ca`, or `tls` to trust whom the system trusts";
    Invalid::new(field, problem)
}
