//! The words of `loadgen search`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::units::{parse_count, parse_duration, parse_rate, parse_share};
use crate::slo::Slo;

/// What is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Messages a second over all connections.
    #[default]
    Rate,
    /// Connections.
    Connections,
}

impl Axis {
    /// The word of a run that it sets.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Rate => "--rate",
            Self::Connections => "--connections",
        }
    }

    /// What it counts.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "messages/s",
            Self::Connections => "connections",
        }
    }
}

/// `loadgen search`.
#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// An objective that a load must keep, such as `delivery.p99 < 5ms`; may be repeated. The ledger must hold anyway.
    #[arg(long, value_name = "EXPR", required = true)]
    pub slo: Vec<Slo>,
    /// What is raised.
    #[arg(long, value_enum, default_value_t)]
    pub axis: Axis,
    /// The load to begin with.
    #[arg(long, default_value = "10k", value_name = "LOAD", value_parser = parse_rate)]
    pub from: f64,
    /// The largest load that is tried.
    #[arg(long, default_value = "1M", value_name = "LOAD", value_parser = parse_rate)]
    pub to: f64,
    /// How near the bounds are to come to each other.
    #[arg(long, default_value = "2%", value_name = "SHARE", value_parser = parse_width)]
    pub width: f64,
    /// The measured phase of a short trial.
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse_duration)]
    pub trial: Duration,
    /// Short trials of each load at most.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = parse_count(1..=100))]
    pub trials: u32,
    /// The share of a load's trials that may fail: with 3 trials and 34 % one of them may.
    #[arg(long, default_value = "34%", value_name = "SHARE", value_parser = parse_share)]
    pub exceed: f64,
    /// Trials of full length that confirm the lower bound; the upper is confirmed by one.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = parse_count(0..=100))]
    pub confirm: u32,
    /// The measured phase of a trial of full length.
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Duration,
    /// Where the trials' reports are kept; by default a new directory below `reports`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
    /// The words of each trial, behind `--`, without its load: such as `local --connections 1k`.
    #[arg(last = true, required = true, value_name = "RUN")]
    pub words: Vec<String>,
}

/// Reads the width, which must be above what a rate can be told apart by.
fn parse_width(text: &str) -> Result<f64, String> {
    const LEAST: f64 = 0.001;
    let width = parse_share(text)?;
    if width < LEAST { Err("the bounds can come as near as 0.1 %".into()) } else { Ok(width) }
}
