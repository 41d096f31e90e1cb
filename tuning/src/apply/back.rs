//! Taking changes back: only where a value is still what was written. What somebody else has changed since is theirs.

use std::io;

use serde::Serialize;

use crate::journal::{self, Event, Journal, JournalError, Record, Step};
use crate::root::Root;
use crate::state::{Lock, State};

/// A value that is not back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The setting.
    pub id: String,
    /// The file.
    pub path: String,
    /// What is there, if it can be read.
    pub found: Option<String>,
    /// Why it was left.
    pub why: String,
}

/// What a rollback came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Back {
    /// Files that are back to what they were, or were so already.
    pub restored: Vec<String>,
    /// Values that somebody else has changed since: theirs now.
    pub drifted: Vec<Left>,
    /// Values that should be back and are not.
    pub failed: Vec<Left>,
}

impl Back {
    pub(super) fn stuck(why: String) -> Self {
        let left = Left { id: String::new(), path: "the journal".to_owned(), found: None, why };
        Self { failed: vec![left], ..Self::default() }
    }
}

/// Takes one journal's changes back. With `force` also what somebody else has changed since.
///
/// # Errors
/// When a later journal stands on this one, or it was written in another network namespace.
pub fn roll_back(
    root: &dyn Root,
    state: &State,
    _lock: &Lock,
    record: &Record,
    why: &str,
    force: bool,
) -> Result<Back, RollBackError> {
    if record.begin.boot != journal::boot(root) {
        return Err(RollBackError::OtherBoot);
    }
    let is_of_network = |step: &Step| step.change.path.starts_with("/proc/sys/net/");
    if record.open_steps().any(is_of_network) && record.begin.namespace != journal::namespace(root)
    {
        return Err(RollBackError::OtherNamespace(record.begin.namespace.clone()));
    }
    let (records, _) = journal::all(state)?;
    let touches = |later: &Record| {
        later
            .open_steps()
            .any(|step| record.open_steps().any(|mine| mine.change.path == step.change.path))
    };
    let later = records.iter().skip_while(|known| known.id != record.id).skip(1).find(|later| {
        later.stage.is_active() && later.begin.boot == record.begin.boot && touches(later)
    });
    if let Some(later) = later {
        return Err(RollBackError::Covered(later.id.clone()));
    }
    let mut journal = record.reopen()?;
    Ok(restore(root, &mut journal, record, why, force))
}

/// Why a rollback did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RollBackError {
    /// The values are gone with that run of the machine.
    #[error(
        "the machine has been started since: what was written is gone, and nothing is left to take back"
    )]
    OtherBoot,
    /// Its `net.*` values belong to another namespace.
    #[error(
        "it was applied in another network namespace ({0}): enter it with nsenter --net, then roll back"
    )]
    OtherNamespace(String),
    /// A later apply wrote the same files.
    #[error("{0} came later and wrote the same files: roll that back first, or all with --all")]
    Covered(String),
    /// The file system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the open steps back, the last first, and closes the journal unless something failed.
pub(super) fn restore(
    root: &dyn Root,
    journal: &mut Journal,
    record: &Record,
    why: &str,
    force: bool,
) -> Back {
    let mut back = Back::default();
    for step in record.open_steps().rev() {
        let path = step.change.path.clone();
        let event = match restore_one(root, step, force) {
            Ok(None) => {
                back.restored.push(path.clone());
                Event::Restored { path }
            }
            Ok(Some(left)) => {
                let found = left.found.clone().unwrap_or_default();
                back.drifted.push(left);
                Event::Left { path, found }
            }
            Err(left) => {
                back.failed.push(left);
                continue;
            }
        };
        // The value is right whatever the journal says; a rollback that is asked for again finds it so.
        let _ = journal.append(&event);
    }
    if back.failed.is_empty() {
        // As above.
        let _ = journal.append(&Event::RolledBack { why: why.to_owned() });
    }
    back
}

/// Brings one value back: done, left to somebody else, or not possible.
fn restore_one(root: &dyn Root, step: &Step, force: bool) -> Result<Option<Left>, Left> {
    let change = &step.change;
    let left = |found: Option<String>, why: String| Left {
        id: change.id.clone(),
        path: change.path.clone(),
        found,
        why,
    };
    let now = match root.read(&change.path) {
        Ok(now) => now,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(left(
                None,
                "it is gone: its device or module is no longer there".to_owned(),
            )));
        }
        Err(error) => return Err(left(None, error.to_string())),
    };
    if change.form.is_same(&now, &change.from) {
        return Ok(None);
    }
    let ours = step.became.as_deref().unwrap_or(&change.to);
    if !force && !change.form.is_same(&now, ours) {
        let why = format!(
            "it was set to {:?} by this tool, and somebody else has set it since",
            ours.trim()
        );
        return Ok(Some(left(Some(now.trim().to_owned()), why)));
    }
    let old = change.form.to_write(&change.from);
    let after = root.write(&change.path, &old).and_then(|()| root.read(&change.path));
    match after {
        Ok(after) if change.form.is_same(&after, &change.from) => Ok(None),
        Ok(after) => Err(left(
            Some(after.trim().to_owned()),
            format!("the kernel did not take {old:?} back"),
        )),
        Err(error) => Err(left(Some(now.trim().to_owned()), error.to_string())),
    }
}

/// Closes the journals of earlier runs of the machine: their values went with it.
///
/// # Errors
/// As the file system says.
pub fn close_old(
    root: &dyn Root,
    state: &State,
    _lock: &Lock,
) -> Result<Vec<String>, JournalError> {
    let io = |error: io::Error| JournalError::Io { path: state.journals(), error };
    let (records, _) = journal::all(state).map_err(io)?;
    let boot = journal::boot(root);
    let mut closed = Vec::new();
    for record in
        records.iter().filter(|record| record.stage.is_active() && record.begin.boot != boot)
    {
        let why = "the machine was started anew".to_owned();
        record
            .reopen()
            .and_then(|mut journal| journal.append(&Event::RolledBack { why }))
            .map_err(io)?;
        closed.push(record.id.clone());
    }
    Ok(closed)
}
