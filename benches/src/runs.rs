//! One `loadgen local` in a process of its own, and its report: what programs that compare whole runs are made of.
//!
//! The process is the calling program again, which therefore begins with [`play`]: so the program that is built is the
//! program that is measured, and nothing else needs to be there. Where memory is measured it is loadgen's own program.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use loadgen::cli::{Cli, Command as Part};
use loadgen::exit::{Exit, Refusal};
use loadgen::plan::Watch;
use serde_json::Value;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What of a run's own words is kept when it fails.
const WORDS_MAX: usize = 400;

/// Plays loadgen's part, if this process was started for that: then its exit status.
#[must_use]
pub fn play() -> Option<ExitCode> {
    if !matches!(env::args().nth(1).as_deref(), Some("local" | "role")) {
        return None;
    }
    Some(match part(Cli::parse().command) {
        Ok(found) => Exit::strongest(&found).into(),
        Err(refusal) => {
            eprintln!("error: {:#}", refusal.reason);
            refusal.exit.into()
        }
    })
}

fn part(command: Part) -> Result<Vec<Exit>, Refusal> {
    if let Part::Local(args) = command {
        let run_id =
            getrandom::u64().map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
        return loadgen::local::run(&args, Arc::<Watch>::default(), run_id);
    }
    if let Part::Role(role) = command {
        return Ok(loadgen::local::role::play(role).map(|()| Vec::new())?);
    }
    Err(Refusal::usage("this program plays `local` and `role` only"))
}

/// Does one run with these words of a command line, from `local` on, and gives its `run.json`.
///
/// # Errors
/// When it does not end within `most`, ends with another status than 0, or leaves no report.
pub fn run(words: &[String], most: Duration) -> anyhow::Result<Value> {
    run_as(Path::new("/proc/self/exe"), words, most)
}

/// The same by loadgen's own program, which must have been built: where the program's size is part of what is measured.
///
/// # Errors
/// As [`run`]; and if there is no such program beside this one.
pub fn run_loadgen(words: &[String], most: Duration) -> anyhow::Result<Value> {
    let program = env::current_exe()?.with_file_name("loadgen");
    ensure!(program.exists(), "build it first: cargo build --release -p loadgen");
    run_as(&program, words, most)
}

fn run_as(program: &Path, words: &[String], most: Duration) -> anyhow::Result<Value> {
    let directory = tempfile::tempdir().context("a directory for the report")?;
    let mut child = Command::new(program)
        .args(words)
        .arg("--quiet")
        .arg("--report")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting loadgen")?;
    wait(&mut child, most)?;
    let text = fs::read_to_string(directory.path().join("run.json"));
    serde_json::from_str(&text.context("the run left no report")?).context("its report")
}

/// Waits for a run's end. Its words are few with `--quiet`, so that they fit into the pipe.
fn wait(child: &mut Child, most: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + most;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("it took longer than {most:?} and was ended");
        }
        std::thread::sleep(LOOK);
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said)?;
    }
    let said: String = said.trim().chars().take(WORDS_MAX).collect();
    bail!("{status}: {said}")
}

/// A number of a report, by its path.
#[must_use]
pub fn figure(report: &Value, path: &str) -> Option<f64> {
    report.pointer(path).and_then(Value::as_f64)
}

/// A percentile of the private messages, in microseconds, of `lag`, `service`, `response` or `delivery`.
#[must_use]
pub fn percentile(report: &Value, kind: &str, wanted: f64) -> Option<f64> {
    let all = report.pointer(&format!("/classes/private/{kind}/percentiles"))?.as_array()?;
    all.iter().find(|entry| entry["p"].as_f64() == Some(wanted))?["value_us"].as_f64()
}

/// A whole number with its thousands apart; what is below zero is shown as zero.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is written by hand in a page of results: this heading and all below it, kept when the page is made again.
const TEACHES: &str = "## What it teaches";

/// The part of the page `benches/results/NAME.md` that was written by hand, or nothing.
#[must_use]
pub fn written_by_hand(name: &str) -> String {
    let page = crate::facts::results_folder().join(format!("{name}.md"));
    let page = fs::read_to_string(page).unwrap_or_default();
    page.find(TEACHES).map(|at| page[at..].to_owned()).unwrap_or_default()
}

/// The middle of the figures, or of the two in the middle.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().checked_sub(1)? / 2, figures.len() / 2);
    Some((figures[low] + figures[high]) / 2.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn medians_need_no_order_and_at_least_one_figure() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn what_a_report_has_not_is_none() {
        let percentiles = json!([{ "p": 50.0, "value_us": 7.5 }, { "p": 99.0, "value_us": null }]);
        let report = json!({ "server": { "cpu_s": 2 }, "classes": { "private": { "lag": { "percentiles": percentiles } } } });
        assert_eq!(figure(&report, "/server/cpu_s"), Some(2.0));
        assert_eq!(figure(&report, "/server/none"), None);
        assert_eq!(percentile(&report, "lag", 50.0), Some(7.5));
        assert_eq!(
            (percentile(&report, "lag", 99.0), percentile(&report, "delivery", 50.0)),
            (None, None)
        );
    }
}
