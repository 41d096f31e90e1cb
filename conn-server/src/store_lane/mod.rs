//! The threads between the shards and the SQLite store: one commits, one reads.
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
//! `relaxed`) are kept and tried again, since a client cannot take them back. Then the disk is probed, ever less often,
//! and further appends are `Busy` at once, until it takes writes again.

mod commit;
mod desk;
mod monitor;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use chat::{Append, StoreRequest};
use crossbeam::channel::unbounded;
use store::{Options, Reader, Writer};

use crate::clock::Clock;
use crate::mesh::{StoreLane, StoreMail};
use commit::Committer;
use desk::Desk;
pub use monitor::{
    GROUP_BUCKETS, GroupHistogram, StoreFaultReport, StoreMonitor, StoreReport, StoreStats,
};

/// The store's file, open and up to date, before there is anybody to serve.
#[derive(Debug)]
pub struct OpenStore {
    writer: Writer,
    reader: Reader,
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
            StoreRequest::Pull(_) | StoreRequest::Head(_) | StoreRequest::Conversations(_) => None,
        })
    }
}

impl OpenStore {
    /// Opens the file; makes and migrates it as needed.
    ///
    /// # Errors
    /// `Refused` for a file of another kind or of a newer version, `Busy` if the disk or a lock is in the way.
    pub fn open(options: &Options) -> store::Result<Self> {
        let writer = Writer::open(options)?;
        let reader = Reader::open(options)?;
        Ok(Self { writer, reader })
    }

    /// Leases one block of message ids per shard for this start, as [`Writer::lease_id_blocks`].
    ///
    /// # Errors
    /// As [`store::Error`] says.
    pub fn lease_id_blocks(&mut self, shards: u16) -> store::Result<Vec<u64>> {
        self.writer.lease_id_blocks(shards)
    }

    /// Serves the lane until every shard has ended and all that they posted is committed.
    ///
    /// # Errors
    /// If a thread cannot be started; the lane is dropped then, and the shards answer `busy` by themselves.
    pub fn serve(self, lane: StoreLane, clock: Clock) -> io::Result<StoreService> {
        let lane = Arc::new(lane);
        let monitor = StoreMonitor::new(clock);
        // A job has one append at least, and the core's credit bounds appends without an answer.
        let (jobs, queue) = unbounded();
        let committer =
            Committer::new(self.writer, queue, Arc::clone(&lane), monitor.clone(), clock);
        let desk = Desk::new(self.reader, jobs, lane, monitor.clone(), clock);
        let mut service = StoreService { monitor, threads: Vec::new() };
        service.spawn("rl-store-commit", move || committer.run())?;
        service.spawn("rl-store-desk", move || desk.run())?;
        Ok(service)
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
