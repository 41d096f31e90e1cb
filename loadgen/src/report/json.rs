//! `run.json`. Every unit stands in its field's name; what was not measured is null; readers ignore fields that they do
//! not know. The schema's number changes when a field changes its meaning or goes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use serde_json::{Map, Value, json};

use super::directory::stamp;
use super::percentile::{self, REPORTED};
use super::{Report, is_delivery_violated, latencies, logins_per_s};
use crate::outcome::{Class, Outcome};
use crate::plan::{Load, Protocol};

/// The number of the schema; a reader refuses another.
pub const SCHEMA: u32 = 1;

pub(super) fn document(report: &Report) -> Value {
    let outcome = &report.outcome;
    json!({
        "schema": SCHEMA,
        "run": run(report),
        "verdict": {
            "validity": report.verdict.validity,
            "reasons": report.verdict.reasons,
            "checks": report.verdict.checks,
            "slo": report.slo,
            "correctness": if is_delivery_violated(outcome) { "violated" } else { "clean" },
            "headline": report.headline(),
        },
        "offered": offered(report),
        "connections": {
            "target": outcome.target,
            "established": outcome.established,
            "logins_per_s": logins_per_s(outcome),
            "ramp_s": outcome.ramp.as_secs_f64(),
            "disconnects": outcome.disconnects,
            "login_failures": outcome.login_failures,
        },
        "achieved": achieved(outcome),
        "classes": outcome.classes.iter().map(|(name, of)| (name.clone(), class(of))).collect::<Map<_, _>>(),
        "window": window(outcome),
        "ledger": ledger(outcome),
        "server": report.server,
        "durable": report.durable,
        "capacity": report.capacity,
        "disturbed": super::disturbed::rows(report),
        "generator": generator(report),
        "interference": report.interference,
        "series": series(outcome),
        "server_series": report.server_series,
        "environment": {
            "start": report.environment_start.to_json(),
            "end": report.environment_end.to_json(),
            "diff": report.environment_start.changes(&report.environment_end),
        },
    })
}

fn run(report: &Report) -> Value {
    json!({
        "id": format!("{:016x}", report.offer.plan.run_id),
        "started": stamp(report.started),
        "argv": report.argv,
        "seed": report.offer.plan.seed,
        "login": report.login,
        "layout": report.layout,
        "interrupted": report.outcome.interrupted,
    })
}

fn offered(report: &Report) -> Value {
    let plan = &report.offer.plan;
    let (rate, window) = match plan.load {
        Load::Open { rate_per_s } => (Some(rate_per_s), None),
        Load::Closed { window } => (None, Some(window)),
        Load::None => (None, None),
    };
    json!({
        "preset": report.offer.preset,
        "connections": plan.connections,
        "ramp_per_s": plan.ramp_per_s,
        "rate_per_s": rate,
        "closed_window": window,
        "deliveries_per_s": report.offer.deliveries_per_s,
        "body_bytes": plan.body_bytes,
        "prime_messages": plan.options.prime,
        "idle_s": plan.options.idle.as_secs_f64(),
        "receive": plan.options.receive.label(),
        "burst": plan.options.burst.max(1),
        "protocol": match plan.options.protocol {
            Protocol::Chat => "chat",
            Protocol::Raw => "raw",
        },
        "warmup_s": plan.warmup.as_secs_f64(),
        "duration_s": plan.duration.as_secs_f64(),
    })
}

fn achieved(outcome: &Outcome) -> Value {
    let measured = outcome.measured.as_secs_f64();
    let rate = |count: u64| (measured > 0.0).then(|| count as f64 / measured);
    json!({
        "measured_s": measured,
        "intended": outcome.intended,
        "sent": outcome.sent,
        "acked": outcome.acked,
        "delivered": outcome.delivered,
        "sent_per_s": rate(outcome.sent),
        "acked_per_s": rate(outcome.acked),
        "delivered_per_s": rate(outcome.delivered),
    })
}

fn window(outcome: &Outcome) -> Value {
    let window = &outcome.window;
    let cpu_s = window.server_cpu.map(|cpu| cpu.as_secs_f64()).filter(|cpu| *cpu > 0.0);
    let seconds = window.length.as_secs_f64();
    let waited_s = window.server_waited.map(|waited| waited.as_secs_f64());
    let share = |part: Option<f64>| part.filter(|_| seconds > 0.0).map(|part| part / seconds);
    let per_cpu_s = |count: u64| cpu_s.map(|cpu| count as f64 / cpu);
    json!({
        "length_s": seconds,
        "sent": window.sent,
        "acked": window.acked,
        "delivered": window.delivered,
        "logins": window.logins,
        "server_cpu_s": cpu_s,
        "server_utilisation": share(cpu_s),
        "server_runnable": share(cpu_s.zip(waited_s).map(|(cpu, waited)| cpu + waited)),
        "messages_per_server_cpu_s": per_cpu_s(window.acked),
        "deliveries_per_server_cpu_s": per_cpu_s(window.delivered),
        "logins_per_server_cpu_s": per_cpu_s(window.logins),
    })
}

fn class(class: &Class) -> Value {
    let latencies = latencies(class).map(|(kind, histogram)| (kind.to_owned(), latency(histogram)));
    Value::Object(latencies.into_iter().collect())
}

fn latency(histogram: &Histogram<u64>) -> Value {
    let percentiles = REPORTED.map(|p| percentile::percentile(histogram, p));
    let mut bytes = Vec::new();
    // Writing to memory fails only for a histogram beyond any range that is used here; null says so.
    let serialized = V2Serializer::new().serialize(histogram, &mut bytes).ok();
    json!({
        "count": histogram.len(),
        "percentiles": percentiles,
        "mean_us": percentile::mean_us(histogram),
        "max_us": percentile::max_us(histogram),
        "hdr_v2_ns_b64": serialized.map(|_| STANDARD.encode(&bytes)),
    })
}

fn ledger(outcome: &Outcome) -> Value {
    let ledger = &outcome.ledger;
    json!({
        "sent": ledger.sent,
        "acked": ledger.acked,
        "delivered": ledger.delivered,
        "lost": ledger.lost,
        "duplicate": ledger.duplicate,
        "reordered": ledger.reordered,
        "corrupt": ledger.corrupt,
        "misrouted": ledger.misrouted,
        "indeterminate": ledger.indeterminate,
        "refused": ledger.refused,
        "foreign": ledger.foreign,
        "examples": outcome.violations,
    })
}

fn generator(report: &Report) -> Value {
    let outcome = &report.outcome;
    json!({
        "engine": report.offer.engine.label(),
        "cpu_s": outcome.engine_cpu.as_secs_f64(),
        "spin_s": outcome.engine_spin.as_secs_f64(),
        "runqueue_wait_s": outcome.engine_runqueue.as_secs_f64(),
        "gaps_pulled": outcome.gaps_pulled,
        "heartbeats": outcome.heartbeats,
        "enobufs": outcome.enobufs,
        "send_queue_overflows": outcome.send_queue_overflows,
    })
}

fn series(outcome: &Outcome) -> Vec<Value> {
    let rows = outcome.series.iter().map(|second| {
        json!({
            "t_s": second.t,
            "intended": second.intended,
            "sent": second.sent,
            "acked": second.acked,
            "delivered": second.delivered,
            "connections": second.connections,
            "response_us": second.response.counted().collect::<Vec<_>>(),
        })
    });
    rows.collect()
}
