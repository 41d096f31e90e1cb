//! One entry of the catalogue, as its file has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::formula::Formula;
use crate::value::Form;

/// One setting.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name here: `group.name`.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Whom a change affects.
    pub scope: String,
    /// Who changes it.
    pub how: How,
    /// Where it is read; with `how = "write"` the first is written, or all if it has a rule. A `*` stands for every name.
    pub paths: Vec<String>,
    /// The form of the file's text.
    #[serde(default)]
    pub form: Form,
    /// What each number of the file should be.
    #[serde(default)]
    pub want: Vec<Want>,
    /// Words that are good; the first is what is written.
    #[serde(default)]
    pub word: Vec<String>,
    /// Only then something is wanted; always, if it is not given.
    pub when: Option<Formula>,
    /// When a value that is not as wanted is worse than a warning; `is` and `want` are the first number's.
    pub fail: Option<Formula>,
    /// What follows from a value that is not as wanted.
    #[serde(default)]
    pub note: String,
    /// What it means that the file is not there.
    pub missing: Option<String>,
    /// The function that judges it, where a rule does not do.
    pub judge: Option<String>,
    /// What the judge wants, in words.
    #[serde(default)]
    wanted: String,
    /// What it is for.
    pub why: String,
    /// When a change is not the answer.
    pub not_when: String,
    /// How much a change can do harm.
    pub risk: Risk,
    /// What a change can do harm to.
    pub harm: String,
    /// What to do, one step each; `{value}` stands for what the plan wants.
    #[serde(default)]
    pub todo: Vec<String>,
    /// How to take the change back, if it is not by `tuning rollback`.
    pub undo: Option<String>,
    /// What kind of evidence there is.
    pub evidence: Evidence,
    /// What the advice rests on.
    pub rests_on: String,
}

/// Who changes a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// `tuning apply` writes it, and `tuning plan --persist` puts it into a file.
    Write,
    /// Only a file does, since it belongs to a process: `tuning plan --persist` makes it.
    File,
    /// Nobody here: it is told, and the rest is the operator's.
    Report,
}

impl How {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Write => "`tuning apply`, and kept by `tuning plan --persist`",
            Self::File => "`tuning plan --persist` (it belongs to a process)",
            Self::Report => "told only, never changed by this tool",
        }
    }
}

/// How much harm a change can do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// None is known.
    None,
    /// Costs something, breaks nothing.
    Low,
    /// May break or slow down something else on the machine.
    Medium,
    /// A matter of safety, or of the connection that you sit at.
    High,
}

impl Risk {
    /// In a word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What kind of evidence an entry has. Nothing is called measured that this project did not measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// This project measured it.
    Measured,
    /// The kernel's or another project's documentation says so.
    Documented,
    /// General knowledge and others' practice.
    General,
}

impl Evidence {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Measured => "measured by this project",
            Self::Documented => "documented, not measured by this project",
            Self::General => "general knowledge, not measured by this project",
        }
    }
}

/// How a number is compared with the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
    /// The same.
    Exactly,
}

/// What a number should be: a rule and a formula.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Want {
    /// How it is compared.
    pub rule: Rule,
    /// With what.
    pub formula: Formula,
}

impl TryFrom<String> for Want {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (rule, formula) = match text.split_once(' ') {
            Some((">=", formula)) => (Rule::AtLeast, formula),
            Some(("<=", formula)) => (Rule::AtMost, formula),
            Some(("=", formula)) => (Rule::Exactly, formula),
            Some(_) | None => {
                return Err(format!("{text:?} does not begin with `>= `, `<= ` or `= `"));
            }
        };
        Ok(Self { rule, formula: Formula::try_from(formula.to_owned())? })
    }
}

impl fmt::Display for Want {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule {
            Rule::AtLeast => "at least",
            Rule::AtMost => "at most",
            Rule::Exactly => "exactly",
        };
        write!(out, "{rule} {}", self.formula)
    }
}

impl Setting {
    /// The part of the id behind the group.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.split_once('.').map_or(&self.id, |(_, name)| name)
    }

    /// The part of the id before the name.
    #[must_use]
    pub fn group(&self) -> &str {
        self.id.split_once('.').map_or(&self.id, |(group, _)| group)
    }

    /// What is wanted, in words and formulas.
    #[must_use]
    pub fn wanted(&self) -> String {
        let wanted = if !self.word.is_empty() {
            self.word.join(" or ")
        } else if !self.want.is_empty() {
            let wants: Vec<_> = self.want.iter().map(ToString::to_string).collect();
            wants.join("; ")
        } else {
            self.wanted.clone()
        };
        self.when.as_ref().map_or_else(|| wanted.clone(), |when| format!("{wanted}, if {when}"))
    }

    /// How to take a change back.
    #[must_use]
    pub fn undo(&self) -> &str {
        match (&self.undo, self.how) {
            (Some(undo), _) => undo,
            (None, How::Write) => {
                "tuning rollback; a restart of the machine brings the old value back too"
            }
            (None, How::File) => "remove the file that was made",
            (None, How::Report) => "-",
        }
    }

    /// The steps, with the value that a plan wants in its place.
    #[must_use]
    pub fn steps(&self, value: &str) -> Vec<String> {
        if self.todo.is_empty() && self.how == How::Write {
            return vec![format!("tuning apply --only {}", self.id)];
        }
        self.todo.iter().map(|step| step.replace("{value}", value)).collect()
    }
}
