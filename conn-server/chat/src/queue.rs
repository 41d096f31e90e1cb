//! Frames out: into a connection's queue, within its bound and the shard's.

use alloc::vec::Vec;

use wire::{ClientMessageId, CloseReason, Event, Kind, Message, Reject, Rejected};

use crate::conn::{ConnKey, Phase};
use crate::effects::Effects;
use crate::frame_pool::FrameId;
use crate::limits::{
    BUSY_RETRY_MS, CONN_QUEUE_BYTES_MAX, CUT_QUEUE_BYTES_MAX, RELIEF_STEP_BYTES,
    SHARD_QUEUE_BYTES_LOW, SHARD_QUEUE_BYTES_MAX,
};
use crate::shard::Shard;
use crate::time::Now;

impl Shard {
    /// Queues a frame; its hold passes to the queue, or ends if the connection takes nothing any more. Whether it was
    /// queued.
    pub(crate) fn push(
        &mut self,
        now: Now,
        key: ConnKey,
        frame: FrameId,
        fx: &mut Effects,
    ) -> bool {
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.takes_frames()) else {
            self.pool.release(frame);
            return false;
        };
        self.queued_bytes += u64::from(frame.charge());
        self.queued_bytes_high = self.queued_bytes_high.max(self.queued_bytes);
        self.nodes.push(&mut conn.queue, frame);
        self.conn_queued_bytes_high = self.conn_queued_bytes_high.max(conn.queue.bytes);
        if !conn.is_flushing {
            conn.is_flushing = true;
            fx.flush.push(key);
        }
        if conn.queue.bytes > CONN_QUEUE_BYTES_MAX && conn.reason != Some(CloseReason::Slow) {
            self.close_slow(now, key, fx);
        } else if self.queued_bytes <= SHARD_QUEUE_BYTES_MAX {
            self.relieve_above = SHARD_QUEUE_BYTES_MAX;
        } else if self.queued_bytes > self.relieve_above {
            self.relieve_above = self.queued_bytes + RELIEF_STEP_BYTES;
            self.relieve(now, fx);
        }
        true
    }

    /// Encodes a message behind the last frame queued for a connection, if there is one that the connection has for
    /// itself, with room for it: then it needs no buffer, place in the queue or slice of its own. The frame it went
    /// into.
    pub(crate) fn pack(
        &mut self,
        key: ConnKey,
        correlation: u64,
        message: &Message<'_>,
    ) -> Option<FrameId> {
        let conn = self.conns.get(key).filter(|conn| conn.takes_frames())?;
        let tail = self.nodes.open_tail(&conn.queue)?;
        self.pool.append(tail, message, correlation).map(|_| tail)
    }

    /// Queues a copy of a frame that another shard encoded. Whether it was queued.
    pub(crate) fn push_copy(
        &mut self,
        now: Now,
        key: ConnKey,
        bytes: &[u8],
        fx: &mut Effects,
    ) -> bool {
        let Some(conn) = self.conns.get(key).filter(|conn| conn.takes_frames()) else {
            return false;
        };
        let tail = self.nodes.open_tail(&conn.queue);
        if tail.is_some_and(|tail| self.pool.append_copy(tail, bytes)) {
            return true;
        }
        self.pool.copy(bytes).is_some_and(|frame| self.push(now, key, frame, fx))
    }

    /// Encodes an event and queues it.
    pub(crate) fn send(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        event: Event<'_>,
        fx: &mut Effects,
    ) {
        self.send_message(now, key, correlation, &Message::Event(event), fx);
    }

    /// The same, of what its maker has in place: where it is frequent, moving it about costs more than encoding it.
    pub(crate) fn send_message(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        message: &Message<'_>,
        fx: &mut Effects,
    ) {
        if self.pack(key, correlation, message).is_none()
            && let Some(frame) = self.pool.encode_pack(message, correlation, self.behind)
        {
            self.push(now, key, frame, fx);
        }
    }

    /// Answers a command with a refusal.
    pub(crate) fn reject(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        kind: Kind,
        reject: Reject,
        fx: &mut Effects,
    ) {
        self.reject_message(now, key, correlation, (kind, ClientMessageId(0)), reject, fx);
    }

    /// Answers a message with a refusal.
    pub(crate) fn reject_message(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        (kind, client_message_id): (Kind, ClientMessageId),
        reject: Reject,
        fx: &mut Effects,
    ) {
        self.counters.rejected += 1;
        self.counters.busy += u64::from(reject == Reject::Busy);
        let rejected = Rejected {
            reject: reject.code(),
            kind: kind as u8,
            retry_after_ms: if reject.is_retryable() { BUSY_RETRY_MS } else { 0 },
            client_message_id,
        };
        self.send(now, key, correlation, Event::Rejected(rejected), fx);
    }

    /// The shard's budget is used up: the longest queues are closed until enough will be free. What earlier victims have
    /// still to free counts, so that nobody is closed for bytes that are on their way out.
    fn relieve(&mut self, now: Now, fx: &mut Effects) {
        self.counters.queue_budget_hits += 1;
        let mut leaving = 0;
        let mut queues: Vec<(u32, ConnKey)> = Vec::new();
        for key in (0..self.conns.slots()).filter_map(|index| self.conns.key_at(index)) {
            let Some(conn) = self.conns.get(key).filter(|conn| conn.queue.bytes > 0) else {
                continue;
            };
            if conn.phase == Phase::Aborted || conn.reason == Some(CloseReason::Slow) {
                leaving += u64::from(conn.queue.bytes);
            } else {
                queues.push((conn.queue.bytes, key));
            }
        }
        queues.sort_unstable_by_key(|(bytes, _)| core::cmp::Reverse(*bytes));
        let mut excess = self.queued_bytes.saturating_sub(leaving + SHARD_QUEUE_BYTES_LOW);
        for (bytes, key) in queues {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes.into());
            self.close_slow(now, key, fx);
            let left = self.conns.get(key).map_or(0, |conn| conn.queue.bytes);
            if left > CUT_QUEUE_BYTES_MAX {
                self.counters.deadline_cuts += 1;
                self.abort(now, key, fx);
            }
        }
    }
}
