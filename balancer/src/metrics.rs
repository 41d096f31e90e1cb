//! What the balancer counts, and how a scrape sees the registry. Never on the way of a decision.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Page;

use crate::keeper::{Keeper, Overview};
use crate::redis::Link;

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
    pub(crate) fn page(&self, keeper: &Keeper, seen: &Seen) -> Page {
        let mut page = Page::with_prefix("ringline_balancer");
        page.register(
            "placements",
            "Logins placed, by outcome; away: whoever keeps the registry gave no answer",
            self.placements.clone(),
        );
        page.register(
            "registrations",
            "Registrations of nodes, by outcome; away: whoever keeps the registry gave no answer",
            self.registrations.clone(),
        );
        page.register(
            "reports",
            "Reports of nodes, by outcome; away: whoever keeps the registry gave no answer",
            self.reports.clone(),
        );
        page.register(
            "session_ends",
            "Orders to end a user's older sessions, by outcome; full: refused because too many wait for nodes; away: whoever keeps the registry gave no answer",
            self.ends.clone(),
        );
        keeper.register_on(&mut page);
        page.register_collector(Box::new(seen.clone()));
        page
    }
}

/// The registry as it was seen last. A page is made at once, and a Redis is not asked at once: so it is looked at before.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    keeper: Arc<Keeper>,
    /// Nothing if there was no answer: figures of another time would be taken for those of now.
    last: Arc<Mutex<Option<Overview>>>,
}

impl Seen {
    pub(crate) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, last: Arc::default() }
    }

    /// Looks.
    pub(crate) async fn look(&self) {
        let seen = self.keeper.look().await.ok();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Whether the registry cannot be asked.
    pub(crate) fn is_failing(&self) -> bool {
        self.keeper.link().is_some_and(Link::is_failing)
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, about: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)
        };
        let failing = self.is_failing().into();
        gauge("redis_failing", "1 if the last call of the shared Redis failed", failing)?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = &*last else { return Ok(()) };
        let load = Overview::load;
        for (name, about, value) in [
            ("nodes", "Nodes that hold a lease", seen.nodes.len() as u64),
            ("nodes_draining", "Of these, nodes that take no more logins", seen.draining()),
            (
                "sessions",
                "Sessions as last reported by all nodes",
                seen.sum(|node| load(node).sessions),
            ),
            ("capacity", "Sessions that all nodes can hold", seen.sum(|node| node.capacity)),
            (
                "reservations",
                "Places handed out, neither taken up nor expired",
                seen.sum(|node| node.reservations),
            ),
            ("session_ends_kept", "Orders to end sessions that are kept for nodes", seen.ends),
        ] {
            gauge(name, about, value)?;
        }
        for (name, about, value) in [
            ("leases_lapsed", "Leases that ended without a goodbye", seen.lapsed),
            (
                "session_ends_lapsed",
                "Orders to end sessions that grew too old before every node had confirmed them",
                seen.ends_lapsed,
            ),
        ] {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, about, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}
