//! The lane to the store and back: batches of all shards in one bounded queue, outcomes through the shards' inboxes.

use std::sync::Arc;
use std::time::Duration;

use chat::{StoreBatch, StoreOutcome};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use wire::ShardId;

use crate::limits::STORE_BATCHES_MAX;
use crate::mesh::{Mesh, Message};

/// Requests of one shard on their way to the store.
#[derive(Debug)]
pub struct StoreMail {
    /// Whose.
    pub shard: ShardId,
    /// What.
    pub batch: StoreBatch,
}

/// The store's end of the lane: batches of all shards in, outcomes back.
///
/// Every request must be answered exactly once, and each shard's in their order. When this is dropped, the shards answer
/// their clients `busy` by themselves.
#[derive(Debug)]
pub struct StoreLane {
    batches: Receiver<StoreMail>,
    mesh: Arc<Mesh>,
}

/// The shards' end of the lane.
pub(crate) type StoreSender = Sender<StoreMail>;

impl StoreLane {
    pub(crate) fn new(mesh: &Arc<Mesh>) -> (StoreSender, Self) {
        let (sender, batches) = bounded(STORE_BATCHES_MAX);
        (sender, Self { batches, mesh: Arc::clone(mesh) })
    }

    /// The next batch; waits for it. `None` when every shard has ended and nothing is left.
    #[must_use]
    pub fn recv(&self) -> Option<StoreMail> {
        self.batches.recv().ok()
    }

    /// The next batch, if it comes in time.
    ///
    /// # Errors
    /// The time ran out, or every shard has ended and nothing is left.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<StoreMail, RecvTimeoutError> {
        self.batches.recv_timeout(timeout)
    }

    /// The next batch, if it is there: what a group commit takes along.
    ///
    /// # Errors
    /// Nothing is there, or every shard has ended.
    pub fn try_recv(&self) -> Result<StoreMail, TryRecvError> {
        self.batches.try_recv()
    }

    /// Batches that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Answers a shard, waking it if it sleeps. Never waits, whatever that shard does. `batch` is what the requests came
    /// in: the shard uses its memory again. `false` if the shard has ended.
    pub fn answer(
        &self,
        shard: ShardId,
        outcomes: Vec<StoreOutcome>,
        mut batch: StoreBatch,
    ) -> bool {
        batch.clear();
        self.mesh.answer(shard, Message::Stored { outcomes, spare: batch })
    }
}
