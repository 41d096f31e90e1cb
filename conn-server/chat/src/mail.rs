//! Shard-to-shard mail: what travels is a batch of bytes, written and read here and nowhere else.
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
}

impl MailBatch {
    /// An empty batch of a sender.
    #[must_use]
    pub const fn new(from: ShardId) -> Self {
        Self { from, credit: [0; CLASSES], bytes: Vec::new() }
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

    /// Moves all of `later`, of the same sender to the same receiver, behind what is here.
    pub fn merge(&mut self, later: &mut Self) {
        for (credit, more) in self.credit.iter_mut().zip(&mut later.credit) {
            *credit = credit.saturating_add(core::mem::take(more));
        }
        self.bytes.append(&mut later.bytes);
    }

    /// Empties it for reuse by `from`, keeping its capacity.
    pub fn reset(&mut self, from: ShardId) {
        self.from = from;
        self.credit = [0; CLASSES];
        self.bytes.clear();
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
    /// The room that the refused join had made its sender a member of.
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
    Claim { claim: Claim, correlation: u64 },
    Post(Post<'a>),
    Enter { room: RoomId, origin: ConnRef, correlation: u64, is_new: bool },
    Read(Read),
    ListPart(ListPart),
    Deliver { to: UserId, frame: &'a [u8] },
    DeliverAt { conn: ConnRef, frame: &'a [u8] },
    DeliverRoom { room: RoomId, origin: ConnRef, frame: &'a [u8] },
    Granted { conn: ConnRef, correlation: u64, epoch: u64, cut: u8 },
    Denied { conn: ConnRef, correlation: u64, is_full: bool },
    Close { conn: ConnRef, reason: CloseReason },
    Release { user: UserId, conn: ConnRef, cut: u8 },
    Desert { room: RoomId },
    Ack(Ack),
    Refuse(Refusal),
    Reply { origin: ConnRef, is_last: bool, frame: &'a [u8] },
    Entered { origin: ConnRef, correlation: u64, room: RoomId, head: Seq },
    Part { ticket: (u32, u32), is_complete: bool, heads: &'a [u8] },
}

impl Mail<'_> {
    pub(crate) const fn class(&self) -> usize {
        match self {
            Self::Claim { .. }
            | Self::Post(_)
            | Self::Enter { .. }
            | Self::Read(_)
            | Self::ListPart(_) => COMMAND,
            Self::Deliver { .. } => DELIVERY,
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
            | Self::Part { .. } => REPLY,
        }
    }
}

/// The common form of all mail: a tag, two small numbers, up to seven large ones, bytes.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    tag: u8,
    small: [u8; 2],
    /// How many of the large numbers are written.
    count: u8,
    numbers: [u64; NUMBERS],
    bytes: &'a [u8],
}

const NUMBERS: usize = 7;
/// Tag, small numbers, count, length.
const RECORD_HEAD: usize = 8;

fn pair(ticket: (u32, u32)) -> u64 {
    u64::from(ticket.0) << 32 | u64::from(ticket.1)
}

#[allow(clippy::cast_possible_truncation, reason = "two halves")]
const fn unpair(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

impl<'a> Record<'a> {
    fn new(tag: u8, small: [u8; 2], given: &[u64], bytes: &'a [u8]) -> Self {
        let mut numbers = [0; NUMBERS];
        for (place, number) in numbers.iter_mut().zip(given) {
            *place = *number;
        }
        let count = u8::try_from(given.len().min(NUMBERS)).unwrap_or_default();
        Self { tag, small, count, numbers, bytes }
    }

    fn of(mail: &Mail<'a>) -> Self {
        let new = |tag, small, given: &[u64]| Self::new(tag, small, given, &[]);
        match *mail {
            Mail::Claim { claim: c, correlation } => {
                new(0, [0; 2], &[c.user.0, c.epoch, c.conn.0, c.keep_until_s.into(), correlation])
            }
            Mail::Post(p) => {
                let (ConversationId { first, second }, id) = (p.conversation, p.client_message_id);
                let numbers = [first, second, p.from.0, id.0, p.correlation, p.origin.0];
                Self::new(1, [p.kind as u8, 0], &numbers, p.body)
            }
            Mail::Enter { room, origin, correlation, is_new } => {
                new(2, [is_new.into(), 0], &[room.0, origin.0, correlation])
            }
            Mail::Read(r) => {
                let ConversationId { first, second } = r.conversation;
                let numbers = [r.origin.0, r.correlation, first, second, r.after.0];
                new(3, r.limit.to_le_bytes(), &numbers)
            }
            Mail::ListPart(p) => {
                let numbers = [p.user.0, p.after.first, p.after.second, pair(p.ticket)];
                new(4, p.limit.to_le_bytes(), &numbers)
            }
            Mail::Deliver { to, frame } => Self::new(5, [0; 2], &[to.0], frame),
            Mail::DeliverAt { conn, frame } => Self::new(6, [0; 2], &[conn.0], frame),
            Mail::DeliverRoom { room, origin, frame } => {
                Self::new(7, [0; 2], &[room.0, origin.0], frame)
            }
            Mail::Granted { conn, correlation, epoch, cut } => {
                new(8, [cut, 0], &[conn.0, correlation, epoch])
            }
            Mail::Denied { conn, correlation, is_full } => {
                new(9, [is_full.into(), 0], &[conn.0, correlation])
            }
            Mail::Close { conn, reason } => new(10, [reason.code(), 0], &[conn.0]),
            Mail::Release { user, conn, cut } => new(11, [cut, 0], &[user.0, conn.0]),
            Mail::Desert { room } => new(12, [0; 2], &[room.0]),
            Mail::Ack(a) => {
                let (ConversationId { first, second }, id) = (a.conversation, a.client_message_id);
                let numbers =
                    [a.origin.0, a.correlation, first, second, a.seq.0, a.message_id.0, id.0];
                new(13, [0; 2], &numbers)
            }
            Mail::Refuse(r) => {
                let room = r.room.map_or(0, |room| room.0);
                let numbers = [r.origin.0, r.correlation, r.client_message_id.0, room];
                new(14, [r.kind as u8, r.reject.code()], &numbers)
            }
            Mail::Reply { origin, is_last, frame } => {
                Self::new(15, [is_last.into(), 0], &[origin.0], frame)
            }
            Mail::Entered { origin, correlation, room, head } => {
                new(16, [0; 2], &[origin.0, correlation, room.0, head.0])
            }
            Mail::Part { ticket, is_complete, heads } => {
                Self::new(17, [is_complete.into(), 0], &[pair(ticket)], heads)
            }
        }
    }

    fn mail(&self) -> Option<Mail<'a>> {
        let [a, b, c, d, e, f, g] = self.numbers;
        let (bytes, small, flag) = (self.bytes, self.small, self.small[0] != 0);
        Some(match self.tag {
            0 => Mail::Claim {
                claim: Claim {
                    user: UserId(a),
                    epoch: b,
                    conn: ConnRef(c),
                    keep_until_s: u32::try_from(d).ok()?,
                },
                correlation: e,
            },
            1 => Mail::Post(Post {
                conversation: ConversationId { first: a, second: b },
                from: UserId(c),
                client_message_id: ClientMessageId(d),
                correlation: e,
                kind: Kind::from_code(small[0])?,
                origin: ConnRef(f),
                body: bytes,
            }),
            2 => Mail::Enter { room: RoomId(a), origin: ConnRef(b), correlation: c, is_new: flag },
            3 => Mail::Read(Read {
                origin: ConnRef(a),
                correlation: b,
                conversation: ConversationId { first: c, second: d },
                after: Seq(e),
                limit: u16::from_le_bytes(small),
            }),
            4 => Mail::ListPart(ListPart {
                user: UserId(a),
                after: ConversationId { first: b, second: c },
                limit: u16::from_le_bytes(small),
                ticket: unpair(d),
            }),
            5 => Mail::Deliver { to: UserId(a), frame: bytes },
            6 => Mail::DeliverAt { conn: ConnRef(a), frame: bytes },
            7 => Mail::DeliverRoom { room: RoomId(a), origin: ConnRef(b), frame: bytes },
            8 => Mail::Granted { conn: ConnRef(a), correlation: b, epoch: c, cut: small[0] },
            9 => Mail::Denied { conn: ConnRef(a), correlation: b, is_full: flag },
            10 => Mail::Close { conn: ConnRef(a), reason: CloseReason::from_code(small[0])? },
            11 => Mail::Release { user: UserId(a), conn: ConnRef(b), cut: small[0] },
            12 => Mail::Desert { room: RoomId(a) },
            13 => Mail::Ack(Ack {
                origin: ConnRef(a),
                correlation: b,
                conversation: ConversationId { first: c, second: d },
                seq: Seq(e),
                message_id: MessageId(f),
                client_message_id: ClientMessageId(g),
            }),
            14 => Mail::Refuse(Refusal {
                origin: ConnRef(a),
                correlation: b,
                kind: Kind::from_code(small[0])?,
                reject: Reject::from_code(small[1])?,
                client_message_id: ClientMessageId(c),
                room: (d != 0).then_some(RoomId(d)),
            }),
            15 => Mail::Reply { origin: ConnRef(a), is_last: flag, frame: bytes },
            16 => {
                Mail::Entered { origin: ConnRef(a), correlation: b, room: RoomId(c), head: Seq(d) }
            }
            17 => Mail::Part { ticket: unpair(a), is_complete: flag, heads: bytes },
            _ => return None,
        })
    }
}

/// Appends one piece of mail and returns its length in the batch.
pub(crate) fn write(mail: &Mail<'_>, out: &mut Vec<u8>) -> u32 {
    let record = Record::of(mail);
    let before = out.len();
    let len = u32::try_from(record.bytes.len()).unwrap_or(u32::MAX);
    // Put together where it costs nothing, so that the batch grows twice and not for every number.
    let mut head = [0; RECORD_HEAD + 8 * NUMBERS];
    let [l0, l1, l2, l3] = len.to_le_bytes();
    let [s0, s1] = record.small;
    let (fixed, numbers) = head.split_at_mut(RECORD_HEAD);
    fixed.copy_from_slice(&[record.tag, s0, s1, record.count, l0, l1, l2, l3]);
    for (place, number) in numbers.as_chunks_mut::<8>().0.iter_mut().zip(record.numbers) {
        *place = number.to_le_bytes();
    }
    let head_len = RECORD_HEAD + 8 * usize::from(record.count);
    out.extend_from_slice(head.get(..head_len).unwrap_or(&head));
    out.extend_from_slice(record.bytes);
    u32::try_from(out.len() - before).unwrap_or(u32::MAX)
}

/// Cuts the first piece of mail off a batch, with its length there; `None` at the end.
///
/// # Panics
/// On bytes that [`write()`] did not write: mail never leaves the process, so that is a bug here.
pub(crate) fn read<'a>(bytes: &mut &'a [u8]) -> Option<(Mail<'a>, u32)> {
    let before = bytes.len();
    let (head, rest) = bytes.split_first_chunk::<RECORD_HEAD>()?;
    let [tag, s0, s1, count, l0, l1, l2, l3] = *head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (given, rest) = rest.split_at_checked(8 * usize::from(count)).expect("mail is whole");
    let (body, rest) = rest.split_at_checked(len).expect("mail is whole");
    let mut numbers = [0; NUMBERS];
    for (place, chunk) in numbers.iter_mut().zip(given.as_chunks::<8>().0) {
        *place = u64::from_le_bytes(*chunk);
    }
    *bytes = rest;
    let record = Record { tag, small: [s0, s1], count, numbers, bytes: body };
    let mail = record.mail().expect("mail is what was written");
    Some((mail, u32::try_from(before - rest.len()).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn every_kind_of_mail_is_read_as_it_was_written() {
        let conversation = ConversationId { first: 1, second: 2 };
        let (conn, correlation, ticket) = (ConnRef(0xfeed_f00d_dead_beef), 77, (8, 9));
        let id = ClientMessageId(5);
        let all = [
            Mail::Claim {
                claim: Claim { user: UserId(3), epoch: 4, keep_until_s: 5, conn },
                correlation,
            },
            Mail::Post(Post {
                conversation,
                from: UserId(1),
                client_message_id: id,
                correlation,
                kind: Kind::SendText,
                origin: conn,
                body: b"body",
            }),
            Mail::Enter { room: RoomId(6), origin: conn, correlation, is_new: true },
            Mail::Read(Read { origin: conn, correlation, conversation, after: Seq(9), limit: 300 }),
            Mail::ListPart(ListPart { user: UserId(1), after: conversation, limit: 300, ticket }),
            Mail::Deliver { to: UserId(8), frame: b"frame" },
            Mail::DeliverAt { conn, frame: b"frame" },
            Mail::DeliverRoom { room: RoomId(6), origin: conn, frame: b"" },
            Mail::Granted { conn, correlation, epoch: 6, cut: 4 },
            Mail::Denied { conn, correlation, is_full: true },
            Mail::Close { conn, reason: CloseReason::Replaced },
            Mail::Release { user: UserId(1), conn, cut: 4 },
            Mail::Desert { room: RoomId(6) },
            Mail::Ack(Ack {
                origin: conn,
                correlation,
                conversation,
                seq: Seq(1),
                message_id: MessageId(2),
                client_message_id: id,
            }),
            Mail::Refuse(Refusal {
                origin: conn,
                correlation,
                kind: Kind::SendRoom,
                reject: Reject::Busy,
                client_message_id: id,
                room: Some(RoomId(6)),
            }),
            Mail::Reply { origin: conn, is_last: true, frame: b"frame" },
            Mail::Entered { origin: conn, correlation, room: RoomId(6), head: Seq(3) },
            Mail::Part { ticket, is_complete: true, heads: b"heads" },
        ];
        let mut bytes = Vec::new();
        for mail in &all {
            write(mail, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for mail in &all {
            let (back, _) = read(&mut rest).unwrap();
            assert_eq!(format!("{back:?}"), format!("{mail:?}"));
        }
        assert!(rest.is_empty());
    }
}
