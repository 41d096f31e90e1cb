//! What is shown and what is kept: a line per run, the medians, the ratios with their intervals.

use std::fmt::Write as _;

use loadgen::stats::{self, Estimate, paired};
use serde::Serialize;

use crate::load::{Sample, VARIANTS, Variant};

const ONE: usize = 0;
const SAME: usize = 1;
const CROSS: usize = 2;
const STRAY: usize = 3;

/// What a cross-shard message may cost, in messages within a shard.
const GOAL: f64 = 1.3;

/// Every variant's runs, and what follows from them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// loadgen's words.
    load: &'static str,
    /// The variants' names, in the order of the samples.
    variants: Vec<&'static str>,
    /// Deliveries of two shards per second of time, beside one shard's.
    rate_two_to_one: Option<Estimate>,
    /// The node's processor time per message, two shards beside one.
    cost_two_to_one: Option<Estimate>,
    /// The same, between shards beside within a shard, both on two shards.
    cost_cross_to_same: Option<Estimate>,
    /// The same, with everybody connected to the other shard.
    cost_stray_to_same: Option<Estimate>,
    /// Every round.
    rounds: Vec<[Sample; VARIANTS.len()]>,
}

/// Estimates of all rounds.
pub(crate) fn find(load: &'static str, rounds: Vec<[Sample; VARIANTS.len()]>) -> Finding {
    let ratio = |of: fn(&Sample) -> f64, this: usize, that: usize| {
        let pairs: Vec<_> =
            rounds.iter().map(|round| (of(&round[this]), of(&round[that]))).collect();
        paired::ratio(&pairs)
    };
    let cost = |sample: &Sample| 1.0 / sample.per_cpu();
    Finding {
        load,
        variants: VARIANTS.iter().map(|variant| variant.name).collect(),
        rate_two_to_one: ratio(Sample::rate, SAME, ONE),
        cost_two_to_one: ratio(cost, SAME, ONE),
        cost_cross_to_same: ratio(cost, CROSS, SAME),
        cost_stray_to_same: ratio(cost, STRAY, SAME),
        rounds,
    }
}

const COLUMNS: &str = "per node CPU s        per s  node CPU  generator   mails  batches  mails/batch   wakes  events  spared  \
                       enters   turns   sends";

/// What stands above the runs.
pub(crate) fn head() -> String {
    format!("round variant {COLUMNS}   (from mails on: per message)")
}

/// One run.
pub(crate) fn line(round: u32, variant: Variant, sample: &Sample) -> String {
    format!("{round:>5} {}", row(variant.name, sample))
}

fn row(name: &str, sample: &Sample) -> String {
    let percent = |cpu: f64| cpu / sample.seconds * 100.0;
    let per_batch = if sample.batches > 0.0 { sample.mails / sample.batches } else { 0.0 };
    format!(
        "{name:<7} {:>14.0} {:>12.0} {:>8.0}% {:>9.0}% {:>7.3} {:>8.4} {per_batch:>12.2} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>7.4}",
        sample.per_cpu(),
        sample.rate(),
        percent(sample.node_cpu_s),
        percent(sample.generator_cpu_s),
        sample.mails,
        sample.batches,
        sample.wakes,
        sample.wake_events,
        sample.spared,
        sample.enters,
        sample.turns,
        sample.sends,
    )
}

/// The medians and the ratios.
pub(crate) fn text(finding: &Finding) -> String {
    let mut text = format!(
        "medians of {} rounds; {}\n{:8}{COLUMNS}\n",
        finding.rounds.len(),
        finding.load,
        ""
    );
    for (at, variant) in VARIANTS.iter().enumerate() {
        let samples: Vec<&Sample> = finding.rounds.iter().map(|round| &round[at]).collect();
        let _ = writeln!(text, "{}", row(variant.name, &middle(&samples)));
    }
    for (what, estimate, goal) in [
        ("deliveries per second, two shards / one", &finding.rate_two_to_one, None),
        ("CPU per message, two shards / one", &finding.cost_two_to_one, None),
        ("CPU per message, cross / same", &finding.cost_cross_to_same, Some(GOAL)),
        ("CPU per message, stray / same", &finding.cost_stray_to_same, None),
    ] {
        let Some(Estimate { median, low, high, coverage }) = estimate else { continue };
        let percent = coverage * 100.0;
        let _ = write!(text, "{what}: {median:.3} ({low:.3} to {high:.3}, {percent:.1} %)");
        if let Some(goal) = goal {
            let verdict = if *low <= goal && *median <= goal { "reached" } else { "NOT reached" };
            let _ = write!(text, ", goal {goal}: {verdict}");
        }
        text.push('\n');
    }
    text
}

/// A sample of the medians of each figure.
fn middle(samples: &[&Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(|sample| figure(sample)).collect();
        figures.sort_by(f64::total_cmp);
        stats::median(&figures).unwrap_or(f64::NAN)
    };
    let seconds = of(|sample| sample.seconds);
    let delivered = of(Sample::rate) * seconds;
    Sample {
        seconds,
        node_cpu_s: delivered / of(Sample::per_cpu),
        generator_cpu_s: of(|sample| sample.generator_cpu_s),
        delivered: delivered as u64,
        mails: of(|sample| sample.mails),
        batches: of(|sample| sample.batches),
        wakes: of(|sample| sample.wakes),
        wake_events: of(|sample| sample.wake_events),
        spared: of(|sample| sample.spared),
        enters: of(|sample| sample.enters),
        turns: of(|sample| sample.turns),
        sends: of(|sample| sample.sends),
    }
}
