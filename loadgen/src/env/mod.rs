//! Where a run took place: the facts that a reader needs before comparing two reports.
//!
//! Owns the environment block, its comparison between the start and the end of a run, and what else the machine did in
//! the measured phase. A source that is not there is recorded as missing with the reason, never as zero.

mod build;
mod clock;
mod host;
mod interference;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

pub use clock::{ClockCost, clock_cost};
pub use host::allowed_cpus;
pub(crate) use host::{process_rss_bytes, process_seconds, process_written_bytes};
pub use interference::{HostCounters, Interference};

/// Facts below this name change by themselves and are left out of the comparison.
const NOW: &str = "now.";

/// The facts of one moment, by dotted name: `cpu.model`, `sysctl.net.core.somaxconn`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    facts: BTreeMap<String, Value>,
    missing: BTreeMap<String, String>,
}

/// A fact that differs between two moments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The fact's dotted name.
    pub fact: String,
    /// At the first moment; null if it was missing.
    pub start: Value,
    /// At the second moment; null if it was missing.
    pub end: Value,
}

impl Environment {
    /// Reads every source. What concerns the program itself (its hash, its commit) is read too, which costs some tenths
    /// of a second: do it before the load.
    #[must_use]
    pub fn capture() -> Self {
        let mut environment = Self::default();
        build::read(&mut environment);
        environment.read_host();
        environment
    }

    /// Reads the host's facts again and takes those of the program from `start`, so that the end costs little.
    #[must_use]
    pub fn capture_again(start: &Self) -> Self {
        let of_build = |name: &&String| name.starts_with("build.");
        let mut environment = Self::default();
        let facts = start.facts.iter().filter(|(name, _)| of_build(name));
        environment.facts = facts.map(|(name, value)| (name.clone(), value.clone())).collect();
        let missing = start.missing.iter().filter(|(name, _)| of_build(name));
        environment.missing = missing.map(|(name, why)| (name.clone(), why.clone())).collect();
        environment.read_host();
        environment
    }

    fn read_host(&mut self) {
        host::read(self);
        clock::read(self);
    }

    /// Records a fact, or why it is missing.
    pub fn record<T: Into<Value>, E: std::fmt::Display>(
        &mut self,
        name: &str,
        found: Result<T, E>,
    ) {
        match found {
            Ok(value) => {
                self.facts.insert(name.to_owned(), value.into());
            }
            Err(why) => {
                self.missing.insert(name.to_owned(), why.to_string());
            }
        }
    }

    /// A fact that is known by itself.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A fact by its dotted name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)
    }

    /// What changed from here to `end`.
    #[must_use]
    pub fn changes(&self, end: &Self) -> Vec<Change> {
        let names = self.facts.keys().chain(end.facts.keys()).filter(|name| !name.starts_with(NOW));
        let names: std::collections::BTreeSet<&String> = names.collect();
        let value =
            |environment: &Self, name| environment.facts.get(name).cloned().unwrap_or_default();
        let both = names.into_iter().map(|name| (name, value(self, name), value(end, name)));
        both.filter(|(_, start, end)| start != end)
            .map(|(fact, start, end)| Change { fact: fact.clone(), start, end })
            .collect()
    }

    /// The facts as nested objects, with null for each missing one and the reasons under `missing`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for (name, value) in &self.facts {
            put(&mut root, name, value.clone());
        }
        for name in self.missing.keys() {
            put(&mut root, name, Value::Null);
        }
        let missing = self.missing.iter().map(|(name, why)| (name.clone(), why.clone().into()));
        root.insert("missing".into(), Value::Object(missing.collect()));
        Value::Object(root)
    }

    /// The facts one a line, as `loadgen env` shows them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width =
            self.facts.keys().chain(self.missing.keys()).map(String::len).max().unwrap_or(0);
        let mut lines: Vec<(&String, String)> = Vec::new();
        for (name, value) in &self.facts {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push((name, value));
        }
        for (name, why) in &self.missing {
            lines.push((name, format!("missing: {why}")));
        }
        lines.sort();
        lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

/// Puts a value under its name; sysctls keep their dots below `sysctl`.
fn put(root: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((group, rest)) = name.split_once('.') else {
        root.insert(name.to_owned(), value);
        return;
    };
    let group = root.entry(group).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(group) = group {
        group.insert(rest.to_owned(), value);
    }
}

/// The trimmed text of a small file; the reason names it.
fn text(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_null_with_its_reason() {
        let mut environment = Environment::default();
        environment.record("cpu.governor", text("/nonexistent/governor"));
        environment.set("cpu.model", "a processor");
        let json = environment.to_json();
        assert_eq!(json["cpu"]["governor"], Value::Null);
        assert!(
            json["missing"]["cpu.governor"].as_str().unwrap().contains("/nonexistent/governor")
        );
        assert_eq!(json["cpu"]["model"], "a processor");
    }

    #[test]
    fn changes_name_the_fact_and_leave_out_what_moves_by_itself() {
        let mut start = Environment::default();
        start.set("sysctl.net.core.somaxconn", "4096");
        start.set("now.load_average", "0.1");
        let mut end = start.clone();
        end.set("now.load_average", "9.0");
        assert_eq!(start.changes(&end), []);
        end.set("sysctl.net.core.somaxconn", "128");
        let changes = start.changes(&end);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].fact, "sysctl.net.core.somaxconn");
        assert_eq!(changes[0].end, "128");
    }

    #[test]
    fn this_machine_has_a_kernel_processors_and_a_limit_of_descriptors() {
        let environment = Environment::capture();
        assert!(environment.fact("kernel.release").is_some());
        assert!(environment.fact("cpu.online").and_then(Value::as_u64).unwrap() >= 1);
        assert!(environment.fact("limits.descriptors").is_some());
        assert_eq!(environment.fact("build.sha256").unwrap().as_str().unwrap().len(), 64);
        let again = Environment::capture_again(&environment);
        assert_eq!(environment.fact("build.sha256"), again.fact("build.sha256"));
    }
}
