//! What is planned, and what was found.

use serde::{Deserialize, Serialize};

use crate::catalogue::{How, Risk, Setting};
use crate::value::Form;

/// What the machine should be good at, where that cannot be everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Short and steady response times; costs power.
    Latency,
    /// Many messages a second.
    Throughput,
    /// Many connections, mostly idle.
    #[default]
    Capacity,
}

impl Profile {
    /// In a word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Capacity => "capacity",
        }
    }
}

/// What the machine is wanted for: values and severities depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Connections to hold, with both ends on this host.
    pub connections: u64,
    /// Messages a second.
    pub rate: u64,
    /// What counts most.
    pub profile: Profile,
    /// Whether connections live in rings' tables and need no process descriptors.
    pub direct_descriptors: bool,
}

/// The verdict on one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Good for the plan.
    Ok,
    /// Nothing to do by itself, but part of every report.
    Note,
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
            Self::Note => "NOTE",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Unsupported => "N/A",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One write that would bring a setting to what the plan wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The setting.
    pub id: String,
    /// The file.
    pub path: String,
    /// The form of its text.
    pub form: Form,
    /// What it says.
    pub from: String,
    /// What it should say.
    pub to: String,
}

/// One setting, as it is and as the plan wants it.
#[derive(Clone, Debug, Serialize)]
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
    /// How much harm a change can do.
    pub risk: Risk,
    /// Who changes it.
    pub how: How,
    /// What would be written; empty unless the tool may.
    pub changes: Vec<Change>,
    /// What stands in the place of `{value}` in the steps.
    #[serde(skip)]
    pub value: String,
}

/// What a check concludes, before the catalogue's words are added.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) current: String,
    pub(crate) wanted: String,
    pub(crate) note: String,
    /// Put in the place of `{value}` in the catalogue's steps.
    pub(crate) value: String,
    /// Path, text that was read, text to write.
    pub(crate) writes: Vec<(String, String, String)>,
}

impl Outcome {
    pub(crate) fn new(status: Status, current: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            status,
            current: current.into(),
            wanted: "-".to_owned(),
            note: note.into(),
            value: String::new(),
            writes: Vec::new(),
        }
    }

    pub(crate) fn wanted(mut self, wanted: impl Into<String>) -> Self {
        self.wanted = wanted.into();
        self
    }

    pub(crate) fn value(mut self, value: impl ToString) -> Self {
        self.value = value.to_string();
        self
    }

    pub(crate) fn write(mut self, path: &str, from: &str, to: impl ToString) -> Self {
        self.writes.push((path.to_owned(), from.to_owned(), to.to_string()));
        self
    }

    pub(crate) fn unsupported(note: impl Into<String>) -> Self {
        Self::new(Status::Unsupported, "not there", note)
    }

    pub(crate) fn unknown(note: impl Into<String>) -> Self {
        Self::new(Status::Unknown, "unreadable", note)
    }

    pub(crate) fn explain(self, setting: &'static Setting) -> Finding {
        let is_wrong = matches!(self.status, Status::Warn | Status::Fail);
        let todo = if is_wrong { setting.steps(&self.value) } else { Vec::new() };
        let may_write = is_wrong && setting.how == How::Write;
        let change = |(path, from, to): (String, String, String)| Change {
            id: setting.id.clone(),
            path,
            form: setting.form,
            from: from.trim().to_owned(),
            to,
        };
        Finding {
            id: &setting.id,
            title: &setting.title,
            status: self.status,
            current: self.current,
            wanted: self.wanted,
            note: self.note,
            why: &setting.why,
            todo,
            scope: &setting.scope,
            risk: setting.risk,
            how: setting.how,
            changes: if may_write {
                self.writes.into_iter().map(change).collect()
            } else {
                Vec::new()
            },
            value: self.value,
        }
    }
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "one for each status")]
pub struct Summary {
    pub ok: usize,
    pub note: usize,
    pub warn: usize,
    pub fail: usize,
    pub unsupported: usize,
    pub unknown: usize,
}

impl Summary {
    /// Counts verdicts.
    #[must_use]
    pub fn of(statuses: impl IntoIterator<Item = Status>) -> Self {
        let mut summary = Self::default();
        for status in statuses {
            *match status {
                Status::Ok => &mut summary.ok,
                Status::Note => &mut summary.note,
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

    /// In words, what there is none of left out.
    #[must_use]
    pub fn words(&self) -> String {
        let parts = [
            (self.fail, "failed"),
            (self.warn, "warned"),
            (self.ok, "ok"),
            (self.note, "noted"),
            (self.unsupported, "not on this machine"),
            (self.unknown, "unreadable"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        parts.join(", ")
    }
}
