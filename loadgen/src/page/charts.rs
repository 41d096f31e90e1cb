//! What of a run is drawn: spectra, the heat map, and the lines over time with the run's phases and outages shaded.

use anyhow::Context;
use hdrhistogram::Histogram;
use minijinja::context;
use serde_json::Value;

use super::picture::{self, Chart, Line, Scale, seconds};
use crate::stored::histogram;

/// The percentiles of a class, on an axis that gives every further nine as much room as the one before.
///
/// # Errors
/// A histogram of the run is damaged.
pub(super) fn spectrum(name: &str, class: &Value) -> anyhow::Result<Option<String>> {
    let mut lines = Vec::new();
    for kind in ["lag", "service", "response", "delivery"] {
        let histogram = histogram::of(&class[kind]).with_context(|| format!("{name} {kind}"))?;
        if !histogram.is_empty() {
            lines.push(Line { name: kind.into(), points: points(&histogram) });
        }
    }
    let ticks = [
        (0.0, "0"),
        (1.0, "90"),
        (2.0, "99"),
        (3.0, "99.9"),
        (4.0, "99.99"),
        (5.0, "99.999"),
        (6.0, "99.9999"),
    ];
    let chart = Chart {
        label: format!("Latency of {name} messages by percentile"),
        lines,
        bands: Vec::new(),
        scale: Scale::LogMicros,
        span: None,
        ticks: ticks.map(|(at, words)| (at, words.to_owned())).to_vec(),
        unit: "percentile",
    };
    Ok(chart.svg())
}

/// Nines and microseconds, up to the last sample.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let total = histogram.len() as f64;
    let last = total.log10();
    let steps = (last * 20.0).ceil() as u32;
    let at = |step: u32| (f64::from(step) / 20.0).min(last);
    let value = |nines: f64| histogram.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1e3;
    (0..=steps).map(at).map(|nines| (nines, value(nines))).collect()
}

/// Responses by the second in which the message was due.
pub(super) fn heat(run: &Value) -> Option<String> {
    let pair = |cell: &Value| Some((cell.get(0)?.as_f64()?, cell.get(1)?.as_f64()?));
    let column = |second: &Value| {
        let cells = second["response_us"].as_array()?.iter().filter_map(pair).collect();
        Some((second["t_s"].as_f64()?, cells))
    };
    let columns: Vec<_> = run["series"].as_array()?.iter().filter_map(column).collect();
    picture::heat("Response times by second", &columns)
}

/// What is drawn over time.
struct Over {
    title: &'static str,
    about: &'static str,
    series: &'static str,
    scale: Scale,
    lines: &'static [(&'static str, &'static str)],
}

const OVER_TIME: [Over; 4] = [
    Over {
        title: "Messages over time",
        about: "Due, sent, acknowledged and delivered in each second.",
        series: "series",
        scale: Scale::Linear,
        lines: &[
            ("due/s", "intended"),
            ("sent/s", "sent"),
            ("acknowledged/s", "acked"),
            ("delivered/s", "delivered"),
        ],
    },
    Over {
        title: "Connections",
        about: "Established at the end of each second.",
        series: "series",
        scale: Scale::Linear,
        lines: &[("connections", "connections")],
    },
    Over {
        title: "Server processor time",
        about: "Percent of one processor, in user code and in the kernel.",
        series: "server_series",
        scale: Scale::Linear,
        lines: &[("user, %", "user_percent"), ("kernel, %", "kernel_percent")],
    },
    Over {
        title: "Server memory",
        about: "Resident memory of the node.",
        series: "server_series",
        scale: Scale::Bytes,
        lines: &[("resident", "rss_bytes")],
    },
];

/// The charts over time that there is something to see in, in their order.
pub(super) fn over_time(run: &Value) -> Vec<minijinja::Value> {
    let ends = ends(run);
    let chart = |over: &Over| {
        let svg = chart(run, over, ends).svg()?;
        Some(context! { title => over.title, about => over.about, svg => super::safe(svg) })
    };
    OVER_TIME.iter().filter_map(chart).collect()
}

/// The first and the last second of all series: the charts have one axis.
fn ends(run: &Value) -> (f64, f64) {
    let rows = ["series", "server_series"].map(|series| run[series].as_array());
    let times = rows.into_iter().flatten().flatten().filter_map(|row| row["t_s"].as_f64());
    times.fold((0.0, 1.0), |(from, until), t| (t.min(from), t.max(until)))
}

fn chart(run: &Value, over: &Over, (from, until): (f64, f64)) -> Chart {
    let rows = || run[over.series].as_array().into_iter().flatten();
    let lines = over.lines.iter().map(|(name, field)| {
        let point = |row: &Value| Some((row["t_s"].as_f64()?, row[*field].as_f64()?));
        Line { name: (*name).to_owned(), points: rows().filter_map(point).collect() }
    });
    Chart {
        label: over.title.to_owned(),
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
        bands: bands(run, until),
        scale: over.scale,
        span: Some((from, until)),
        ticks: seconds(from, until),
        unit: "seconds from the start of the measured phase",
    }
}

/// What is shaded: warm-up, and outages.
fn bands(run: &Value, until: f64) -> Vec<(f64, f64, String)> {
    let warmup = run["offered"]["warmup_s"].as_f64().filter(|length| *length > 0.0);
    let outage = |row: &Value| {
        let end = row["until_s"].as_f64().unwrap_or(until);
        Some((row["from_s"].as_f64()?, end, row["what"].as_str()?.to_owned()))
    };
    let outages = run["disturbed"].as_array().into_iter().flatten().filter_map(outage);
    warmup.map(|length| (-length, 0.0, "warm-up".to_owned())).into_iter().chain(outages).collect()
}
