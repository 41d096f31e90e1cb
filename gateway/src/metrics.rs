//! What the gateway counts, and the page that shows it. Never on the way of an answer.

use std::fmt;
use std::sync::{Arc, Weak};

use balancer::http::Tally;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as Page;

use crate::routes::App;
use crate::status::Status;
use crate::verify::Verifier;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    error: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// The gateway's counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    answers: Family<Answer, Counter>,
    seconds: Family<Route, Histogram>,
    hash_seconds: Histogram,
    hash_wait_seconds: Histogram,
    bodies_refused: Family<[(&'static str, &'static str); 1], Counter>,
}

/// From 0.1 ms in steps of the double to beyond the request timeout.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 18))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            answers: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            hash_seconds: histogram(),
            hash_wait_seconds: histogram(),
            bodies_refused: Family::default(),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: &'static str, error: u16, seconds: f64) {
        self.answers.get_or_create(&Answer { route, error: error.into() }).inc();
        self.seconds.get_or_create(&Route { route }).observe(seconds);
    }

    /// A password was hashed.
    pub(crate) fn hashed(&self, seconds: f64) {
        self.hash_seconds.observe(seconds);
    }

    /// A hash got its turn, or none.
    pub(crate) fn hash_waited(&self, seconds: f64) {
        self.hash_wait_seconds.observe(seconds);
    }

    /// The body of a request was longer or came more slowly than it may.
    pub(crate) fn body_refused(&self, status: Status) {
        let bound = if status == Status::TooLong { "bytes" } else { "time" };
        self.bodies_refused.get_or_create(&[("bound", bound)]).inc();
    }
}

/// The page that /metrics shows.
pub(crate) fn page(app: &Arc<App>, front: &Tally) -> Page {
    let mut page = Page::with_prefix("ringline_gateway");
    let metrics = &app.metrics;
    page.register(
        "answers",
        "Requests answered, by route and error number",
        metrics.answers.clone(),
    );
    page.register("request_seconds", "Time of a request, by route", metrics.seconds.clone());
    page.register("hash_seconds", "Time of a password hash", metrics.hash_seconds.clone());
    page.register(
        "hash_wait_seconds",
        "Time that a password hash waited for its turn",
        metrics.hash_wait_seconds.clone(),
    );
    page.register(
        "hashes_full",
        "Requests refused because as many password hashes as may were waiting",
        app.pool.full.clone(),
    );
    page.register(
        "bodies_refused",
        "Request bodies not read to their end, by the bound that they hit",
        metrics.bodies_refused.clone(),
    );
    front.register(&mut page);
    app.shared.register(&mut page);
    app.ender.register(&mut page);
    if let Verifier::Here(desk) = &app.verifier {
        desk.register(&mut page);
    }
    page.register_collector(Box::new(Now(Arc::downgrade(app))));
    page
}

/// What is so at the time of a scrape. Weak: the page hangs on the app's own router.
#[derive(Debug)]
struct Now(Weak<App>);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(app) = self.0.upgrade() else { return Ok(()) };
        let held = app.shared.sizes().map(|(subjects, codes)| {
            [
                ("codes", "Verification codes outstanding here, expired ones included", codes),
                (
                    "rate_subjects",
                    "Clients, accounts and addresses whose rates are remembered here",
                    subjects,
                ),
            ]
        });
        let now = [
            ("hashes_waiting", "Password hashes that wait or run", app.pool.waiting()),
            (
                "redis_failing",
                "1 if the last call of the shared Redis failed",
                app.shared.is_failing().into(),
            ),
            (
                "store_failing",
                "1 if the last write to the accounts failed",
                app.accounts.fault().is_some().into(),
            ),
            (
                "balancer_failing",
                "1 if the last call to the balancer failed",
                app.balancer.is_failing().into(),
            ),
            (
                "verifier_failing",
                "1 if the last call to a verification server failed",
                app.verifier.is_failing().into(),
            ),
        ];
        for (name, about, value) in now.into_iter().chain(held.into_iter().flatten()) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
