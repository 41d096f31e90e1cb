//! `loadgen search`: the largest load that keeps the objectives, found by short trials, and what limited it.
//!
//! Owns making a trial of a load and saying what was found. The way is in `bisect`, the cause in `cause`. A trial passes
//! when its objectives and its ledger hold and its measurement is not INVALID.

pub mod bisect;
pub mod cause;

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use crate::child_run::RunWords;
use crate::cli::{Axis, SearchArgs};
use crate::compare::interleave::directory_for;
use crate::exit::{Exit, Refusal};
use crate::plan::Watch;
use crate::report::grouped_count;
use bisect::{Bounds, Goal, Length};
use cause::Limit;

/// Words of a run that the search itself decides.
const OWN: [&str; 5] = ["--rate", "--closed", "--duration", "--slo", "--quiet"];

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The load.
    pub load: f64,
    /// What it was for.
    pub length: Length,
    /// Where its report is.
    pub report: PathBuf,
    /// What limited it; nothing if it passed.
    pub limit: Option<Limit>,
    /// What shows that.
    pub because: Option<String>,
    /// Percentiles of delivery in microseconds: 50, 99, 99.9.
    pub delivery_us: [Option<f64>; 3],
    /// The share of time in which the server had work.
    pub server_busy: Option<f64>,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The number of this document's schema.
    pub schema: u32,
    /// What was raised.
    pub axis: Axis,
    /// The objectives.
    pub slo: Vec<String>,
    /// The bounds.
    pub bounds: Bounds,
    /// What limited the smallest load that failed.
    pub limit: Option<Limit>,
    /// What shows that.
    pub because: Option<String>,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<Trial>,
}

/// Searches, shows what was found, and gives the reasons for the exit status.
///
/// # Errors
/// When the words make no sense, or a trial breaks.
pub fn run(args: &SearchArgs, watch: &Watch) -> Result<Vec<Exit>, Refusal> {
    let run = words(args)?;
    if args.from > args.to {
        return Err(Refusal::usage("--from lies above --to: exchange them"));
    }
    let out = directory_for(args.out.as_deref(), "search")?;
    let goal = Goal {
        from: args.from,
        to: args.to,
        width: args.width,
        trials: args.trials,
        exceed: args.exceed,
        confirm: args.confirm,
    };
    let mut trials: Vec<Trial> = Vec::new();
    let bounds = bisect::search(&goal, &mut |load, length| {
        let report = out.join(format!("{:03}", trials.len() + 1));
        let trial = make(args, &run, load, length, report, watch)?;
        if !args.json {
            println!("{}", line(&trial));
        }
        let passed = trial.limit.is_none();
        trials.push(trial);
        Ok::<bool, Refusal>(passed)
    })?;
    let found = Found::new(args, bounds, trials);
    let json = serde_json::to_string_pretty(&found).context("the search as JSON")?;
    std::fs::write(out.join("search.json"), json.clone() + "\n")
        .with_context(|| format!("writing {}", out.join("search.json").display()))?;
    if args.json {
        println!("{json}");
    } else {
        println!("\n{}\nruns: {}", found.to_text(), out.display());
    }
    Ok(found.exits())
}

/// The run of a trial without its load.
fn words(args: &SearchArgs) -> Result<RunWords, Refusal> {
    let is_own = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        OWN.contains(&name) || (name == args.axis.flag())
    };
    if let Some(word) = args.words.iter().find(is_own) {
        return Err(Refusal::usage(format!(
            "leave {word} out of the run's words: the search decides it (--from, --to, --trial, --duration, --slo)"
        )));
    }
    let run = RunWords::of(args.words.clone()).map_err(Refusal::usage)?;
    let slo = args.slo.iter().flat_map(|slo| ["--slo".into(), slo.to_string()]);
    Ok(run.with(&slo.collect::<Vec<String>>()))
}

fn make(
    args: &SearchArgs,
    run: &RunWords,
    load: f64,
    length: Length,
    report: PathBuf,
    watch: &Watch,
) -> Result<Trial, Refusal> {
    let duration = match length {
        Length::Short => args.trial,
        Length::Full => args.duration,
    };
    let duration = format!("{}ms", duration.as_millis());
    let load_words = match args.axis {
        // What the node carries is the question, so no rate is refused beforehand.
        Axis::Rate => vec!["--rate".into(), format!("{load:.3}"), "--overload".into()],
        Axis::Connections => vec!["--connections".into(), format!("{:.0}", load.round())],
    };
    let run = run.with(&load_words).with(&["--duration".into(), duration]);
    let found = run.run(&report, watch)?;
    let (limit, because) = cause::of(&found).unzip();
    let percentile = |p| {
        let histogram = found.latencies.get("delivery")?;
        crate::report::percentile::percentile(histogram, p).value_us
    };
    Ok(Trial {
        load,
        length,
        report,
        limit,
        because,
        delivery_us: [50.0, 99.0, 99.9].map(percentile),
        server_busy: cause::busy(&found),
    })
}

fn line(trial: &Trial) -> String {
    let length = match trial.length {
        Length::Short => "short",
        Length::Full => "full",
    };
    let [middle, tail, far] = trial
        .delivery_us
        .map(|us| us.map_or_else(|| "n/a".into(), |us| format!("{:.2} ms", us / 1e3)));
    let busy =
        trial.server_busy.map_or_else(|| "n/a".into(), |busy| format!("{:.0} %", busy * 100.0));
    let words = match (&trial.limit, &trial.because) {
        (Some(limit), because) => {
            format!("FAILED  {}: {}", limit.words(), because.as_deref().unwrap_or_default())
        }
        (None, _) => "passed".into(),
    };
    format!(
        "{:>12}  {length:5}  p50 {middle:>10}  p99 {tail:>10}  p99.9 {far:>10}  server {busy:>5}  {words}",
        grouped_count(trial.load.round() as u64)
    )
}

impl Found {
    fn new(args: &SearchArgs, bounds: Bounds, trials: Vec<Trial>) -> Self {
        let at_upper = trials.iter().rev().find(|trial| {
            trial.limit.is_some()
                && bounds.upper.is_some_and(|upper| trial.load <= upper * 1.000_001)
        });
        let (limit, because) =
            at_upper.map_or((None, None), |trial| (trial.limit, trial.because.clone()));
        Self {
            schema: 1,
            axis: args.axis,
            slo: args.slo.iter().map(ToString::to_string).collect(),
            bounds,
            limit,
            because,
            trials,
        }
    }

    /// The search to read.
    #[must_use]
    pub fn to_text(&self) -> String {
        let unit = self.axis.unit();
        let show = |load: f64| format!("{} {unit}", grouped_count(load.round() as u64));
        let Bounds { lower, upper, is_confirmed, trials } = self.bounds;
        let bounds = match (lower, upper) {
            (Some(lower), Some(upper)) if self.limit.is_some_and(|limit| !limit.is_of_system()) => {
                format!("at least {}; {} was too much for the instrument", show(lower), show(upper))
            }
            (Some(lower), Some(upper)) => {
                let width = (upper / lower - 1.0) * 100.0;
                format!("{} passed, {} did not ({width:.1} % apart)", show(lower), show(upper))
            }
            (Some(lower), None) => format!("at least {}: raise --to to go on", show(lower)),
            (None, Some(upper)) => format!("not even {} passed: lower --from", show(upper)),
            (None, None) => "no trial was made".into(),
        };
        let confirmed = if is_confirmed { "confirmed" } else { "not confirmed by full trials" };
        let limit = match (&self.limit, &self.because) {
            (Some(limit), Some(because)) => format!("\nlimited by {} ({because})", limit.words()),
            (Some(limit), None) => format!("\nlimited by {}", limit.words()),
            (None, _) => String::new(),
        };
        format!("{bounds}; {confirmed}, {trials} trials{limit}")
    }

    fn exits(&self) -> Vec<Exit> {
        let is_of_system = self.limit.is_none_or(Limit::is_of_system);
        let reasons = [
            (Exit::Invalid, !is_of_system),
            (Exit::SloMissed, is_of_system && self.bounds.lower.is_none()),
        ];
        reasons.into_iter().filter(|(_, holds)| *holds).map(|(exit, _)| exit).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &str) -> SearchArgs {
        let start = ["loadgen", "search", "--slo", "delivery.p99 < 5ms"].into_iter();
        let line = start.chain(words.split_whitespace());
        let Command::Search(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("it is `search`")
        };
        *args
    }

    fn trial(load: f64, limit: Option<Limit>) -> Trial {
        Trial {
            load,
            length: Length::Short,
            report: PathBuf::new(),
            limit,
            because: limit.map(|_| "a reason".into()),
            delivery_us: [Some(1_000.0), Some(2_000.0), None],
            server_busy: Some(0.5),
        }
    }

    fn found(limit: Option<Limit>, lower: Option<f64>, upper: Option<f64>) -> Found {
        let bounds = Bounds { lower, upper, is_confirmed: true, trials: 2 };
        let loads = [(lower, None), (upper, limit)];
        let trials = loads.into_iter().filter_map(|(load, limit)| Some(trial(load?, limit)));
        Found::new(&args("-- local"), bounds, trials.collect())
    }

    #[test]
    fn what_the_search_decides_is_left_out_of_the_words() {
        assert!(words(&args("-- local --connections 100")).is_ok());
        for taken in ["--rate 5", "--duration=5s", "--closed 3", "--report x"] {
            let refusal = words(&args(&format!("-- local {taken}"))).unwrap_err();
            assert!(refusal.reason.to_string().contains("leave"), "{}", refusal.reason);
        }
        assert!(words(&args("--axis connections --from 10 -- local --connections 5")).is_err());
        let run = words(&args("-- local")).unwrap();
        assert!(run.text().ends_with("--slo delivery.p99 < 5ms"), "{}", run.text());
    }

    #[test]
    fn the_answer_names_the_bounds_and_the_limit() {
        let text = found(Some(Limit::ServerCpu), Some(10_000.0), Some(10_200.0)).to_text();
        assert!(
            text.contains("10,000 messages/s passed") && text.contains("limited by server CPU"),
            "{text}"
        );
        let text = found(None, Some(10_000.0), None).to_text();
        assert!(text.contains("raise --to"), "{text}");
    }

    #[test]
    fn a_generator_that_gave_out_first_is_no_limit_of_the_system() {
        let found = found(Some(Limit::Generator), Some(10_000.0), Some(10_200.0));
        assert_eq!(found.exits(), [Exit::Invalid]);
        assert!(found.to_text().starts_with("at least 10,000"), "{}", found.to_text());
    }

    #[test]
    fn nothing_that_passes_is_a_missed_objective() {
        assert_eq!(found(Some(Limit::Slo), None, Some(10.0)).exits(), [Exit::SloMissed]);
        assert!(found(Some(Limit::Slo), Some(9.0), Some(10.0)).exits().is_empty());
    }
}
