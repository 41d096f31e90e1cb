//! A connection to a gRPC server, by its address.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use crate::limits::BALANCERS_MAX;
use crate::tls::Trust;

/// What was given for the address of a gRPC server is none.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is no address of a server ({reason}): write {example}")]
pub struct BadUrl {
    url: String,
    reason: String,
    example: String,
}

impl BadUrl {
    /// More than there may be.
    pub(super) fn too_many(urls: &str) -> Self {
        Self {
            url: urls.to_owned(),
            reason: format!("it names more than {BALANCERS_MAX} servers"),
            example: "http://HOST:PORT,http://HOST:PORT".to_owned(),
        }
    }
}

/// A connection to a gRPC server, opened when it is needed and kept alive; inside TLS if there are authorities to trust.
/// Must be called within a tokio runtime.
///
/// # Errors
/// See [`BadUrl`].
pub fn channel(url: &str, trust: &Trust, connect_timeout: Duration) -> Result<Channel, BadUrl> {
    let bad = |reason: &str, example: &str| BadUrl {
        url: url.to_owned(),
        reason: reason.to_owned(),
        example: example.to_owned(),
    };
    let trust = trust.config().map_err(|error| bad(&error.to_string(), "a file that is one"))?;
    let scheme = if trust.is_some() { "https" } else { "http" };
    let form = format!("{scheme}://HOST:PORT");
    let (said, rest) = match url.split_once("://") {
        Some((said, rest)) => (Some(said), rest),
        None => (None, url),
    };
    let meant = format!("{scheme}://{rest}");
    // What was meant is shown only if it would be taken.
    let example = if is_address(&meant, scheme) { &meant } else { &form };
    match said {
        None => return Err(bad("it has no scheme", example)),
        Some(said) if said == scheme => {}
        Some("https") => return Err(bad("https needs --tls-ca: whom to trust", example)),
        Some("http") => return Err(bad("with --tls-ca it begins with https", example)),
        Some(_) => return Err(bad("its scheme is neither http nor https", example)),
    }
    if !is_address(url, scheme) {
        return Err(bad("it does not name a host and a port", &form));
    }
    let unusable = |error: tonic::transport::Error| bad(&error.to_string(), &form);
    let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(unusable)?;
    if let Some(trust) = trust {
        endpoint = endpoint.tls_config(trust).map_err(unusable)?;
    }
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .connect_lazy())
}

/// Whether this is `SCHEME://HOST:PORT` and nothing more.
fn is_address(url: &str, scheme: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some(scheme)
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.port_u16().is_some_and(|port| port != 0)
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    })
}
