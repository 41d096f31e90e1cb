//! A comparison as text: a row per metric, then what must be known beside it.

use std::fmt::Write as _;

use super::environment::{Bearing, Difference};
use super::judge::Finding;
use super::metrics::Better;
use super::{Comparison, Word};
use crate::stats::more_runs::MORE_MAX;

pub(super) fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let [first, second] = &comparison.sides;
    line(format!("first    {}  ({} runs)", comparison.names[0], first.len()));
    line(format!("second   {}  ({} runs)", comparison.names[1], second.len()));
    for note in &comparison.notes {
        line(format!("note     {note}"));
    }
    line(String::new());
    line(format!(
        "{:28} {:>12} {:>12} {:>8}  {:17} {:>7} {:>7}  verdict",
        "metric", "first", "second", "ratio", "95 % interval", "p", "Holm"
    ));
    for finding in &comparison.findings {
        line(row(finding));
    }
    if !comparison.others.is_empty() {
        line("not tested (declare with --metric):".into());
        for finding in &comparison.others {
            line(row(finding));
        }
    }
    line(String::new());
    if let Some(shape) = &comparison.shape {
        line(shape.words());
    }
    for difference in &comparison.environment {
        line(circumstance(difference));
    }
    line(format!("verdict: {}", comparison.verdict.label()));
    out
}

fn row(finding: &Finding) -> String {
    let ratio = &finding.ratio;
    let holm = finding.p_holm.map_or_else(|| "-".into(), |p| format!("{p:.4}"));
    let name = match finding.unit {
        "" => finding.words.to_owned(),
        unit => format!("{} ({unit})", finding.words),
    };
    format!(
        "{name:28} {:>12} {:>12} {:>8.4}  {:17} {:>7.4} {holm:>7}  {}",
        figure(finding.medians[0]),
        figure(finding.medians[1]),
        ratio.median,
        format!("{:.4} .. {:.4}", ratio.low, ratio.high),
        finding.p,
        verdict(finding)
    )
}

/// The verdict with what belongs to it.
pub(super) fn verdict(finding: &Finding) -> String {
    let margin = finding.margin * 100.0;
    match finding.verdict {
        None => "-".into(),
        Some(Word::Better) => format!("better ({})", percent(finding)),
        Some(Word::Worse) => format!("WORSE ({})", percent(finding)),
        Some(Word::Equivalent) => format!("equivalent (within {margin:.0} %)"),
        Some(Word::Inconclusive) => match finding.more_runs {
            Some(runs) => format!("inconclusive: about {runs} more runs a side"),
            None if finding.first.len().min(finding.second.len()) < 4 => {
                "inconclusive: too few runs".into()
            }
            None => format!("inconclusive: more than {MORE_MAX} further runs a side"),
        },
    }
}

fn percent(finding: &Finding) -> String {
    let change = (finding.ratio.median - 1.0) * 100.0;
    let direction = match finding.better {
        Better::More => "more is better",
        Better::Less => "less is better",
    };
    format!("{change:+.1} %, {direction}")
}

/// A figure with four digits that count.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v >= 1_000.0 => crate::report::grouped_count(value.round() as u64),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

fn circumstance(difference: &Difference) -> String {
    let bearing = match difference.bearing {
        Bearing::Compared => "compared",
        Bearing::Allowed => "ALLOWED",
        Bearing::Refused => "REFUSED",
    };
    let mut out = format!("{bearing:8} {}:", difference.fact);
    for (side, values) in [("first", &difference.first), ("second", &difference.second)] {
        for value in values {
            // Writing to a String cannot fail.
            let _ = write!(out, " {side} {}", short(&value.to_string()));
        }
    }
    out
}

/// A value that is long is shown by its beginning.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}...")
}
