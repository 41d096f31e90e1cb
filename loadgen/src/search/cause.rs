//! Whether a trial passed, and what limited it where it did not: read from its report, in the order of what outranks what.

use serde::Serialize;
use serde_json::Value;

use crate::stored::StoredRun;

/// A server that had work for this share of the time was the limit.
const BUSY: f64 = 0.85;
/// Checks of the verdict that concern the generator itself.
const OF_GENERATOR: [&str; 9] = [
    "generator CPU",
    "generator run-queue wait",
    "generator out of buffers",
    "sends that found no room",
    "sends",
    "lag p99",
    "lag p90",
    "lag p50",
    "send gaps",
];
/// Those that concern what else the machine did.
const OF_MACHINE: [&str; 3] = ["stolen time", "cgroup throttling", "CPU pressure"];
/// Those that concern the way between both.
const OF_NETWORK: [&str; 3] = ["packets dropped (softnet)", "TCP retransmits", "listen overflows"];

/// What limited a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Messages were lost, doubled, reordered, altered or misrouted.
    Ledger,
    /// Connections failed or were lost, or messages were refused or not acknowledged.
    Errors,
    /// The generator could not make the load: the system might carry more.
    Generator,
    /// The machine was taken away: the system might carry more.
    Machine,
    /// The server's processors had no time left.
    ServerCpu,
    /// Packets were dropped on the way.
    Network,
    /// An objective was missed, and nothing that is measured was at its end: latency alone.
    Slo,
    /// An objective has no figure, such as a percentile of too few samples: longer trials have one.
    Unmeasured,
}

impl Limit {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ledger => "delivery: messages were lost or damaged",
            Self::Errors => "errors: connections or messages failed",
            Self::Generator => "the generator",
            Self::Machine => "the machine: its processors were taken away",
            Self::ServerCpu => "server CPU",
            Self::Network => "the network: packets were dropped",
            Self::Unmeasured => {
                "an objective that was not measured: make trials longer with --trial"
            }
            Self::Slo => "latency alone: an objective was missed with processor time to spare",
        }
    }

    /// Whether the system under test is known to carry no more.
    #[must_use]
    pub const fn is_of_system(self) -> bool {
        match self {
            Self::Generator | Self::Machine | Self::Unmeasured => false,
            Self::Ledger | Self::Errors | Self::ServerCpu | Self::Network | Self::Slo => true,
        }
    }
}

/// What limited a trial, with what shows it; nothing if it passed.
#[must_use]
pub fn of(run: &StoredRun) -> Option<(Limit, String)> {
    let violations = run.violations();
    if violations > 0 {
        return Some((Limit::Ledger, format!("{violations} messages")));
    }
    if let Some(what) = errors(run) {
        return Some((Limit::Errors, what));
    }
    let graded = |names: &[&str], wanted: &str| -> Option<String> {
        let checks = names.iter().filter_map(|name| Some((*name, run.check(name)?)));
        let mut found = checks.filter(|(_, (grade, _))| *grade == wanted);
        found.next().map(|(name, (_, finding))| format!("{name}: {finding}"))
    };
    if let Some(what) = graded(&OF_GENERATOR, "invalid") {
        return Some((Limit::Generator, what));
    }
    if run.is_invalid() {
        let what = graded(&OF_MACHINE, "invalid");
        let first = || run.reasons().first().map(|reason| (*reason).to_owned());
        return Some((Limit::Machine, what.or_else(first).unwrap_or_default()));
    }
    let (missed, is_measured) = missed(run)?;
    if !is_measured {
        return Some((Limit::Unmeasured, missed));
    }
    let busy = busy(run);
    if let Some(share) = busy.filter(|share| *share >= BUSY) {
        return Some((
            Limit::ServerCpu,
            format!("busy {:.0} % of the time; {missed}", share * 100.0),
        ));
    }
    if let Some(what) = graded(&OF_NETWORK, "degraded") {
        return Some((Limit::Network, format!("{what}; {missed}")));
    }
    let spare = busy.map(|share| format!("; server busy {:.0} % of the time", share * 100.0));
    Some((Limit::Slo, missed + &spare.unwrap_or_default()))
}

/// The share of time in which the server's shards had work.
#[must_use]
pub fn busy(run: &StoredRun) -> Option<f64> {
    let shards = run.number("/server/shards").unwrap_or(1.0).max(1.0);
    let runnable = run.number("/window/server_runnable");
    Some(runnable.or_else(|| run.number("/window/server_utilisation"))? / shards)
}

fn errors(run: &StoredRun) -> Option<String> {
    let count = |value: &Value| -> u64 {
        value.as_object().into_iter().flatten().filter_map(|(_, times)| times.as_u64()).sum()
    };
    let lost = count(&run.document["connections"]["disconnects"]);
    if lost > 0 {
        return Some(format!("{lost} connections were lost"));
    }
    let refused = run.document["ledger"]["refused"].as_u64().unwrap_or(0);
    if refused > 0 {
        return Some(format!("{refused} messages were refused"));
    }
    ["connections", "acknowledgements"].iter().find_map(|name| {
        let (grade, finding) = run.check(name)?;
        (grade == "invalid").then(|| format!("{name}: {finding}"))
    })
}

/// The first objective that was missed, in words, and whether it was measured. One that was outranks one that was not.
fn missed(run: &StoredRun) -> Option<(String, bool)> {
    let results = run.document["verdict"]["slo"].as_array()?;
    let is_measured = |result: &Value| result["value"].is_number();
    let missed = || results.iter().filter(|result| result["pass"] == false);
    let result = missed().find(|result| is_measured(result)).or_else(|| missed().next())?;
    let found = match (result["value"].as_f64(), result["note"].as_str()) {
        (Some(value), _) => {
            format!("was {value:.1} {}", result["unit"].as_str().unwrap_or_default())
        }
        (None, note) => note.unwrap_or("was not measured").to_owned(),
    };
    let expr = result["expr"].as_str().unwrap_or_default();
    Some((format!("{expr} {found}"), is_measured(result)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stored::sample::run;

    #[track_caller]
    fn check(alter: impl FnOnce(&mut Value), expected: Option<Limit>, words: &str) {
        let found = of(&run(1e5, alter));
        assert_eq!(found.as_ref().map(|(limit, _)| *limit), expected, "{found:?}");
        assert!(found.map(|(_, words)| words).unwrap_or_default().contains(words));
    }

    fn missed_at(document: &mut Value, busy: f64) {
        document["verdict"]["slo"] =
            json!([{ "expr": "delivery.p99 < 5ms", "value": 9000.0, "unit": "us", "pass": false }]);
        document["window"]["server_runnable"] = busy.into();
    }

    #[test]
    fn a_trial_without_a_blemish_passes() {
        check(|_| {}, None, "");
        let degraded = |document: &mut Value| document["verdict"]["validity"] = "DEGRADED".into();
        check(degraded, None, "");
    }

    #[test]
    fn a_missed_objective_is_the_server_when_it_was_busy_and_latency_alone_when_not() {
        check(|document| missed_at(document, 0.95), Some(Limit::ServerCpu), "busy 95 %");
        check(
            |document| missed_at(document, 0.4),
            Some(Limit::Slo),
            "was 9000.0 us; server busy 40 %",
        );
        let two_shards = |document: &mut Value| {
            missed_at(document, 0.95);
            document["server"]["shards"] = 2.into();
        };
        check(two_shards, Some(Limit::Slo), "busy 48 %");
        let dropping = |document: &mut Value| {
            missed_at(document, 0.4);
            document["verdict"]["checks"] =
                json!([{ "name": "TCP retransmits", "grade": "degraded", "finding": "9" }]);
        };
        check(dropping, Some(Limit::Network), "TCP retransmits: 9");
    }

    #[test]
    fn an_objective_without_a_figure_is_no_limit_of_the_system() {
        let thin = |document: &mut Value| {
            document["verdict"]["slo"] = json!([{ "expr": "delivery.p99 < 5ms", "value": null, "pass": false,
                "note": "fewer than 100 of 10 samples lie beyond" }]);
        };
        check(thin, Some(Limit::Unmeasured), "fewer than 100");
        assert!(!Limit::Unmeasured.is_of_system());
        let both = |document: &mut Value| {
            missed_at(document, 0.4);
            let unmeasured = json!({ "expr": "lag.p99 < 5ms", "value": null, "pass": false });
            document["verdict"]["slo"].as_array_mut().unwrap().insert(0, unmeasured);
        };
        check(both, Some(Limit::Slo), "was 9000.0 us");
    }

    #[test]
    fn what_the_generator_could_not_make_is_not_the_systems_limit() {
        let late = |document: &mut Value| {
            missed_at(document, 1.0);
            document["verdict"]["validity"] = "INVALID".into();
            document["verdict"]["checks"] =
                json!([{ "name": "lag p99", "grade": "invalid", "finding": "900 us" }]);
        };
        check(late, Some(Limit::Generator), "lag p99: 900 us");
        let stolen = |document: &mut Value| {
            document["verdict"] = json!({ "validity": "INVALID", "reasons": ["stolen time: 9 %"], "slo": [],
                "checks": [{ "name": "stolen time", "grade": "invalid", "finding": "9 %" }] });
        };
        check(stolen, Some(Limit::Machine), "stolen time: 9 %");
        assert!(!Limit::Generator.is_of_system() && Limit::ServerCpu.is_of_system());
    }

    #[test]
    fn a_wrong_delivery_outranks_everything_and_errors_all_but_that() {
        let broken = |document: &mut Value| {
            missed_at(document, 1.0);
            document["ledger"]["refused"] = 3.into();
        };
        check(broken, Some(Limit::Errors), "3 messages were refused");
        let wrong = |document: &mut Value| {
            broken(document);
            document["ledger"]["duplicate"] = 1.into();
        };
        check(wrong, Some(Limit::Ledger), "1 messages");
        let lost = |document: &mut Value| {
            document["connections"] = json!({ "disconnects": { "reset": 2 } })
        };
        check(lost, Some(Limit::Errors), "2 connections");
    }
}
