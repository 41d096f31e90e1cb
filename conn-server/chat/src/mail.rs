//! Shard-to-shard mail: what there is to say, and the batch that it travels in, as bytes that `record` writes and reads.
//!
//! Mail comes in three classes with a credit each, per peer: commands cause deliveries and replies, deliveries cause
//! replies, replies cause nothing. A shard takes no command whose mail has no credit, so load is held back at its source;
//! credit for a peer's commands is given back only while there is room for the replies to that peer. Deliveries and
//! replies are always handled: nobody waits in a circle, and nobody waits for a third.

use alloc::vec::Vec;

use wire::{
    ClientMessageId, CloseReason, ConversationId, Kind, MessageId, Reject, RoomId, Seq, ShardId,
    UserId,
};

use crate::conn::ConnRef;
use crate::directory::Claim;
use crate::limits::PACK_BYTES_MAX;
use crate::record;

/// Classes of mail.
pub(crate) const CLASSES: usize = 3;
/// Causes deliveries and replies.
pub(crate) const COMMAND: usize = 0;
/// Causes replies.
pub(crate) const DELIVERY: usize = 1;
/// Causes nothing.
pub(crate) const REPLY: usize = 2;

/// Mail of one turn for one peer shard. Plain data: it travels between threads, and a receiver that has handled it may
/// [`reset`](Self::reset) and reuse it.
#[derive(Debug)]
pub struct MailBatch {
    pub(crate) from: ShardId,
    /// Bytes of the receiver's earlier mail, by class, for which the sender gives the credit back.
    pub(crate) credit: [u64; CLASSES],
    pub(crate) bytes: Vec<u8>,
    /// Where the last piece begins, if it is a delivery that more may be put to, and whom it is for.
    open: Option<(u32, UserId)>,
}

impl MailBatch {
    /// An empty batch of a sender.
    #[must_use]
    pub const fn new(from: ShardId) -> Self {
        Self { from, credit: [0; CLASSES], bytes: Vec::new(), open: None }
    }

    /// Whether there is nothing to post.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.credit == [0; CLASSES]
    }

    /// Who wrote it.
    #[must_use]
    pub const fn sender(&self) -> ShardId {
        self.from
    }

    /// Bytes of mail in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whose it is.
    #[must_use]
    pub const fn from(&self) -> ShardId {
        self.from
    }

    /// Bytes of mail that fit without another allocation.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Moves all of `later`, of the same sender to the same receiver, behind what is here.
    pub fn merge(&mut self, later: &mut Self) {
        for (credit, more) in self.credit.iter_mut().zip(&mut later.credit) {
            *credit = credit.saturating_add(core::mem::take(more));
        }
        self.bytes.append(&mut later.bytes);
        (self.open, later.open) = (None, None);
    }

    /// Empties it for reuse by `from`, keeping its capacity.
    pub fn reset(&mut self, from: ShardId) {
        self.from = from;
        self.credit = [0; CLASSES];
        self.bytes.clear();
        self.open = None;
    }

    /// Appends one piece of mail and returns how much longer the batch is. Texts for one recipient that follow each other
    /// are one piece, as they will be one buffer in its queue.
    pub(crate) fn push(&mut self, mail: &Mail<'_>) -> u32 {
        let Mail::Deliver { to, frame } = mail else {
            self.open = None;
            return record::write(mail, &mut self.bytes);
        };
        if let Some((at, user)) = self.open
            && user == *to
            && self.extend(at as usize, frame)
        {
            return u32::try_from(frame.len()).unwrap_or(u32::MAX);
        }
        self.open = u32::try_from(self.bytes.len()).ok().map(|at| (at, *to));
        record::write(mail, &mut self.bytes)
    }

    /// Puts bytes to the last piece, which begins at `at`, if they fit a buffer together.
    fn extend(&mut self, at: usize, more: &[u8]) -> bool {
        let place = self.bytes.get_mut(at..);
        let Some(len) = place.and_then(record::len_mut) else { return false };
        let sum = u32::from_le_bytes(*len) as usize + more.len();
        let Some(sum) = u32::try_from(sum).ok().filter(|sum| *sum as usize <= PACK_BYTES_MAX)
        else {
            return false;
        };
        *len = sum.to_le_bytes();
        self.bytes.extend_from_slice(more);
        true
    }
}

/// A message on its way to its conversation's home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post<'a> {
    pub(crate) conversation: ConversationId,
    pub(crate) from: UserId,
    pub(crate) client_message_id: ClientMessageId,
    pub(crate) correlation: u64,
    pub(crate) kind: Kind,
    pub(crate) origin: ConnRef,
    pub(crate) body: &'a [u8],
}

/// An acceptance on its way to the sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) origin: ConnRef,
    pub(crate) correlation: u64,
    pub(crate) conversation: ConversationId,
    pub(crate) seq: Seq,
    pub(crate) message_id: MessageId,
    pub(crate) client_message_id: ClientMessageId,
}

/// A refusal on its way to the sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) origin: ConnRef,
    pub(crate) correlation: u64,
    pub(crate) kind: Kind,
    pub(crate) reject: Reject,
    pub(crate) client_message_id: ClientMessageId,
    /// The room that the sender's session must leave: a join that was refused had made it a member, or the store no longer
    /// knows it as one.
    pub(crate) room: Option<RoomId>,
}

/// A read of a conversation's history on its way to its home (durability `none`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) origin: ConnRef,
    pub(crate) correlation: u64,
    pub(crate) conversation: ConversationId,
    pub(crate) after: Seq,
    pub(crate) limit: u16,
}

/// A question for a shard's part of a user's conversations (durability `none`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListPart {
    pub(crate) user: UserId,
    pub(crate) after: ConversationId,
    pub(crate) limit: u16,
    /// The asker's pending request: index and generation.
    pub(crate) ticket: (u32, u32),
}

/// One piece of mail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mail<'a> {
    Claim {
        claim: Claim,
        correlation: u64,
    },
    Post(Post<'a>),
    Enter {
        room: RoomId,
        user: UserId,
        origin: ConnRef,
        correlation: u64,
        is_new: bool,
    },
    Read(Read),
    ListPart(ListPart),
    /// A sign about a call, for a user.
    Signal {
        to: UserId,
        origin: ConnRef,
        correlation: u64,
        frame: &'a [u8],
    },
    /// News for whoever has entered a room; at its home.
    TellRoom {
        room: RoomId,
        frame: &'a [u8],
    },
    /// News for a user, behind what was said in a conversation; at the conversation's home.
    TellBehind {
        to: UserId,
        frame: &'a [u8],
    },
    /// News for a user.
    Tell {
        to: UserId,
        frame: &'a [u8],
    },
    /// A user's session must leave a room.
    Evict {
        room: RoomId,
        user: UserId,
    },
    /// Texts for one recipient, one behind the other.
    Deliver {
        to: UserId,
        frame: &'a [u8],
    },
    /// The same, for a connection.
    DeliverAt {
        conn: ConnRef,
        frame: &'a [u8],
    },
    DeliverRoom {
        room: RoomId,
        origin: ConnRef,
        frame: &'a [u8],
    },
    Granted {
        conn: ConnRef,
        correlation: u64,
        epoch: u64,
        cut: u8,
    },
    Denied {
        conn: ConnRef,
        correlation: u64,
        is_full: bool,
    },
    Close {
        conn: ConnRef,
        reason: CloseReason,
    },
    Release {
        user: UserId,
        conn: ConnRef,
        cut: u8,
    },
    Desert {
        room: RoomId,
    },
    Ack(Ack),
    Refuse(Refusal),
    Reply {
        origin: ConnRef,
        is_last: bool,
        frame: &'a [u8],
    },
    Entered {
        origin: ConnRef,
        correlation: u64,
        room: RoomId,
        head: Seq,
    },
    Part {
        ticket: (u32, u32),
        is_complete: bool,
        heads: &'a [u8],
    },
    /// News for a connection.
    Told {
        conn: ConnRef,
        frame: &'a [u8],
    },
    /// News for those here who have entered a room.
    RoomTold {
        room: RoomId,
        frame: &'a [u8],
    },
    /// A connection must leave a room.
    EvictAt {
        conn: ConnRef,
        room: RoomId,
    },
}

impl Mail<'_> {
    pub(crate) const fn class(&self) -> usize {
        match self {
            Self::Claim { .. }
            | Self::Post(_)
            | Self::Enter { .. }
            | Self::Read(_)
            | Self::ListPart(_)
            | Self::Signal { .. }
            | Self::TellRoom { .. }
            | Self::TellBehind { .. } => COMMAND,
            Self::Deliver { .. } | Self::Tell { .. } | Self::Evict { .. } => DELIVERY,
            Self::DeliverAt { .. }
            | Self::DeliverRoom { .. }
            | Self::Granted { .. }
            | Self::Denied { .. }
            | Self::Close { .. }
            | Self::Release { .. }
            | Self::Desert { .. }
            | Self::Ack(_)
            | Self::Refuse(_)
            | Self::Reply { .. }
            | Self::Entered { .. }
            | Self::Part { .. }
            | Self::Told { .. }
            | Self::RoomTold { .. }
            | Self::EvictAt { .. } => REPLY,
        }
    }
}
