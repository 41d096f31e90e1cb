//! The words of `loadgen sweep`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::units::parse_count;

/// An axis of a sweep: a word of a run, and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepAxis {
    /// The word without its dashes.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

impl FromStr for SweepAxis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) = text.split_once('=').ok_or("write an axis as connections=1k,10k")?;
        let name = name.trim().trim_start_matches('-').to_owned();
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if name.is_empty() || values.iter().any(String::is_empty) {
            return Err("write an axis as connections=1k,10k".into());
        }
        if (1..values.len()).any(|at| values[..at].contains(&values[at])) {
            return Err(format!("a value of {name} stands twice"));
        }
        Ok(Self { name, values })
    }
}

/// `loadgen sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// A word of the run and the values that it is to take, such as `connections=1k,10k`; may be repeated. The first axis
    /// runs along the pictures, the second gives their lines.
    #[arg(long, value_name = "WORD=A,B", required = true)]
    pub axis: Vec<SweepAxis>,
    /// Runs of each point.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = parse_count(1..=1_000))]
    pub repeat: u32,
    /// The order of the runs is drawn from this number.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Where the runs, `sweep.csv` and `sweep.html` are kept; by default a new directory below `reports`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The words of each run, behind `--`: such as `local --closed 256`.
    #[arg(last = true, required = true, value_name = "RUN")]
    pub words: Vec<String>,
}
