//! TLS for every Ringline server, by rustls: what a server shows and what a client trusts, each read from PEM files.
//!
//! It says who answers and keeps the bytes from everybody else; who may connect is asked only where authorities for clients
//! are named.

mod handshakes;
mod transport;
mod trust;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::limits::PEM_FILE_BYTES_MAX;
pub use handshakes::Handshakes;
pub use transport::Transport;
pub use trust::Trust;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Bad {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Only one of the two files was named.
    #[error("a certificate and its key go together: give both, or neither")]
    Half,
}

impl TlsError {
    fn bad(path: &Path, reason: impl Into<String>) -> Self {
        Self::Bad { path: path.to_owned(), reason: reason.into() }
    }
}

/// What is spoken inside, so that a client of another kind is told so by TLS itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// HTTP/1.1.
    Http,
    /// gRPC: HTTP/2.
    Grpc,
    /// The chat protocol, which has no registered name.
    Chat,
}

impl Inside {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"http/1.1".to_vec()],
            Self::Grpc => vec![b"h2".to_vec()],
            Self::Chat => Vec::new(),
        }
    }
}

/// Ends TLS for a server. Clones share the certificate.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    shown: Arc<Shown>,
    handshakes: Handshakes,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Reads a certificate chain and its key; `None` if neither is named. With `clients`, only those are served who show a
    /// certificate that one of its authorities has signed.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(
        certificate: Option<&PathBuf>,
        key: Option<&PathBuf>,
        clients: Option<&PathBuf>,
        inside: Inside,
    ) -> Result<Option<Self>, TlsError> {
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Self::of(certificate, key, clients, inside).map(Some),
            (Some(_), None) | (None, Some(_)) => Err(TlsError::Half),
        }
    }

    fn of(
        certificate: &Path,
        key: &Path,
        clients: Option<&PathBuf>,
        inside: Inside,
    ) -> Result<Self, TlsError> {
        let current = RwLock::new(read_identity(certificate, key)?);
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let shown = Arc::new(Shown { certificate, key, current });
        let verifier = match clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| TlsError::bad(path, error.to_string()))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::bad(&shown.certificate, error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = inside.alpn();
        let handshakes = Handshakes::default();
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), shown, handshakes })
    }

    /// Reads both files again: who connects from now on is shown what they hold. Open connections stay.
    ///
    /// # Errors
    /// See [`TlsError`]; the old certificate stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let identity = read_identity(&self.shown.certificate, &self.shown.key)?;
        *self.shown.current.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// Its counters.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        self.handshakes.clone()
    }

    /// Shakes hands, within this time.
    ///
    /// # Errors
    /// The time is over, or the client is none; the text says which.
    pub async fn accept(
        &self,
        stream: TcpStream,
        deadline: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        if let Ok(shaken) = tokio::time::timeout(deadline, self.tls.accept(stream)).await {
            shaken.inspect_err(|_| {
                self.handshakes.failed.inc();
            })
        } else {
            self.handshakes.late.inc();
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

/// A certificate and its files.
#[derive(Debug)]
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// One provider of cryptography for all of it: written in Rust and assembler, built without further tools.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(certificate)?;
    let private = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&private)
        .map_err(|error| TlsError::bad(key, format!("holds no private key ({error})")))?;
    let is_readable = std::fs::metadata(key).is_ok_and(|file| file.mode() & 0o007 != 0);
    if is_readable {
        tracing::warn!(path = %key.display(), "the key file is open to other users: chmod 600");
    }
    CertifiedKey::from_der(chain, private, &provider())
        .map(Arc::new)
        .map_err(|error| TlsError::bad(key, explain(certificate, &error)))
}

fn explain(certificate: &Path, error: &rustls::Error) -> String {
    format!("does not go with {} ({error})", certificate.display())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| TlsError::bad(path, error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::bad(path, "holds no certificate in PEM form"));
    }
    Ok(chain)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::bad(path, error.to_string()))?;
    }
    Ok(roots)
}

/// What a client trusts: the PEM text of one or several authorities, checked.
fn read_authorities(path: &Path) -> Result<Vec<u8>, TlsError> {
    roots(path)?;
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(PEM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_FILE_BYTES_MAX {
        let reason = format!("is longer than {PEM_FILE_BYTES_MAX} bytes: is it the right file?");
        return Err(TlsError::bad(path, reason));
    }
    Ok(bytes)
}
