//! The words of `loadgen compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::units::{parse_count, parse_share};
use crate::child_run::RunWords;
use crate::compare::metrics::{self, Metric};

/// Beyond so many runs a side a comparison takes days.
const RUNS_MAX: u32 = 1_000;

/// What to do with a run whose measurement is INVALID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum InvalidRuns {
    /// Compare nothing.
    #[default]
    Refuse,
    /// Leave it out, and say so.
    Exclude,
    /// Take it all the same, and say so.
    Include,
}

/// `loadgen compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The first side's runs: directories that `--report` made, or directories of such.
    #[arg(value_name = "RUN", required_unless_present = "vs", requires = "with")]
    pub first: Vec<PathBuf>,
    /// The second side's runs.
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "first")]
    pub with: Vec<PathBuf>,
    /// Make the runs: given twice, the words of either side's run, such as 'local --closed 256 --io uring'. They are made in
    /// turns (ABBA), each with a system of its own. Words that begin with the path of another loadgen are run by it.
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["first", "with"])]
    pub vs: Vec<RunWords>,
    /// Runs of each side that --vs makes.
    #[arg(long, default_value_t = 5, value_name = "N", requires = "vs", value_parser = parse_count(1..=RUNS_MAX))]
    pub runs: u32,
    /// Where --vs keeps its runs; by default a new directory below `reports`.
    #[arg(long, value_name = "DIR", requires = "vs")]
    pub out: Option<PathBuf>,
    /// A metric to test; may be repeated. All of them are tested together, so name what matters before you look. By
    /// default the first six that were measured.
    #[arg(long, value_name = "NAME", value_parser = metrics::parse)]
    pub metric: Vec<&'static Metric>,
    /// A change that does not matter, for every metric: by default 2 % of throughput, cost and memory and 5 % of latencies.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub margin: Option<f64>,
    /// Compare although this fact, or group of facts, differs; may be repeated. It is said in the output.
    #[arg(long, value_name = "FACT")]
    pub allow_env: Vec<String>,
    /// What to do with a run whose measurement is INVALID.
    #[arg(long, value_enum, default_value_t)]
    pub invalid: InvalidRuns,
    /// End with status 7 when something tested is inconclusive.
    #[arg(long)]
    pub require_conclusive: bool,
    /// Write a page as well: one file, light and dark, without scripts.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Overwrite the file of --html.
    #[arg(long)]
    pub force: bool,
    /// Print the comparison as JSON.
    #[arg(long)]
    pub json: bool,
}
