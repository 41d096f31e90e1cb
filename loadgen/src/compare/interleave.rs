//! Making the runs of both sides in turns: ABBA, ABBA, so that a host that drifts meets both sides alike.
//!
//! Every run starts its system anew. The runs are kept as they come; an interruption leaves those that were made.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::Context;

use super::Side;
use crate::child_run::RunWords;
use crate::cli::CompareArgs;
use crate::exit::Refusal;
use crate::plan::Watch;
use crate::report::directory;
use crate::stored::StoredRun;

/// The order of four runs.
const TURN: [usize; 4] = [0, 1, 1, 0];

/// Which side each of so many runs belongs to.
#[must_use]
pub fn order(runs: usize) -> Vec<usize> {
    TURN.into_iter().cycle().take(runs).collect()
}

/// Makes the runs.
///
/// # Errors
/// When a run breaks, or its report has no place.
pub fn run(args: &CompareArgs, watch: &Watch) -> Result<[Side; 2], Refusal> {
    let [first, second] = args.vs.as_slice() else {
        return Err(Refusal::usage("--vs stands twice: once for each side"));
    };
    let out = directory_for(args.out.as_deref(), "compare")?;
    let words = [first, second];
    let mut sides = words.map(|words: &RunWords| Side { name: words.text(), runs: Vec::new() });
    let order = order(2 * args.runs as usize);
    let began = Instant::now();
    for (at, side) in order.iter().enumerate() {
        let name = format!("{:03}-{}", at + 1, ["first", "second"][*side]);
        let run = words[*side].run(&out.join(name), watch)?;
        eprintln!("{}", progress(at + 1, order.len(), *side, &run, began));
        sides[*side].runs.push(run);
    }
    eprintln!("runs: {}", out.display());
    Ok(sides)
}

/// A directory for several runs: the one that was asked for, which must be new or empty, or one below `reports`.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn directory_for(chosen: Option<&Path>, what: &str) -> Result<PathBuf, Refusal> {
    let path =
        chosen.map_or_else(|| directory::default_for(SystemTime::now(), what), Path::to_path_buf);
    if directory::is_taken(&path) {
        return Err(Refusal::usage(format!(
            "{} is there already: name a new directory with --out",
            path.display()
        )));
    }
    std::fs::create_dir_all(&path).with_context(|| {
        format!("the directory {} could not be made: name another with --out", path.display())
    })?;
    Ok(path)
}

fn progress(made: usize, all: usize, side: usize, run: &StoredRun, began: Instant) -> String {
    let side = ["first", "second"][side];
    let figures: Vec<String> = super::metrics::METRICS[..2]
        .iter()
        .filter_map(|metric| {
            let value = super::text::figure((metric.read)(run)?);
            Some(format!("{} {value} {}", metric.words, metric.unit))
        })
        .collect();
    let left = began.elapsed().as_secs_f64() / made as f64 * (all - made) as f64;
    format!(
        "run {made} of {all}, {side}: {}; {}; about {left:.0} s left",
        figures.join(", "),
        run.text("/verdict/validity")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_runs_are_five_of_each_and_neither_side_is_early() {
        let order = order(10);
        assert_eq!(order, [0, 1, 1, 0, 0, 1, 1, 0, 0, 1]);
        let places = |side| order.iter().enumerate().filter(move |(_, of)| **of == side);
        assert_eq!((places(0).count(), places(1).count()), (5, 5));
        let sum = |side| places(side).map(|(at, _)| at).sum::<usize>();
        assert!(sum(0).abs_diff(sum(1)) <= 1, "a steady drift meets both alike");
    }

    #[test]
    fn a_directory_that_holds_something_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(directory_for(Some(directory.path()), "x").is_ok(), "an empty one will do");
        std::fs::write(directory.path().join("kept"), "").unwrap();
        let refusal = directory_for(Some(directory.path()), "x").unwrap_err();
        assert!(refusal.reason.to_string().contains("--out"));
    }
}
