//! The threads between the shards and the store: one commits, one reads.
//!
//! Owns the store's connections and its health. Must never acknowledge before a commit, never answer a request twice or
//! not at all, and never keep a read waiting for a write: the disk may stall for as long as it likes.
//!
//! ```text
//! shards ──StoreLane──▶ desk thread ──appends──▶ commit thread ──outcomes──▶ the shards' inboxes
//!                         └─ reads, one at a time ──────────────outcomes──▶
//! ```
//!
//! Outcomes of appends come in the order of the appends, outcomes of reads in the order of the reads; between the two
//! kinds there is no order. A read that was posted after an append's outcome sees that append.
//!
//! When a commit fails, texts that nobody has seen are answered `Busy`; those that were shown already (durability
//! `relaxed`) are kept and tried again until the disk takes them, since a client cannot take them back: no more than the
//! core's credit, which runs out meanwhile. Then the disk is probed, ever less often, and further appends are `Busy` at
//! once, until it takes writes again. So it is too from the start, if the disk cannot be used then.

mod commit;
mod desk;
mod late;
mod monitor;
mod services;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chat::{Append, Serve, StoreRequest};
use crossbeam::channel::unbounded;
use store::{Backend, Options};

use crate::clock::Clock;
use crate::mesh::{StoreLane, StoreMail};
use commit::Committer;
use desk::Desk;
use late::{LateReader, LateWriter};
pub use monitor::{
    GROUP_BUCKETS, GroupHistogram, StoreFaultReport, StoreMonitor, StoreReport, StoreStats,
};

/// The store, before there is anybody to serve.
#[derive(Debug)]
pub struct OpenStore {
    writer: LateWriter,
    reader: LateReader,
    /// Why the store cannot be used for now.
    fault: Option<store::Error>,
}

/// Times of the store's threads.
#[derive(Clone, Copy, Debug)]
pub struct StorePace {
    /// A commit begins no sooner than this after the last one began.
    pub commit_interval: Duration,
    /// For how long a message may be taken back.
    pub revoke_window: Duration,
}

/// The running threads.
#[derive(Debug)]
pub struct StoreService {
    monitor: StoreMonitor,
    threads: Vec<JoinHandle<()>>,
}

/// Appends of one shard on their way to the commit thread.
#[derive(Debug)]
struct Job {
    mail: StoreMail,
    /// When the desk took it.
    taken: chat::Instant,
}

impl Job {
    fn appends(&self) -> impl Iterator<Item = &Append> {
        self.mail.batch.requests.iter().filter_map(|request| match request {
            StoreRequest::Append(append) => Some(append),
            StoreRequest::Pull(_)
            | StoreRequest::Head(_)
            | StoreRequest::Conversations(_)
            | StoreRequest::Serve(_) => None,
        })
    }

    /// Services that change something.
    fn changes(&self) -> impl Iterator<Item = &Serve> {
        self.mail.batch.requests.iter().filter_map(|request| match request {
            StoreRequest::Serve(serve) if serve.is_write => Some(serve),
            StoreRequest::Serve(_)
            | StoreRequest::Append(_)
            | StoreRequest::Pull(_)
            | StoreRequest::Head(_)
            | StoreRequest::Conversations(_) => None,
        })
    }
}

impl OpenStore {
    /// Opens the store; makes and migrates it as needed. A file that is there but cannot be used for now (a full disk, a
    /// lock) is opened as soon as it can be: until then the store is unhealthy and busy.
    ///
    /// # Errors
    /// `Refused` for a store of another kind or of a newer version; `Busy` if there is no file yet and none can be made,
    /// or if a database server cannot be reached: what is in the way is likely a mistake in the configuration.
    pub fn open(backend: impl Into<Backend>) -> store::Result<Self> {
        let backend = backend.into();
        let (writer, reader) = (LateWriter::writer(&backend), LateReader::reader(&backend));
        let mut open = Self { writer, reader, fault: None };
        // A file of no bytes was never more than begun.
        let is_there = match &backend {
            Backend::Sqlite(options) => {
                make_attached(options)?;
                options.path.metadata().is_ok_and(|file| file.len() > 0)
            }
            Backend::Mysql(_) => false,
        };
        let found = open.writer.get().map(drop).and_then(|()| open.reader.get().map(drop));
        match found {
            Err(error) if error.is_busy() && is_there => open.fail(error),
            found => found?,
        }
        Ok(open)
    }

    /// One block of message ids per shard for this start: leased, as [`store::MessageWriter::lease_id_blocks`],
    /// or, while the store cannot be used, [drawn](store::draw_id_blocks).
    ///
    /// # Errors
    /// As [`store::Error`] says, unless it may pass.
    pub fn lease_id_blocks(&mut self, shards: u16) -> store::Result<Vec<u64>> {
        match self.writer.get().and_then(|writer| writer.lease_id_blocks(shards)) {
            Err(error) if error.is_busy() => {
                self.fail(error);
                Ok(store::draw_id_blocks(shards))
            }
            leased => leased,
        }
    }

    fn fail(&mut self, error: store::Error) {
        if self.fault.is_none() {
            tracing::error!(%error, "starting without the messages: senders are told to try again");
        }
        self.fault = Some(error);
    }

    /// Serves the lane until every shard has ended and all that they posted is committed. A commit begins no sooner than
    /// `pace.commit_interval` after the last one began.
    ///
    /// # Errors
    /// If a thread cannot be started; the lane is dropped then, and the shards answer `busy` by themselves.
    pub fn serve(self, lane: StoreLane, clock: Clock, pace: StorePace) -> io::Result<StoreService> {
        let lane = Arc::new(lane);
        let monitor = StoreMonitor::new(clock);
        if let Some(fault) = &self.fault {
            monitor.note_write(Some(&fault.to_string()));
        }
        // A job has one append at least, and the core's credit bounds appends without an answer.
        let (jobs, queue) = unbounded();
        let committer =
            Committer::new(self.writer, queue, Arc::clone(&lane), monitor.clone(), clock)
                .paced(pace);
        let desk = Desk::new(self.reader, jobs, lane, monitor.clone(), clock);
        let mut service = StoreService { monitor, threads: Vec::new() };
        service.spawn("rl-store-commit", move || committer.run())?;
        service.spawn("rl-store-desk", move || desk.run())?;
        Ok(service)
    }
}

/// A file is not made by being attached, and a node may start before any gateway has.
fn make_attached(options: &Options) -> store::Result<()> {
    match options.attached.as_ref().filter(|accounts| !accounts.exists()) {
        Some(accounts) => store::Accounts::open(&Options::new(accounts)).map(drop),
        None => Ok(()),
    }
}

impl StoreService {
    /// For health and metrics.
    #[must_use]
    pub fn monitor(&self) -> StoreMonitor {
        self.monitor.clone()
    }

    /// Waits until every shard has ended and all that they posted is committed, or the disk has refused it to the end.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked (a bug: please report it)");
            }
        }
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }
}
