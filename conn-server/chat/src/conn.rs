//! Connections: the slab of their states, and the keys that name them.
//!
//! Invariant: a slot's generation goes up when its connection is gone, so a key of an earlier owner finds nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use wire::{CloseReason, ShardId, UserId};

use crate::send_queue::SendQueue;
use crate::timers::Link;

/// Names a connection of a shard: an index, and a generation that tells the index's owners apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnKey {
    index: u32,
    generation: u32,
}

impl ConnKey {
    /// Bits of a generation: it fits beside an operation and an index into a ring's 64-bit user data.
    pub const GENERATION_BITS: u32 = 24;

    /// Puts a key together again from its parts.
    #[must_use]
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot, below the shard's `connections_max`.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The owner of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// Names a connection of any shard of the node, in 64 bits: shard 16, generation 24, index 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnRef(pub(crate) u64);

impl ConnRef {
    pub(crate) const fn new(shard: ShardId, key: ConnKey) -> Self {
        Self((shard.0 as u64) << 48 | (key.generation as u64) << 24 | key.index as u64)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "each part is masked or shifted to its width"
    )]
    pub(crate) const fn parts(self) -> (ShardId, ConnKey) {
        let index = (self.0 & 0xff_ffff) as u32;
        let generation = (self.0 >> 24 & 0xff_ffff) as u32;
        (ShardId((self.0 >> 48) as u16), ConnKey { index, generation })
    }
}

/// Where a connection is in its life. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No connection in this slot.
    Free,
    /// Accepted; a login is awaited.
    Fresh,
    /// A token was right; the user's home shard is asked.
    Claiming,
    /// Logged in.
    Online,
    /// Closing: what is queued and what is still unanswered goes out, then the goodbye.
    Closing,
    /// FIN is sent; the peer's FIN is awaited.
    Lingering,
    /// The driver was told to close.
    Aborted,
}

/// How a connection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing has come yet: a proxy's header may be the first.
    Awaited,
    /// With the peer's own bytes.
    Direct,
    /// With a proxy's header.
    Proxied,
    /// There was no room for it: it stays only to be told so.
    Shed,
}

/// One connection. Small, because there are millions: what only busy ones need is elsewhere.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) user: UserId,
    pub(crate) queue: SendQueue,
    pub(crate) timer: Link,
    generation: u32,
    /// The tick of the last byte from the peer.
    pub(crate) heard: u32,
    /// Its spill, or `NONE`.
    pub(crate) spill: u32,
    /// Its first room membership, or `NONE`; of a free slot, the next free one.
    pub(crate) membership: u32,
    pub(crate) rooms: u16,
    /// Commands without an answer.
    pub(crate) awaiting: u16,
    /// Reads among them.
    pub(crate) reads: u8,
    pub(crate) phase: Phase,
    /// Why it closes, once it does.
    pub(crate) reason: Option<CloseReason>,
    /// It stands in this turn's flush lane.
    pub(crate) is_flushing: bool,
    /// The goodbye is queued: nothing may follow it.
    pub(crate) is_goodbye_queued: bool,
    /// The peer has finished sending.
    pub(crate) is_eof: bool,
    /// It waits for mail credit or for its answers, and its driver was told to pause.
    pub(crate) is_paused: bool,
    pub(crate) opening: Opening,
}

/// No index.
pub(crate) const NONE: u32 = u32::MAX;

impl Conn {
    const FREE: Self = Self {
        user: UserId(0),
        queue: SendQueue::EMPTY,
        timer: Link::IDLE,
        generation: 0,
        heard: 0,
        spill: NONE,
        membership: NONE,
        rooms: 0,
        awaiting: 0,
        reads: 0,
        phase: Phase::Free,
        reason: None,
        is_flushing: false,
        is_goodbye_queued: false,
        is_eof: false,
        is_paused: false,
        opening: Opening::Awaited,
    };

    /// Whether commands of it may be handled now; if not, its bytes wait in the spill.
    pub(crate) const fn is_held(&self) -> bool {
        self.is_paused || matches!(self.phase, Phase::Claiming)
    }

    /// Whether frames may still be queued for it.
    pub(crate) fn takes_frames(&self) -> bool {
        self.is_open() || (self.phase == Phase::Closing && !self.is_goodbye_queued)
    }

    /// Whether the peer's bytes still mean anything.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::Claiming | Phase::Online)
    }
}

/// Slots are made this many at a time: growth never copies, and never has twice the memory.
const CHUNK: usize = 1024;

/// All connections of a shard.
#[derive(Debug)]
pub(crate) struct ConnTable {
    chunks: Vec<Box<[Conn]>>,
    /// The first free slot, or `NONE`.
    free: u32,
    len: u32,
}

impl Default for ConnTable {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: NONE, len: 0 }
    }
}

impl ConnTable {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Slots that were ever made.
    #[allow(clippy::cast_possible_truncation, reason = "bounded by CONNECTIONS_MAX")]
    pub(crate) const fn slots(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// The slot of an index, whoever owns it: for the links of timers and rooms.
    pub(crate) fn slot(&mut self, index: u32) -> Option<&mut Conn> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    fn slot_ref(&self, index: u32) -> Option<&Conn> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    pub(crate) fn get(&self, key: ConnKey) -> Option<&Conn> {
        let conn = self.slot_ref(key.index)?;
        (conn.generation == key.generation && conn.phase != Phase::Free).then_some(conn)
    }

    pub(crate) fn get_mut(&mut self, key: ConnKey) -> Option<&mut Conn> {
        let conn = self.slot(key.index)?;
        (conn.generation == key.generation && conn.phase != Phase::Free).then_some(conn)
    }

    /// The key of an index in use.
    pub(crate) fn key_at(&self, index: u32) -> Option<ConnKey> {
        let conn = self.slot_ref(index)?;
        (conn.phase != Phase::Free).then_some(ConnKey { index, generation: conn.generation })
    }

    /// Takes a slot; the caller has checked the bound.
    pub(crate) fn insert(&mut self) -> Option<ConnKey> {
        if self.free == NONE {
            // Low indices first: they are the warm ones.
            let (first, end) = (self.slots(), self.slots() + CHUNK as u32);
            let next = |index| if index + 1 == end { NONE } else { index + 1 };
            let slots = (first..end).map(|index| Conn { membership: next(index), ..Conn::FREE });
            self.chunks.push(slots.collect());
            self.free = first;
        }
        let index = self.free;
        self.free = self.slot(index)?.membership;
        self.len += 1;
        let conn = self.slot(index)?;
        let generation = conn.generation;
        *conn = Conn { generation, phase: Phase::Fresh, ..Conn::FREE };
        Some(ConnKey { index, generation })
    }

    /// Gives a slot back.
    pub(crate) fn remove(&mut self, key: ConnKey) {
        let generation = (key.generation + 1) & ((1 << ConnKey::GENERATION_BITS) - 1);
        let free = self.free;
        let Some(conn) = self.get_mut(key) else { return };
        *conn = Conn { generation, membership: free, ..Conn::FREE };
        self.free = key.index;
        self.len -= 1;
    }
}
