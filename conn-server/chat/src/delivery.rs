//! A message's way out: from its conversation's home to its recipients' homes and connections.

use wire::{CloseReason, ConversationId, UserId, home_of_user};

use crate::conn::{ConnKey, ConnRef};
use crate::effects::Effects;
use crate::frame_pool::FrameId;
use crate::mail::Mail;
use crate::shard::{Shard, seconds};
use crate::time::Now;

impl Shard {
    /// Sends a text's frame to everyone in its conversation but its sender. Ends the caller's hold of the frame.
    pub(crate) fn deliver(
        &mut self,
        now: Now,
        origin: ConnRef,
        conversation: ConversationId,
        from: UserId,
        frame: FrameId,
        fx: &mut Effects,
    ) {
        if let Some(room) = conversation.as_room() {
            self.deliver_room_here(now, room, origin, frame, fx);
            for shard in self.rooms.interested(room) {
                let mail = Mail::DeliverRoom { room, origin, frame: self.pool.bytes(frame) };
                self.outbox.post(*shard, &mail, &mut self.counters, fx);
            }
            self.pool.release(frame);
            return;
        }
        match conversation.peer_of(from) {
            Some(to) if to != from => self.deliver_user(now, to, frame, fx),
            // Notes to oneself have nobody else to go to.
            Some(_) | None => self.pool.release(frame),
        }
    }

    fn deliver_user(&mut self, now: Now, to: UserId, frame: FrameId, fx: &mut Effects) {
        let home = home_of_user(to, self.config.shards);
        if home == self.config.shard {
            self.deliver_here(now, to, frame, fx);
            return;
        }
        let mail = Mail::Deliver { to, frame: self.pool.bytes(frame) };
        self.outbox.post(home, &mail, &mut self.counters, fx);
        self.pool.release(frame);
    }

    /// At the recipient's home.
    pub(crate) fn deliver_here(&mut self, now: Now, to: UserId, frame: FrameId, fx: &mut Effects) {
        let Some(conn) = self.directory.find(to) else {
            self.counters.offline += 1;
            self.pool.release(frame);
            return;
        };
        let (shard, key) = conn.parts();
        if shard == self.config.shard {
            self.deliver_at(now, key, frame, fx);
            return;
        }
        if !self.is_cut_off(now, to, conn, fx) {
            let mail = Mail::DeliverAt { conn, frame: self.pool.bytes(frame) };
            self.outbox.post(shard, &mail, &mut self.counters, fx);
        }
        self.pool.release(frame);
    }

    /// The same, of a text that another shard encoded.
    pub(crate) fn deliver_mailed(&mut self, now: Now, to: UserId, frame: &[u8], fx: &mut Effects) {
        let Some(conn) = self.directory.find(to) else {
            self.counters.offline += frames_in(frame);
            return;
        };
        let (shard, key) = conn.parts();
        if shard == self.config.shard {
            self.deliver_copy(now, key, frame, fx);
        } else if !self.is_cut_off(now, to, conn, fx) {
            self.outbox.post(shard, &Mail::DeliverAt { conn, frame }, &mut self.counters, fx);
        }
    }

    /// Whether a recipient elsewhere is to be cut off, and now is: its shard stands still, and no queue there can take
    /// more. As for any reader who is too slow.
    pub(crate) fn is_cut_off(
        &mut self,
        now: Now,
        to: UserId,
        conn: ConnRef,
        fx: &mut Effects,
    ) -> bool {
        let (shard, _) = conn.parts();
        if !self.outbox.is_reserve_used(shard) {
            return false;
        }
        self.counters.slow_closed += 1;
        self.counters.dropped_frames += 1;
        let reason = CloseReason::Slow;
        self.directory.release(to, conn, reason.code(), seconds(now.mono));
        self.outbox.post(shard, &Mail::Close { conn, reason }, &mut self.counters, fx);
        true
    }

    pub(crate) fn deliver_copy(&mut self, now: Now, key: ConnKey, frame: &[u8], fx: &mut Effects) {
        let frames = frames_in(frame);
        if self.push_copy(now, key, frame, fx) {
            self.counters.delivered += frames;
        } else {
            self.counters.offline += frames;
        }
    }

    pub(crate) fn deliver_at(&mut self, now: Now, key: ConnKey, frame: FrameId, fx: &mut Effects) {
        self.deliver_frames(now, key, frame, 1, fx);
    }

    /// The same, of so many messages in one frame.
    pub(crate) fn deliver_frames(
        &mut self,
        now: Now,
        key: ConnKey,
        frame: FrameId,
        count: u64,
        fx: &mut Effects,
    ) {
        if self.push(now, key, frame, fx) {
            self.counters.delivered += count;
        } else {
            self.counters.offline += count;
        }
    }
}

/// How many frames stand behind each other.
fn frames_in(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Ok(Some((_, rest))) = wire::split_frame(bytes) {
        (count, bytes) = (count + 1, rest);
    }
    count
}
