//! What is queued for each connection: a list of frame handles, its nodes shared by all queues of a shard.
//!
//! Invariants: the first `in_flight` frames are with the kernel and are neither dropped nor freed before they are
//! accounted for; `bytes` is the sum of the charges of the frames in the queue.

use alloc::vec::Vec;

use wire::limits::FRAME_BYTES_MAX;

use crate::conn::NONE;
use crate::frame_pool::{FrameId, FramePool};
use crate::limits::{QUEUE_NODES_KEPT, TRANSMIT_BYTES_MAX, TRANSMIT_SLICES_MAX};
use crate::transmit::Transmit;

/// One connection's queue: 20 bytes, empty or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendQueue {
    head: u32,
    tail: u32,
    /// Charged bytes.
    pub(crate) bytes: u32,
    frames: u32,
    /// Bytes of the first frame that are sent: less than a frame has.
    sent: u16,
    /// Frames with the kernel.
    in_flight: u8,
}

impl SendQueue {
    pub(crate) const EMPTY: Self =
        Self { head: NONE, tail: NONE, bytes: 0, frames: 0, sent: 0, in_flight: 0 };

    pub(crate) const fn is_empty(&self) -> bool {
        self.frames == 0
    }
}

const _: () = assert!(TRANSMIT_SLICES_MAX <= u8::MAX as usize);
const _: () = assert!(FRAME_BYTES_MAX - 1 <= u16::MAX as usize);

#[derive(Clone, Copy, Debug)]
struct Node {
    frame: FrameId,
    next: u32,
}

/// The nodes of all queues of a shard.
#[derive(Debug)]
pub(crate) struct QueueNodes {
    nodes: Vec<Node>,
    free: u32,
    used: u32,
    /// The most that were in use since the memory was last tidied.
    used_high: u32,
}

impl QueueNodes {
    pub(crate) const fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE, used: 0, used_high: 0 }
    }

    /// Gives memory back that was not needed since the last call; whether there was any. Places are named by their
    /// index, so only while none is in use.
    pub(crate) fn tidy(&mut self) -> bool {
        let high = core::mem::replace(&mut self.used_high, self.used) as usize;
        if self.used > 0 || self.nodes.capacity() <= high.saturating_mul(2).max(QUEUE_NODES_KEPT) {
            return false;
        }
        self.nodes = Vec::with_capacity(high);
        self.free = NONE;
        true
    }

    /// Whether `tidy` has something to do after another while without use.
    pub(crate) const fn is_untidy(&self) -> bool {
        self.used == 0 && self.nodes.capacity() > QUEUE_NODES_KEPT
    }

    /// Appends a frame; its hold passes to the queue.
    pub(crate) fn push(&mut self, queue: &mut SendQueue, frame: FrameId) {
        self.used += 1;
        self.used_high = self.used_high.max(self.used);
        let node = Node { frame, next: NONE };
        let index = if self.free == NONE {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        } else {
            let index = self.free;
            if let Some(place) = self.nodes.get_mut(index as usize) {
                self.free = place.next;
                *place = node;
            }
            index
        };
        match self.nodes.get_mut(queue.tail as usize) {
            Some(tail) => tail.next = index,
            None => queue.head = index,
        }
        queue.tail = index;
        queue.bytes += frame.charge();
        queue.frames += 1;
    }

    /// The last frame, if it is not with the kernel.
    pub(crate) fn open_tail(&self, queue: &SendQueue) -> Option<FrameId> {
        let is_open = queue.frames > u32::from(queue.in_flight);
        self.nodes.get(queue.tail as usize).filter(|_| is_open).map(|node| node.frame)
    }

    fn pop(&mut self, queue: &mut SendQueue) -> Option<FrameId> {
        let index = queue.head;
        let node = self.nodes.get_mut(index as usize)?;
        let frame = node.frame;
        self.used -= 1;
        queue.head = node.next;
        node.next = self.free;
        self.free = index;
        if queue.head == NONE {
            queue.tail = NONE;
        }
        queue.bytes -= frame.charge();
        queue.frames -= 1;
        Some(frame)
    }

    /// Lends the first frames to a send; `false` if there is nothing, or if a send is in flight already.
    pub(crate) fn transmit<'a>(
        &self,
        queue: &mut SendQueue,
        pool: &'a FramePool,
        out: &mut Transmit<'a>,
    ) -> bool {
        if queue.in_flight != 0 {
            return false;
        }
        let mut skip = usize::from(queue.sent);
        let mut next = queue.head;
        let mut room = TRANSMIT_BYTES_MAX;
        while let Some(node) = self.nodes.get(next as usize) {
            let bytes = pool.bytes(node.frame).get(skip..).unwrap_or_default();
            if room == 0 || !out.push(bytes) {
                break;
            }
            room = room.saturating_sub(bytes.len());
            skip = 0;
            queue.in_flight += 1;
            next = node.next;
        }
        queue.in_flight != 0
    }

    /// Accounts for a send of so many bytes.
    pub(crate) fn sent(&mut self, queue: &mut SendQueue, pool: &mut FramePool, bytes: usize) {
        queue.in_flight = 0;
        let mut done = usize::from(queue.sent) + bytes;
        while let Some(node) = self.nodes.get(queue.head as usize) {
            let len = pool.bytes(node.frame).len();
            if done < len {
                break;
            }
            done -= len;
            if let Some(frame) = self.pop(queue) {
                pool.release(frame);
            }
        }
        queue.sent = u16::try_from(done).unwrap_or(0);
    }

    /// Drops what is neither with the kernel nor begun, and says how many frames that was.
    pub(crate) fn cut(&mut self, queue: &mut SendQueue, pool: &mut FramePool) -> u64 {
        let begun = u8::from(queue.sent > 0).max(queue.in_flight);
        let mut kept =
            SendQueue { sent: queue.sent, in_flight: queue.in_flight, ..SendQueue::EMPTY };
        for _ in 0..begun {
            if let Some(frame) = self.pop(queue) {
                self.push(&mut kept, frame);
            }
        }
        let mut dropped = 0;
        while let Some(frame) = self.pop(queue) {
            pool.release(frame);
            dropped += 1;
        }
        *queue = kept;
        dropped
    }

    /// Frees everything, once nothing is with the kernel any more; says how many frames that was.
    pub(crate) fn clear(&mut self, queue: &mut SendQueue, pool: &mut FramePool) -> u64 {
        queue.in_flight = 0;
        queue.sent = 0;
        self.cut(queue, pool)
    }
}
