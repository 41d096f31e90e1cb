//! `loadgen calibrate`: whether the comparison itself is to be trusted on this kind of host.
//!
//! Owns recording a series of runs that are all alike, and saying what a replay of it found. The series is what is kept;
//! the runs' reports are not.

pub mod replay;
pub mod series;

use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::child_run::RunWords;
use crate::cli::{CalibrateArgs, RecordArgs};
use crate::exit::{Exit, Refusal};
use crate::plan::Watch;
use series::Series;

/// Records a series, or goes on with one.
///
/// # Errors
/// When a run breaks, or the series cannot be read, gone on with, or written. What was recorded is kept.
pub fn record(args: &RecordArgs, watch: &Watch) -> Result<Vec<Exit>, Refusal> {
    let words = if args.words.is_empty() { default_words() } else { args.words.clone() };
    let run = RunWords::of(words).map_err(Refusal::usage)?;
    let mut series = Series::read(&args.out)?;
    if let Some(found) = series.as_ref().filter(|found| found.head.words != run.text()) {
        return Err(Refusal::usage(format!(
            "{} was recorded with other words: {}; name another file with --out",
            args.out.display(),
            found.head.words
        )));
    }
    let wanted = args.runs as usize;
    let begun = series.as_ref().map_or(0, |series| series.runs.len());
    let began = Instant::now();
    for number in begun..wanted {
        let directory = tempfile::tempdir().context("a directory for the run's report")?;
        let found = run.run(&directory.path().join("report"), watch)?;
        let series = series.get_or_insert_with(|| Series::new(&args.name, &run.text(), &found));
        series.push(&found)?;
        series.write(&args.out)?;
        let made = number + 1;
        let each = began.elapsed().as_secs_f64() / (made - begun) as f64;
        let left = each * (wanted - made) as f64;
        let validity = found.text("/verdict/validity");
        eprintln!("run {made} of {wanted}: {validity}; about {left:.0} s left");
    }
    println!("{}: {} runs", args.out.display(), begun.max(wanted));
    Ok(Vec::new())
}

/// Runs of three seconds that fill a node of one shard and keep nothing on disk.
fn default_words() -> Vec<String> {
    let words = "local --connections 1000 --ramp 20k/s --closed 256 --warmup 500ms --duration 3s --login direct \
                 --store memory --durability none";
    words.split_whitespace().map(str::to_owned).collect()
}

/// Replays a series and says what was found.
///
/// # Errors
/// When it cannot be read, or is too short.
pub fn check(args: &CalibrateArgs) -> Result<Vec<Exit>, Refusal> {
    let series = read(&args.series)?;
    let found = replay::calibrate(&series, args.simulated as usize).map_err(Refusal::usage)?;
    if args.json {
        let json = serde_json::to_string_pretty(&found).context("the calibration as JSON")?;
        println!("{json}");
    } else {
        println!("{}\nrun by run: {}", series.head.name, series.head.words);
        print!("{}", found.to_text());
    }
    Ok(if found.is_within_level() { Vec::new() } else { vec![Exit::Invalid] })
}

fn read(path: &Path) -> Result<Series, Refusal> {
    let found = Series::read(path).map_err(|error| Refusal::usage(format!("{error:#}")))?;
    found.ok_or_else(|| {
        let path = path.display();
        Refusal::usage(format!("there is no series {path}: `loadgen calibrate record` makes one"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_recording_are_those_of_a_run() {
        assert!(RunWords::of(default_words()).is_ok());
    }

    #[test]
    fn a_recording_goes_on_only_with_the_words_that_it_began_with() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("series.json");
        let begun = crate::stored::sample::run(1e5, |_| {});
        Series::new("a test", "local --closed 7", &begun).write(&out).unwrap();
        let words = ["local", "--closed", "8"].map(str::to_owned).to_vec();
        let args = RecordArgs { out, runs: 1, name: "a test".into(), words };
        let refusal = record(&args, &Watch::default()).unwrap_err();
        assert_eq!(refusal.exit, Exit::Usage);
        assert!(refusal.reason.to_string().contains("other words"), "{}", refusal.reason);
    }
}
