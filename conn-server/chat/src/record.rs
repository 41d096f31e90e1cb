//! Mail as bytes: written at the end of a batch, cut off its front, and nowhere else.

use alloc::vec::Vec;

use wire::{
    ClientMessageId, CloseReason, ConversationId, Kind, MessageId, Reject, RoomId, Seq, UserId,
};

use crate::conn::ConnRef;
use crate::directory::Claim;
use crate::limits::PACK_BYTES_MAX;
use crate::mail::{Ack, ListPart, Mail, Post, Read, Refusal};

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
const TAG_POST: u8 = 1;
const TAG_ACK: u8 = 13;
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
                Self::new(TAG_POST, [p.kind as u8, 0], &numbers, p.body)
            }
            Mail::Enter { room, user, origin, correlation, is_new } => {
                new(2, [is_new.into(), 0], &[room.0, origin.0, correlation, user.0])
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
                new(TAG_ACK, [0; 2], &numbers)
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
            Mail::Signal { to, origin, correlation, frame } => {
                Self::new(18, [0; 2], &[to.0, origin.0, correlation], frame)
            }
            Mail::TellRoom { room, frame } => Self::new(19, [0; 2], &[room.0], frame),
            Mail::Tell { to, frame } => Self::new(20, [0; 2], &[to.0], frame),
            Mail::Evict { room, user } => new(21, [0; 2], &[room.0, user.0]),
            Mail::Told { conn, frame } => Self::new(22, [0; 2], &[conn.0], frame),
            Mail::RoomTold { room, frame } => Self::new(23, [0; 2], &[room.0], frame),
            Mail::EvictAt { conn, room } => new(24, [0; 2], &[conn.0, room.0]),
            Mail::TellBehind { to, frame } => Self::new(25, [0; 2], &[to.0], frame),
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
            TAG_POST => Mail::Post(Post {
                conversation: ConversationId { first: a, second: b },
                from: UserId(c),
                client_message_id: ClientMessageId(d),
                correlation: e,
                kind: Kind::from_code(small[0])?,
                origin: ConnRef(f),
                body: bytes,
            }),
            2 => Mail::Enter {
                room: RoomId(a),
                origin: ConnRef(b),
                correlation: c,
                user: UserId(d),
                is_new: flag,
            },
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
            TAG_ACK => Mail::Ack(Ack {
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
            16 => {
                Mail::Entered { origin: ConnRef(a), correlation: b, room: RoomId(c), head: Seq(d) }
            }
            _ => return self.news(),
        })
    }

    /// The mail of lists and services.
    fn news(&self) -> Option<Mail<'a>> {
        let ([a, b, c, ..], bytes, flag) = (self.numbers, self.bytes, self.small[0] != 0);
        Some(match self.tag {
            15 => Mail::Reply { origin: ConnRef(a), is_last: flag, frame: bytes },
            17 => Mail::Part { ticket: unpair(a), is_complete: flag, heads: bytes },
            18 => Mail::Signal { to: UserId(a), origin: ConnRef(b), correlation: c, frame: bytes },
            19 => Mail::TellRoom { room: RoomId(a), frame: bytes },
            20 => Mail::Tell { to: UserId(a), frame: bytes },
            21 => Mail::Evict { room: RoomId(a), user: UserId(b) },
            22 => Mail::Told { conn: ConnRef(a), frame: bytes },
            23 => Mail::RoomTold { room: RoomId(a), frame: bytes },
            24 => Mail::EvictAt { conn: ConnRef(a), room: RoomId(b) },
            25 => Mail::TellBehind { to: UserId(a), frame: bytes },
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

/// The place of a written record's length of bytes.
pub(crate) fn len_mut(record: &mut [u8]) -> Option<&mut [u8; 4]> {
    record.get_mut(4..RECORD_HEAD)?.first_chunk_mut()
}

/// How many pieces of mail right behind the first are of its kind and from or for the same connection: what they cause
/// will stand behind each other too.
pub(crate) fn run(bytes: &[u8]) -> usize {
    let Some((first, mut rest)) = asker(bytes) else { return 0 };
    let mut behind = 0;
    while behind < RUN_MAX
        && let Some((next, after)) = asker(rest)
        && next == first
    {
        (behind, rest) = (behind + 1, after);
    }
    behind
}

/// More in a row make no larger buffer: a pack of the shortest frames.
const RUN_MAX: usize = PACK_BYTES_MAX / 64;

/// The kind of the first piece and its connection, if it is one that comes in runs; and what follows it.
fn asker(bytes: &[u8]) -> Option<((u8, u64), &[u8])> {
    let (&[tag, _, _, count, l0, l1, l2, l3], rest) = bytes.split_first_chunk::<RECORD_HEAD>()?;
    let place = match tag {
        TAG_POST => 5,
        TAG_ACK => 0,
        _ => return None,
    };
    let (numbers, rest) = rest.split_at_checked(8 * usize::from(count))?;
    let number = numbers.as_chunks::<8>().0.get(place)?;
    let rest = rest.get(u32::from_le_bytes([l0, l1, l2, l3]) as usize..)?;
    Some(((tag, u64::from_le_bytes(*number)), rest))
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
    use alloc::format;

    use wire::ShardId;

    use super::*;
    use crate::mail::MailBatch;

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
            Mail::Enter {
                room: RoomId(6),
                user: UserId(7),
                origin: conn,
                correlation,
                is_new: true,
            },
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
            Mail::Signal { to: UserId(8), origin: conn, correlation, frame: b"frame" },
            Mail::TellRoom { room: RoomId(6), frame: b"frame" },
            Mail::Tell { to: UserId(8), frame: b"frame" },
            Mail::Evict { room: RoomId(6), user: UserId(8) },
            Mail::Told { conn, frame: b"frame" },
            Mail::RoomTold { room: RoomId(6), frame: b"frame" },
            Mail::EvictAt { conn, room: RoomId(6) },
            Mail::TellBehind { to: UserId(8), frame: b"frame" },
        ];
        read_back(&all);
    }

    fn read_back(all: &[Mail<'_>]) {
        let mut bytes = Vec::new();
        for mail in all {
            write(mail, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for mail in all {
            let (back, _) = read(&mut rest).unwrap();
            assert_eq!(format!("{back:?}"), format!("{mail:?}"));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn texts_for_one_recipient_are_one_piece_as_long_as_they_fit_a_buffer() {
        let mut batch = MailBatch::new(ShardId(0));
        let (bob, carol) = (UserId(8), UserId(9));
        let frame = [7; 1500];
        let mut len = 0;
        for to in [bob, bob, carol, bob, bob, bob] {
            len += batch.push(&Mail::Deliver { to, frame: &frame });
        }
        batch.push(&Mail::Desert { room: RoomId(1) });
        batch.push(&Mail::Deliver { to: bob, frame: &frame });
        let mut rest = batch.bytes.as_slice();
        let (mut seen, mut read_len) = (Vec::new(), 0);
        while let Some((mail, len)) = read(&mut rest) {
            read_len += len;
            if let Mail::Deliver { to, frame } = mail {
                seen.push((to, frame.len() / 1500));
            }
        }
        assert_eq!(seen, [(bob, 2), (carol, 1), (bob, 2), (bob, 1), (bob, 1)]);
        let rest = RECORD_HEAD + 8 + RECORD_HEAD + 8 + 1500;
        assert_eq!(read_len as usize, len as usize + rest, "what is charged is what is credited");
    }

    #[test]
    fn a_run_is_of_one_kind_and_one_connection() {
        let ack = |conn| {
            Mail::Ack(Ack {
                origin: ConnRef(conn),
                correlation: 1,
                conversation: ConversationId { first: 1, second: 2 },
                seq: Seq(1),
                message_id: MessageId(2),
                client_message_id: ClientMessageId(3),
            })
        };
        let mut bytes = Vec::new();
        for conn in [4, 4, 4, 5] {
            write(&ack(conn), &mut bytes);
        }
        write(&Mail::Desert { room: RoomId(4) }, &mut bytes);
        let mut rest = bytes.as_slice();
        let mut runs = Vec::new();
        loop {
            runs.push(run(rest));
            if read(&mut rest).is_none() {
                break;
            }
        }
        assert_eq!(runs, [2, 1, 0, 0, 0, 0]);
    }
}
