//! `loadgen compare`: two sides of several runs each, held against each other with the run as the unit.
//!
//! Owns the order: read (or make) the runs, refuse what cannot be compared, judge, show, and the exit status. The
//! arithmetic is in `stats`, the verdict in `judge`, the pages in `text` and `html`.

pub mod environment;
mod html;
pub mod interleave;
pub mod judge;
pub mod metrics;
pub mod shape;
mod svg;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::cli::{CompareArgs, InvalidRuns};
use crate::exit::{Exit, Refusal};
use crate::plan::Watch;
use crate::stored::{StoredRun, runs_in};
pub(crate) use svg::escape;
pub(crate) use text::figure as figure_text;

use environment::{Bearing, Difference};
use judge::{Figures, Finding, Word};
use metrics::{METRICS, Metric, PRIMARY_MAX};
use shape::Shape;

/// Runs of each side below which the tests can hardly show anything.
const RUNS_MIN: usize = 5;

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is called: its directories, or the words that it was run with.
    pub name: String,
    /// Its runs.
    pub runs: Vec<StoredRun>,
}

/// How to compare.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The metrics that are tested together; empty: the first that were measured.
    pub metrics: Vec<&'static Metric>,
    /// A margin for all metrics in the place of their own.
    pub margin: Option<f64>,
    /// Facts, or groups of them, that may differ.
    pub allowed: Vec<String>,
    /// Whether the load itself is what is compared.
    pub by_design: bool,
    /// What to do with runs whose measurement is INVALID.
    pub invalid: InvalidRuns,
}

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The number of this document's schema.
    pub schema: u32,
    /// What the sides are called.
    pub names: [String; 2],
    /// Where the runs were read from.
    pub runs: [Vec<String>; 2],
    /// In one word over all metrics that were tested.
    pub verdict: Word,
    /// What a reader must know first.
    pub notes: Vec<String>,
    /// The metrics that were tested together.
    pub findings: Vec<Finding>,
    /// The others, without a verdict.
    pub others: Vec<Finding>,
    /// The shape of the latencies.
    pub shape: Option<Shape>,
    /// What differs in the circumstances.
    pub environment: Vec<Difference>,
    /// Messages of the second side that were not delivered as they must be.
    pub violations: u64,
    /// The sides' runs, for pictures.
    #[serde(skip)]
    pub sides: [Vec<StoredRun>; 2],
}

/// Compares, shows, and gives the reasons for the exit status.
///
/// # Errors
/// When runs cannot be read, made or compared.
pub fn run(args: &CompareArgs, watch: &Arc<Watch>) -> Result<Vec<Exit>, Refusal> {
    refuse_targets(args)?;
    let sides = if args.vs.is_empty() {
        [&args.first, &args.with].map(|paths| read_side(paths))
    } else {
        interleave::run(args, watch)?.map(Ok)
    };
    let [first, second] = sides;
    let terms = Terms {
        metrics: args.metric.clone(),
        margin: args.margin,
        allowed: args.allow_env.clone(),
        by_design: !args.vs.is_empty(),
        invalid: args.invalid,
    };
    let comparison = compare(first?, second?, &terms)?;
    publish(args, &comparison)?;
    Ok(exits(&comparison, args.require_conclusive))
}

/// What would be overwritten is refused before anything is read or run.
fn refuse_targets(args: &CompareArgs) -> Result<(), Refusal> {
    let Some(path) = args.html.as_ref().filter(|path| path.exists() && !args.force) else {
        return Ok(());
    };
    Err(Refusal::usage(format!(
        "{} is there already: name another file with --html, or overwrite it with --force",
        path.display()
    )))
}

fn read_side(paths: &[PathBuf]) -> Result<Side, Refusal> {
    let read = |path: &PathBuf| -> anyhow::Result<Vec<StoredRun>> {
        runs_in(path)?.iter().map(|directory| StoredRun::read(directory)).collect()
    };
    let mut runs = Vec::new();
    for path in paths {
        let found = read(path).map_err(|error| Refusal::usage(format!("{error:#}")))?;
        runs.extend(found);
    }
    let name = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    Ok(Side { name, runs })
}

/// Compares two sides.
///
/// # Errors
/// When they cannot be compared: exit status 5, with what differs and what to do.
pub fn compare(first: Side, second: Side, terms: &Terms) -> Result<Comparison, Refusal> {
    let mut notes = Vec::new();
    let names = [first.name, second.name];
    let first = settle_invalid(first.runs, &names[0], terms.invalid, &mut notes)?;
    let second = settle_invalid(second.runs, &names[1], terms.invalid, &mut notes)?;
    let environment = environment::differences(&first, &second, &terms.allowed, terms.by_design);
    refuse_environment(&environment)?;
    few_runs(first.len(), second.len(), &mut notes);
    for difference in environment.iter().filter(|found| found.bearing == Bearing::Allowed) {
        notes.push(format!("{} differs, and was allowed: judge for yourself", difference.fact));
    }
    let (primary, others) = figures(&first, &second, terms, &mut notes)?;
    let findings = judge::judge(&primary);
    let others = others.iter().filter_map(judge::describe).collect();
    let violations = second.iter().map(StoredRun::violations).sum();
    if violations > 0 {
        notes.push(format!("{violations} messages of the second side were lost or damaged"));
    }
    let places = |runs: &[StoredRun]| runs.iter().map(|run| run.name.clone()).collect();
    Ok(Comparison {
        schema: 1,
        names,
        runs: [places(&first), places(&second)],
        verdict: verdict(&findings),
        notes,
        findings,
        others,
        shape: shape::compare(&first, &second),
        environment,
        violations,
        sides: [first, second],
    })
}

/// Refuses, leaves out or takes the runs whose measurement is INVALID; says so whatever it does.
fn settle_invalid(
    runs: Vec<StoredRun>,
    side: &str,
    choice: InvalidRuns,
    notes: &mut Vec<String>,
) -> Result<Vec<StoredRun>, Refusal> {
    let name = |run: &StoredRun| {
        let reasons = run.reasons();
        format!("{} is INVALID: {}", run.name, reasons.first().unwrap_or(&"no reason given"))
    };
    let invalid = runs.iter().filter(|run| run.is_invalid());
    let words: Vec<String> = invalid.map(name).collect();
    let runs: Vec<StoredRun> = match choice {
        InvalidRuns::Refuse if !words.is_empty() => {
            return Err(refusal(format!(
                "{}; make it again, or leave it out with --invalid exclude",
                words.join("; ")
            )));
        }
        InvalidRuns::Refuse => runs,
        InvalidRuns::Exclude => {
            notes.extend(words.iter().map(|words| format!("left out: {words}")));
            runs.into_iter().filter(|run| !run.is_invalid()).collect()
        }
        InvalidRuns::Include => {
            notes.extend(words.iter().map(|words| format!("taken although {words}")));
            runs
        }
    };
    if runs.is_empty() {
        return Err(refusal(format!("no run is left of {side}")));
    }
    Ok(runs)
}

fn refuse_environment(differences: &[Difference]) -> Result<(), Refusal> {
    let refused = differences.iter().filter(|found| found.bearing == Bearing::Refused);
    let words: Vec<String> = refused
        .map(|found| {
            let show = |values: &[serde_json::Value]| {
                values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
            };
            format!("  {}: {}; {}", found.fact, show(&found.first), show(&found.second))
        })
        .collect();
    if words.is_empty() {
        return Ok(());
    }
    Err(refusal(format!(
        "these runs were not made under the same circumstances (first side; second side):\n{}\n\
         Make them again side by side, or allow each by name with --allow-env FACT, or a group such as sysctl",
        words.join("\n")
    )))
}

fn refusal(reason: String) -> Refusal {
    Refusal { exit: Exit::Invalid, reason: anyhow::Error::msg(reason) }
}

fn few_runs(first: usize, second: usize, notes: &mut Vec<String>) {
    let fewest = first.min(second);
    if fewest == 1 {
        notes.push("single run: a change cannot be told from the noise between runs".into());
    } else if fewest < RUNS_MIN {
        let p = crate::stats::mann_whitney::smallest_p(first, second);
        notes.push(format!(
            "{first} and {second} runs: the smallest p that they can give is {p:.3}; make {RUNS_MIN} or more of each"
        ));
    }
}

/// The figures that are tested together, and the others. A metric that only some runs have measured is neither.
fn figures(
    first: &[StoredRun],
    second: &[StoredRun],
    terms: &Terms,
    notes: &mut Vec<String>,
) -> Result<(Vec<Figures>, Vec<Figures>), Refusal> {
    let (mut primary, mut others) = (Vec::new(), Vec::new());
    let is_declared = |metric: &Metric| terms.metrics.iter().any(|named| named.name == metric.name);
    for metric in METRICS {
        let read = |runs: &[StoredRun]| -> Vec<f64> {
            let figures = runs.iter().filter_map(|run| (metric.read)(run));
            figures.filter(|figure| *figure > 0.0).collect()
        };
        let figures = Figures {
            metric,
            first: read(first),
            second: read(second),
            margin: terms.margin.unwrap_or(metric.margin),
        };
        let measured = figures.first.len() + figures.second.len();
        if measured < first.len() + second.len() {
            if is_declared(metric) {
                return Err(Refusal::usage(format!(
                    "{} was measured in {measured} of {} runs: leave it out of --metric, or make longer runs",
                    metric.name,
                    first.len() + second.len()
                )));
            }
            if measured > 0 {
                notes.push(format!("{} was not measured in all runs: left out", metric.words));
            }
        } else if is_declared(metric) || (terms.metrics.is_empty() && primary.len() < PRIMARY_MAX) {
            primary.push(figures);
        } else {
            others.push(figures);
        }
    }
    Ok((primary, others))
}

/// The worst word of all: something worse outranks what is not known, which outranks what is better.
fn verdict(findings: &[Finding]) -> Word {
    let has = |word| findings.iter().any(|finding| finding.verdict == Some(word));
    let words = [Word::Worse, Word::Inconclusive, Word::Better];
    let found = words.into_iter().find(|word| has(*word));
    // Without any finding nothing is known.
    found.unwrap_or(if findings.is_empty() { Word::Inconclusive } else { Word::Equivalent })
}

fn publish(args: &CompareArgs, comparison: &Comparison) -> Result<(), Refusal> {
    if args.json {
        let json = serde_json::to_string_pretty(comparison).context("the comparison as JSON")?;
        println!("{json}");
    } else {
        print!("{}", comparison.to_text());
    }
    if let Some(path) = &args.html {
        write(path, &comparison.to_html())?;
        if !args.json {
            println!("page: {}", path.display());
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Refusal> {
    std::fs::write(path, text).with_context(|| {
        format!("the page could not be written to {}: name another with --html", path.display())
    })?;
    Ok(())
}

/// Every reason not to end with 0.
#[must_use]
pub fn exits(comparison: &Comparison, require_conclusive: bool) -> Vec<Exit> {
    let has = |word| comparison.findings.iter().any(|finding| finding.verdict == Some(word));
    let is_open = comparison.findings.is_empty() || has(Word::Inconclusive);
    let reasons = [
        (Exit::Delivery, comparison.violations > 0),
        (Exit::Regression, has(Word::Worse)),
        (Exit::Inconclusive, require_conclusive && is_open),
    ];
    reasons.into_iter().filter(|(_, holds)| *holds).map(|(exit, _)| exit).collect()
}

impl Comparison {
    /// The comparison to read.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::text(self)
    }

    /// The comparison as a page that needs nothing else: no network, no scripts.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::page(self)
    }
}

#[cfg(test)]
mod tests;
