//! Whether two sides were measured under the same circumstances: the facts that differ, and what each means.
//!
//! What is compared may differ from side to side (the program, the system's own settings), but not within a side.
//! Everything else that differs is a reason to refuse, unless it is allowed by name: then it stands in every output.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::stored::StoredRun;

/// Groups of facts that are what a comparison is usually about.
const COMPARED: [&str; 2] = ["build", "system"];

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// It is what is compared.
    Compared,
    /// It was allowed by name: the reader must judge.
    Allowed,
    /// The runs cannot be compared.
    Refused,
}

/// A fact that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The fact's dotted name.
    pub fact: String,
    /// What the first side's runs have.
    pub first: Vec<Value>,
    /// What the second side's runs have.
    pub second: Vec<Value>,
    /// What that means.
    pub bearing: Bearing,
}

/// The facts that differ. `allowed` holds names of facts or of groups of them (`sysctl`); `by_design` says that the load
/// itself is what is compared.
#[must_use]
pub fn differences(
    first: &[StoredRun],
    second: &[StoredRun],
    allowed: &[String],
    by_design: bool,
) -> Vec<Difference> {
    let (first, second) = (seen(first), seen(second));
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let nothing = BTreeMap::new();
    let mut differences = Vec::new();
    for name in names {
        let of = |side: &BTreeMap<String, BTreeMap<String, Value>>| {
            side.get(name).unwrap_or(&nothing).clone()
        };
        let (one, other) = (of(&first), of(&second));
        if one == other && one.len() <= 1 {
            continue;
        }
        let is_one_each = one.len() <= 1 && other.len() <= 1;
        let is_compared = COMPARED.iter().any(|group| is_in(name, group))
            || (by_design && is_in(name, "offered"));
        let bearing = if allowed.iter().any(|allowed| is_in(name, allowed)) {
            Bearing::Allowed
        } else if is_compared && is_one_each {
            Bearing::Compared
        } else {
            Bearing::Refused
        };
        differences.push(Difference {
            fact: name.clone(),
            first: one.into_values().collect(),
            second: other.into_values().collect(),
            bearing,
        });
    }
    differences
}

/// Whether a fact is the one of that name, or lies below it.
fn is_in(fact: &str, name: &str) -> bool {
    fact.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The distinct values of each fact over a side's runs, by their text. A fact that a run does not have is null there.
fn seen(runs: &[StoredRun]) -> BTreeMap<String, BTreeMap<String, Value>> {
    let facts: Vec<BTreeMap<String, Value>> = runs.iter().map(StoredRun::facts).collect();
    let names: BTreeSet<&String> = facts.iter().flat_map(BTreeMap::keys).collect();
    let mut seen: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for name in names {
        for of_run in &facts {
            let value = of_run.get(name).cloned().unwrap_or_default();
            seen.entry(name.clone()).or_default().insert(value.to_string(), value);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::sample::run;

    fn found(alter: fn(&mut Value), allowed: &[&str], by_design: bool) -> Vec<(String, Bearing)> {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let (first, second) = ([run(1e5, |_| {}), run(1e5, |_| {})], [run(1e5, alter)]);
        let differences = differences(&first, &second, &allowed, by_design);
        differences.into_iter().map(|found| (found.fact, found.bearing)).collect()
    }

    #[test]
    fn the_same_circumstances_differ_in_nothing() {
        assert_eq!(
            found(
                |document| document["environment"]["start"]["now"]["load"] = 7.into(),
                &[],
                false
            ),
            []
        );
    }

    #[test]
    fn another_kernel_is_refused_unless_allowed_by_its_name_or_its_group() {
        let kernel: fn(&mut Value) =
            |document| document["environment"]["start"]["kernel"]["release"] = "7.0".into();
        let name = || "kernel.release".to_owned();
        assert_eq!(found(kernel, &[], false), [(name(), Bearing::Refused)]);
        assert_eq!(found(kernel, &["kernel.release"], false), [(name(), Bearing::Allowed)]);
        assert_eq!(found(kernel, &["kernel"], false), [(name(), Bearing::Allowed)]);
        assert_eq!(found(kernel, &["kern", "cpu"], false), [(name(), Bearing::Refused)]);
    }

    #[test]
    fn another_program_or_driver_is_what_is_compared_and_another_load_only_by_design() {
        let altered: fn(&mut Value) = |document| {
            document["environment"]["start"]["build"]["sha256"] = "bb".into();
            document["server"]["io"] = "epoll".into();
            document["offered"]["connections"] = 10.into();
        };
        let bearings = |by_design| {
            found(altered, &[], by_design)
                .into_iter()
                .map(|(_, bearing)| bearing)
                .collect::<Vec<_>>()
        };
        assert_eq!(bearings(false), [Bearing::Compared, Bearing::Refused, Bearing::Compared]);
        assert_eq!(bearings(true), [Bearing::Compared; 3]);
    }

    #[test]
    fn a_side_of_two_programs_is_no_side() {
        let other = run(1e5, |document| {
            document["environment"]["start"]["build"]["sha256"] = "bb".into();
        });
        let found = differences(&[run(1e5, |_| {}), other], &[run(1e5, |_| {})], &[], false);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].bearing, found[0].first.len()), (Bearing::Refused, 2));
    }
}
