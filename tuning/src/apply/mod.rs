//! Writing what a plan wants, and taking it back. Each write is in the journal before it is made and read back after.

mod back;
mod scripts;

use std::io;

use crate::finding::{Change, Plan};
use crate::journal::{Begin, Event, Journal, JournalError, Stage, all};
use crate::root::Root;
use crate::state::{Lock, State};

pub use back::{Back, Left, RollBackError, close_old, roll_back};
pub use scripts::{script, sysctl_name};

/// What came of an apply.
#[derive(Debug)]
pub struct Applied {
    /// The journal.
    pub id: String,
    /// The writes, with what was read back.
    pub wrote: Vec<(Change, String)>,
}

/// Why an apply did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was changed: some of it could not have been.
    #[error("nothing was changed: {} of the files cannot be written", .0.len())]
    Unwritable(Vec<(Change, io::Error)>),
    /// Nothing was changed: a value is no longer what the plan saw.
    #[error("nothing was changed: {0} has changed since it was looked at; plan again")]
    Moved(String),
    /// Nothing was changed: an earlier apply waits for an answer.
    #[error("nothing was changed: {0} waits for an answer: tuning confirm, or tuning rollback")]
    Pending(String),
    /// Nothing was changed: the journal or the watchdog could not be made.
    #[error("nothing was changed: {0}")]
    NotBegun(String),
    /// A write failed; what came before it was taken back.
    #[error("{path}: {why}")]
    Failed {
        /// The file.
        path: String,
        /// Why.
        why: String,
        /// What was taken back, and what could not be.
        back: Back,
    },
}

/// Makes changes, in order. `ready` is called when the journal is there and nothing is written yet: it starts whoever takes
/// the changes back in time.
///
/// # Errors
/// When not all of them are in force; whether some are is in the error.
pub fn apply(
    root: &dyn Root,
    state: &State,
    _lock: &Lock,
    begin: Begin,
    changes: &[Change],
    ready: impl FnOnce(&str) -> io::Result<()>,
) -> Result<Applied, ApplyError> {
    check_before(root, state, changes)?;
    let not_begun =
        |error: io::Error| ApplyError::NotBegun(format!("{}: {error}", state.folder().display()));
    let mut journal = Journal::create(state, begin).map_err(not_begun)?;
    if let Err(error) = ready(&journal.id) {
        // The journal is empty; that it says so is only tidy.
        let _ = journal.append(&Event::RolledBack { why: "no watchdog".to_owned() });
        return Err(ApplyError::NotBegun(format!("no watchdog: {error}")));
    }
    let mut wrote = Vec::new();
    for change in changes {
        match make(root, &mut journal, change) {
            Ok(became) => wrote.push((change.clone(), became)),
            Err(why) => return Err(undo(root, journal, &change.path, why)),
        }
    }
    match journal.append(&Event::Applied) {
        Ok(()) => Ok(Applied { id: journal.id, wrote }),
        Err(error) => Err(undo(root, journal, "the journal", error.to_string())),
    }
}

/// What can be known before the first write.
fn check_before(root: &dyn Root, state: &State, changes: &[Change]) -> Result<(), ApplyError> {
    let (records, errors) = all(state).map_err(|error| ApplyError::NotBegun(error.to_string()))?;
    if let Some(error) = errors.first() {
        return Err(ApplyError::NotBegun(error.to_string()));
    }
    let boot = crate::journal::boot(root);
    let waiting = |stage: Stage| matches!(stage, Stage::Pending | Stage::Interrupted);
    if let Some(record) =
        records.iter().find(|record| waiting(record.stage) && record.begin.boot == boot)
    {
        return Err(ApplyError::Pending(record.id.clone()));
    }
    let refused: Vec<(Change, io::Error)> = changes
        .iter()
        .filter_map(|change| {
            root.check_writable(&change.path).err().map(|error| (change.clone(), error))
        })
        .collect();
    if !refused.is_empty() {
        return Err(ApplyError::Unwritable(refused));
    }
    let is_moved = |change: &&Change| {
        !root.read(&change.path).is_ok_and(|text| change.form.is_same(&text, &change.from))
    };
    changes
        .iter()
        .find(is_moved)
        .map_or(Ok(()), |change| Err(ApplyError::Moved(change.path.clone())))
}

/// Makes one change and returns what is read there after it.
fn make(root: &dyn Root, journal: &mut Journal, change: &Change) -> Result<String, String> {
    let path = &change.path;
    let in_journal = |error: io::Error| format!("the journal cannot be written: {error}");
    // Nobody else's value is written over, not even one of this moment.
    if !root.read(path).is_ok_and(|now| change.form.is_same(&now, &change.from)) {
        return Err("somebody else has set it just now".to_owned());
    }
    journal.append(&Event::Writing(change.clone())).map_err(in_journal)?;
    let outcome = root.write(path, &change.to).and_then(|()| root.read(path));
    let refused = match outcome {
        Ok(became) if change.form.is_same(&became, &change.from) => {
            "the kernel took the value and kept the old one".to_owned()
        }
        Ok(became) => {
            let became = became.trim().to_owned();
            journal
                .append(&Event::Wrote { path: path.clone(), became: became.clone() })
                .map_err(in_journal)?;
            return Ok(became);
        }
        Err(error) => error.to_string(),
    };
    // Whether the value is as it was is looked at again by whoever takes the rest back.
    let is_untouched = root.read(path).is_ok_and(|now| change.form.is_same(&now, &change.from));
    if is_untouched {
        journal
            .append(&Event::Refused { path: path.clone(), error: refused.clone() })
            .map_err(in_journal)?;
    }
    Err(refused)
}

fn undo(root: &dyn Root, mut journal: Journal, path: &str, why: String) -> ApplyError {
    let back = match journal.record() {
        Ok(Some(record)) => back::restore(root, &mut journal, &record, "a write failed", false),
        Ok(None) => Back::default(),
        Err(error) => Back::stuck(error.to_string()),
    };
    ApplyError::Failed { path: path.to_owned(), why, back }
}

/// Says that what waits is to be kept.
///
/// # Errors
/// When nothing waits, or the journal cannot be written.
pub fn confirm(root: &dyn Root, state: &State, _lock: &Lock) -> Result<String, JournalError> {
    let io = |error: io::Error| JournalError::Io { path: state.journals(), error };
    let (records, _) = all(state).map_err(io)?;
    let boot = crate::journal::boot(root);
    let waiting = records
        .into_iter()
        .find(|record| record.stage == Stage::Pending && record.begin.boot == boot);
    let Some(record) = waiting else { return Err(JournalError::Unknown("that waits".to_owned())) };
    record.reopen().and_then(|mut journal| journal.append(&Event::Confirmed)).map_err(io)?;
    Ok(record.id)
}

/// The head of a journal for a plan.
#[must_use]
pub fn begin(root: &dyn Root, plan: &Plan, deadline_ms: Option<u64>) -> Begin {
    Begin::now(root, plan, deadline_ms)
}
