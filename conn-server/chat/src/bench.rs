//! A door for the benchmarks to parts of the core that nobody else may name: thin, and never part of the product.

use alloc::vec;
use alloc::vec::Vec;

use wire::Message;

use crate::conn::ConnTable;
use crate::frame_pool::FramePool;
use crate::send_queue::{QueueNodes, SendQueue};
use crate::timers::Timers;
use crate::transmit::Transmit;

/// Send queues over one frame pool, without connections around them.
#[derive(Debug)]
pub struct Queues {
    pool: FramePool,
    nodes: QueueNodes,
    queues: Vec<SendQueue>,
}

impl Queues {
    /// So many empty queues.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let (pool, nodes) = (FramePool::new(), QueueNodes::new());
        Self { pool, nodes, queues: vec![SendQueue::EMPTY; count] }
    }

    /// Encodes a message once and appends it to each of these queues; `false` if it is longer than a frame can be.
    pub fn push(&mut self, message: &Message<'_>, to: core::ops::Range<usize>) -> bool {
        let Some(frame) = self.pool.encode(message, 0) else { return false };
        for queue in self.queues.get_mut(to).unwrap_or_default() {
            self.pool.hold(frame);
            self.nodes.push(queue, frame);
        }
        self.pool.release(frame);
        true
    }

    /// Lends what is queued to a send and accounts for it as sent; the bytes sent.
    pub fn send(&mut self, queue: usize) -> usize {
        let Some(queue) = self.queues.get_mut(queue) else { return 0 };
        let bytes = {
            let mut out = Transmit::default();
            self.nodes.transmit(queue, &self.pool, &mut out);
            out.slices().iter().map(|slice| slice.len()).sum()
        };
        self.nodes.sent(queue, &mut self.pool, bytes);
        bytes
    }

    /// Frames that some queue holds.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.pool.held()
    }
}

/// A timer wheel over connections that have nothing but a timer.
#[derive(Debug)]
pub struct Wheel {
    timers: Timers,
    conns: ConnTable,
    keys: Vec<u32>,
}

impl Wheel {
    /// A wheel of so many connections, none armed.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let mut conns = ConnTable::default();
        let keys = (0..count).filter_map(|_| conns.insert()).map(|key| key.index()).collect();
        Self { timers: Timers::new(), conns, keys }
    }

    /// Arms a connection's timer, or arms it anew.
    pub fn arm(&mut self, conn: usize, tick: u32) {
        if let Some(index) = self.keys.get(conn) {
            self.timers.arm(&mut self.conns, *index, tick);
        }
    }

    /// How many timers are due by this tick; they are disarmed.
    pub fn expire(&mut self, tick: u32) -> usize {
        let mut fired = 0;
        while self.timers.expire(&mut self.conns, tick).is_some() {
            fired += 1;
        }
        fired
    }

    /// When the next one is due, in nanoseconds since the start.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        self.timers.next().map(|at| at.0)
    }
}
