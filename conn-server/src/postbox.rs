//! A shard's sending side: puts the turn's mail and store requests on their way, keeps what cannot go yet, and uses
//! emptied batches again. Never blocks, never drops; order per receiver is kept because what is kept goes first.

use std::mem;

use chat::{Effects, MailBatch, StoreBatch, StoreFault, StoreOutcome, StoreRequest, Ticket};
use crossbeam::channel::TrySendError;
use wire::ShardId;

use crate::limits::{SPARE_BATCH_BYTES_MAX, SPARE_BATCHES_MAX};
use crate::mesh::{Mesh, Message, PostError, StoreMail, StoreSender};
use crate::stats::IoCounters;

/// One shard's sending side.
#[derive(Debug)]
pub(crate) struct Postbox {
    shard: ShardId,
    /// Per peer, what its full inbox did not take.
    kept: Vec<Option<MailBatch>>,
    kept_count: usize,
    spares: Vec<MailBatch>,
    /// `None` if the node has no store, or lost it.
    store: Option<StoreSender>,
    kept_store: StoreBatch,
    store_spares: Vec<StoreBatch>,
    /// Answers that this shard has to give itself because there is no store.
    lost: Vec<StoreOutcome>,
}

impl Postbox {
    pub(crate) fn new(shard: ShardId, shards: u16, store: Option<StoreSender>) -> Self {
        Self {
            shard,
            kept: (0..shards).map(|_| None).collect(),
            kept_count: 0,
            spares: Vec::new(),
            store,
            kept_store: StoreBatch::default(),
            store_spares: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Empties the lanes `mail` and `store`.
    pub(crate) fn post(&mut self, mesh: &Mesh, fx: &mut Effects, counters: &mut IoCounters) {
        for (peer, lane) in (0..).map(ShardId).zip(&mut fx.mail) {
            if !lane.is_empty() || (self.kept_count > 0 && self.is_kept(peer)) {
                self.post_mail(mesh, peer, lane, counters);
            }
        }
        if !fx.store.is_empty() || !self.kept_store.is_empty() {
            self.post_store(&mut fx.store, counters);
        }
    }

    /// Whether everything is on its way; else `post` must be called again soon.
    pub(crate) fn is_clear(&self) -> bool {
        self.kept_count == 0 && self.kept_store.is_empty()
    }

    /// Answers for the core that no store will give any more.
    pub(crate) fn take_lost(&mut self) -> Vec<StoreOutcome> {
        mem::take(&mut self.lost)
    }

    pub(crate) const fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Keeps the memory of mail that has been handled.
    pub(crate) fn recycle_mail(&mut self, mut batch: MailBatch) {
        if self.spares.len() < SPARE_BATCHES_MAX && batch.len() <= SPARE_BATCH_BYTES_MAX {
            batch.reset(self.shard);
            self.spares.push(batch);
        }
    }

    /// Keeps the memory of a batch that the store has answered.
    pub(crate) fn recycle_store(&mut self, batch: StoreBatch) {
        let is_small = batch.bytes.capacity() <= SPARE_BATCH_BYTES_MAX;
        if self.store_spares.len() < SPARE_BATCHES_MAX && is_small {
            self.store_spares.push(batch);
        }
    }

    fn is_kept(&self, peer: ShardId) -> bool {
        self.kept.get(usize::from(peer.0)).is_some_and(Option::is_some)
    }

    fn post_mail(
        &mut self,
        mesh: &Mesh,
        peer: ShardId,
        lane: &mut MailBatch,
        counters: &mut IoCounters,
    ) {
        let Some(place) = self.kept.get_mut(usize::from(peer.0)) else { return };
        let batch = match place.take() {
            Some(mut kept) => {
                self.kept_count -= 1;
                kept.merge(lane);
                kept
            }
            None => {
                let spare = self.spares.pop().unwrap_or_else(|| MailBatch::new(self.shard));
                mem::replace(lane, spare)
            }
        };
        match mesh.post(peer, Message::Mail(batch)) {
            Ok(woken) => {
                counters.mail_posts += 1;
                counters.wakes_sent += u64::from(woken);
            }
            Err(PostError::Full(Message::Mail(batch))) => {
                counters.mail_kept += 1;
                self.kept_count += 1;
                *place = Some(batch);
            }
            // The peer has ended, which it does only when the whole node does.
            Err(PostError::Full(_) | PostError::Gone) => {}
        }
    }

    fn post_store(&mut self, lane: &mut StoreBatch, counters: &mut IoCounters) {
        let batch = if self.kept_store.is_empty() {
            mem::replace(lane, self.store_spares.pop().unwrap_or_default())
        } else {
            self.kept_store.merge(lane);
            mem::take(&mut self.kept_store)
        };
        let Some(store) = &self.store else {
            self.lose(&batch, counters);
            return;
        };
        match store.try_send(StoreMail { shard: self.shard, batch }) {
            Ok(()) => counters.store_posts += 1,
            Err(TrySendError::Full(mail)) => {
                counters.store_kept += 1;
                self.kept_store = mail.batch;
            }
            Err(TrySendError::Disconnected(mail)) => {
                tracing::error!(shard = self.shard.0, "the store has ended: answering busy");
                self.store = None;
                self.lose(&mail.batch, counters);
            }
        }
    }

    fn lose(&mut self, batch: &StoreBatch, counters: &mut IoCounters) {
        counters.store_lost += batch.requests.len() as u64;
        let busy =
            |request| StoreOutcome { ticket: ticket(request), result: Err(StoreFault::Busy) };
        self.lost.extend(batch.requests.iter().map(busy));
    }
}

const fn ticket(request: &StoreRequest) -> Ticket {
    match request {
        StoreRequest::Append(append) => append.ticket,
        StoreRequest::Pull(pull) => pull.ticket,
        StoreRequest::Head(head) => head.ticket,
        StoreRequest::Conversations(page) => page.ticket,
    }
}
