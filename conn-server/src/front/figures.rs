//! What the TLS front counts.

use balancer::tls::Handshakes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Page;

/// Counters of all threads together. Clones are the same counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Connections accepted.
    pub(crate) accepted: Counter,
    /// Connections open, those that shake hands included.
    pub(crate) open: Gauge,
    /// Times that every place was taken: the next client waits in the kernel's queue.
    pub(crate) full: Counter,
    /// Handshakes that came to nothing.
    pub(crate) handshakes: Handshakes,
    /// Connections that the chat port did not take.
    pub(crate) chat_refused: Counter,
    /// Clients that did not finish after the node had.
    pub(crate) linger_cuts: Counter,
}

impl Figures {
    /// Shows them on a page.
    pub(crate) fn register(&self, page: &mut Page) {
        let counters = [
            ("tls_accepted", "TLS connections accepted", &self.accepted),
            ("tls_full", "Times that every place for TLS was taken", &self.full),
            ("tls_chat_refused", "TLS clients that the chat port did not take", &self.chat_refused),
            ("tls_linger_cuts", "TLS clients cut after the node's goodbye", &self.linger_cuts),
        ];
        for (name, about, counter) in counters {
            page.register(name, about, counter.clone());
        }
        self.handshakes.register(page);
        page.register("tls_open", "TLS connections open", self.open.clone());
    }
}
