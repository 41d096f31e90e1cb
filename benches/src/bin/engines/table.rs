//! What the pairs say, as tables: medians of each engine, and the median of the ratios within the pairs.

use std::fmt::Write as _;

use benches::runs::median;

use crate::{Load, Sample};

/// A figure of a sample, by its name.
type Figure = (&'static str, fn(&Sample) -> Option<f64>, fn(f64) -> String);

const COUNT: fn(f64) -> String = |value| format!("{value:.0}");
const MICROS: fn(f64) -> String = |value| format!("{value:.0} us");
const SHARE: fn(f64) -> String = |value| format!("{:.0} %", value * 100.0);
const CALLS: fn(f64) -> String = |value| format!("{value:.3}");

const CLOSED: &[Figure] = &[
    ("messages per node CPU second", |sample| sample.per_cpu_s, COUNT),
    ("messages per second", |sample| sample.delivered_per_s, COUNT),
    ("system calls of the node per message", |sample| sample.syscalls_per_message, CALLS),
    ("node's share of its processor", |sample| sample.node_busy, SHARE),
    ("generator's share of its processor", |sample| sample.generator_busy, SHARE),
];

const OPEN: &[Figure] = &[
    ("messages per node CPU second", |sample| sample.per_cpu_s, COUNT),
    ("messages per second", |sample| sample.delivered_per_s, COUNT),
    ("response p50", |sample| sample.response_us[0], MICROS),
    ("response p99", |sample| sample.response_us[1], MICROS),
    ("response p99.9", |sample| sample.response_us[2], MICROS),
    ("delivery p50", |sample| sample.delivery_us[0], MICROS),
    ("delivery p99", |sample| sample.delivery_us[1], MICROS),
    ("delivery p99.9", |sample| sample.delivery_us[2], MICROS),
    ("generator's lag p99", |sample| sample.lag_p99_us, MICROS),
    ("generator's share of its processor", |sample| sample.generator_busy, SHARE),
];

/// One run, short.
pub(crate) fn line(sample: &Sample) -> String {
    let shown =
        |value: Option<f64>, words: fn(f64) -> String| value.map_or_else(|| "n/a".into(), words);
    format!(
        "{:>3} {:<7} {:<6} {:>8} per node CPU s, delivery p50 {}, p99 {}, {}",
        sample.pair,
        format!("{:?}", sample.load).to_lowercase(),
        sample.engine,
        shown(sample.per_cpu_s, COUNT),
        shown(sample.delivery_us[0], MICROS),
        shown(sample.delivery_us[1], MICROS),
        sample.validity
    )
}

/// Both tables.
pub(crate) fn markdown(samples: &[Sample]) -> String {
    let mut text = String::new();
    for (load, figures) in [(Load::Closed, CLOSED), (Load::Open, OPEN)] {
        let of_load: Vec<&Sample> = samples.iter().filter(|sample| sample.load == load).collect();
        let Some(any) = of_load.iter().find(|sample| sample.engine == "uring") else { continue };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "## {load:?} loop\n\n`{}` and the same with `--engine epoll`.\n",
            any.command
        );
        let head =
            "| figure | uring engine | epoll engine | epoll over uring (lowest to highest) |";
        let _ = writeln!(text, "{head}\n|---|--:|--:|---|");
        for figure in figures {
            let _ = writeln!(text, "{}", row(&of_load, figure));
        }
        text.push('\n');
    }
    text
}

fn row(samples: &[&Sample], (name, figure, words): &Figure) -> String {
    let of = |engine: &str| {
        let engine = engine.to_owned();
        samples.iter().filter(move |sample| sample.engine == engine)
    };
    let middle = |engine: &str| median(of(engine).filter_map(|sample| figure(sample)).collect());
    let shown = |value: Option<f64>| value.map_or_else(|| "n/a".into(), words);
    let ratios: Vec<f64> = of("epoll")
        .filter_map(|sample| {
            let other = of("uring").find(|other| other.pair == sample.pair)?;
            let under = figure(other).filter(|value| *value > 0.0)?;
            Some(figure(sample)? / under)
        })
        .collect();
    let ends = ratios.iter().copied().reduce(f64::min).zip(ratios.iter().copied().reduce(f64::max));
    let ratio = median(ratios).zip(ends);
    let ratio = ratio.map_or_else(
        || "n/a".into(),
        |(middle, (low, high))| format!("{middle:.3} ({low:.3} to {high:.3})"),
    );
    format!("| {name} | {} | {} | {ratio} |", shown(middle("uring")), shown(middle("epoll")))
}
