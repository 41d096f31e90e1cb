//! The shard's memory of recent messages (durability `none` and `relaxed`): who sent what under which client message
//! id, so that a retry is known, and under `none` their frames, so that they can be read again.
//!
//! Two rings of fixed size, taken at the start: `RECENT_MAX` messages, and `history_bytes_max` bytes of frames. The oldest
//! make room for the newest. Invariants: a message's number is its place in the first ring, modulo its size; a
//! conversation's messages are linked from its last one backwards.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

use crate::counters::Counters;
use crate::limits::RECENT_MAX;

/// A message that is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    pub(crate) conversation: ConversationId,
    pub(crate) from: UserId,
    pub(crate) client_message_id: ClientMessageId,
    pub(crate) seq: Seq,
    pub(crate) message_id: MessageId,
    /// Tells another text under the same id apart.
    pub(crate) body_hash: u32,
}

/// A remembered message, and where its frame and its conversation's message before it are: one cache line, which is cold
/// when its turn comes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry {
    conversation: ConversationId,
    from: UserId,
    client_message_id: ClientMessageId,
    seq: Seq,
    message_id: MessageId,
    body_hash: u32,
    frame_len: u32,
    /// Where its frame was written, in units of `FRAME_ALIGN` since the start of the shard, wrapping.
    frame_at: u32,
    /// How many messages ago its conversation's message before was; zero if there is none in reach.
    before: u32,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Frames begin at multiples of this in their ring.
const FRAME_ALIGN: usize = 8;

impl Entry {
    const BLANK: Self = Self {
        conversation: ConversationId { first: 0, second: 0 },
        from: UserId(0),
        client_message_id: ClientMessageId(0),
        seq: Seq(0),
        message_id: MessageId(0),
        body_hash: 0,
        frame_len: 0,
        frame_at: 0,
        before: 0,
    };

    const fn message(&self) -> Remembered {
        let Self { conversation, from, client_message_id, seq, message_id, body_hash, .. } = *self;
        Remembered { conversation, from, client_message_id, seq, message_id, body_hash }
    }

    /// The key that retries are found by.
    const fn key(&self) -> (u64, u64) {
        (self.from.0, self.client_message_id.0)
    }
}

#[derive(Debug)]
pub(crate) struct Recent {
    entries: Vec<Entry>,
    /// Number of the next message; numbers start at 1.
    next: u64,
    by_client_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    frames: Box<[u8]>,
    /// Bytes of frames written since the start of the shard.
    written: u64,
    /// Number of the first message whose frame is there.
    first_with_frame: u64,
}

/// A fingerprint of a text, eight bytes at a time: FNV-1a's shape over words. Only ever compared with that of another
/// text under the same client message id of the same sender, so nobody but that sender gains by a collision.
pub(crate) fn body_hash(body: &[u8]) -> u32 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let (words, rest) = body.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let hash =
        words.iter().fold(body.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    #[allow(clippy::cast_possible_truncation, reason = "the halves are folded together")]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

/// A message's place in the ring.
#[allow(clippy::cast_possible_truncation, reason = "below RECENT_MAX")]
const fn place_of(number: u64) -> u32 {
    (number % RECENT_MAX as u64) as u32
}

impl Recent {
    /// One that remembers nothing, for durability `commit`: the store knows.
    pub(crate) fn none() -> Self {
        Self::with(Vec::new(), HashTable::new(), 0)
    }

    /// One that remembers, with all of its memory taken now and touched, so that load does not make the node grow.
    /// `history_bytes` is rounded down to a power of two; zero keeps no frames.
    pub(crate) fn new(history_bytes: usize) -> Self {
        let mut table = HashTable::with_capacity(RECENT_MAX);
        for place in 0..place_of(RECENT_MAX as u64 - 1) {
            table.insert_unique(u64::from(place) << 7, place, |place| u64::from(*place) << 7);
        }
        table.clear();
        // Not zeros: the allocator would hand out pages that are not there yet.
        let entries = vec![Entry { frame_len: 1, ..Entry::BLANK }; RECENT_MAX];
        let mut recent = Self::with(entries, table, history_bytes);
        recent.frames.fill(1);
        recent
    }

    fn with(entries: Vec<Entry>, by_client_id: HashTable<u32>, history_bytes: usize) -> Self {
        let history_bytes = history_bytes.checked_ilog2().map_or(0, |bits| 1 << bits);
        Self {
            entries,
            next: 1,
            by_client_id,
            hasher: DefaultHashBuilder::default(),
            frames: vec![0; history_bytes].into_boxed_slice(),
            written: 0,
            first_with_frame: 1,
        }
    }

    /// The number of the next message that will be remembered.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        let is_there = number < self.next && number + RECENT_MAX as u64 >= self.next;
        self.entries.get(place_of(number) as usize).filter(|_| number > 0 && is_there)
    }

    /// The message that this sender sent under this id, if it is remembered.
    pub(crate) fn find(&self, from: UserId, id: ClientMessageId) -> Option<Remembered> {
        let key = (from.0, id.0);
        let is_it = |place: &u32| self.entries.get(*place as usize).is_some_and(|e| e.key() == key);
        let place = *self.by_client_id.find(self.hasher.hash_one(key), is_it)?;
        self.entries.get(place as usize).map(Entry::message)
    }

    /// Remembers a message, and its frame if frames are kept. `before` is the number of its conversation's message
    /// before it, or zero.
    pub(crate) fn remember(
        &mut self,
        message: Remembered,
        before: u64,
        frame: &[u8],
        counters: &mut Counters,
    ) {
        let place = place_of(self.next);
        self.forget(place);
        let (frame_at, frame_len) = self.keep(frame);
        let ago = if before == 0 { 0 } else { u32::try_from(self.next - before).unwrap_or(0) };
        let Remembered { conversation, from, client_message_id, seq, message_id, body_hash } =
            message;
        let entry = Entry {
            conversation,
            from,
            client_message_id,
            seq,
            message_id,
            body_hash,
            frame_len,
            frame_at,
            before: ago,
        };
        let Self { by_client_id, entries, hasher, .. } = self;
        by_client_id.insert_unique(hasher.hash_one(entry.key()), place, |place| {
            entries.get(*place as usize).map_or(0, |entry| hasher.hash_one(entry.key()))
        });
        if let Some(slot) = entries.get_mut(place as usize) {
            *slot = entry;
        }
        self.next += 1;
        self.count_evicted(counters);
    }

    /// Takes the message that is in a place out of the table.
    fn forget(&mut self, place: u32) {
        let Some(entry) = self.entries.get(place as usize) else { return };
        let hash = self.hasher.hash_one(entry.key());
        if let Ok(old) = self.by_client_id.find_entry(hash, |other| *other == place) {
            old.remove();
        }
    }

    /// Writes a frame into the ring of frames, in one piece; where, as in an entry, and how long.
    #[allow(clippy::cast_possible_truncation, reason = "where wraps, lengths are far below 4 GiB")]
    fn keep(&mut self, frame: &[u8]) -> (u32, u32) {
        let size = self.frames.len();
        if size == 0 || frame.len() > size {
            return (0, 0);
        }
        // The ring's size is a power of two.
        let mut at = self.written as usize & (size - 1);
        if at + frame.len() > size {
            self.written += (size - at) as u64;
            at = 0;
        }
        let Some(place) = self.frames.get_mut(at..at + frame.len()) else { return (0, 0) };
        place.copy_from_slice(frame);
        let frame_at = (self.written / FRAME_ALIGN as u64) as u32;
        self.written += frame.len().next_multiple_of(FRAME_ALIGN) as u64;
        (frame_at, frame.len() as u32)
    }

    /// A remembered message's frame, if it has not been overwritten.
    #[allow(clippy::cast_possible_truncation, reason = "where wraps")]
    fn frame(&self, entry: &Entry) -> Option<&[u8]> {
        let size = self.frames.len();
        // Entries live for RECENT_MAX frames, far less than it takes to wrap.
        let since = ((self.written / FRAME_ALIGN as u64) as u32).wrapping_sub(entry.frame_at);
        if entry.frame_len == 0 || since as usize * FRAME_ALIGN > size {
            return None;
        }
        let at = (entry.frame_at as usize * FRAME_ALIGN) & (size - 1);
        self.frames.get(at..at + entry.frame_len as usize)
    }

    fn count_evicted(&mut self, counters: &mut Counters) {
        if self.frames.is_empty() {
            return;
        }
        while self.first_with_frame < self.next
            && self.entry(self.first_with_frame).is_none_or(|entry| self.frame(entry).is_none())
        {
            self.first_with_frame += 1;
            counters.history_evicted += 1;
        }
    }

    /// The numbers of a conversation's messages after a cursor whose frames are there, oldest first, at most `limit`, and
    /// whether there was no more. `last` is the number of its last message.
    pub(crate) fn page(&self, last: u64, after: Seq, limit: usize) -> (Vec<u64>, bool) {
        let mut found = Vec::new();
        let mut number = last;
        while let Some(entry) = self.entry(number) {
            if entry.seq <= after || self.frame(entry).is_none() {
                break;
            }
            found.push(number);
            number = if entry.before == 0 { 0 } else { number - u64::from(entry.before) };
        }
        found.reverse();
        let is_complete = found.len() <= limit;
        found.truncate(limit);
        (found, is_complete)
    }

    /// A message of a page: its place and its frame.
    pub(crate) fn text(&self, number: u64) -> Option<(Seq, &[u8])> {
        let entry = self.entry(number)?;
        Some((entry.seq, self.frame(entry)?))
    }
}
