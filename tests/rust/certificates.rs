//! Certificates, made for one test, in a folder of its own.

use std::path::PathBuf;

use genfence_wire::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// A certificate and its key, as PEM.
pub struct Certified {
    pub chain: String,
    pub der: Vec<u8>,
    pub key: String,
}

/// An authority that certifies, and a folder for what it certified.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer, folder: TempDir::new().unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certifies somebody under these names.
    pub fn certify<const N: usize>(&self, names: [&str; N]) -> Certified {
        self.certify_with(names, |_| ())
    }

    /// One whose time is over.
    pub fn certify_once<const N: usize>(&self, names: [&str; N]) -> Certified {
        self.certify_with(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn certify_with<const N: usize>(
        &self,
        names: [&str; N],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certified {
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified {
            chain: certificate.pem(),
            der: certificate.der().to_vec(),
            key: key.serialize_pem(),
        }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A file that holds what vouches for all that was certified here.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem", self.pem())
    }
}

impl Certified {
    pub fn shown(&self) -> Tls {
        Tls::new(&self.chain, &self.key).unwrap()
    }

    pub fn shown_to(&self, clients_of: &Authority) -> Tls {
        Tls::mutual(&self.chain, &self.key, &clients_of.pem()).unwrap()
    }
}
