//! What is compared: the metrics of a run, which way is better, and how small a change does not matter.

use serde::Serialize;

use crate::report::percentile::{mean_us, percentile};
use crate::stored::StoredRun;

/// A figure of a run.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as `--metric` and the JSON have it.
    pub name: &'static str,
    /// In words.
    pub words: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// A ratio within 1 / (1 + margin) and 1 + margin does not matter.
    pub margin: f64,
    /// Reads it from a run; nothing if it was not measured, or is zero.
    pub read: fn(&StoredRun) -> Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
}

/// Tests that are made together: so many the smallest p of five runs against five still bears (`smallest_p`).
pub const PRIMARY_MAX: usize = 6;

const THROUGHPUT: f64 = 0.02;
const LATENCY: f64 = 0.05;
const COST: f64 = 0.02;

/// Every metric, the more important first: unless others are declared, the first that were measured are tested.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "delivered_per_s",
        words: "deliveries a second",
        unit: "/s",
        better: Better::More,
        margin: THROUGHPUT,
        read: |run| run.number("/achieved/delivered_per_s"),
    },
    Metric {
        name: "delivery_p99_us",
        words: "delivery, p99",
        unit: "us",
        better: Better::Less,
        margin: LATENCY,
        read: |run| latency(run, "delivery", 99.0),
    },
    Metric {
        name: "server_cpu_us_per_message",
        words: "server CPU a message",
        unit: "us",
        better: Better::Less,
        margin: COST,
        read: |run| Some(1e6 / positive(run.number("/window/messages_per_server_cpu_s"))?),
    },
    Metric {
        name: "delivery_p50_us",
        words: "delivery, median",
        unit: "us",
        better: Better::Less,
        margin: LATENCY,
        read: |run| latency(run, "delivery", 50.0),
    },
    Metric {
        name: "delivery_p999_us",
        words: "delivery, p99.9",
        unit: "us",
        better: Better::Less,
        margin: LATENCY,
        read: |run| latency(run, "delivery", 99.9),
    },
    Metric {
        name: "rss_per_connection_bytes",
        words: "server memory a connection",
        unit: "B",
        better: Better::Less,
        margin: COST,
        read: |run| run.number("/server/rss_per_connection_bytes"),
    },
    Metric {
        name: "logins_per_s",
        words: "logins a second",
        unit: "/s",
        better: Better::More,
        margin: THROUGHPUT,
        // Of connections that come and go; those of a ramp come as fast as they are told to.
        read: |run| {
            let logins = positive(run.number("/window/logins"))?;
            Some(logins / positive(run.number("/window/length_s"))?)
        },
    },
    Metric {
        name: "logins_per_server_cpu_s",
        words: "logins a server CPU second",
        unit: "/s",
        better: Better::More,
        margin: COST,
        read: |run| positive(run.number("/window/logins_per_server_cpu_s")),
    },
    Metric {
        name: "acked_per_s",
        words: "acknowledgements a second",
        unit: "/s",
        better: Better::More,
        margin: THROUGHPUT,
        read: |run| run.number("/achieved/acked_per_s"),
    },
    Metric {
        name: "delivery_mean_us",
        words: "delivery, mean",
        unit: "us",
        better: Better::Less,
        margin: LATENCY,
        read: |run| mean_us(run.latencies.get("delivery")?),
    },
    Metric {
        name: "response_p99_us",
        words: "acknowledgement, p99",
        unit: "us",
        better: Better::Less,
        margin: LATENCY,
        read: |run| latency(run, "response", 99.0),
    },
    Metric {
        name: "syscalls_per_message",
        words: "system calls a message",
        unit: "",
        better: Better::Less,
        margin: COST,
        read: |run| run.number("/server/syscalls_per_message"),
    },
    Metric {
        name: "kernel_per_connection_bytes",
        words: "kernel memory a connection",
        unit: "B",
        better: Better::Less,
        margin: COST,
        read: |run| run.number("/capacity/memory/kernel_per_connection_bytes"),
    },
];

/// The metric of that name.
///
/// # Errors
/// When there is none: the message lists them.
pub fn parse(name: &str) -> Result<&'static Metric, String> {
    METRICS.iter().find(|metric| metric.name == name).ok_or_else(|| {
        let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        format!("the metric `{name}` is not known; there are {}", names.join(", "))
    })
}

fn latency(run: &StoredRun, kind: &str, p: f64) -> Option<f64> {
    percentile(run.latencies.get(kind)?, p).value_us
}

fn positive(number: Option<f64>) -> Option<f64> {
    number.filter(|number| *number > 0.0)
}
