//! Runs that were made before: `run.json` read again, by whatever compares, exports or searches.
//!
//! Owns reading and the names that facts and figures have outside of `run.json`. Fields that are not known are ignored,
//! as the schema promises; a report of another schema is refused, because its fields may mean something else.

pub(crate) mod histogram;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::report::SCHEMA;

/// The largest report that is read, in bytes: a day's series has some ten million.
const REPORT_BYTES_MAX: u64 = 256 << 20;
/// Facts of the environment that move by themselves.
const MOVING: [&str; 2] = ["now", "missing"];
/// The system under test, as it said itself.
const SYSTEM: [&str; 4] = ["io", "shards", "store", "durability"];

/// A run that was made before.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// Where it was read from.
    pub name: String,
    /// The latencies by kind (`lag`, `service`, `response`, `delivery`), all classes merged, in nanoseconds.
    pub latencies: BTreeMap<String, Histogram<u64>>,
    /// The same by class and kind.
    pub classes: BTreeMap<(String, String), Histogram<u64>>,
    /// The report itself.
    pub document: Value,
}

impl StoredRun {
    /// Reads a run from its directory, or from its `run.json`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = if path.is_dir() { path.join("run.json") } else { path.to_path_buf() };
        let size = fs::metadata(&file).with_context(|| format!("{}", file.display()))?.len();
        ensure!(size <= REPORT_BYTES_MAX, "{} is too large for a report", file.display());
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let document = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", file.display()))?;
        Self::new(path.display().to_string(), document)
    }

    /// A run of its document.
    ///
    /// # Errors
    /// When it is no report, or a histogram in it cannot be read.
    pub fn new(name: String, document: Value) -> anyhow::Result<Self> {
        match document["schema"].as_u64() {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(schema) => bail!("{name} has schema {schema}; this program reads {SCHEMA}"),
            None => bail!("{name} is no report of loadgen: it has no schema"),
        }
        let mut classes = BTreeMap::new();
        for (class, kinds) in document["classes"].as_object().into_iter().flatten() {
            for (kind, latency) in kinds.as_object().into_iter().flatten() {
                let histogram = histogram::of(latency)
                    .with_context(|| format!("{name}: the histogram {class}.{kind}"))?;
                classes.insert((class.clone(), kind.clone()), histogram);
            }
        }
        let mut latencies: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
        for ((_, kind), histogram) in &classes {
            match latencies.get_mut(kind) {
                Some(sum) => sum.add(histogram).with_context(|| format!("{name}: {kind}"))?,
                None => {
                    latencies.insert(kind.clone(), histogram.clone());
                }
            }
        }
        Ok(Self { name, latencies, classes, document })
    }

    /// A number of the report by its path; nothing if it was not measured.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<f64> {
        self.document.pointer(pointer)?.as_f64().filter(|number| number.is_finite())
    }

    /// A text of the report by its path; empty if it is not there.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the measurement is not one of the system under test.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.text("/verdict/validity") == "INVALID"
    }

    /// Why the verdict is not VALID.
    #[must_use]
    pub fn reasons(&self) -> Vec<&str> {
        let reasons = self.document["verdict"]["reasons"].as_array();
        reasons.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What one of the verdict's checks found: its grade and its words.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<(&str, &str)> {
        let checks = self.document["verdict"]["checks"].as_array()?;
        let check = checks.iter().find(|check| check["name"] == name)?;
        Some((check["grade"].as_str()?, check["finding"].as_str()?))
    }

    /// Messages that were lost, doubled, reordered, altered or misrouted.
    #[must_use]
    pub fn violations(&self) -> u64 {
        ["lost", "duplicate", "reordered", "corrupt", "misrouted"]
            .iter()
            .filter_map(|kind| self.document["ledger"][kind].as_u64())
            .sum()
    }

    /// What the run was made with, by dotted name: the host (`cpu.model`, `sysctl.net.core.somaxconn`), the program
    /// (`build.sha256`), the load (`offered.connections`) and the system under test (`system.io`).
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, Value> {
        let mut facts = BTreeMap::new();
        for (group, fact) in self.document["environment"]["start"].as_object().into_iter().flatten()
        {
            if MOVING.contains(&group.as_str()) {
                continue;
            }
            match fact.as_object() {
                Some(fields) => facts.extend(
                    fields.iter().map(|(name, value)| (format!("{group}.{name}"), value.clone())),
                ),
                None => {
                    facts.insert(group.clone(), fact.clone());
                }
            }
        }
        for (name, value) in self.document["offered"].as_object().into_iter().flatten() {
            facts.insert(format!("offered.{name}"), value.clone());
        }
        facts.insert("offered.login".into(), self.document["run"]["login"].clone());
        facts.insert("offered.engine".into(), self.document["generator"]["engine"].clone());
        for name in SYSTEM {
            facts.insert(format!("system.{name}"), self.document["server"][name].clone());
        }
        facts.insert("system.layout".into(), self.document["run"]["layout"].clone());
        facts
    }
}

/// The directories of the runs that `path` names: itself, or every directory in it that holds a report, in order.
///
/// # Errors
/// When there is none.
pub fn runs_in(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() || path.join("run.json").is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = fs::read_dir(path).with_context(|| {
        format!("{} holds no run: name a directory that `--report` made", path.display())
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", path.display()))?.path();
        if entry.join("run.json").is_file() {
            found.push(entry);
        }
    }
    ensure!(
        !found.is_empty(),
        "{} holds no run: name a directory that `--report` made, or one that holds several",
        path.display()
    );
    found.sort();
    Ok(found)
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
