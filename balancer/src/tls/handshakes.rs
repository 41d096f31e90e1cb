//! What is counted of handshakes.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Page;

/// Handshakes that came to nothing. Clones are the same counters.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    /// Not TLS, no common version, a certificate that one side does not trust.
    pub(crate) failed: Counter,
    /// Took too long.
    pub(crate) late: Counter,
}

impl Handshakes {
    /// Shows them on a page.
    pub fn register(&self, page: &mut Page) {
        let failed = self.failed.clone();
        page.register("tls_handshakes_failed", "TLS handshakes that failed", failed);
        page.register("tls_handshake_timeouts", "TLS handshakes cut by time", self.late.clone());
    }
}
