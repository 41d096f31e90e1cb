//! The desk: takes what the shards post, hands appends on, and does the reads itself, one at a time.
//!
//! Between two reads it looks at the lane again, so that an append waits for one read at the most. Never waits for a
//! commit.

use std::collections::VecDeque;
use std::sync::Arc;

use chat::{PullPage, StoreBatch, StoreFault, StoreOutcome, StoreRequest, Stored, StoredMessage};
use crossbeam::channel::{Sender, TryRecvError};
use wire::ShardId;

use super::Job;
use super::late::LateReader;
use super::monitor::StoreMonitor;
use super::services::{RefusalLog, ask_of, served_outcome};
use crate::clock::Clock;
use crate::mesh::{StoreLane, StoreMail};

/// What a stranger to a group is told.
pub(super) const NOT_MEMBER: StoreFault = StoreFault::Rejected(wire::Reject::NotMember);

pub(super) struct Desk {
    reader: LateReader,
    jobs: Sender<Job>,
    lane: Arc<StoreLane>,
    monitor: StoreMonitor,
    clock: Clock,
    /// Reads to be done, in order, with the frame of each service. The core's credit bounds them.
    reads: VecDeque<(ShardId, StoreRequest, Vec<u8>)>,
    refusals: RefusalLog,
}

impl Desk {
    pub(super) fn new(
        reader: LateReader,
        jobs: Sender<Job>,
        lane: Arc<StoreLane>,
        monitor: StoreMonitor,
        clock: Clock,
    ) -> Self {
        Self {
            reader,
            jobs,
            lane,
            monitor,
            clock,
            reads: VecDeque::new(),
            refusals: RefusalLog::default(),
        }
    }

    /// Runs until every shard has ended.
    pub(super) fn run(mut self) {
        loop {
            if self.reads.is_empty() {
                let Some(mail) = self.lane.recv() else { return };
                self.take(mail);
            }
            match self.lane.try_recv() {
                Ok(mail) => self.take(mail),
                // Whoever asked for what is left has ended too, but may not know it yet.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.read_one(),
            }
        }
    }

    fn take(&mut self, mail: StoreMail) {
        let is_read = |request: &&StoreRequest| match request {
            StoreRequest::Append(_) => false,
            StoreRequest::Serve(serve) => !serve.is_write,
            StoreRequest::Pull(_) | StoreRequest::Head(_) | StoreRequest::Conversations(_) => true,
        };
        let reads = mail.batch.requests.iter().filter(is_read);
        self.reads.extend(reads.map(|read| {
            let frame = if let StoreRequest::Serve(serve) = read {
                mail.batch.frame(serve).to_vec()
            } else {
                Vec::new()
            };
            (mail.shard, read.clone(), frame)
        }));
        if mail.batch.requests.iter().all(|request| is_read(&request)) {
            return;
        }
        let job = Job { mail, taken: self.clock.mono() };
        if let Err(unsent) = self.jobs.send(job) {
            // The commit thread has panicked.
            self.monitor.note_write(Some("the commit thread has ended: restart the node"));
            answer_busy(&self.lane, unsent.into_inner(), &self.monitor);
        }
    }

    fn read_one(&mut self) {
        let Some((shard, request, frame)) = self.reads.pop_front() else { return };
        let begin = self.clock.mono();
        let (ticket, read) = match request {
            StoreRequest::Pull(pull) => {
                let PullPage { ticket, conversation, user, after, limit } = pull;
                let page = self
                    .reader
                    .get()
                    .and_then(|reader| reader.pull_for(conversation, user, after, limit));
                (ticket, page.map(|page| page.map(page_of).ok_or(NOT_MEMBER)))
            }
            StoreRequest::Head(head) => {
                let seq = self.reader.get().and_then(|reader| match head.for_user {
                    Some(user) => reader.head_for(head.conversation, user),
                    None => reader.head(head.conversation).map(Some),
                });
                (head.ticket, seq.map(|seq| seq.map(Stored::Head).ok_or(NOT_MEMBER)))
            }
            StoreRequest::Serve(serve) => {
                // It cannot write, so it needs no ids and no window.
                let ask = ask_of(&serve, &frame, std::time::Duration::ZERO);
                let served = self.reader.get().and_then(|reader| match ask {
                    Some(ask) => reader.serve(&ask).map(served_outcome),
                    None => Ok(Err(StoreFault::Refused)),
                });
                if let Ok(served) = &served {
                    self.refusals.note(&serve, served);
                }
                (serve.ticket, served)
            }
            StoreRequest::Conversations(page) => {
                let heads = self
                    .reader
                    .get()
                    .and_then(|reader| reader.conversations(page.user, page.after, page.limit));
                let stored = heads.map(|page| Stored::Conversations {
                    heads: page.heads,
                    is_complete: page.is_complete,
                });
                (page.ticket, stored.map(Ok))
            }
            StoreRequest::Append(_) => return,
        };
        let time = self.clock.mono().since(begin);
        let links = self.reader.links();
        self.monitor.count(|stats| {
            stats.read_links = links;
            stats.read_time.record(time);
            stats.reads += 1;
            stats.read_faults += u64::from(read.is_err());
        });
        self.note(read.as_ref().err());
        let result = read.unwrap_or(Err(StoreFault::Busy));
        let outcome = StoreOutcome { ticket, result };
        self.lane.answer(shard, vec![outcome], StoreBatch::default());
    }

    fn note(&self, error: Option<&store::Error>) {
        let text = error.map(ToString::to_string);
        if self.monitor.note_read(text.as_deref()) {
            match text {
                Some(error) => tracing::error!(error, "reading messages fails"),
                None => tracing::info!("reading messages works again"),
            }
        }
    }
}

fn page_of(page: store::Page) -> Stored {
    let messages = page
        .messages
        .into_iter()
        .map(|message| StoredMessage {
            seq: message.seq,
            message_id: message.message_id,
            from: message.from,
            unix_ms: message.unix_ms,
            body: message.body,
        })
        .collect();
    Stored::Page { messages, is_complete: page.is_complete }
}

/// Answers all appends of a job as busy.
pub(super) fn answer_busy(lane: &StoreLane, job: Job, monitor: &StoreMonitor) {
    let outcomes: Vec<StoreOutcome> = job
        .appends()
        .map(|append| append.ticket)
        .chain(job.changes().map(|serve| serve.ticket))
        .map(|ticket| StoreOutcome { ticket, result: Err(StoreFault::Busy) })
        .collect();
    monitor.count(|stats| stats.busy += outcomes.len() as u64);
    lane.answer(job.mail.shard, outcomes, job.mail.batch);
}
