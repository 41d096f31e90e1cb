//! The shard's memory of recent messages (durability `none` and `relaxed`): who sent what under which client message
//! id, so that a retry is known, and under `none` their texts, so that they can be read again.
//!
//! Two rings of fixed size, taken at the start: `RECENT_MAX` messages, and `history_bytes_max` bytes of texts. The oldest
//! make room for the newest. Invariants: a message's number is its place in the first ring, modulo its size; a
//! conversation's messages are linked from its last one backwards, and so are those of a bucket (hash chains as in
//! DEFLATE's match finder): a link out of the ring's reach ends its chain, so nothing is ever unlinked.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use wire::{ClientMessageId, ConversationId, MessageId, Seq, Text, UserId};

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

/// A remembered message, and where its text and its conversation's message before it are: one cache line, which is cold
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
    /// Bytes of its text; zero if that was not kept.
    text_len: u32,
    /// Where its text was written, in units of `TEXT_ALIGN` since the start of the shard, wrapping.
    text_at: u32,
    /// How many messages ago its conversation's message before was.
    before: Ago,
    /// How many messages ago its bucket's message before was.
    older: Ago,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// How many messages ago one was, on the way to the one before it; zero if that is out of the ring's reach.
#[derive(Clone, Copy, Debug)]
struct Ago(u16);

const _: () = assert!(RECENT_MAX <= u16::MAX as usize);

impl Ago {
    const NEVER: Self = Self(0);

    /// From one message's number back to an older one's, or to none, which is zero.
    fn between(number: u64, older: u64) -> Self {
        let reach = number.checked_sub(older).filter(|_| older > 0);
        Self(reach.and_then(|reach| u16::try_from(reach).ok()).unwrap_or(0))
    }

    /// The older one's number; zero if there is none.
    fn before(self, number: u64) -> u64 {
        if self.0 == 0 { 0 } else { number - u64::from(self.0) }
    }
}

/// A bucket: its newest message in 20 bits of its number, whether there is an older one that was in reach of it in one,
/// and in eleven a part of the hash that tells most other ids apart without a look at the message itself, which is cold.
#[derive(Clone, Copy, Debug)]
struct Bucket(u32);

impl Bucket {
    /// Whatever it names is out of reach: numbers start at 1. Not zero: the allocator would hand out pages that are not there
    /// yet, and load would seem to make the node grow.
    const EMPTY: Self = Self::new(0, true, 0);
    const NUMBER_BITS: u32 = 20;
    const NUMBERS: u64 = 1 << Self::NUMBER_BITS;

    #[allow(clippy::cast_possible_truncation, reason = "the low bits are what is kept")]
    const fn new(number: u64, has_older: bool, tag: u32) -> Self {
        let low = (number % Self::NUMBERS) as u32;
        Self(low | (has_older as u32) << Self::NUMBER_BITS | tag << (Self::NUMBER_BITS + 1))
    }

    /// The newest message's number, as seen before the next one; zero if it is out of reach. A bucket that was left alone
    /// for a million messages may name one that is not its own: its key differs, and so do those behind it.
    const fn newest(self, next: u64) -> u64 {
        let ago = next.wrapping_sub(self.0 as u64) % Self::NUMBERS;
        if ago == 0 || ago > RECENT_MAX as u64 || ago > next { 0 } else { next - ago }
    }

    const fn has_older(self) -> bool {
        self.0 >> Self::NUMBER_BITS & 1 == 1
    }

    const fn tag(self) -> u32 {
        self.0 >> (Self::NUMBER_BITS + 1)
    }
}

const _: () = assert!(RECENT_MAX < Bucket::NUMBERS as usize);

/// Where a key belongs.
#[derive(Clone, Copy, Debug)]
struct Home {
    bucket: usize,
    tag: u32,
}

/// Client message ids of one sender that differ only in the bits below share a cache line of buckets: clients count up.
const BUCKET_RUN_BITS: u32 = 4;

/// Four for each message, so that most messages are alone in theirs.
const BUCKETS: usize = RECENT_MAX * 4;

const _: () = assert!(BUCKETS.is_power_of_two());

/// Texts begin at multiples of this in their ring.
const TEXT_ALIGN: usize = 8;

/// Before each text stands when it was taken, in milliseconds since 1970.
const TIME_BYTES: usize = size_of::<u64>();

impl Entry {
    const BLANK: Self = Self {
        conversation: ConversationId { first: 0, second: 0 },
        from: UserId(0),
        client_message_id: ClientMessageId(0),
        seq: Seq(0),
        message_id: MessageId(0),
        body_hash: 0,
        text_len: 0,
        text_at: 0,
        before: Ago::NEVER,
        older: Ago::NEVER,
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
    buckets: Box<[Bucket]>,
    /// The run of ids that was looked for last, and its hash: one is remembered right after nobody found it.
    run: ((u64, u64), u64),
    hasher: DefaultHashBuilder,
    texts: Box<[u8]>,
    /// Bytes of texts written since the start of the shard.
    written: u64,
    /// Number of the first message whose text is there.
    first_with_text: u64,
}

/// A fingerprint of a text: FNV-1a's shape over words, in four lanes that do not wait for each other. Only ever compared
/// with that of another text under the same client message id of the same sender, so nobody but that sender gains by a
/// collision.
pub(crate) fn body_hash(body: &[u8]) -> u32 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (blocks, rest) = body.as_chunks::<32>();
    let mut lanes = [body.len() as u64, 1, 2, 3];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    let (words, bytes) = rest.as_chunks::<8>();
    let hash = lanes.into_iter().fold(0, mix);
    let hash = words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = bytes.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
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
        Self::with(Vec::new(), 0, 0)
    }

    /// One that remembers, with all of its memory taken now and touched, so that load does not make the node grow.
    /// `history_bytes` is rounded down to a power of two; zero keeps no texts.
    pub(crate) fn new(history_bytes: usize) -> Self {
        // Not zeros: the allocator would hand out pages that are not there yet.
        let entries = vec![Entry { text_len: 1, ..Entry::BLANK }; RECENT_MAX];
        let mut recent = Self::with(entries, BUCKETS, history_bytes);
        recent.texts.fill(1);
        recent
    }

    fn with(entries: Vec<Entry>, buckets: usize, history_bytes: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        let history_bytes = history_bytes.checked_ilog2().map_or(0, |bits| 1 << bits);
        Self {
            entries,
            next: 1,
            buckets: vec![Bucket::EMPTY; buckets].into_boxed_slice(),
            run: ((0, 0), hasher.hash_one((0u64, 0u64))),
            hasher,
            texts: vec![0; history_bytes].into_boxed_slice(),
            written: 0,
            first_with_text: 1,
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

    /// Where a sender's client message id belongs.
    #[allow(clippy::cast_possible_truncation, reason = "some bits of a hash")]
    fn home(&mut self, (from, id): (u64, u64)) -> Home {
        let run = (from, id >> BUCKET_RUN_BITS);
        if self.run.0 != run {
            self.run = (run, self.hasher.hash_one(run));
        }
        let hash = self.run.1;
        let step = id & ((1 << BUCKET_RUN_BITS) - 1);
        let bucket = (hash << BUCKET_RUN_BITS | step) as usize & (BUCKETS - 1);
        Home { bucket, tag: (hash >> (64 + Bucket::NUMBER_BITS + 1 - u32::BITS)) as u32 }
    }

    /// The message that this sender sent under this id, if it is remembered.
    pub(crate) fn find(&mut self, from: UserId, id: ClientMessageId) -> Option<Remembered> {
        let key = (from.0, id.0);
        let home = self.home(key);
        let bucket = *self.buckets.get(home.bucket)?;
        let mut number = bucket.newest(self.next);
        if bucket.tag() != home.tag && !bucket.has_older() {
            return None;
        }
        while let Some(entry) = self.entry(number) {
            if entry.key() == key {
                return Some(entry.message());
            }
            number = entry.older.before(number);
        }
        None
    }

    /// Remembers a message, and its text and its time if texts are kept. `before` is the number of its conversation's message
    /// before it, or zero.
    pub(crate) fn remember(
        &mut self,
        message: Remembered,
        before: u64,
        (unix_ms, text): (u64, &[u8]),
        counters: &mut Counters,
    ) {
        let number = self.next;
        let (text_at, text_len) = self.keep(unix_ms, text);
        let Remembered { conversation, from, client_message_id, seq, message_id, body_hash } =
            message;
        let home = self.home((from.0, client_message_id.0));
        let bucket = self.buckets.get(home.bucket).copied().unwrap_or(Bucket::EMPTY);
        let older = bucket.newest(number);
        let entry = Entry {
            conversation,
            from,
            client_message_id,
            seq,
            message_id,
            body_hash,
            text_len,
            text_at,
            before: Ago::between(number, before),
            older: Ago::between(number, older),
        };
        if let Some(slot) = self.entries.get_mut(place_of(number) as usize) {
            *slot = entry;
        }
        if let Some(newest) = self.buckets.get_mut(home.bucket) {
            *newest = Bucket::new(number, older > 0, home.tag);
        }
        self.next += 1;
        self.count_evicted(counters);
        self.warm();
    }

    /// Loads the cache lines that the next messages will be written to: a store that waits for its line holds up the stores
    /// behind it, and whoever loads what they wrote; a load holds up nobody.
    fn warm(&self) {
        let entry = self.entries.get(place_of(self.next + 1) as usize);
        core::hint::black_box(entry.map(|entry| entry.seq));
        let size = self.texts.len();
        if size > 0 {
            for ahead in [192, 256, 320] {
                let at = (self.written as usize + ahead) & (size - 1);
                core::hint::black_box(self.texts.get(at).copied());
            }
        }
    }

    /// Writes a text into the ring of texts, in one piece; where, as in an entry, and how long.
    #[allow(clippy::cast_possible_truncation, reason = "where wraps, lengths are far below 4 GiB")]
    fn keep(&mut self, unix_ms: u64, text: &[u8]) -> (u32, u32) {
        let size = self.texts.len();
        let len = TIME_BYTES + text.len();
        if len > size {
            return (0, 0);
        }
        // The ring's size is a power of two.
        let mut at = self.written as usize & (size - 1);
        if at + len > size {
            self.written += (size - at) as u64;
            at = 0;
        }
        let Some(place) = self.texts.get_mut(at..at + len) else { return (0, 0) };
        let (time, body) = place.split_at_mut(TIME_BYTES);
        time.copy_from_slice(&unix_ms.to_le_bytes());
        body.copy_from_slice(text);
        let text_at = (self.written / TEXT_ALIGN as u64) as u32;
        self.written += len.next_multiple_of(TEXT_ALIGN) as u64;
        (text_at, text.len() as u32)
    }

    /// A remembered message's time and text, if they have not been overwritten.
    #[allow(clippy::cast_possible_truncation, reason = "where wraps")]
    fn text_of(&self, entry: &Entry) -> Option<(u64, &[u8])> {
        let size = self.texts.len();
        // Entries live for RECENT_MAX texts, far less than it takes to wrap.
        let since = ((self.written / TEXT_ALIGN as u64) as u32).wrapping_sub(entry.text_at);
        if entry.text_len == 0 || since as usize * TEXT_ALIGN > size {
            return None;
        }
        let at = (entry.text_at as usize * TEXT_ALIGN) & (size - 1);
        let kept = self.texts.get(at..at + TIME_BYTES + entry.text_len as usize)?;
        let (time, body) = kept.split_first_chunk()?;
        Some((u64::from_le_bytes(*time), body))
    }

    fn count_evicted(&mut self, counters: &mut Counters) {
        if self.texts.is_empty() {
            return;
        }
        while self.first_with_text < self.next
            && self.entry(self.first_with_text).is_none_or(|entry| self.text_of(entry).is_none())
        {
            self.first_with_text += 1;
            counters.history_evicted += 1;
        }
    }

    /// The numbers of a conversation's messages after a cursor whose texts are there, oldest first, at most `limit`, and
    /// whether there was no more. `last` is the number of its last message.
    pub(crate) fn page(&self, last: u64, after: Seq, limit: usize) -> (Vec<u64>, bool) {
        let mut found = Vec::new();
        let mut number = last;
        while let Some(entry) = self.entry(number) {
            if entry.seq <= after || self.text_of(entry).is_none() {
                break;
            }
            found.push(number);
            number = entry.before.before(number);
        }
        found.reverse();
        let is_complete = found.len() <= limit;
        found.truncate(limit);
        (found, is_complete)
    }

    /// A message of a page.
    pub(crate) fn text(&self, number: u64) -> Option<Text<'_>> {
        let entry = self.entry(number)?;
        let (unix_ms, body) = self.text_of(entry)?;
        let Entry { conversation, seq, message_id, from, .. } = *entry;
        Some(Text { conversation, seq, message_id, from, unix_ms, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;

    fn message(from: u64, id: u64, seq: u64) -> Remembered {
        Remembered {
            conversation: ConversationId { first: from, second: 7 },
            from: UserId(from),
            client_message_id: ClientMessageId(id),
            seq: Seq(seq),
            message_id: MessageId(seq),
            body_hash: 0,
        }
    }

    #[test]
    fn the_newest_messages_are_found_and_no_others() {
        let mut recent = Recent::new(0);
        let mut model = VecDeque::new();
        let mut counters = Counters::default();
        let mut random = 1u64;
        for seq in 1..=3 * RECENT_MAX as u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Some count up, one takes steps that fill few buckets, one has ids of no order.
            let (from, id) = match random >> 62 {
                0 => (random >> 32 & 15, seq),
                1 => (99, seq << 4),
                2 => (98, seq << 40),
                _ => (97, random | 1 << 63),
            };
            assert!(recent.find(UserId(from), ClientMessageId(id)).is_none(), "{seq}");
            recent.remember(message(from, id, seq), 0, (0, &[]), &mut counters);
            model.push_back((from, id, seq));
            if model.len() > RECENT_MAX {
                let (from, id, seq) = model.pop_front().unwrap();
                assert!(recent.find(UserId(from), ClientMessageId(id)).is_none(), "{seq}");
            }
            let (from, id, seq) = model[(random >> 20) as usize % model.len()];
            let found = recent.find(UserId(from), ClientMessageId(id)).unwrap();
            assert_eq!(found.seq.0, seq);
        }
        for (from, id, seq) in model {
            assert_eq!(recent.find(UserId(from), ClientMessageId(id)).unwrap().seq.0, seq);
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_have_different_fingerprints() {
        let body: Vec<u8> = (0..100).collect();
        for len in 0..body.len() {
            let whole = body_hash(&body[..len]);
            assert_ne!(whole, body_hash(&body[..=len]));
            for at in 0..len {
                let mut other = body[..len].to_vec();
                other[at] ^= 1;
                assert_ne!(whole, body_hash(&other), "{len} {at}");
            }
        }
    }
}
