//! What the store's threads did and how they are: written by them, read by the health and metrics pages.
//!
//! Behind a lock that no shard ever takes, so that a stalled store can still be looked at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::stats::LagHistogram;

/// Totals of the store's threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Group commits that succeeded.
    pub commits: u64,
    /// Group commits that failed.
    pub commit_faults: u64,
    /// Messages written.
    pub appended: u64,
    /// Messages that were known already.
    pub retries: u64,
    /// Messages refused because their number was used for something else.
    pub conflicts: u64,
    /// Messages that cannot be stored.
    pub refused: u64,
    /// Messages answered as busy.
    pub busy: u64,
    /// The most messages in one commit.
    pub group_high: u64,
    /// Reads answered.
    pub reads: u64,
    /// Reads answered as busy.
    pub read_faults: u64,
    /// From taking a shard's batch to its answer after the commit.
    pub latency: LagHistogram,
    /// Group commits alone.
    pub commit_time: LagHistogram,
    /// Reads alone.
    pub read_time: LagHistogram,
}

impl StoreStats {
    /// Every counter with its name, in order: the metrics page is made from this.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("commits", self.commits),
            ("commit_faults", self.commit_faults),
            ("appended", self.appended),
            ("retries", self.retries),
            ("conflicts", self.conflicts),
            ("refused", self.refused),
            ("busy", self.busy),
            ("reads", self.reads),
            ("read_faults", self.read_faults),
        ]
        .into_iter()
    }
}

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFaultReport {
    /// What, and what to do about it.
    pub text: String,
    /// For how long.
    pub lasts: Duration,
}

/// The store as it is now.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// Totals.
    pub stats: StoreStats,
    /// Why writing fails, if it does.
    pub write_fault: Option<StoreFaultReport>,
    /// Why reading fails, if it does.
    pub read_fault: Option<StoreFaultReport>,
    /// For how long the commit under way has been under way.
    pub committing: Option<Duration>,
}

impl StoreReport {
    /// What is wrong, in sentences; nothing if the store is healthy. A commit that takes longer than `stall` is wrong.
    #[must_use]
    pub fn reasons(&self, stall: Duration) -> Vec<String> {
        let fault = |what: &str, fault: &StoreFaultReport| {
            format!("{what} fails since {} ms: {}", fault.lasts.as_millis(), fault.text)
        };
        let mut reasons = Vec::new();
        reasons.extend(self.write_fault.as_ref().map(|report| fault("writing", report)));
        reasons.extend(self.read_fault.as_ref().map(|report| fault("reading", report)));
        if let Some(stalled) = self.committing.filter(|time| *time > stall) {
            reasons.push(format!(
                "a commit has taken {} ms so far: look at the disk's load and health",
                stalled.as_millis()
            ));
        }
        reasons
    }
}

/// A look at the store's threads from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreMonitor {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stats: StoreStats,
    write_fault: Option<Fault>,
    read_fault: Option<Fault>,
    committing_since: Option<chat::Instant>,
}

#[derive(Debug)]
struct Fault {
    text: String,
    since: chat::Instant,
}

impl StoreMonitor {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// How the store is now.
    #[must_use]
    pub fn report(&self) -> StoreReport {
        let now = self.clock.mono();
        let state = self.state();
        let fault = |fault: &Option<Fault>| {
            fault.as_ref().map(|fault| StoreFaultReport {
                text: fault.text.clone(),
                lasts: now.since(fault.since),
            })
        };
        StoreReport {
            stats: state.stats,
            write_fault: fault(&state.write_fault),
            read_fault: fault(&state.read_fault),
            committing: state.committing_since.map(|since| now.since(since)),
        }
    }

    pub(super) fn count(&self, work: impl FnOnce(&mut StoreStats)) {
        work(&mut self.state().stats);
    }

    pub(super) fn begin_commit(&self, now: chat::Instant) {
        self.state().committing_since = Some(now);
    }

    pub(super) fn end_commit(&self) {
        self.state().committing_since = None;
    }

    /// Notes how the last write went; `true` if that is news.
    pub(super) fn note_write(&self, error: Option<&str>) -> bool {
        note(&mut self.state().write_fault, error, self.clock.mono())
    }

    /// Notes how the last read went; `true` if that is news.
    pub(super) fn note_read(&self, error: Option<&str>) -> bool {
        note(&mut self.state().read_fault, error, self.clock.mono())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers: whoever panicked has left them usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(fault: &mut Option<Fault>, error: Option<&str>, now: chat::Instant) -> bool {
    match (fault.as_mut(), error) {
        (Some(known), Some(text)) => {
            if known.text != text {
                text.clone_into(&mut known.text);
            }
            false
        }
        (None, Some(text)) => {
            *fault = Some(Fault { text: text.to_owned(), since: now });
            true
        }
        (Some(_), None) => {
            *fault = None;
            true
        }
        (None, None) => false,
    }
}
