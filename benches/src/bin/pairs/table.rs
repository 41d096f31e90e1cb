//! What is shown and what is kept: a line per pair, the estimate, the verdict on the goal.

use std::fmt::Write as _;

use anyhow::Context;
use loadgen::stats::{self, Estimate, paired};
use serde::Serialize;

use crate::load::Sample;
use crate::rows::{Measure, Row};

/// How far the median may lie on the wrong side of a goal that the interval reaches.
const SLACK: f64 = 0.03;

/// One run of each server, one right after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Pair {
    /// Who went first.
    pub(crate) floor_first: bool,
    /// The floor's run.
    pub(crate) floor: Sample,
    /// The node's run.
    pub(crate) node: Sample,
}

/// A row with its result, as it is kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// The row.
    pub(crate) row: &'static str,
    /// In words.
    pub(crate) work: &'static str,
    /// What was compared.
    pub(crate) unit: &'static str,
    /// loadgen's words.
    pub(crate) load: String,
    /// The floor's work.
    pub(crate) floor_mode: &'static str,
    /// Node / floor.
    pub(crate) ratio: Estimate,
    /// What is to be reached.
    pub(crate) goal: f64,
    /// Whether it is.
    pub(crate) is_reached: bool,
    /// Medians of what was compared: floor, node.
    pub(crate) medians: [f64; 2],
    /// Medians of the share of time in which the server had work: floor, node. Below about 0.9 the load was too small to
    /// fill it: it slept between batches, and batches were smaller than they could be.
    pub(crate) server_busy: [f64; 2],
    /// The ratio of the other percentile, in the latency row: p99.9.
    pub ratio_p999: Option<Estimate>,
    /// Every pair.
    pub(crate) pairs: Vec<Pair>,
}

/// Makes a finding of the pairs.
///
/// # Errors
/// When a run found nothing to compare.
pub(crate) fn find(row: &'static Row, load: String, pairs: Vec<Pair>) -> anyhow::Result<Finding> {
    let figures = |figure: fn(&Sample, Measure) -> f64| -> Vec<(f64, f64)> {
        let both =
            |pair: &Pair| (figure(&pair.node, row.measure), figure(&pair.floor, row.measure));
        pairs.iter().map(both).collect()
    };
    let compared = figures(Sample::figure);
    let ratio = paired::ratio(&compared).context("a run found nothing to compare")?;
    let median = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        stats::median(&figures).unwrap_or(f64::NAN)
    };
    let (node, floor): (Vec<f64>, Vec<f64>) = compared.into_iter().unzip();
    let is_latency = row.measure == Measure::Latency;
    let p999 = figures(|sample, _| sample.delivery_us[2].unwrap_or(f64::NAN));
    Ok(Finding {
        row: row.name,
        work: row.work,
        unit: row.unit(),
        load,
        floor_mode: row.floor_mode,
        ratio,
        goal: row.goal,
        is_reached: is_reached(row, &ratio),
        medians: [median(floor), median(node)],
        server_busy: [
            median(pairs.iter().map(|pair| pair.floor.server_busy()).collect()),
            median(pairs.iter().map(|pair| pair.node.server_busy()).collect()),
        ],
        ratio_p999: is_latency.then(|| paired::ratio(&p999)).flatten(),
        pairs,
    })
}

/// The interval reaches the goal, and the median is near it.
fn is_reached(row: &Row, ratio: &Estimate) -> bool {
    if row.is_more_better() {
        ratio.high >= row.goal && ratio.median >= row.goal - SLACK
    } else {
        ratio.low <= row.goal && ratio.median <= row.goal + SLACK
    }
}

/// What stands above a row's pairs.
pub(crate) fn head(row: &Row, load: &str) -> String {
    let columns = format!(
        "{:>4} {:>6} {:>12} {:>12} {:>7}  {:>11} {:>11} {:>11} {:>9} {:>9}   ({})",
        "pair",
        "first",
        "floor",
        "node",
        "ratio",
        "server busy",
        "load busy",
        "disturbed",
        "other",
        "enters",
        row.unit()
    );
    format!("\n{}: {}\nload: {load}\n{columns}", row.name, row.work)
}

/// What the columns of two figures are, floor first: `busy` is the share of time in which somebody had work, `disturbed` that
/// in which he wanted a processor and a stranger had it, `other` what the server that was not measured took meanwhile.
fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// One pair.
pub(crate) fn line(row: &Row, number: u32, pair: &Pair) -> String {
    let Pair { floor_first, floor, node } = pair;
    let (floor_figure, node_figure) = (floor.figure(row.measure), node.figure(row.measure));
    let both = |of: fn(&Sample) -> f64| format!("{} {}", percent(of(floor)), percent(of(node)));
    format!(
        "{number:>4} {:>6} {floor_figure:>12.0} {node_figure:>12.0} {:>7.3}  {:>11} {:>11} {:>11} {:>9} {:>9}",
        if *floor_first { "floor" } else { "node" },
        node_figure / floor_figure,
        both(Sample::server_busy),
        both(Sample::generator_busy),
        both(Sample::disturbed),
        both(|sample| sample.idle_cpu_s / sample.seconds),
        node.enters_per_unit.map_or_else(|| "-".into(), |enters| format!("{enters:.4}")),
    )
}

/// The estimate in words.
fn words(ratio: &Estimate) -> String {
    let Estimate { median, low, high, coverage } = ratio;
    format!("{median:.3} ({low:.3} to {high:.3}, {:.1} %)", coverage * 100.0)
}

const fn verdict(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "NOT reached" }
}

/// What stands below a row's pairs.
pub(crate) fn foot(finding: &Finding) -> String {
    let [floor, node] = finding.medians;
    let mut text = format!(
        "{}: node / floor {}, goal {}: {}; medians {node:.0} / {floor:.0} {}; had work {} / {} of the time",
        finding.row,
        words(&finding.ratio),
        finding.goal,
        verdict(finding.is_reached),
        finding.unit,
        percent(finding.server_busy[1]),
        percent(finding.server_busy[0])
    );
    if let Some(p999) = &finding.ratio_p999 {
        let _ = write!(text, "; p99.9 {}", words(p999)); // Writing to a string cannot fail.
    }
    text
}

/// All rows.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let mut text = String::from("\nsummary\n");
    for finding in findings {
        let _ = writeln!(text, "{}", foot(finding)); // As above.
    }
    text
}
