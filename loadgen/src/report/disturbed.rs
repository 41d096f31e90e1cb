//! What was done to the system, and what was acknowledged before, meanwhile and afterwards.

use std::ops::Range;

use serde_json::{Value, json};

use super::Report;
use super::table::{ABSENT, Section, grouped};
use crate::trial::Disturbed;

/// Acknowledgements per second in the whole seconds of a range; `None` if there is none.
fn acked_per_s(report: &Report, seconds: Range<i64>) -> Option<f64> {
    let inside = report.outcome.series.iter().filter(|second| seconds.contains(&second.t));
    let acked: Vec<u64> = inside.map(|second| second.acked).collect();
    (!acked.is_empty()).then(|| acked.iter().sum::<u64>() as f64 / acked.len() as f64)
}

/// Before, meanwhile, and from the first whole second afterwards on.
fn rates(report: &Report, disturbed: &Disturbed) -> [Option<f64>; 3] {
    let measured = report.outcome.measured.as_secs_f64();
    let from = disturbed.from.as_secs_f64();
    let until = disturbed.until.map_or(measured, |until| until.as_secs_f64());
    let (whole, end) = ((from.ceil() as i64)..(until.floor() as i64), measured.floor() as i64);
    [0..from.floor() as i64, whole, until.ceil() as i64..end]
        .map(|range| acked_per_s(report, range))
}

pub(super) fn rows(report: &Report) -> Vec<Value> {
    let row = |disturbed: &Disturbed| {
        let [before, meanwhile, after] = rates(report, disturbed);
        json!({
            "what": disturbed.what,
            "from_s": disturbed.from.as_secs_f64(),
            "until_s": disturbed.until.map(|until| until.as_secs_f64()),
            "acked_per_s": { "before": before, "meanwhile": meanwhile, "after": after },
        })
    };
    report.disturbed.iter().map(row).collect()
}

pub(super) fn section(report: &Report) -> String {
    if report.disturbed.is_empty() {
        return String::new();
    }
    let mut section = Section::new("outages (acknowledged per second before, meanwhile, after)");
    for disturbed in &report.disturbed {
        let [before, meanwhile, after] =
            rates(report, disturbed).map(|rate| rate.map_or_else(|| ABSENT.into(), grouped));
        let until = disturbed.until.map_or_else(
            || "to the end".into(),
            |until| format!("to {:.2} s", until.as_secs_f64()),
        );
        let from = disturbed.from.as_secs_f64();
        section.line(
            &disturbed.what,
            format_args!("{from:.2} s {until}: {before}, {meanwhile}, {after}"),
        );
    }
    section.0
}
