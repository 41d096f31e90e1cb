//! A room's messages of one turn, on their way to its members here: gathered first, so that each member gets them as one
//! frame in one place of its queue, and they leave in one slice.
//!
//! Invariants: whoever was a member when a message was accepted hears it, and nobody else: a round ends before any
//! membership does, and before one begins. Each member hears what is said, and what it said itself acknowledged, in the
//! order of the room: an acknowledgement that comes while a round is open takes its place in it.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use wire::RoomId;

use crate::conn::{ConnKey, ConnRef};
use crate::effects::Effects;
use crate::frame_pool::FrameId;
use crate::limits::{PACK_BYTES_MAX, ROUND_ITEMS_MAX};
use crate::mail::Ack;
use crate::shard::Shard;
use crate::time::Now;

/// A part of a round.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// A message, and who said it: that connection does not hear it.
    Said { frame: FrameId, origin: ConnRef },
    /// For who said it alone.
    Acked(ConnKey, Ack),
}

/// The round of the turn; holds each of its frames once.
#[derive(Debug, Default)]
pub(crate) struct Round {
    room: RoomId,
    items: ArrayVec<Item, ROUND_ITEMS_MAX>,
    texts: u64,
    bytes: usize,
    /// Where frames are joined.
    joined: Vec<u8>,
}

impl Round {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn takes(&self, room: RoomId, len: usize) -> bool {
        self.is_empty()
            || (self.room == room
                && !self.items.is_full()
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
        self.round.texts += 1;
        self.round.items.push(Item::Said { frame, origin });
    }

    /// Keeps an acknowledgement for its place in the round, if there is one of its room.
    pub(crate) fn acknowledge_in_round(
        &mut self,
        now: Now,
        key: ConnKey,
        ack: &Ack,
        fx: &mut Effects,
    ) -> bool {
        if self.round.is_empty() || ack.conversation.as_room() != Some(self.round.room) {
            return false;
        }
        if self.round.items.is_full() {
            self.end_round(now, fx);
            return false;
        }
        self.round.items.push(Item::Acked(key, *ack));
        true
    }

    /// Queues the round's messages for the room's members.
    pub(crate) fn end_round(&mut self, now: Now, fx: &mut Effects) {
        if self.round.is_empty() {
            return;
        }
        // What is caused meanwhile (a slow member's close) ends a round as well: that is the empty one left here.
        let items = core::mem::take(&mut self.round.items);
        let texts = core::mem::take(&mut self.round.texts);
        self.round.bytes = 0;
        let Some(whole) = self.join_round(&items) else { return };
        let mut members = core::mem::take(&mut self.fan_out);
        members.clear();
        self.rooms.members_into(self.round.room, &mut members);
        for index in &members {
            let Some(key) = self.conns.key_at(*index) else { continue };
            if items.iter().any(|item| self.is_own(key, item)) {
                self.deliver_own(now, key, &items, fx);
            } else {
                self.pool.hold(whole);
                self.deliver_frames(now, key, whole, texts, fx);
            }
        }
        self.acknowledge_others(now, &members, &items, fx);
        self.fan_out = members;
        self.pool.release(whole);
        for item in items {
            if let Item::Said { frame, .. } = item {
                self.pool.release(frame);
            }
        }
    }

    /// All messages of a round in one frame, held once; `None` of an empty one.
    fn join_round(&mut self, items: &[Item]) -> Option<FrameId> {
        let mut frames = items.iter().filter_map(|item| match item {
            Item::Said { frame, .. } => Some(*frame),
            Item::Acked(..) => None,
        });
        let first = frames.next()?;
        let mut joined = core::mem::take(&mut self.round.joined);
        joined.clear();
        for frame in frames {
            if joined.is_empty() {
                joined.extend_from_slice(self.pool.bytes(first));
            }
            joined.extend_from_slice(self.pool.bytes(frame));
        }
        let whole = if joined.is_empty() {
            self.pool.hold(first);
            Some(first)
        } else {
            self.pool.copy(&joined)
        };
        self.round.joined = joined;
        whole
    }

    /// Whether a connection said it.
    fn is_own(&self, key: ConnKey, item: &Item) -> bool {
        match item {
            Item::Said { origin, .. } => *origin == self.conn_ref(key),
            Item::Acked(of, _) => *of == key,
        }
    }

    /// One who said some of a round hears the others, and its acknowledgements among them.
    fn deliver_own(&mut self, now: Now, key: ConnKey, items: &[Item], fx: &mut Effects) {
        for item in items {
            match *item {
                Item::Said { frame, .. } if !self.is_own(key, item) => {
                    self.pool.hold(frame);
                    self.deliver_at(now, key, frame, fx);
                }
                Item::Acked(of, ack) if of == key => self.acknowledge(now, key, ack, fx),
                Item::Said { .. } | Item::Acked(..) => {}
            }
        }
    }

    /// Acknowledgements of those who are no members: who closes hears of what it said before.
    fn acknowledge_others(&mut self, now: Now, members: &[u32], items: &[Item], fx: &mut Effects) {
        for item in items {
            if let Item::Acked(key, ack) = *item
                && !members.contains(&key.index())
            {
                self.acknowledge(now, key, ack, fx);
            }
        }
    }
}
