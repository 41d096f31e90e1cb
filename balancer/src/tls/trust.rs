//! What a gateway or a node needs to call a balancer that speaks TLS.

use std::path::PathBuf;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{TlsError, read, read_authorities, read_identity};

/// Whom to trust, and what to show.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Trust {
    /// The authorities whose word is taken for the balancer's certificate (PEM); with it the address of --balancer begins
    /// with https://
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// The certificate that the balancer is shown, if it asks for one (its --tls-client-ca), and those that it was signed
    /// with (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_client_key", requires = "tls_ca")]
    pub tls_client_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_client_cert")]
    pub tls_client_key: Option<PathBuf>,
}

impl Trust {
    /// The settings of a channel; `None` if no authority is named: then there is no TLS.
    ///
    /// # Errors
    /// A file is not what it should be.
    pub(crate) fn config(&self) -> Result<Option<ClientTlsConfig>, TlsError> {
        let Some(authorities) = &self.tls_ca else { return Ok(None) };
        let pem = read_authorities(authorities)?;
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        match (&self.tls_client_cert, &self.tls_client_key) {
            (Some(certificate), Some(key)) => {
                // The channel would find out at its first connection only.
                read_identity(certificate, key)?;
                let identity = Identity::from_pem(read(certificate)?, read(key)?);
                Ok(Some(config.identity(identity)))
            }
            (None, None) => Ok(Some(config)),
            (Some(_), None) | (None, Some(_)) => Err(TlsError::Half),
        }
    }
}
