//! Shard-to-shard mail: what travels is a batch of bytes, written and read here and nowhere else.

use alloc::vec::Vec;

use wire::ShardId;

/// Mail of one turn for one peer shard. Plain data: it travels between threads, and a receiver that has handled it may
/// [`clear`](Self::clear) and reuse it.
#[derive(Debug)]
pub struct MailBatch {
    pub(crate) from: ShardId,
    /// Bytes of the receiver's earlier mail that the sender has handled: gives the receiver its credit back.
    pub(crate) handled: u32,
    pub(crate) bytes: Vec<u8>,
}

impl MailBatch {
    /// An empty batch of a sender.
    #[must_use]
    pub const fn new(from: ShardId) -> Self {
        Self { from, handled: 0, bytes: Vec::new() }
    }

    /// Whether there is nothing to post.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.handled == 0
    }

    /// Bytes of mail in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Moves all of `later`, of the same sender to the same receiver, behind what is here.
    pub fn merge(&mut self, later: &mut Self) {
        self.handled = self.handled.saturating_add(core::mem::take(&mut later.handled));
        self.bytes.append(&mut later.bytes);
    }

    /// Empties it for reuse by `from`, keeping its capacity.
    pub fn reset(&mut self, from: ShardId) {
        self.from = from;
        self.handled = 0;
        self.bytes.clear();
    }
}
