//! What is planned, and what was found.

use serde::Serialize;

use crate::catalogue::Setting;

/// What the machine is wanted for: severities depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Connections to hold, with both ends on this host.
    pub connections: u64,
    /// Whether connections live in rings' tables and need no process descriptors.
    pub direct_descriptors: bool,
}

/// The verdict on one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Good for the plan.
    Ok,
    /// The plan works, but slower or with care.
    Warn,
    /// The plan does not work.
    Fail,
    /// This machine has no such setting: nothing to do.
    Unsupported,
    /// It could not be read.
    Unknown,
}

impl Status {
    /// A label for tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Unsupported => "N/A",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One setting, as it is and as the plan wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As in `tuning explain ID`.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The verdict.
    pub status: Status,
    /// What was read.
    pub current: String,
    /// What the plan wants.
    pub wanted: String,
    /// What follows for the plan, in a sentence.
    pub note: String,
    /// What it is for.
    pub why: &'static str,
    /// What to do, one step each; empty if there is nothing to do.
    pub todo: Vec<String>,
    /// Whom a change affects.
    pub scope: &'static str,
}

/// What a check concludes, before the catalogue's words are added.
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) current: String,
    pub(crate) wanted: String,
    pub(crate) note: String,
    /// Put in the place of `{value}` in the catalogue's steps.
    pub(crate) value: String,
}

impl Outcome {
    pub(crate) fn unsupported(note: &str) -> Self {
        Self {
            status: Status::Unsupported,
            current: "not there".to_owned(),
            wanted: "-".to_owned(),
            note: note.to_owned(),
            value: String::new(),
        }
    }

    pub(crate) fn unknown(note: String) -> Self {
        Self {
            status: Status::Unknown,
            current: "unreadable".to_owned(),
            wanted: "-".to_owned(),
            note,
            value: String::new(),
        }
    }

    pub(crate) fn explain(self, setting: &'static Setting) -> Finding {
        let steps = match self.status {
            Status::Warn | Status::Fail => setting.todo.as_slice(),
            Status::Ok | Status::Unsupported | Status::Unknown => &[],
        };
        Finding {
            id: &setting.id,
            title: &setting.title,
            status: self.status,
            current: self.current,
            wanted: self.wanted,
            note: self.note,
            why: &setting.why,
            todo: steps.iter().map(|step| step.replace("{value}", &self.value)).collect(),
            scope: &setting.scope,
        }
    }
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "one for each status")]
pub struct Summary {
    pub ok: usize,
    pub warn: usize,
    pub fail: usize,
    pub unsupported: usize,
    pub unknown: usize,
}

impl Summary {
    /// Counts verdicts.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            *match finding.status {
                Status::Ok => &mut summary.ok,
                Status::Warn => &mut summary.warn,
                Status::Fail => &mut summary.fail,
                Status::Unsupported => &mut summary.unsupported,
                Status::Unknown => &mut summary.unknown,
            } += 1;
        }
        summary
    }

    /// The process's exit code: 4 if anything fails, else 5 if anything could not be read, else 3 if there are warnings and
    /// `strict`, else 0.
    #[must_use]
    pub const fn exit_code(&self, strict: bool) -> u8 {
        if self.fail > 0 {
            4
        } else if self.unknown > 0 {
            5
        } else if self.warn > 0 && strict {
            3
        } else {
            0
        }
    }
}
