use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What the server shows to its clients, and asks of them, where it speaks TLS.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Shows this certificate chain, the server's own first. Chain and key are PEM.
    ///
    /// # Errors
    /// If they are not, or do not belong together.
    pub fn new(chain: &str, key: &str) -> io::Result<Tls> {
        Tls::build(chain, key, None)
    }

    /// Also asks each client for a certificate that this authority (PEM) has signed, and turns those
    /// away that have none.
    ///
    /// # Errors
    /// If one of them is not PEM, or chain and key do not belong together.
    pub fn mutual(chain: &str, key: &str, client_ca: &str) -> io::Result<Tls> {
        Tls::build(chain, key, Some(client_ca))
    }

    fn build(chain: &str, key: &str, client_ca: Option<&str>) -> io::Result<Tls> {
        let provider = Arc::new(default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = match client_ca {
            None => versions.with_no_client_auth(),
            Some(client_ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(client_ca)? {
                    roots.add(certificate).map_err(io::Error::other)?;
                }
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                versions.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
        let config = config.with_single_cert(certificates(chain)?, key);
        Ok(Tls(Arc::new(config.map_err(io::Error::other)?)))
    }

    /// A client that is turned away hears why: what it sends is read to the end, as otherwise the
    /// connection would be reset, and the alert lost with it.
    pub(crate) async fn accept(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        match TlsAcceptor::from(self.0).accept(stream).into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, mut stream)) => {
                eprintln!("genfence-wire refuses: a client of its TLS: {error}");
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                Err(error)
            }
        }
    }
}

fn certificates(pem: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    certificates.collect::<Result<_, _>>().map_err(io::Error::other)
}
