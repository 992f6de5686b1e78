//! The files of a TLS configuration, and what is wrong with them: found out before anything is sent.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::settings::{Access, Invalid};

/// Far more than all authorities of a system, and soon read.
const MAX_FILE: u64 = 4 << 20;

pub(super) fn config(access: &Access) -> Result<ClientConfig, Invalid> {
    let roots = match &access.tls_ca {
        Some(path) => named_roots(path)?,
        None => system_roots()?,
    };
    // Named, as a process may hold several providers and no default among them.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Invalid::new("tls", error.to_string()))?
        .with_root_certificates(roots);
    let (Some(certificate), Some(key_path)) = (&access.tls_certificate, &access.tls_key) else {
        return Ok(config.with_no_client_auth());
    };
    let chain = certificates("tls_certificate", certificate)?;
    let key = key(key_path)?;
    config.with_client_auth_cert(chain, key).map_err(|error| {
        let problem = format!("is not the key of `tls_certificate`, or of no use: {error}");
        in_file("tls_key", key_path, &problem)
    })
}

/// Checks that certificates could carry a name.
pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    match ServerName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Invalid::new(field, format!("`{name}` is neither a DNS name nor an IP address")))
        }
    }
}

fn named_roots(path: &Path) -> Result<RootCertStore, Invalid> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls_ca", path)? {
        roots.add(certificate).map_err(|error| {
            in_file("tls_ca", path, &format!("holds a certificate that cannot be used: {error}"))
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, Invalid> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store may hold one that is older than the rules of today.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let mut problem = "the system trusts no certificate authority; give `tls_ca`".to_owned();
        for error in found.errors {
            problem = format!("{problem}; {error}");
        }
        return Err(Invalid::new("tls", problem));
    }
    Ok(roots)
}

fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let pem = read(field, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(in_file(field, path, "holds no certificate (-----BEGIN CERTIFICATE-----)"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(in_file(field, path, malformed(&error))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Invalid> {
    let field = "tls_key";
    let pem = read(field, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let problem =
                "holds no private key that is not encrypted (-----BEGIN PRIVATE KEY-----)";
            in_file(field, path, problem)
        }
        error => in_file(field, path, malformed(&error)),
    })
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, Invalid> {
    let unread = |error| in_file(field, path, &format!("cannot be read: {error}"));
    // Before it is opened: a pipe would be waited for.
    if !fs::metadata(path).map_err(unread)?.is_file() {
        return Err(in_file(field, path, "is no file"));
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut content))
        .map_err(unread)?;
    if content.len() as u64 == MAX_FILE {
        return Err(in_file(field, path, "is too large to be this"));
    }
    Ok(content)
}

/// The error's own words may hold a line of the file.
fn malformed(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is no PEM: a section has no end",
        pem::Error::Base64Decode(_) => "is no PEM: a section is not Base64",
        _ => "is no PEM",
    }
}

fn in_file(field: &'static str, path: &Path, problem: &str) -> Invalid {
    Invalid::new(field, format!("{} {problem}", path.display()))
}
