//! The commit thread: gathers whatever waits into one transaction, commits it, answers.
//!
//! While the disk refuses, texts that were shown already are kept and everything else is answered `Busy`; the disk is
//! tried again after a pause that grows.

use std::sync::Arc;
use std::time::Duration;

use chat::{StoreBatch, StoreFault, StoreOutcome, StoreRequest, Stored};
use crossbeam::channel::{Receiver, RecvTimeoutError};
use store::{Appended, Ask, Record, RecordFault, Served};

use super::desk::{NOT_MEMBER, answer_busy};
use super::late::LateWriter;
use super::monitor::{StoreMonitor, StoreStats};
use super::services::{RefusalLog, asks, served_outcome};
use super::{Job, StorePace};
use crate::clock::{Clock, unix_ms};
use crate::limits::{
    STORE_GROUP_APPENDS_MAX, STORE_LAST_TRIES, STORE_RETRY_MAX, STORE_RETRY_MIN, STORE_TRIM_LOOK,
    STORE_TRIM_PAUSE,
};
use crate::mesh::StoreLane;

pub(super) struct Committer {
    writer: LateWriter,
    queue: Receiver<Job>,
    lane: Arc<StoreLane>,
    monitor: StoreMonitor,
    clock: Clock,
    /// What the next commit takes; while the disk refuses, what was shown and is kept.
    group: Vec<Job>,
    state: State,
    refusals: RefusalLog,
    pace: StorePace,
    /// When the last commit began.
    begun: Option<chat::Instant>,
    /// How long to pause after the next failure. Only a commit of messages makes it short again: a probe that passes
    /// where messages fail must not make the two alternate quickly.
    pause: Duration,
    /// When to look for what retention does not keep, if nobody writes then.
    trim_at: chat::Instant,
}

enum State {
    Working,
    /// The last commit failed; try again at this time.
    Failing {
        retry_at: chat::Instant,
    },
}

/// Whether there is more to come.
#[derive(PartialEq, Eq)]
enum Queue {
    Open,
    Ended,
}

impl Committer {
    pub(super) fn new(
        writer: LateWriter,
        queue: Receiver<Job>,
        lane: Arc<StoreLane>,
        monitor: StoreMonitor,
        clock: Clock,
    ) -> Self {
        let (group, pause) = (Vec::new(), STORE_RETRY_MIN);
        let state = if monitor.is_write_failing() {
            State::Failing { retry_at: clock.mono() }
        } else {
            State::Working
        };
        let pace = StorePace { commit_interval: Duration::ZERO, revoke_window: Duration::ZERO };
        let refusals = RefusalLog::default();
        let trim_at = clock.mono() + STORE_TRIM_LOOK;
        Self {
            writer,
            queue,
            lane,
            monitor,
            clock,
            group,
            state,
            refusals,
            pace,
            begun: None,
            pause,
            trim_at,
        }
    }

    /// Sets its times.
    pub(super) const fn paced(mut self, pace: StorePace) -> Self {
        self.pace = pace;
        self
    }

    /// Runs until the desk has ended and everything is committed.
    pub(super) fn run(mut self) {
        loop {
            let queue = match self.state {
                State::Working => self.gather(),
                State::Failing { retry_at } => self.pause_until(retry_at),
            };
            if queue == Queue::Ended {
                self.finish();
                return;
            }
        }
    }

    /// Waits for work, takes what is there with it, and commits it.
    fn gather(&mut self) -> Queue {
        let quiet = self.trim_at.since(self.clock.mono()).max(STORE_TRIM_PAUSE);
        let job = match self.queue.recv_timeout(quiet) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                self.trim();
                return Queue::Open;
            }
            Err(RecvTimeoutError::Disconnected) => return Queue::Ended,
        };
        let due = self.begun.map_or(Duration::ZERO, |begun| {
            (begun + self.pace.commit_interval).since(self.clock.mono())
        });
        if !due.is_zero() {
            // Not at the queue: whoever posts meanwhile need not wake this thread.
            std::thread::sleep(due);
        }
        let mut count = job.mail.batch.requests.len();
        self.group.push(job);
        while count < STORE_GROUP_APPENDS_MAX
            && let Ok(job) = self.queue.try_recv()
        {
            count += job.mail.batch.requests.len();
            self.group.push(job);
        }
        self.commit();
        Queue::Open
    }

    /// Takes work until it is time to try again: keeps what was shown, answers the rest.
    fn pause_until(&mut self, retry_at: chat::Instant) -> Queue {
        match self.queue.recv_timeout(retry_at.since(self.clock.mono())) {
            Ok(job) => {
                self.keep_or_answer(job);
                Queue::Open
            }
            Err(RecvTimeoutError::Timeout) => {
                if self.group.is_empty() {
                    self.probe();
                } else {
                    self.commit();
                }
                Queue::Open
            }
            Err(RecvTimeoutError::Disconnected) => Queue::Ended,
        }
    }

    /// Every shard has ended: nobody waits for an answer, but what was shown should be written if there is any way.
    fn finish(&mut self) {
        for _ in 0..STORE_LAST_TRIES {
            if self.group.is_empty() {
                return;
            }
            std::thread::sleep(STORE_RETRY_MIN);
            self.commit();
        }
        let lost: usize = self.group.iter().map(|job| job.appends().count()).sum();
        if lost > 0 {
            tracing::error!(
                lost,
                "the disk refused the last messages: they were shown, and are lost"
            );
        }
    }

    /// Commits the group and answers it; if that fails, keeps of it what was shown.
    fn commit(&mut self) {
        let begin = self.clock.mono();
        let records: Vec<Record<'_>> = self.group.iter().flat_map(records).collect();
        let asks: Vec<Ask<'_>> =
            self.group.iter().flat_map(|job| asks(job, self.pace.revoke_window)).collect();
        let count = records.len() as u64;
        self.begun = Some(begin);
        self.monitor.begin_commit(begin);
        let result = self.writer.get().and_then(|writer| {
            let (results, served) = writer.work(&records, &asks)?;
            Ok((results, served, writer.trimmed()))
        });
        self.monitor.end_commit();
        self.count_links();
        drop((records, asks));
        let end = self.clock.mono();
        match result {
            Ok((results, served, trimmed)) => {
                self.monitor.count(|stats| {
                    stats.trimmed = trimmed;
                    stats.commits += 1;
                    stats.changes += served.len() as u64;
                    stats.group_high = stats.group_high.max(count);
                    stats.groups.record(count);
                    stats.kept = 0;
                    stats.commit_time.record(end.since(begin));
                    results.iter().for_each(|result| tally(stats, result));
                    for job in &self.group {
                        stats.latency.record(end.since(job.taken));
                    }
                });
                self.pause = STORE_RETRY_MIN;
                self.works();
                self.answer(&results, served);
            }
            Err(error) => {
                self.fails(&error);
                self.monitor.count(|stats| stats.kept = 0);
                for job in std::mem::take(&mut self.group) {
                    self.keep_or_answer(job);
                }
            }
        }
    }

    fn answer(&mut self, results: &[Result<Appended, RecordFault>], served: Vec<Served>) {
        let (mut results, mut served) = (results.iter(), served.into_iter());
        for job in self.group.drain(..) {
            let mut outcomes: Vec<StoreOutcome> = job
                .appends()
                .zip(&mut results)
                .map(|(append, result)| StoreOutcome {
                    ticket: append.ticket,
                    result: outcome_of(result),
                })
                .collect();
            outcomes.extend(job.changes().zip(&mut served).map(|(serve, served)| {
                let result = served_outcome(served);
                self.refusals.note(serve, &result);
                StoreOutcome { ticket: serve.ticket, result }
            }));
            // A shard that has ended needs no answer.
            let _ = self.lane.answer(job.mail.shard, outcomes, job.mail.batch);
        }
    }

    fn keep_or_answer(&mut self, job: Job) {
        if job.appends().any(|append| append.seq.is_some()) {
            let count = job.appends().count() as u64;
            self.monitor.count(|stats| stats.kept += count);
            self.group.push(self.without_changes(job));
        } else {
            answer_busy(&self.lane, job, &self.monitor);
        }
    }

    /// A step of retention, while nobody writes.
    fn trim(&mut self) {
        self.monitor.begin_commit(self.clock.mono());
        let result = self.writer.get().and_then(|writer| {
            let is_more = writer.trim(unix_ms())?;
            Ok((is_more, writer.trimmed()))
        });
        self.monitor.end_commit();
        match result {
            Ok((is_more, trimmed)) => {
                let pause = if is_more { STORE_TRIM_PAUSE } else { STORE_TRIM_LOOK };
                self.trim_at = self.clock.mono() + pause;
                self.monitor.count(|stats| stats.trimmed = trimmed);
            }
            Err(error) => self.fails(&error),
        }
    }

    /// Changes of a job that is kept are answered now: nobody has seen them, and one that can never be made must not keep
    /// what was shown from the disk.
    fn without_changes(&self, mut job: Job) -> Job {
        let gone: Vec<StoreOutcome> = job
            .changes()
            .map(|serve| StoreOutcome { ticket: serve.ticket, result: Err(StoreFault::Busy) })
            .collect();
        if !gone.is_empty() {
            let is_kept =
                |request: &StoreRequest| !matches!(request, StoreRequest::Serve(s) if s.is_write);
            job.mail.batch.requests.retain(is_kept);
            self.lane.answer(job.mail.shard, gone, StoreBatch::default());
        }
        job
    }

    fn count_links(&self) {
        let links = self.writer.links();
        self.monitor.count(|stats| stats.write_links = links);
    }

    fn probe(&mut self) {
        self.monitor.begin_commit(self.clock.mono());
        let result = self.writer.get().and_then(|writer| writer.probe());
        self.monitor.end_commit();
        self.count_links();
        match result {
            Ok(()) => self.works(),
            Err(error) => self.fails(&error),
        }
    }

    fn works(&mut self) {
        self.state = State::Working;
        if self.monitor.note_write(None) {
            tracing::info!("writing messages works again");
        }
    }

    fn fails(&mut self, error: &store::Error) {
        self.state = State::Failing { retry_at: self.clock.mono() + self.pause };
        self.pause = (self.pause * 2).min(STORE_RETRY_MAX);
        self.monitor.count(|stats| stats.commit_faults += 1);
        let error = error.to_string();
        if self.monitor.note_write(Some(&error)) {
            tracing::error!(error, "writing messages fails: senders are told to try again");
        }
    }
}

fn records(job: &Job) -> impl Iterator<Item = Record<'_>> {
    let batch: &StoreBatch = &job.mail.batch;
    job.appends().map(|append| Record {
        conversation: append.conversation,
        seq: append.seq,
        message_id: append.message_id,
        from: append.from,
        client_message_id: append.client_message_id,
        unix_ms: append.unix_ms,
        body: batch.body(append),
    })
}

fn outcome_of(result: &Result<Appended, RecordFault>) -> Result<Stored, StoreFault> {
    match *result {
        Ok(Appended { seq, message_id, is_revoked: true, .. }) => {
            Ok(Stored::Revoked { seq, message_id })
        }
        Ok(Appended { seq, message_id, unix_ms, is_retry: _, is_revoked: false }) => {
            Ok(Stored::Appended { seq, message_id, unix_ms })
        }
        Err(RecordFault::Conflict) => Err(StoreFault::Conflict),
        Err(RecordFault::Refused) => Err(StoreFault::Refused),
        Err(RecordFault::NotMember) => Err(NOT_MEMBER),
    }
}

const fn tally(stats: &mut StoreStats, result: &Result<Appended, RecordFault>) {
    match result {
        Ok(Appended { is_retry: false, .. }) => stats.appended += 1,
        Ok(Appended { is_retry: true, .. }) => stats.retries += 1,
        Err(RecordFault::Conflict) => stats.conflicts += 1,
        Err(RecordFault::Refused | RecordFault::NotMember) => stats.refused += 1,
    }
}
