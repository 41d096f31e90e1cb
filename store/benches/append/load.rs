//! The messages that are appended: drawn from a seed, so that every variant gets the same ones.

use wire::{ClientMessageId, ConversationId, MessageId, UserId};

use crate::Args;

/// When the measured messages are said, in milliseconds since 1970.
pub(crate) const NOW_MS: u64 = 1_750_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A message without its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) conversation: ConversationId,
    pub(crate) message_id: MessageId,
    pub(crate) from: UserId,
    pub(crate) client_message_id: ClientMessageId,
    pub(crate) unix_ms: u64,
}

/// Draws messages.
pub(crate) struct Load {
    random: fastrand::Rng,
    conversations: u64,
    random_numbers: bool,
    /// The last number of each user.
    numbers: Vec<u64>,
    said: u64,
}

impl Load {
    pub(crate) fn new(args: &Args) -> Self {
        let users = usize::try_from(args.conversations * 2 + 1).expect("few users");
        Self {
            random: fastrand::Rng::with_seed(7),
            conversations: args.conversations,
            random_numbers: args.random_numbers,
            numbers: vec![0; users],
            said: 0,
        }
    }

    /// The next messages; those that are there before may be older than a day.
    pub(crate) fn next(&mut self, count: usize, is_expired: bool) -> Vec<Said> {
        (0..count).map(|_| self.one(is_expired)).collect()
    }

    fn one(&mut self, is_expired: bool) -> Said {
        self.said += 1;
        let lower = self.random.u64(0..self.conversations) * 2 + 1;
        let from = lower + self.random.u64(0..2);
        let number = &mut self.numbers[usize::try_from(from).expect("few users")];
        *number += 1;
        let number = if self.random_numbers { self.random.u64(..) } else { *number };
        let unix_ms = if is_expired { NOW_MS - 2 * DAY_MS } else { NOW_MS } + self.said / 16;
        Said {
            conversation: ConversationId { first: lower, second: lower + 1 },
            message_id: MessageId((1 << 42) + self.said),
            from: UserId(from),
            client_message_id: ClientMessageId(number),
            unix_ms,
        }
    }
}
