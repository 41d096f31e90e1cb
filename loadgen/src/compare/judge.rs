//! The verdict on each metric: better, worse, equivalent or inconclusive. Pure: runs' figures in, findings out.
//!
//! A change is claimed when the corrected test and the interval both show one and the interval does not lie within the
//! margin; equivalence when the whole interval lies within it. Everything else is inconclusive, never "no change".

use serde::Serialize;

use super::metrics::{Better, Metric};
use crate::stats::equivalence::{self, Equivalence};
use crate::stats::more_runs::{self, Question};
use crate::stats::{ALPHA, Estimate, holm, logarithms, mann_whitney, median_of, two_sample};

/// An interval that covers less than this bears no verdict: there were too few runs for one.
const COVERAGE_MIN: f64 = 1.0 - ALPHA;

/// What is said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The second side is better.
    Better,
    /// The second side is worse.
    Worse,
    /// The sides differ by less than matters, if they differ.
    Equivalent,
    /// The runs do not tell.
    Inconclusive,
}

impl Word {
    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One metric of both sides, a number for each run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Which.
    pub metric: &'static Metric,
    /// Of the first side's runs.
    pub first: Vec<f64>,
    /// Of the second side's.
    pub second: Vec<f64>,
    /// How small a change does not matter.
    pub margin: f64,
}

/// What was found of one metric.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name.
    pub metric: &'static str,
    /// In words.
    pub words: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// How small a change does not matter.
    pub margin: f64,
    /// Of the first side's runs, in order.
    pub first: Vec<f64>,
    /// Of the second side's runs, in order.
    pub second: Vec<f64>,
    /// The middle of each side's.
    pub medians: [f64; 2],
    /// Second / first.
    pub ratio: Estimate,
    /// Of the two-sided test, by itself.
    pub p: f64,
    /// The same, corrected for all metrics that were tested together; nothing for those that were not declared.
    pub p_holm: Option<f64>,
    /// The tests against the ends of the margin.
    pub equivalence: Equivalence,
    /// What is said; nothing for metrics that were not declared.
    pub verdict: Option<Word>,
    /// Of an inconclusive one: about how many more runs a side would tell, if it is known.
    pub more_runs: Option<u32>,
}

/// Judges the metrics that are tested together.
#[must_use]
pub fn judge(figures: &[Figures]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = figures.iter().filter_map(describe).collect();
    let p: Vec<f64> = findings.iter().map(|finding| finding.p).collect();
    for (finding, p_holm) in findings.iter_mut().zip(holm::adjust(&p)) {
        finding.p_holm = Some(p_holm);
        let word = word(finding, p_holm);
        finding.verdict = Some(word);
        if word == Word::Inconclusive {
            finding.more_runs = more(finding, p.len());
        }
    }
    findings
}

/// Describes a metric without a verdict; nothing if it has no ratio.
#[must_use]
pub fn describe(figures: &Figures) -> Option<Finding> {
    let Figures { metric, first, second, margin } = figures;
    Some(Finding {
        metric: metric.name,
        words: metric.words,
        unit: metric.unit,
        better: metric.better,
        margin: *margin,
        first: first.clone(),
        second: second.clone(),
        medians: [median_of(first)?, median_of(second)?],
        ratio: two_sample::ratio(first, second)?,
        p: mann_whitney::test(first, second)?.p,
        p_holm: None,
        equivalence: equivalence::test(first, second, *margin)?,
        verdict: None,
        more_runs: None,
    })
}

fn word(finding: &Finding, p_holm: f64) -> Word {
    let Finding { ratio, margin, better, .. } = finding;
    if ratio.coverage < COVERAGE_MIN {
        return Word::Inconclusive;
    }
    let edge = 1.0 + margin;
    if ratio.low >= 1.0 / edge && ratio.high <= edge {
        return Word::Equivalent;
    }
    if p_holm > ALPHA || !ratio.excludes(1.0) {
        return Word::Inconclusive;
    }
    match better {
        Better::More if ratio.median > 1.0 => Word::Better,
        Better::Less if ratio.median < 1.0 => Word::Better,
        Better::More | Better::Less => Word::Worse,
    }
}

fn more(finding: &Finding, metrics: usize) -> Option<u32> {
    let (first, second) = (logarithms(&finding.first)?, logarithms(&finding.second)?);
    let shift = two_sample::shift(&first, &second)?;
    let runs = first.len().min(second.len());
    more_runs::further(&Question { shift, runs, margin: finding.margin, metrics })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::metrics::METRICS;

    const RUNS: [f64; 5] = [100.0, 101.0, 99.0, 100.4, 99.7];

    fn found(metric: usize, first: &[f64], second: &[f64]) -> Finding {
        let metric = &METRICS[metric];
        let (first, second) = (first.to_vec(), second.to_vec());
        judge(&[Figures { metric, first, second, margin: metric.margin }]).remove(0)
    }

    fn times(factor: f64) -> [f64; 5] {
        RUNS.map(|run| run * factor)
    }

    #[test]
    fn more_is_better_of_throughput_and_worse_of_latency() {
        let (throughput, latency) = (0, 1);
        let word = |metric, factor| found(metric, &RUNS, &times(factor)).verdict.unwrap();
        assert_eq!((word(throughput, 1.2), word(throughput, 0.8)), (Word::Better, Word::Worse));
        assert_eq!((word(latency, 1.2), word(latency, 0.8)), (Word::Worse, Word::Better));
        assert_eq!(word(throughput, 1.0), Word::Equivalent);
    }

    #[test]
    fn a_change_that_is_sure_but_within_the_margin_is_equivalent() {
        let tight = [100.0, 100.01, 99.99, 100.02, 99.98];
        let finding = found(0, &tight, &tight.map(|run| run * 1.005));
        assert!(finding.p < 0.05, "the change is sure");
        assert_eq!(finding.verdict, Some(Word::Equivalent));
        assert!(finding.equivalence.p < 0.025);
    }

    #[test]
    fn noise_is_inconclusive_and_says_how_many_runs_would_tell() {
        let noisy = [100.0, 150.0, 70.0, 120.0, 90.0];
        let finding = found(0, &noisy, &noisy.map(|run| run * 1.1));
        assert_eq!(finding.verdict, Some(Word::Inconclusive));
        assert!(finding.more_runs.unwrap() > 20, "{:?}", finding.more_runs);
    }

    #[test]
    fn too_few_runs_are_inconclusive_however_far_apart() {
        let finding = found(0, &RUNS[..1], &[500.0]);
        assert_eq!((finding.verdict, finding.more_runs), (Some(Word::Inconclusive), None));
        let finding = found(0, &RUNS[..3], &[500.0, 501.0, 502.0]);
        assert_eq!(finding.verdict, Some(Word::Inconclusive));
        assert!(finding.more_runs.unwrap() >= 1);
    }

    #[test]
    fn metrics_that_are_tested_together_pay_for_each_other() {
        // Four and five runs are enough for one metric, and not for four of which one has changed.
        let (first, second) = (RUNS[..4].to_vec(), times(1.1).to_vec());
        let figures = |metric: usize, second: &[f64]| Figures {
            metric: &METRICS[metric],
            first: first.clone(),
            second: second.to_vec(),
            margin: 0.001,
        };
        let alone = judge(&[figures(0, &second)]);
        assert_eq!(alone[0].verdict, Some(Word::Better));
        let together = judge(
            &[0, 1, 2, 3, 4, 5, 6]
                .map(|metric| figures(metric, if metric == 0 { &second } else { &RUNS })),
        );
        assert_eq!(together[0].verdict, Some(Word::Inconclusive));
        assert_eq!(together[0].p, alone[0].p);
    }

    #[test]
    fn what_has_no_ratio_is_left_out() {
        let metric = &METRICS[0];
        let none = Figures { metric, first: vec![0.0; 5], second: RUNS.to_vec(), margin: 0.02 };
        assert!(judge(&[none]).is_empty());
    }
}
