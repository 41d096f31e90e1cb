//! A stored series of runs that were all made alike: what the replay works on, and the only thing that is kept of them.
//!
//! Owns the file: a line for each run, so that a series that was continued differs only in lines added. It is written
//! again after each run and put in place at once, so that an interruption costs one run at most.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compare::metrics::METRICS;
use crate::stored::StoredRun;

const SCHEMA: u32 = 1;
/// Facts of the runs that are kept: what a reader must know, and nothing that names the machine.
const FACTS: [&str; 9] = [
    "build.git_rev",
    "build.git_dirty",
    "build.profile",
    "build.version",
    "cpu.model",
    "cpu.online",
    "kernel.release",
    "memory.total_bytes",
    "system.io",
];

/// What stays the same over a series.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Head {
    /// The number of the file's schema.
    pub schema: u32,
    /// What it is, in words.
    pub name: String,
    /// The words that each run was made with.
    pub words: String,
    /// Where.
    pub facts: BTreeMap<String, Value>,
    /// The metrics of each run, in order.
    pub metrics: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Run {
    /// When it began.
    pub started: String,
    /// Whether its measurement is to be trusted.
    pub validity: String,
    /// The metrics' values; null for one that was not measured.
    pub values: Vec<Option<f64>>,
}

/// A series.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Series {
    /// What stays the same.
    #[serde(flatten)]
    pub head: Head,
    /// The runs in the order in which they were made.
    pub runs: Vec<Run>,
}

impl Series {
    /// A series without runs, for runs like this one.
    #[must_use]
    pub fn new(name: &str, words: &str, like: &StoredRun) -> Self {
        let facts = like.facts();
        let kept =
            FACTS.iter().filter_map(|name| Some(((*name).to_owned(), facts.get(*name)?.clone())));
        let measured = METRICS.iter().filter(|metric| (metric.read)(like).is_some());
        Self {
            head: Head {
                schema: SCHEMA,
                name: name.into(),
                words: words.into(),
                facts: kept.collect(),
                metrics: measured.map(|metric| metric.name.to_owned()).collect(),
            },
            runs: Vec::new(),
        }
    }

    /// Takes a run in.
    ///
    /// # Errors
    /// When it was made somewhere else or with something else than the others.
    pub fn push(&mut self, run: &StoredRun) -> anyhow::Result<()> {
        let facts = run.facts();
        for (name, value) in &self.head.facts {
            let now = facts.get(name).cloned().unwrap_or_default();
            ensure!(
                now == *value,
                "{name} is {now} and was {value} when the series began: begin another one"
            );
        }
        let value = |name: &String| {
            let metric = METRICS.iter().find(|metric| metric.name == name)?;
            (metric.read)(run).map(rounded)
        };
        self.runs.push(Run {
            started: run.text("/run/started").into(),
            validity: run.text("/verdict/validity").into(),
            values: self.head.metrics.iter().map(value).collect(),
        });
        Ok(())
    }

    /// Reads a series; nothing if there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or is no series.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{}", path.display()))?,
        };
        Self::parse(&text).with_context(|| format!("{}", path.display())).map(Some)
    }

    /// Reads the text of a series.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let series: Self = serde_json::from_str(text).context("this is no series of runs")?;
        let schema = series.head.schema;
        ensure!(schema == SCHEMA, "the series has schema {schema}; this program reads {SCHEMA}");
        let metrics = series.head.metrics.len();
        let is_whole = series.runs.iter().all(|run| run.values.len() == metrics);
        ensure!(
            is_whole,
            "every run must have a value, or null, for each of the {metrics} metrics"
        );
        Ok(series)
    }

    /// The series as text: a line for each run.
    ///
    /// # Errors
    /// Never for a series that was read or made here.
    pub fn text(&self) -> anyhow::Result<String> {
        let head = serde_json::to_string_pretty(&self.head)?;
        let runs = self.runs.iter().map(serde_json::to_string);
        let runs: Vec<String> = runs.collect::<Result<_, _>>()?;
        let head = head.trim_end_matches('}').trim_end();
        Ok(format!("{head},\n  \"runs\": [\n    {}\n  ]\n}}\n", runs.join(",\n    ")))
    }

    /// Writes it in the place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let beside = path.with_extension("json.new");
        fs::write(&beside, self.text()?)
            .with_context(|| format!("writing {}", beside.display()))?;
        fs::rename(&beside, path).with_context(|| format!("writing {}", path.display()))
    }
}

/// Six digits that count: more is noise, and makes the file long.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::sample::run;

    #[test]
    fn a_series_is_read_as_it_was_written_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("series.json");
        assert_eq!(Series::read(&path).unwrap(), None);
        let mut series = Series::new("a test", "local", &run(1e5, |_| {}));
        for rate in [100_000.0, 123_456.789, 99_000.0] {
            series.push(&run(rate, |_| {})).unwrap();
            series.write(&path).unwrap();
        }
        let again = Series::read(&path).unwrap().unwrap();
        assert_eq!(again, series);
        assert_eq!(again.runs[1].values[0], Some(123_457.0));
        assert_eq!(
            again.text().unwrap().lines().filter(|line| line.contains("started")).count(),
            3
        );
    }

    #[test]
    fn another_machine_is_another_series() {
        let mut series = Series::new("a test", "local", &run(1e5, |_| {}));
        let elsewhere = run(1e5, |document| {
            document["environment"]["start"]["kernel"]["release"] = "7.0".into();
        });
        let error = series.push(&elsewhere).unwrap_err().to_string();
        assert!(error.contains("kernel.release") && error.contains("begin another"), "{error}");
        assert!(series.runs.is_empty());
    }

    #[test]
    fn what_is_no_series_is_refused() {
        let series = Series::new("a test", "local", &run(1e5, |_| {}));
        let text = series.text().unwrap();
        assert!(Series::parse(&text).is_ok(), "{text}");
        assert!(Series::parse("{}").is_err());
        assert!(Series::parse(&text.replace("\"schema\": 1", "\"schema\": 9")).is_err());
        let short = text.replace(
            "\"runs\": [",
            "\"runs\": [{\"started\":\"\",\"validity\":\"\",\"values\":[]}",
        );
        assert!(Series::parse(&short).unwrap_err().to_string().contains("metrics"));
    }
}
