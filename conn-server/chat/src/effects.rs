//! What the driver must do after it has called the core: one lane per kind, drained once per loop turn.

use alloc::vec::Vec;

use wire::ShardId;

use crate::conn::ConnKey;
use crate::limits::{LANE_BYTES_KEPT, LANE_CONNS_KEPT};
use crate::mail::MailBatch;
use crate::store::StoreBatch;

/// The lanes. The caller owns them, drains them after each turn and clears them; they keep their capacity.
///
/// Order of a turn: `flush` (a connection stands here once, however much was queued for it), `pause` and `resume`,
/// `shutdown`, `abort`, then `mail` and `store`. Every key is valid when the lane is drained in the turn that filled it.
#[derive(Debug)]
pub struct Effects {
    /// Connections with something to send: call `poll_transmit` if no send is in flight.
    pub flush: Vec<ConnKey>,
    /// Stop receiving; what is received all the same is still handed over.
    pub pause: Vec<ConnKey>,
    /// Receive again.
    pub resume: Vec<ConnKey>,
    /// Everything is written: send FIN, go on receiving until the peer's FIN or an `abort`.
    pub shutdown: Vec<ConnKey>,
    /// Close now: cancel what is in flight, close, then call `handle_closed`.
    pub abort: Vec<ConnKey>,
    /// One batch per peer shard, by its index; empty ones have nothing to post. The driver takes a batch by swapping in
    /// an empty one.
    pub mail: Vec<MailBatch>,
    /// Requests for the store. The driver takes the batch by swapping in an empty one.
    pub store: StoreBatch,
}

impl Effects {
    /// Empty lanes for a shard among `shards`.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16) -> Self {
        Self {
            flush: Vec::new(),
            pause: Vec::new(),
            resume: Vec::new(),
            shutdown: Vec::new(),
            abort: Vec::new(),
            mail: (0..shards).map(|_| MailBatch::new(shard)).collect(),
            store: StoreBatch::default(),
        }
    }

    /// Gives back what the lanes keep from a burst, as far as they are empty. For when load has dropped: lanes that are
    /// in use should keep their capacity.
    pub fn tidy(&mut self) {
        let Self { flush, pause, resume, shutdown, abort, mail, store } = self;
        for lane in [flush, pause, resume, shutdown, abort] {
            lane.shrink_to(LANE_CONNS_KEPT);
        }
        for batch in mail {
            batch.bytes.shrink_to(LANE_BYTES_KEPT);
        }
        store.bytes.shrink_to(LANE_BYTES_KEPT);
    }
}
