//! Messages: conversations with a dense `seq`, retries that are found again, and message ids that no two starts share.
//!
//! Owns `messages.sqlite`. One [`Writer`] appends in group commits; [`Reader`]s have connections of their own, so that
//! reads go on while the writer waits for the disk.

mod append;
mod backlog;
mod heads;
mod ids;
mod ledger;
mod profiles;
mod reader;
pub(crate) mod schema;
mod senders;
mod trim;
mod writer;

use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

pub(crate) use ids::block_bases;
pub use ids::draw_id_blocks;
pub(crate) use ids::draw_id_start;
pub use reader::Reader;
pub(crate) use reader::{as_first, as_second};
pub use trim::Trimmed;
pub use writer::{Worked, Writer};

/// A message to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it goes. The users of a private conversation must be below 2^63.
    pub conversation: ConversationId,
    /// Its place if somebody has given it one already (and perhaps shown it: durability `relaxed`), else the next one.
    pub seq: Option<Seq>,
    /// Its id, unless it turns out to be a retry.
    pub message_id: MessageId,
    /// Who says it.
    pub from: UserId,
    /// As the client numbered it: unique per sender for 24 hours.
    pub client_message_id: ClientMessageId,
    /// When it was taken, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The text.
    pub body: &'a [u8],
}

/// A message that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// When it was taken, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether it was there before: then the other fields are those of the first time.
    pub is_retry: bool,
    /// Whether it was taken back since: it has its place, and nobody should hear its text again.
    pub is_revoked: bool,
}

/// What is kept; by default everything. What goes, goes in the order of its arrival, some messages with each commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Messages older than this go, in milliseconds. Their own time counts; those from the future go with what came after
    /// them.
    pub age_ms: Option<u64>,
    /// The oldest messages go while the pages that the file uses have more bytes than this.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Whether anything ever goes.
    #[must_use]
    pub const fn is_limited(self) -> bool {
        self.age_ms.is_some() || self.bytes.is_some()
    }
}

/// Why one record of a batch was left out. The others are not touched by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The sender has used this client message id within 24 hours, for another conversation or text.
    #[error("the client message id was used for something else")]
    Conflict,
    /// The numbers name no conversation, a user's is too large, or the place is taken by another message.
    #[error("the record cannot be stored")]
    Refused,
    /// The conversation is a group of others, by now at least.
    #[error("the sender is not in that group")]
    NotMember,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// When it was taken, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The text.
    pub body: Vec<u8>,
}

/// Some messages of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their `seq`.
    pub messages: Vec<Message>,
    /// Whether there was nothing after them.
    pub is_complete: bool,
}

/// Some of a user's private conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationPage {
    /// In the order of `(first, second)`, each with its last `seq`.
    pub heads: Vec<(ConversationId, Seq)>,
    /// Whether there was nothing after them.
    pub is_complete: bool,
}

/// The group that a record is for, as its row's number, and its sender: `None` unless it is for a group.
///
/// A number that no row can have is below zero, where nobody is a member.
pub(crate) fn group_of(record: &Record<'_>) -> Option<(i64, i64)> {
    let room = record.conversation.as_room().filter(|room| room.is_group())?;
    let group = room.0.checked_sub(wire::GROUPS_FROM).and_then(|row| i64::try_from(row).ok());
    Some((group.unwrap_or(-1), i64::try_from(record.from.0).unwrap_or(-1)))
}

/// The two numbers of a conversation as databases' integers, or nothing if no conversation has these.
///
/// Most numbers are only ever compared for being equal and keep their bits, with the highest one as a sign. Those of
/// users in private conversations are put in order too, so they must do without it.
pub(crate) fn numbers(conversation: ConversationId) -> Option<(i64, i64)> {
    let ConversationId { first, second } = conversation;
    let has_order = second == 0 || i64::try_from(second).is_ok();
    (conversation.is_valid() && has_order).then(|| (first.cast_signed(), second.cast_signed()))
}
