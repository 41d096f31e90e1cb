//! What was measured on this machine, a line for each measurement, beside what the catalogue claims.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::statistics::{Ratio, Verdict};
use crate::state::State;

pub(super) const SCHEMA: u32 = 1;

/// Measurements of one setting that are shown.
const SHOWN_MAX: usize = 3;

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// Each run with the value as it was.
    pub a: Vec<f64>,
    /// Each run with the other.
    pub b: Vec<f64>,
    /// B to A.
    pub ratio: Option<Ratio>,
}

impl Figure {
    pub(super) fn of(name: &str, more_is_better: bool, a: Vec<f64>, b: Vec<f64>) -> Self {
        let ratio = Ratio::of(&a, &b);
        Self { name: name.to_owned(), more_is_better, a, b, ratio }
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Some(ratio) = self.ratio else { return format!("{}: no ratio", self.name) };
        let verdict = match (ratio.verdict(), self.more_is_better) {
            (Verdict::More, true) | (Verdict::Less, false) => "better",
            (Verdict::More, false) | (Verdict::Less, true) => "worse",
            (Verdict::Same, _) => "no effect that matters",
            (Verdict::Unclear, _) => "unclear",
        };
        format!(
            "{}: {:.2} times ({:.2} to {:.2} with {:.0} % confidence), {verdict}",
            self.name,
            ratio.ratio,
            ratio.low,
            ratio.high,
            ratio.coverage * 100.0
        )
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The form of this.
    pub schema: u32,
    /// When.
    pub time: String,
    /// The setting.
    pub id: String,
    /// The kernel's release.
    pub kernel: String,
    /// The value of A.
    pub from: String,
    /// The value of B.
    pub to: String,
    /// What `loadgen` was asked for.
    pub arguments: Vec<String>,
    /// Runs of each side.
    pub runs: usize,
    /// Runs that `loadgen` itself calls INVALID.
    pub invalid: usize,
    /// What was compared.
    pub figures: Vec<Figure>,
}

impl Measured {
    /// In words, one line for each figure.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}, Linux {}: {:?} instead of {:?}, {} + {} runs in turns of loadgen {}",
            self.time,
            self.kernel,
            self.to,
            self.from,
            self.runs,
            self.runs,
            self.arguments.join(" ")
        )];
        lines.extend(self.figures.iter().map(Figure::words));
        if self.invalid > 0 {
            let all = self.runs * 2;
            lines.push(format!(
                "{} of {all} runs were INVALID by loadgen's own checks: this shows what happened here, and is no claim",
                self.invalid
            ));
        }
        lines
    }
}

/// Keeps a measurement.
///
/// # Errors
/// As the file system says.
pub fn keep(state: &State, measured: &Measured) -> io::Result<()> {
    state.make()?;
    let path = state.measured().join(format!("{}.jsonl", measured.id));
    let mut line = serde_json::to_vec(measured)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&line)?;
    file.sync_data()
}

/// The last measurements of a setting, the newest first. Lines that are no measurement are passed over.
#[must_use]
pub fn of(state: &State, id: &str) -> Vec<Measured> {
    let text = fs::read_to_string(state.measured().join(format!("{id}.jsonl"))).unwrap_or_default();
    let known = |line: &str| {
        serde_json::from_str::<Measured>(line).ok().filter(|measured| measured.schema == SCHEMA)
    };
    text.lines().rev().filter_map(known).take(SHOWN_MAX).collect()
}
