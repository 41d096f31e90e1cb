//! The catalogue: what each setting is for, as data, one source for `check`, `explain` and reports.

use std::sync::LazyLock;

use serde::Deserialize;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name here: `group.name`.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Where it is read.
    pub paths: Vec<String>,
    /// Whom a change affects: the process, the network namespace or the whole machine.
    pub scope: String,
    /// What it is for.
    pub why: String,
    /// When a change is not the answer.
    pub not_when: String,
    /// What a change can do harm to.
    pub risk: String,
    /// What to do, one step each; `{value}` stands for what the plan wants.
    pub todo: Vec<String>,
    /// How to take the change back.
    pub undo: String,
    /// What the advice rests on.
    pub evidence: String,
}

#[derive(Deserialize)]
struct File {
    setting: Vec<Setting>,
}

static CATALOGUE: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("catalogue.toml"))
        .expect("the catalogue is compiled in, and a test reads it");
    file.setting
});

/// Every setting, in the order of the check.
#[must_use]
pub fn all() -> &'static [Setting] {
    &CATALOGUE
}

/// The setting of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Setting> {
    all().iter().find(|setting| setting.id == id)
}
