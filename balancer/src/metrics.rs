//! What the balancer counts, and how a scrape sees the registry. Never on the way of a decision.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Page;

use crate::registry::Registry;

type Labels = [(&'static str, &'static str); 1];

/// The balancer's counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    placements: Family<Labels, Counter>,
    registrations: Family<Labels, Counter>,
    reports: Family<Labels, Counter>,
    ends: Family<Labels, Counter>,
}

impl Metrics {
    pub(crate) fn placed(&self, outcome: &'static str) {
        self.placements.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn registered(&self, outcome: &'static str) {
        self.registrations.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn reported(&self, outcome: &'static str) {
        self.reports.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn ended(&self, outcome: &'static str) {
        self.ends.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// The page that /metrics shows.
    pub(crate) fn page(&self, registry: Arc<Mutex<Registry>>) -> Page {
        let mut page = Page::with_prefix("ringline_balancer");
        page.register("placements", "Logins placed, by outcome", self.placements.clone());
        page.register(
            "registrations",
            "Registrations of nodes, by outcome",
            self.registrations.clone(),
        );
        page.register("reports", "Reports of nodes, by outcome", self.reports.clone());
        page.register(
            "session_ends",
            "Orders to end a user's older sessions, by outcome; full: refused because too many wait for nodes",
            self.ends.clone(),
        );
        page.register_collector(Box::new(Nodes(registry)));
        page
    }
}

/// The registry as it is at the time of a scrape.
#[derive(Debug)]
struct Nodes(Arc<Mutex<Registry>>);

impl Collector for Nodes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, about, value) in [
            ("leases_lapsed", "Leases that ended without a goodbye", registry.lapsed()),
            (
                "session_ends_lapsed",
                "Orders to end sessions that grew too old before every node had confirmed them",
                registry.ends().lapsed(),
            ),
        ] {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, about, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let ends = registry.ends().len() as u64;
        let (mut count, mut draining, mut sessions, mut capacity, mut reservations) =
            (0, 0, 0, 0, 0);
        for node in registry.nodes(Instant::now()) {
            count += 1;
            draining += u64::from(node.draining);
            sessions += node.load.sessions;
            capacity += node.registration.capacity;
            reservations += node.reservations.count();
        }
        for (name, about, value) in [
            ("nodes", "Nodes that hold a lease", count),
            ("nodes_draining", "Of these, nodes that take no more logins", draining),
            ("sessions", "Sessions as last reported by all nodes", sessions),
            ("capacity", "Sessions that all nodes can hold", capacity),
            ("reservations", "Places handed out, neither taken up nor expired", reservations),
            ("session_ends_kept", "Orders to end sessions that are kept for nodes", ends),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
