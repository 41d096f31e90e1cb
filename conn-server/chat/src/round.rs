//! A room's messages of one turn, on their way to its members here: gathered first, so that each member gets them as one
//! frame in one place of its queue, and they leave in one slice.
//!
//! Invariant: whoever was a member when a message was accepted hears it, and nobody else: a round ends before any
//! membership does, and before one begins.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use wire::RoomId;

use crate::conn::{ConnKey, ConnRef};
use crate::effects::Effects;
use crate::frame_pool::FrameId;
use crate::limits::{PACK_BYTES_MAX, ROUND_TEXTS_MAX};
use crate::shard::Shard;
use crate::time::Now;

/// A message of a round, and who said it: that connection does not hear it.
#[derive(Clone, Copy, Debug)]
struct Said {
    frame: FrameId,
    origin: ConnRef,
}

/// The round of the turn; holds each of its frames once.
#[derive(Debug, Default)]
pub(crate) struct Round {
    room: RoomId,
    texts: ArrayVec<Said, ROUND_TEXTS_MAX>,
    bytes: usize,
    /// Where frames are joined.
    joined: Vec<u8>,
}

impl Round {
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn takes(&self, room: RoomId, len: usize) -> bool {
        self.is_empty()
            || (self.room == room
                && !self.texts.is_full()
                && self.bytes.saturating_add(len) <= PACK_BYTES_MAX)
    }
}

impl Shard {
    /// A room's message goes to its members on this shard, but its sender, when the round ends. The caller's hold stays
    /// the caller's.
    pub(crate) fn deliver_room_here(
        &mut self,
        now: Now,
        room: RoomId,
        origin: ConnRef,
        frame: FrameId,
        fx: &mut Effects,
    ) {
        let len = self.pool.bytes(frame).len();
        if !self.round.takes(room, len) {
            self.end_round(now, fx);
        }
        self.pool.hold(frame);
        self.round.room = room;
        self.round.bytes += len;
        self.round.texts.push(Said { frame, origin });
    }

    /// Queues the round's messages for the room's members.
    pub(crate) fn end_round(&mut self, now: Now, fx: &mut Effects) {
        // What is caused meanwhile (a slow member's close) ends a round as well: that is the empty one left here.
        let texts = core::mem::take(&mut self.round.texts);
        self.round.bytes = 0;
        let Some(whole) = self.join_round(&texts) else { return };
        let mut members = core::mem::take(&mut self.fan_out);
        members.clear();
        self.rooms.members_into(self.round.room, &mut members);
        for index in &members {
            let Some(key) = self.conns.key_at(*index) else { continue };
            let conn = self.conn_ref(key);
            if texts.iter().any(|text| text.origin == conn) {
                self.deliver_others(now, key, &texts, fx);
            } else {
                self.pool.hold(whole);
                self.deliver_frames(now, key, whole, texts.len() as u64, fx);
            }
        }
        self.fan_out = members;
        self.pool.release(whole);
        for text in texts {
            self.pool.release(text.frame);
        }
    }

    /// All of a round in one frame, held once; `None` of an empty one.
    fn join_round(&mut self, texts: &[Said]) -> Option<FrameId> {
        let [first, rest @ ..] = texts else { return None };
        if rest.is_empty() {
            self.pool.hold(first.frame);
            return Some(first.frame);
        }
        let mut joined = core::mem::take(&mut self.round.joined);
        joined.clear();
        for text in texts {
            joined.extend_from_slice(self.pool.bytes(text.frame));
        }
        let whole = self.pool.copy(&joined);
        self.round.joined = joined;
        whole
    }

    /// One who said some of a round hears the others.
    fn deliver_others(&mut self, now: Now, key: ConnKey, texts: &[Said], fx: &mut Effects) {
        let conn = self.conn_ref(key);
        for text in texts.iter().filter(|text| text.origin != conn) {
            self.pool.hold(text.frame);
            self.deliver_at(now, key, text.frame, fx);
        }
    }
}
