//! What the store's threads did and how they are: written by them, read by the health and metrics pages.
//!
//! Behind a lock that no shard ever takes, so that a stalled store can still be looked at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::{LinkStats, Trimmed};

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
    /// Services that changed something, or were refused by a rule: what people know of each other, groups, cursors.
    pub changes: u64,
    /// What retention has removed.
    pub trimmed: Trimmed,
    /// How the connection that writes has fared.
    pub write_links: LinkStats,
    /// How the connection that reads has fared.
    pub read_links: LinkStats,
    /// Messages answered as busy.
    pub busy: u64,
    /// The most messages in one commit.
    pub group_high: u64,
    /// Messages that were shown to clients and wait for the disk, which refuses them.
    pub kept: u64,
    /// Messages per commit that succeeded.
    pub groups: GroupHistogram,
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
    /// Every counter with its name and what it counts, in order: the metrics page is made from this.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let links = |of: fn(&LinkStats) -> u64| of(&self.write_links) + of(&self.read_links);
        [
            ("commits", "Group commits that succeeded.", self.commits),
            (
                "commit_faults",
                "Group commits and probes that failed: see /healthz for the reason.",
                self.commit_faults,
            ),
            ("appended", "Messages written.", self.appended),
            (
                "retries",
                "Messages that were known already by their client message id.",
                self.retries,
            ),
            (
                "conflicts",
                "Messages refused because their client message id was used for another.",
                self.conflicts,
            ),
            (
                "refused",
                "Messages refused for good: no such conversation, or a group of others.",
                self.refused,
            ),
            ("changes", "Services that changed something or were refused by a rule.", self.changes),
            ("trimmed_messages", "Messages that retention has removed.", self.trimmed.messages),
            ("trimmed_bytes", "Bytes of texts that retention has removed.", self.trimmed.bytes),
            ("trim_steps", "Commits that did some of retention's work.", self.trimmed.steps),
            (
                "busy",
                "Messages and changes answered busy because the store did not take them.",
                self.busy,
            ),
            ("reads", "Reads answered.", self.reads),
            (
                "read_faults",
                "Reads answered busy because the store did not serve them.",
                self.read_faults,
            ),
            (
                "connections_made",
                "Connections to the database server that were made.",
                links(|links| links.made),
            ),
            (
                "connections_broken",
                "Connections to the database server that broke or stopped answering.",
                links(|links| links.broken),
            ),
            (
                "connections_refused",
                "Attempts to connect to the database server that failed.",
                links(|links| links.refused),
            ),
            (
                "transactions_retried",
                "Transactions tried again after a deadlock or a lock wait of the database server.",
                links(|links| links.retried),
            ),
        ]
        .into_iter()
    }
}

/// Buckets of a [`GroupHistogram`]: two for each doubling, up to 12,288 messages; the last one is open.
pub const GROUP_BUCKETS: usize = 28;

/// How many messages commits had, in buckets: fixed size, no allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupHistogram {
    /// Commits per bucket.
    pub counts: [u64; GROUP_BUCKETS],
    /// The messages of all of them.
    pub sum: u64,
}

impl GroupHistogram {
    /// Counts one commit.
    pub fn record(&mut self, messages: u64) {
        let bucket = (0..GROUP_BUCKETS - 1)
            .find(|bucket| Self::bound(*bucket).is_some_and(|bound| messages <= bound));
        self.counts[bucket.unwrap_or(GROUP_BUCKETS - 1)] += 1;
        self.sum += messages;
    }

    /// The most messages of a bucket: 1, 2, 3, 4, 6, 8, 12 and so on; `None` for the open one.
    #[must_use]
    pub const fn bound(bucket: usize) -> Option<u64> {
        match bucket {
            0 => Some(1),
            _ if bucket + 1 >= GROUP_BUCKETS => None,
            _ if bucket % 2 == 1 => Some(2 << (bucket / 2)),
            _ => Some(3 << (bucket / 2 - 1)),
        }
    }

    /// How many commits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
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

    /// Whether the last write failed.
    pub(super) fn is_write_failing(&self) -> bool {
        self.state().write_fault.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let mut groups = GroupHistogram::default();
        for messages in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 1_000_000] {
            groups.record(messages);
        }
        assert_eq!(groups.counts[..7], [2, 1, 1, 1, 2, 2, 2]);
        assert_eq!(groups.counts[GROUP_BUCKETS - 1], 1);
        assert_eq!((groups.count(), groups.sum), (12, 1_000_057));
        let bounds: Vec<u64> = (0..GROUP_BUCKETS).map_while(GroupHistogram::bound).collect();
        assert!(bounds.is_sorted_by(|low, high| low < high));
        assert_eq!(
            (bounds[..8].to_vec(), bounds.last()),
            (vec![1, 2, 3, 4, 6, 8, 12, 16], Some(&12_288))
        );
    }
}
