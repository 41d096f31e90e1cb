//! The shard's memory of recent messages (durability `none` and `relaxed`): who sent what under which client message
//! id, so that a retry is known, and under `none` the frames themselves, so that they can be read again.
//!
//! Invariants: at most `RECENT_MAX` messages and `history_bytes_max` charged bytes; the oldest go first. A conversation's
//! messages are linked from its last one backwards.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use core::hash::BuildHasher;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

use crate::counters::Counters;
use crate::frame_pool::{FrameId, FramePool};
use crate::limits::{RECENT_MAX, SHARD_CONVERSATIONS_MAX};

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
    /// Its frame, while the history has room for it.
    pub(crate) frame: Option<FrameId>,
    /// The conversation's message before, by its number; zero if there is none.
    before: u64,
}

/// What the shard knows of a conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    seq: u64,
    /// Its last message, by its number; zero if there is none.
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Recent {
    heads: HashMap<ConversationId, Head>,
    /// User and private conversation, for listing (durability `none`).
    by_user: BTreeSet<(u64, ConversationId)>,
    messages: VecDeque<Remembered>,
    /// Number of the first message in `messages`; numbers start at 1.
    first: u64,
    by_client_id: HashTable<u64>,
    hasher: DefaultHashBuilder,
    keeps_frames: bool,
    bytes: usize,
    bytes_max: usize,
    /// Number of the first message that has its frame.
    first_with_frame: u64,
}

/// FNV-1a of a text: only ever compared with another text under the same client message id.
pub(crate) fn body_hash(body: &[u8]) -> u32 {
    body.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl Recent {
    /// `bytes_max` of zero keeps no frames.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            heads: HashMap::new(),
            by_user: BTreeSet::new(),
            messages: VecDeque::new(),
            first: 1,
            by_client_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keeps_frames: bytes_max > 0,
            bytes: 0,
            bytes_max,
            first_with_frame: 1,
        }
    }

    /// The last `seq` of a conversation, if it is known here.
    pub(crate) fn head(&self, conversation: ConversationId) -> Option<Seq> {
        self.heads.get(&conversation).map(|head| Seq(head.seq))
    }

    /// Whether another conversation can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.heads.len() < SHARD_CONVERSATIONS_MAX
    }

    /// Takes a conversation in, with its last `seq`.
    pub(crate) fn learn(&mut self, conversation: ConversationId, seq: Seq) {
        self.heads.insert(conversation, Head { seq: seq.0, last: 0 });
        if self.keeps_frames && conversation.as_room().is_none() {
            self.by_user.insert((conversation.first, conversation));
            self.by_user.insert((conversation.second, conversation));
        }
    }

    /// Forgets all conversations: they are read from the store again when needed. Only while no append is on its way.
    pub(crate) fn forget_heads(&mut self) {
        self.heads.clear();
        for message in &mut self.messages {
            message.before = 0;
        }
    }

    /// The next `seq` of a conversation that is known.
    pub(crate) fn next_seq(&mut self, conversation: ConversationId) -> Option<Seq> {
        let head = self.heads.get_mut(&conversation)?;
        head.seq += 1;
        Some(Seq(head.seq))
    }

    fn hash(&self, from: UserId, id: ClientMessageId) -> u64 {
        self.hasher.hash_one((from.0, id.0))
    }

    fn message(&self, number: u64) -> Option<&Remembered> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get(index)
    }

    /// The message that this sender sent under this id, if it is remembered.
    pub(crate) fn find(&self, from: UserId, id: ClientMessageId) -> Option<&Remembered> {
        let number = *self.by_client_id.find(self.hash(from, id), |number| {
            self.message(*number)
                .is_some_and(|message| message.from == from && message.client_message_id == id)
        })?;
        self.message(number)
    }

    /// Remembers a message. The hold of its frame, if frames are kept, is this memory's own.
    pub(crate) fn remember(
        &mut self,
        message: Remembered,
        pool: &mut FramePool,
        counters: &mut Counters,
    ) {
        if self.messages.len() >= RECENT_MAX {
            self.forget_oldest(pool, counters);
        }
        let number = self.first + self.messages.len() as u64;
        let mut message = message;
        if let Some(head) = self.heads.get_mut(&message.conversation) {
            message.before = core::mem::replace(&mut head.last, number);
        }
        message.frame = message.frame.filter(|_| self.keeps_frames);
        if let Some(frame) = message.frame {
            pool.hold(frame);
            self.bytes += frame.charge() as usize;
        }
        let hash = self.hash(message.from, message.client_message_id);
        self.messages.push_back(message);
        let Self { by_client_id, messages, first, hasher, .. } = self;
        by_client_id.insert_unique(hash, number, |number| {
            let index = usize::try_from(*number - *first).unwrap_or(usize::MAX);
            messages
                .get(index)
                .map_or(0, |message| hasher.hash_one((message.from.0, message.client_message_id.0)))
        });
        while self.bytes > self.bytes_max {
            self.drop_oldest_frame(pool, counters);
        }
    }

    pub(crate) const fn remembered(
        conversation: ConversationId,
        from: UserId,
        client_message_id: ClientMessageId,
        place: (Seq, MessageId),
        body_hash: u32,
        frame: FrameId,
    ) -> Remembered {
        let (seq, message_id) = place;
        Remembered {
            conversation,
            from,
            client_message_id,
            seq,
            message_id,
            body_hash,
            frame: Some(frame),
            before: 0,
        }
    }

    fn drop_oldest_frame(&mut self, pool: &mut FramePool, counters: &mut Counters) {
        let number = self.first_with_frame.max(self.first);
        self.first_with_frame = number + 1;
        let Some(index) = usize::try_from(number - self.first).ok() else { return };
        let Some(message) = self.messages.get_mut(index) else {
            self.bytes = 0;
            return;
        };
        if let Some(frame) = message.frame.take() {
            self.bytes -= frame.charge() as usize;
            pool.release(frame);
            counters.history_evicted += 1;
        }
    }

    fn forget_oldest(&mut self, pool: &mut FramePool, counters: &mut Counters) {
        let Some(message) = self.messages.front().copied() else { return };
        let (number, hash) = (self.first, self.hash(message.from, message.client_message_id));
        if let Ok(entry) = self.by_client_id.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        if let Some(frame) = message.frame {
            self.bytes -= frame.charge() as usize;
            pool.release(frame);
            counters.history_evicted += 1;
        }
        self.messages.pop_front();
        self.first += 1;
    }

    /// The frames of a conversation after a cursor, oldest first, at most `limit`, and whether there was no more.
    pub(crate) fn page(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> (Vec<(Seq, FrameId)>, bool) {
        let mut found = Vec::new();
        let mut number = self.heads.get(&conversation).map_or(0, |head| head.last);
        while let Some(message) = self.message(number) {
            let Some(frame) = message.frame.filter(|_| message.seq > after) else { break };
            found.push((message.seq, frame));
            number = message.before;
        }
        found.reverse();
        let is_complete = found.len() <= limit;
        found.truncate(limit);
        (found, is_complete)
    }

    /// A user's private conversations on this shard after a cursor, at most `limit`, and whether there was no more.
    pub(crate) fn conversations(
        &self,
        user: UserId,
        after: ConversationId,
        limit: usize,
    ) -> (Vec<(ConversationId, Seq)>, bool) {
        let past = ConversationId { first: after.first, second: after.second.saturating_add(1) };
        let end = ConversationId { first: u64::MAX, second: u64::MAX };
        let mut found: Vec<(ConversationId, Seq)> = self
            .by_user
            .range((user.0, past)..=(user.0, end))
            .take(limit + 1)
            .map(|(_, id)| (*id, self.head(*id).unwrap_or_default()))
            .collect();
        let is_complete = found.len() <= limit;
        found.truncate(limit);
        (found, is_complete)
    }
}
