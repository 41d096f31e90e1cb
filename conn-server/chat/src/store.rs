//! What a shard asks of the store, and what the store answers. Plain data: the batches travel between threads.

use alloc::vec::Vec;
use core::ops::Range;

use wire::{ClientMessageId, ConversationId, MessageId, Reject, RoomId, Seq, UserId};

/// Names a request until its answer: an index with a generation, opaque outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Ticket {
    /// A ticket of one's own, for whoever asks a store without a shard: its answer means nothing to any shard.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }
}

/// Requests of one shard, in order, with the bytes of their bodies behind one another.
#[derive(Debug, Default)]
pub struct StoreBatch {
    /// The requests.
    pub requests: Vec<StoreRequest>,
    /// The bodies that [`Append::body`] points into, and the frames of [`Serve::frame`].
    pub bytes: Vec<u8>,
}

impl StoreBatch {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Empties it, keeping its capacity.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.bytes.clear();
    }

    /// The body of one of its appends.
    #[must_use]
    pub fn body(&self, append: &Append) -> &[u8] {
        self.bytes_at(&append.body)
    }

    /// The frame of one of its services.
    #[must_use]
    pub fn frame(&self, serve: &Serve) -> &[u8] {
        self.bytes_at(&serve.frame)
    }

    fn bytes_at(&self, range: &Range<u32>) -> &[u8] {
        self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Moves all of `later` behind what is here.
    pub fn merge(&mut self, later: &mut Self) {
        let shift = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.append(&mut later.bytes);
        self.requests.extend(later.requests.drain(..).map(|request| match request {
            StoreRequest::Append(append) => StoreRequest::Append(Append {
                body: append.body.start + shift..append.body.end + shift,
                ..append
            }),
            StoreRequest::Serve(serve) => StoreRequest::Serve(Serve {
                frame: serve.frame.start + shift..serve.frame.end + shift,
                ..serve
            }),
            other @ (StoreRequest::Pull(_)
            | StoreRequest::Head(_)
            | StoreRequest::Conversations(_)) => other,
        }));
    }
}

/// One wish of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// Write a message.
    Append(Append),
    /// Read a page of messages.
    Pull(PullPage),
    /// Read the last `seq` of a conversation (durability `relaxed`, and entering a room).
    Head(HeadOf),
    /// Read a page of a user's private conversations.
    Conversations(ConversationsPage),
    /// Serve a command that is the store's alone.
    Serve(Serve),
}

/// Serve a command that is the store's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub user: UserId,
    /// When it was taken.
    pub unix_ms: u64,
    /// Ids for messages that it may write; `None` if it may write none.
    pub message_ids: Option<[MessageId; 2]>,
    /// Whether it changes anything.
    pub is_write: bool,
    /// The command's frame, as a range of [`StoreBatch::bytes`].
    pub frame: Range<u32>,
}

/// Write a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// For the answer.
    pub ticket: Ticket,
    /// Where it goes.
    pub conversation: ConversationId,
    /// Its place if the shard gave one (`relaxed`); `None` in `commit`: the store gives it in the transaction.
    pub seq: Option<Seq>,
    /// Its id, unless the store knows the message already.
    pub message_id: MessageId,
    /// Who says it.
    pub from: UserId,
    /// As the client numbered it: unique per sender for 24 hours.
    pub client_message_id: ClientMessageId,
    /// When it was taken.
    pub unix_ms: u64,
    /// The text, as a range of [`StoreBatch::bytes`].
    pub body: Range<u32>,
}

/// Read messages with a `seq` greater than `after`, in order, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullPage {
    /// For the answer.
    pub ticket: Ticket,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// For whom: a stranger to a group is [`StoreFault::Rejected`].
    pub user: UserId,
    /// After which `seq`.
    pub after: Seq,
    /// How many at most.
    pub limit: u16,
}

/// Read the last `seq` of a conversation; zero if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadOf {
    /// For the answer.
    pub ticket: Ticket,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Only if this user may enter it: a stranger to a group is [`StoreFault::Rejected`].
    pub for_user: Option<UserId>,
}

/// Read a user's private conversations after a cursor, ordered by `(first, second)`, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationsPage {
    /// For the answer.
    pub ticket: Ticket,
    /// Whose.
    pub user: UserId,
    /// After which; the zero pair for the first page.
    pub after: ConversationId,
    /// How many at most.
    pub limit: u16,
}

/// What became of a request. Every request gets exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOutcome {
    /// Of which request.
    pub ticket: Ticket,
    /// What became of it.
    pub result: Result<Stored, StoreFault>,
}

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The message is as durable as the store was asked to make it.
    Appended {
        /// Its place.
        seq: Seq,
        /// Its id: an earlier one's if this was a retry.
        message_id: MessageId,
        /// When it was first taken.
        unix_ms: u64,
    },
    /// The message was written before, and its sender has taken it back since: it is acknowledged, and nobody hears it again.
    Revoked {
        /// Its place.
        seq: Seq,
        /// Its id.
        message_id: MessageId,
    },
    /// A page of messages.
    Page {
        /// In the order of their `seq`.
        messages: Vec<StoredMessage>,
        /// Whether there was nothing after them.
        is_complete: bool,
    },
    /// The last `seq` of a conversation.
    Head(Seq),
    /// A page of conversations.
    Conversations {
        /// Each with its last `seq`.
        heads: Vec<(ConversationId, Seq)>,
        /// Whether there was nothing after them.
        is_complete: bool,
    },
    /// What a service says.
    Served(Served),
}

/// What a service says: encoded frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// For whoever asked.
    pub frames: Vec<u8>,
    /// For others, if they are online; in order. Each short enough for one buffer.
    pub tells: Vec<(Hearer, Vec<u8>)>,
    /// Whose sessions must leave a room: after what these users are told themselves. What the room is told takes another way and
    /// may come to them or not.
    pub evicted: Vec<(RoomId, UserId)>,
}

/// Who is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearer {
    /// One user.
    User(UserId),
    /// Whoever has entered a room.
    Room(RoomId),
    /// One user of a private conversation, behind all that was said in it before: by the way that its texts take.
    Behind(ConversationId, UserId),
}

/// A message as the store gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// When.
    pub unix_ms: u64,
    /// The text.
    pub body: Vec<u8>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Full, stalled or out of reach for now: the client may send it again.
    Busy,
    /// The same client message id with another text or conversation.
    Conflict,
    /// It can never be done.
    Refused,
    /// A rule forbids it: told as it is.
    Rejected(Reject),
}
