//! Service level objectives: `delivery.p99 < 5ms`, `lost == 0`, `rss_per_connection_bytes < 512`.
//!
//! Owns the little language and its judgement. A figure that was not measured never passes: an objective is a claim, and
//! a claim without a figure is not shown.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::outcome::Class;
use crate::report::percentile;

/// A figure that objectives can name, and the unit that it is counted in.
pub struct Figure {
    /// Its name, as in `run.json`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds; written with `us`, `ms` or `s`.
    Us,
    /// Bytes; written bare or with `KiB`, `MiB`, `GiB`.
    Bytes,
    /// Events per second; written bare or with `/s`.
    PerS,
    /// Seconds, of time or of processor time; written bare or with `s`.
    S,
    /// A plain count or ratio; written bare.
    Count,
}

/// Every figure but the latencies.
pub const FIGURES: &[Figure] = &[
    figure("sent", Unit::Count),
    figure("acked", Unit::Count),
    figure("delivered", Unit::Count),
    figure("lost", Unit::Count),
    figure("duplicate", Unit::Count),
    figure("reordered", Unit::Count),
    figure("corrupt", Unit::Count),
    figure("misrouted", Unit::Count),
    figure("indeterminate", Unit::Count),
    figure("refused", Unit::Count),
    figure("disconnects", Unit::Count),
    figure("established", Unit::Count),
    figure("logins_per_s", Unit::PerS),
    figure("sent_per_s", Unit::PerS),
    figure("acked_per_s", Unit::PerS),
    figure("delivered_per_s", Unit::PerS),
    figure("cpu_s", Unit::S),
    figure("rss_bytes", Unit::Bytes),
    figure("rss_start_bytes", Unit::Bytes),
    figure("rss_per_connection_bytes", Unit::Bytes),
    figure("delivered_per_cpu_s", Unit::PerS),
    figure("syscalls_per_message", Unit::Count),
    figure("cqes_per_enter", Unit::Count),
    figure("ramp_s", Unit::S),
    figure("node_rss_total_per_connection_bytes", Unit::Bytes),
    figure("generator_rss_per_connection_bytes", Unit::Bytes),
    figure("generator_rss_total_per_connection_bytes", Unit::Bytes),
    figure("kernel_per_connection_bytes", Unit::Bytes),
    figure("heartbeat_p999", Unit::Us),
    figure("heartbeat_max", Unit::Us),
    figure("expired", Unit::Count),
    figure("idle_node_cpu", Unit::Count),
    figure("idle_generator_cpu", Unit::Count),
    figure("teardown_s", Unit::S),
    figure("kernel_back_s", Unit::S),
    figure("kernel_residue", Unit::Count),
    figure("kernel_residue_of_growth", Unit::Count),
];

const fn figure(name: &'static str, unit: Unit) -> Figure {
    Figure { name, unit }
}

/// One of the four latencies of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lag,
    Service,
    Response,
    Delivery,
}

/// Where in the distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Percentile(f64),
    Max,
    Mean,
}

#[derive(Clone, Debug, PartialEq)]
enum Metric {
    /// Of one class, or of all classes merged.
    Latency { class: Option<String>, kind: Kind, at: At },
    /// By its name in [`FIGURES`].
    Figure(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    expr: String,
    metric: Metric,
    unit: Unit,
    comparison: Comparison,
    limit: f64,
}

/// What became of an objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloResult {
    /// The objective as it was written.
    pub expr: String,
    /// What was measured, in `unit`, or nothing when it was not.
    pub value: Option<f64>,
    /// The unit of `value`.
    pub unit: Unit,
    /// Whether it was met.
    pub pass: bool,
    /// Why there is no value.
    pub note: Option<String>,
}

/// Why an expression was refused, with what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("objective `{expr}`: {problem}")]
pub struct SloError {
    expr: String,
    problem: String,
}

/// The figures of a run by name; a missing one was not measured.
pub type Figures = BTreeMap<&'static str, Option<f64>>;

impl Slo {
    /// Judges the objective.
    #[must_use]
    pub fn judge(&self, classes: &BTreeMap<String, Class>, figures: &Figures) -> SloResult {
        let measured = match &self.metric {
            Metric::Latency { class, kind, at } => latency(classes, class.as_deref(), *kind, *at),
            Metric::Figure(name) => figures
                .get(name)
                .copied()
                .flatten()
                .ok_or_else(|| "not measured in this run".into()),
        };
        let (value, note) = match measured {
            Ok(value) => (Some(value), None),
            Err(note) => (None, Some(note)),
        };
        let pass = value.is_some_and(|value| self.comparison.holds(value, self.limit));
        SloResult { expr: self.expr.clone(), value, unit: self.unit, pass, note }
    }
}

fn latency(
    classes: &BTreeMap<String, Class>,
    class: Option<&str>,
    kind: Kind,
    at: At,
) -> Result<f64, String> {
    let mut merged: Option<Histogram<u64>> = None;
    for (_, found) in classes.iter().filter(|(name, _)| class.is_none_or(|wanted| wanted == *name))
    {
        let histogram = kind.of(found);
        match &mut merged {
            None => merged = Some(histogram.clone()),
            Some(sum) => sum.add(histogram).map_err(|error| error.to_string())?,
        }
    }
    let Some(histogram) = merged else {
        let names: Vec<&str> = classes.keys().map(String::as_str).collect();
        return Err(format!("no such class in this run, which has: {}", names.join(", ")));
    };
    if histogram.is_empty() {
        return Err("no samples".into());
    }
    match at {
        At::Percentile(p) => percentile::percentile(&histogram, p).value_us.ok_or_else(|| {
            format!(
                "fewer than {} of {} samples lie beyond",
                percentile::BEYOND_MIN,
                histogram.len()
            )
        }),
        At::Max => percentile::max_us(&histogram).ok_or_else(|| "no samples".into()),
        At::Mean => percentile::mean_us(&histogram).ok_or_else(|| "no samples".into()),
    }
}

impl Kind {
    const ALL: [(&'static str, Self); 4] = [
        ("lag", Self::Lag),
        ("service", Self::Service),
        ("response", Self::Response),
        ("delivery", Self::Delivery),
    ];

    const fn of(self, class: &Class) -> &Histogram<u64> {
        match self {
            Self::Lag => &class.lag,
            Self::Service => &class.service,
            Self::Response => &class.response,
            Self::Delivery => &class.delivery,
        }
    }
}

impl Comparison {
    /// The longer signs first, so that `<=` is not taken for `<`.
    const SIGNS: [(&'static str, Self); 7] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
        ("=", Self::Equal),
    ];

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Equal => value == limit,
            Self::NotEqual => value != limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Greater => value > limit,
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expr)
    }
}

impl std::str::FromStr for Slo {
    type Err = SloError;

    fn from_str(expr: &str) -> Result<Self, SloError> {
        parse(expr).map_err(|problem| SloError { expr: expr.trim().to_owned(), problem })
    }
}

fn parse(expr: &str) -> Result<Slo, String> {
    let sign = expr.find(['<', '>', '=', '!']).ok_or(
        "no comparison in it; write METRIC < LIMIT, with one of < <= == != >= >, as in `delivery.p99 < 5ms`",
    )?;
    let (name, rest) = expr.split_at(sign);
    let (text, comparison) = Comparison::SIGNS
        .into_iter()
        .find(|(text, _)| rest.starts_with(text))
        .ok_or("`!` alone is no comparison; use one of < <= == != >= >")?;
    let (metric, unit) = parse_metric(name.trim())?;
    let limit = parse_limit(rest[text.len()..].trim(), unit)?;
    Ok(Slo { expr: expr.trim().to_owned(), metric, unit, comparison, limit })
}

fn parse_metric(name: &str) -> Result<(Metric, Unit), String> {
    let bare = name.strip_prefix("server.").unwrap_or(name);
    if let Some(figure) = FIGURES.iter().find(|figure| figure.name == bare) {
        return Ok((Metric::Figure(figure.name), figure.unit));
    }
    let parts: Vec<&str> = name.split('.').collect();
    // `p99.9` holds a dot itself: what follows the kind is one word again.
    let kind_at = parts.iter().position(|part| Kind::ALL.iter().any(|(kind, _)| kind == part));
    let Some(kind_at) = kind_at.filter(|at| *at <= 1) else {
        return Err(unknown_metric(name));
    };
    let class = (kind_at == 1).then(|| parts[0].to_owned());
    let kind = Kind::ALL.iter().find(|(kind, _)| *kind == parts[kind_at]).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| unknown_metric(name))?;
    let at = parse_at(&parts[kind_at + 1..].join("."))?;
    Ok((Metric::Latency { class, kind, at }, Unit::Us))
}

fn parse_at(word: &str) -> Result<At, String> {
    let wanted = "after the latency stands p50, p99, p99.9 ..., max or mean";
    match word {
        "max" => Ok(At::Max),
        "mean" => Ok(At::Mean),
        "" => Err(format!("which part of the distribution? {wanted}")),
        _ => {
            let number = word.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
            match number {
                Some(p) if p > 0.0 && p < 100.0 => Ok(At::Percentile(p)),
                Some(p) => Err(format!(
                    "p{p} is no percentile; it lies between 0 and 100; for the top write max"
                )),
                None => Err(format!("`{word}` is not known; {wanted}")),
            }
        }
    }
}

fn unknown_metric(name: &str) -> String {
    let names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
    format!(
        "the metric `{name}` is not known; latencies are [CLASS.]lag|service|response|delivery.pNN|max|mean, and the \
         figures are {}",
        names.join(", ")
    )
}

fn parse_limit(text: &str, unit: Unit) -> Result<f64, String> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '/').unwrap_or(text.len());
    let (number, suffix) = (text[..end].trim().replace('_', ""), text[end..].trim());
    let value: f64 = number.parse().map_err(|_| match text {
        "" => "the limit is missing".to_owned(),
        _ => format!("`{text}` does not begin with a number"),
    })?;
    if !value.is_finite() {
        return Err(format!("`{text}` is not a finite number"));
    }
    let scale = match (unit, suffix) {
        (Unit::Us, "us") | (Unit::S, "" | "s") => 1.0,
        (Unit::Us, "ns") => 1e-3,
        (Unit::Us, "ms") => 1e3,
        (Unit::Us, "s") => 1e6,
        (Unit::Us, "") => return Err(format!("`{text}` needs a unit: us, ms or s")),
        (Unit::Bytes, "" | "B") | (Unit::PerS, "" | "/s") | (Unit::Count, "") => 1.0,
        (Unit::Bytes, "KiB") => 1024.0,
        (Unit::Bytes, "MiB") => 1024.0 * 1024.0,
        (Unit::Bytes, "GiB") => 1024.0 * 1024.0 * 1024.0,
        (Unit::PerS | Unit::Count, "k" | "k/s") => 1e3,
        (Unit::PerS | Unit::Count, "M" | "M/s") => 1e6,
        (_, suffix) => {
            return Err(format!("the unit `{suffix}` does not fit; this metric is in {unit}"));
        }
    };
    Ok(value * scale)
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Us => "us, ms or s",
            Self::Bytes => "bytes, KiB, MiB or GiB",
            Self::PerS => "events per second, bare or with /s",
            Self::S => "seconds",
            Self::Count => "plain numbers",
        })
    }
}

#[cfg(test)]
#[path = "slo_tests.rs"]
mod tests;
