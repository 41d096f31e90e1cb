//! What a setting is worth on this machine: runs of `loadgen` with the value as it is (A) and as the plan wants it (B), in turns,
//! so that what drifts meanwhile hits both alike. The run is the unit of replication: nothing within one counts as repeated.

pub mod kept;
mod load;
pub mod statistics;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::apply::{Back, begin, roll_back};
use crate::finding::{Change, Plan};
use crate::journal::{Event, Journal};
use crate::root::Root;
use crate::state::{Lock, State, now_text};
use kept::{Figure, Measured};

pub use load::{FIGURES, Load, LoadError};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Order {
    /// The setting, as it is and as it should be.
    pub changes: Vec<Change>,
    /// Runs of each side.
    pub runs: usize,
    /// The load generator.
    pub loadgen: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The setting could not be written.
    #[error("{path}: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The kernel did not take a value.
    #[error(
        "{path}: {wanted:?} was written, and {found:?} is there: the kernel, or somebody else, has another opinion"
    )]
    NotTaken {
        /// The file.
        path: String,
        /// What was written.
        wanted: String,
        /// What was read.
        found: String,
    },
    /// The journal or the watchdog.
    #[error("nothing was changed: {0}")]
    NotBegun(io::Error),
    /// The load generator.
    #[error("{run}: {error}")]
    Load {
        /// Which run, and with which value.
        run: String,
        /// Why it gave nothing.
        error: LoadError,
    },
    /// Somebody asked to end.
    #[error("interrupted")]
    Interrupted,
}

/// Which side a run belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As it is.
    A,
    /// As the plan wants it.
    B,
}

/// The order of runs: A B B A A B B A…
#[must_use]
pub fn turns(runs: usize) -> Vec<Side> {
    let pair = |index: usize| {
        if index.is_multiple_of(2) { [Side::A, Side::B] } else { [Side::B, Side::A] }
    };
    (0..runs).flat_map(pair).collect()
}

/// Where to measure.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    /// The machine.
    pub root: &'p dyn Root,
    /// Where journals and measurements are.
    pub state: &'p State,
    /// Nobody else changes anything meanwhile.
    pub lock: &'p Lock,
    /// The plan that the value is for.
    pub plan: &'p Plan,
    /// Set by a signal: the run under way is the last.
    pub stop: &'p AtomicBool,
}

/// Measures, and brings the value back whatever happens. `ready` starts the watchdog, which does so at the deadline; `tell` hears
/// of every run.
///
/// # Errors
/// When it came to no end; the value is back then too, or [`Back`] says why not.
pub fn measure(
    place: &Place<'_>,
    order: &Order,
    deadline_ms: u64,
    ready: impl FnOnce(&str) -> io::Result<()>,
    tell: &mut dyn FnMut(&str),
) -> (Result<Measured, MeasureError>, Back) {
    let Place { root, state, lock, plan, .. } = *place;
    let not_begun = |error: io::Error| (Err(MeasureError::NotBegun(error)), Back::default());
    let mut journal = match Journal::create(state, begin(root, plan, Some(deadline_ms))) {
        Ok(journal) => journal,
        Err(error) => return not_begun(error),
    };
    // From here on the values are in the journal: whoever finds it can bring them back.
    let written =
        order.changes.iter().try_for_each(|change| journal.append(&Event::Writing(change.clone())));
    let begun =
        written.and_then(|()| ready(&journal.id)).and_then(|()| journal.append(&Event::Applied));
    if let Err(error) = begun {
        let _ = journal.append(&Event::RolledBack { why: "not begun".to_owned() }); // nothing was written
        return not_begun(error);
    }
    let outcome = all_runs(place, order, tell);
    let back = match journal.record() {
        Ok(Some(record)) => match roll_back(root, state, lock, &record, "measured", false) {
            Ok(back) => back,
            Err(error) => stuck(order, &error.to_string()),
        },
        Ok(None) => stuck(order, "the journal is gone"),
        Err(error) => stuck(order, &error.to_string()),
    };
    (outcome, back)
}

fn stuck(order: &Order, why: &str) -> Back {
    let left = |change: &Change| crate::apply::Left {
        id: change.id.clone(),
        path: change.path.clone(),
        found: None,
        why: why.to_owned(),
    };
    Back { failed: order.changes.iter().map(left).collect(), ..Back::default() }
}

fn all_runs(
    place: &Place<'_>,
    order: &Order,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured, MeasureError> {
    let Place { root, state, stop, .. } = *place;
    let mut sides: [Vec<Load>; 2] = [Vec::new(), Vec::new()];
    let turns = turns(order.runs);
    let mut last = Side::A;
    for (index, side) in turns.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(MeasureError::Interrupted);
        }
        set(root, &order.changes, last, *side)?;
        last = *side;
        let load = Load::run(&order.loadgen, &order.arguments, &state.measured());
        let value = order
            .changes
            .first()
            .map_or("", |change| if *side == Side::A { &change.from } else { &change.to });
        let run = format!("run {} of {}, {side:?} ({})", index + 1, turns.len(), value.trim());
        let load = match load {
            // A signal for all of the terminal's processes ends the generator too.
            Err(_) if stop.load(Ordering::Relaxed) => return Err(MeasureError::Interrupted),
            Err(error) => return Err(MeasureError::Load { run, error }),
            Ok(load) => load,
        };
        tell(&format!("{run}: {}", load.words()));
        sides[usize::from(*side == Side::B)].push(load);
    }
    let [a, b] = sides;
    let figure = |index: usize| {
        let values = |side: &[Load]| -> Vec<f64> {
            side.iter().filter_map(|load| load.figures[index]).collect()
        };
        Figure::of(FIGURES[index].0, FIGURES[index].1, values(&a), values(&b))
    };
    let first = order.changes.first();
    Ok(Measured {
        schema: kept::SCHEMA,
        time: now_text(),
        id: first.map_or_else(String::new, |change| change.id.clone()),
        kernel: root.read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        from: first.map_or_else(String::new, |change| change.from.trim().to_owned()),
        to: first.map_or_else(String::new, |change| change.to.clone()),
        arguments: order
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        runs: order.runs,
        invalid: a.iter().chain(&b).filter(|load| !load.is_valid).count(),
        figures: (0..FIGURES.len())
            .map(figure)
            .filter(|figure| !figure.a.is_empty() && !figure.b.is_empty())
            .collect(),
    })
}

impl Side {
    fn value(self, change: &Change) -> String {
        match self {
            Self::A => change.form.to_write(&change.from),
            Self::B => change.to.clone(),
        }
    }
}

/// Brings the files from one side's values to another's, and looks whether they are there. What somebody else has set meanwhile
/// is not written over.
fn set(root: &dyn Root, changes: &[Change], last: Side, side: Side) -> Result<(), MeasureError> {
    for change in changes {
        let path = || change.path.clone();
        let failed = |error| MeasureError::Write { path: path(), error };
        let is_there = |found: String, wanted: String| {
            if change.form.is_same(&found, &wanted) {
                return Ok(());
            }
            Err(MeasureError::NotTaken { path: path(), wanted, found: found.trim().to_owned() })
        };
        is_there(root.read(&change.path).map_err(failed)?, last.value(change))?;
        let wanted = side.value(change);
        let found = root.write(&change.path, &wanted).and_then(|()| root.read(&change.path));
        is_there(found.map_err(failed)?, wanted)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Side, turns};

    #[test]
    fn runs_take_turns() {
        use Side::{A, B};
        assert_eq!(turns(3), [A, B, B, A, A, B]);
        for runs in 1..20 {
            let turns = turns(runs);
            assert_eq!(turns.iter().filter(|side| **side == A).count(), runs);
        }
    }
}
