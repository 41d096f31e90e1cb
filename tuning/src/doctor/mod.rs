//! What limits this machine, or the node on it, right now? Counters of both are read twice, and what they did in between is named in
//! words. Reads only.

mod host;
pub mod metrics;
mod network;
mod node;
mod sight;

use std::time::Duration;

use serde::Serialize;

use crate::check;
use crate::finding::{Plan, Status};
use crate::root::Root;

pub use metrics::Source;
pub(crate) use sight::Sight;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Hit while it was watched, or in the way of the plan.
    Limit,
    /// Near, or hit earlier.
    Risk,
    /// Could not be read.
    Unknown,
    /// Worth knowing.
    Note,
    /// Looked at, and well.
    Ok,
    /// Not on this machine.
    Unsupported,
}

impl Severity {
    /// A label for tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Limit => "LIMIT",
            Self::Risk => "RISK",
            Self::Unknown => "UNKNOWN",
            Self::Note => "NOTE",
            Self::Ok => "OK",
            Self::Unsupported => "N/A",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What was looked at.
    pub about: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, in a sentence.
    pub says: String,
    /// What to do; empty if there is nothing to do.
    pub todo: Vec<String>,
}

impl Diagnosis {
    fn new(about: &'static str, severity: Severity, says: impl Into<String>) -> Self {
        Self { about, severity, says: says.into(), todo: Vec::new() }
    }

    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, Severity::Ok, says)
    }

    fn todo(mut self, step: impl Into<String>) -> Self {
        self.todo.push(step.into());
        self
    }
}

/// What to look at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The node's figures, if there is a node.
    pub node: Source,
    /// The node's process, if its /info does not say.
    pub pid: Option<u32>,
    /// How long counters are watched.
    pub window: Duration,
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    schema: &'static str,
    /// What the machine is wanted for.
    pub plan: Plan,
    /// How long was watched.
    pub seconds: f64,
    /// The node's process, if it is known.
    pub pid: Option<u32>,
    /// What was seen, the worst first.
    pub diagnoses: Vec<Diagnosis>,
}

impl Answer {
    /// 4 if a limit is hit, else 5 if something could not be read, else 3 if there are risks and `strict`, else 0.
    #[must_use]
    pub fn exit_code(&self, strict: bool) -> u8 {
        let has = |severity| self.diagnoses.iter().any(|diagnosis| diagnosis.severity == severity);
        if has(Severity::Limit) {
            4
        } else if has(Severity::Unknown) {
            5
        } else if has(Severity::Risk) && strict {
            3
        } else {
            0
        }
    }
}

/// Settings whose check belongs into a doctor's answer: what stands in the way of the plan whatever counters say. Those that
/// counters tell more about are not among them.
const SETTINGS: [&str; 12] = [
    "limits.nofile",
    "limits.file_max",
    "limits.memlock",
    "uring.permission",
    "uring.direct_table",
    "mem.connections",
    "cgroup.memory",
    "cgroup.pids",
    "tcp.port_range",
    "tcp.conntrack",
    "mem.thp",
    "cpu.clocksource",
];

/// Watches, and says what was seen.
#[must_use]
pub fn diagnose(root: &dyn Root, plan: &Plan, look: &Look) -> Answer {
    let sight = Sight::of(root, look);
    let mut diagnoses = node::diagnose(&sight);
    if !look.node.is_here() && look.pid.is_none() {
        let says =
            "its address may be another machine's: what is said of the machine is said of this one";
        diagnoses.push(
            Diagnosis::new("node", Severity::Note, says).todo(
                "run the doctor on the node's machine, or say --server-pid if it is this one",
            ),
        );
    }
    diagnoses.extend(network::diagnose(&sight));
    diagnoses.extend(host::diagnose(&sight));
    diagnoses.extend(planned(root, plan));
    diagnoses.sort_by_key(|diagnosis| diagnosis.severity);
    Answer {
        schema: "ringline.tuning.doctor/1",
        plan: *plan,
        seconds: sight.seconds,
        pid: sight.pid,
        diagnoses,
    }
}

/// What the check of some settings says, as diagnoses.
fn planned(root: &dyn Root, plan: &Plan) -> Vec<Diagnosis> {
    let findings = check(root, plan).into_iter().filter(|finding| SETTINGS.contains(&finding.id));
    findings
        .map(|finding| {
            let severity = match finding.status {
                Status::Fail => Severity::Limit,
                Status::Warn => Severity::Risk,
                Status::Unknown => Severity::Unknown,
                Status::Note => Severity::Note,
                Status::Ok => Severity::Ok,
                Status::Unsupported => Severity::Unsupported,
            };
            let says = format!("{} ({}, wanted {})", finding.note, finding.current, finding.wanted);
            let mut diagnosis = Diagnosis::new(finding.id, severity, says);
            diagnosis.todo = finding.todo;
            if matches!(severity, Severity::Limit | Severity::Risk) {
                diagnosis.todo.push(format!("tuning explain {}", finding.id));
            }
            diagnosis
        })
        .collect()
}
