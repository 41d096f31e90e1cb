//! The words of `loadgen calibrate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::units::parse_count;

/// Runs of a series: a day of short ones.
const RUNS_MAX: u32 = 20_000;

/// A part of `loadgen calibrate`.
#[derive(Clone, Debug, Subcommand)]
pub enum Calibrate {
    /// Makes many runs that are all alike and keeps their figures; goes on with a series that was interrupted.
    Record(RecordArgs),
    /// Replays a series: how often `compare` finds a change where there is none, and one of 10 % that is planted.
    Check(CalibrateArgs),
}

/// `loadgen calibrate record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// The series. When it is there already, runs are added until there are --runs.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Runs that the series is to have.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = parse_count(1..=RUNS_MAX))]
    pub runs: u32,
    /// What the series is, in words.
    #[arg(long, default_value = "runs that are all alike", value_name = "WORDS")]
    pub name: String,
    /// The words of each run, behind `--`; by default a closed loop of three seconds.
    #[arg(last = true, value_name = "RUN")]
    pub words: Vec<String>,
}

/// `loadgen calibrate check`.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// The series.
    #[arg(value_name = "FILE")]
    pub series: PathBuf,
    /// Series of ten runs that are drawn from the drift of the one recorded.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = parse_count(1..=100_000))]
    pub simulated: u32,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
}
