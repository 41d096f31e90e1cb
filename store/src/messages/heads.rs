//! What the writer remembers of conversations between batches.
//!
//! Owns a cache and nothing else: whatever fails, it may be emptied, and the file is asked again.

use std::collections::HashMap;

use wire::ConversationId;

use crate::limits;

/// A conversation's row and its last `seq`, zero if it has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) row: i64,
    pub(super) seq: i64,
}

/// The last heads used. SipHash, because peers choose room numbers.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<ConversationId, Head>,
}

impl Heads {
    pub(super) fn get(&self, conversation: ConversationId) -> Option<Head> {
        self.known.get(&conversation).copied()
    }

    pub(super) fn set(&mut self, conversation: ConversationId, head: Head) {
        if self.known.len() >= limits::HEADS_MAX && !self.known.contains_key(&conversation) {
            self.known.clear();
        }
        self.known.insert(conversation, head);
    }
}
