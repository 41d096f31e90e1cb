//! Reports of runs that never were, for tests of what reads reports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use serde_json::{Value, json};

use super::StoredRun;

/// A run that delivered so much a second, with latencies around so many microseconds and a tail `spread` times as far.
pub(crate) fn document(delivered_per_s: f64, middle_us: f64, spread: f64) -> Value {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for n in 0..200_000_u32 {
        // The middle half is narrow; one in fifty lies in the tail.
        let share = f64::from(n) / 200_000.0;
        let tail = if n % 50 == 0 { spread * share } else { 0.2 * share };
        histogram.record((middle_us * 1e3 * (0.9 + tail)) as u64).unwrap();
    }
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
    let latency = json!({ "count": histogram.len(), "hdr_v2_ns_b64": STANDARD.encode(&bytes) });
    json!({
        "schema": 1,
        "run": { "id": "00", "started": "2026-01-01T00:00:00Z", "argv": ["loadgen", "local"], "login": "direct",
                 "layout": ["shards on processor 0"] },
        "verdict": { "validity": "VALID", "reasons": [], "checks": [], "slo": [] },
        "offered": { "preset": "pairs", "connections": 1000, "closed_window": 256 },
        "achieved": { "measured_s": 3.0, "delivered_per_s": delivered_per_s, "acked_per_s": delivered_per_s },
        "classes": { "private": { "delivery": latency } },
        "window": { "length_s": 3.0, "messages_per_server_cpu_s": delivered_per_s, "logins": 0 },
        "ledger": { "lost": 0, "duplicate": 0, "reordered": 0, "corrupt": 0, "misrouted": 0 },
        "server": { "io": "uring", "shards": 1, "rss_per_connection_bytes": 500.0 },
        "generator": { "engine": "uring" },
        "environment": { "start": { "kernel": { "release": "6.18" }, "cpu": { "model": "one" },
                                    "build": { "sha256": "aa" }, "now": { "load": 1 }, "missing": {} } },
    })
}

/// The same, read, with one thing altered.
pub(crate) fn run(delivered_per_s: f64, alter: impl FnOnce(&mut Value)) -> StoredRun {
    let mut document = document(delivered_per_s, 1e8 / delivered_per_s, 3.0);
    alter(&mut document);
    StoredRun::new("sample".into(), document).unwrap()
}
