//! Buffers for frames on their way out. A connection has one only while it has something to send.
//!
//! Invariant: bytes between a buffer's `start` and what is in flight are never written; new frames go behind `end`.

use std::ops::Range;

use client::Outbox;
use wire::Message;

use super::limits::{SEND_BUFFER_BYTES_MIN, SEND_BUFFERS_PER_CHUNK, SEND_BYTES_MAX};
use super::pages::Pages;

/// No buffer.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Buffer {
    start: u32,
    end: u32,
    /// The connection's next buffer, or the next free one.
    next: u32,
}

/// A connection's queue of buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    head: u32,
    tail: u32,
    /// Whether a send is in flight: never more than one, or their bytes could be mixed.
    pub(super) is_sending: bool,
    /// Whether it is listed for sending.
    pub(super) is_listed: bool,
}

impl Outgoing {
    pub(super) const EMPTY: Self =
        Self { head: NONE, tail: NONE, is_sending: false, is_listed: false };

    pub(super) const fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

#[derive(Debug)]
pub(super) struct SendPool {
    chunks: Vec<Pages>,
    buffers: Vec<Buffer>,
    free: u32,
    used: usize,
    buffer_bytes: usize,
}

impl SendPool {
    /// A pool whose buffers hold at least one frame of `frame_bytes`.
    pub(super) fn new(frame_bytes: usize) -> Self {
        let buffer_bytes = frame_bytes.max(SEND_BUFFER_BYTES_MIN).next_multiple_of(64);
        Self { chunks: Vec::new(), buffers: Vec::new(), free: NONE, used: 0, buffer_bytes }
    }

    /// Whether the bound is reached: no more messages. Frames of the protocol itself still find room; they are few.
    pub(super) const fn is_full(&self) -> bool {
        self.used * self.buffer_bytes >= SEND_BYTES_MAX
    }

    fn grow(&mut self) {
        self.chunks.push(Pages::new(SEND_BUFFERS_PER_CHUNK * self.buffer_bytes));
        let first = self.buffers.len() as u32;
        for id in first..first + SEND_BUFFERS_PER_CHUNK as u32 {
            self.buffers.push(Buffer { start: 0, end: 0, next: self.free });
            self.free = id;
        }
    }

    fn take(&mut self) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let id = self.free;
        let buffer = &mut self.buffers[id as usize];
        self.free = buffer.next;
        *buffer = Buffer { start: 0, end: 0, next: NONE };
        self.used += 1;
        id
    }

    fn put(&mut self, id: u32) {
        self.buffers[id as usize].next = self.free;
        self.free = id;
        self.used -= 1;
    }

    fn address(&self, id: u32, at: u32) -> *mut u8 {
        let id = id as usize;
        let chunk = &self.chunks[id / SEND_BUFFERS_PER_CHUNK];
        chunk.at(id % SEND_BUFFERS_PER_CHUNK * self.buffer_bytes + at as usize)
    }

    /// The space of a buffer that nothing was written to yet.
    #[allow(
        clippy::needless_pass_by_ref_mut,
        reason = "two spaces of one buffer must not live at once"
    )]
    fn space(&mut self, id: u32, range: Range<u32>) -> &mut [u8] {
        let (start, len) = (self.address(id, range.start), range.len());
        // SAFETY: the range lies within this buffer and behind its `end`: the kernel was never given it, and nothing else
        // refers to it.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// What to send next: address and length. The memory stays as it is until [`Self::sent`] or [`Self::clear`].
    pub(super) fn next(&self, out: &Outgoing) -> Option<(*const u8, u32)> {
        let buffer = self.buffers.get(out.head as usize)?;
        Some((self.address(out.head, buffer.start).cast_const(), buffer.end - buffer.start))
    }

    /// So many bytes of the first buffer are gone.
    pub(super) fn sent(&mut self, out: &mut Outgoing, bytes: u32) {
        let Some(buffer) = self.buffers.get_mut(out.head as usize) else { return };
        buffer.start += bytes;
        if buffer.start >= buffer.end {
            let (id, next) = (out.head, buffer.next);
            out.head = next;
            if next == NONE {
                out.tail = NONE;
            }
            self.put(id);
        }
    }

    /// Drops everything that is queued. No send may be in flight.
    pub(super) fn clear(&mut self, out: &mut Outgoing) {
        while let Some(buffer) = self.buffers.get(out.head as usize) {
            let (id, next) = (out.head, buffer.next);
            self.put(id);
            out.head = next;
        }
        out.tail = NONE;
    }
}

/// Appends frames to one connection's queue.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) pool: &'a mut SendPool,
    pub(super) out: &'a mut Outgoing,
}

impl Writer<'_> {
    /// Appends `len` bytes that `write` fills; `false`, and nothing done, if no buffer holds so many.
    pub(super) fn append_with(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let Ok(len) = u32::try_from(len) else { return false };
        if len as usize > self.pool.buffer_bytes {
            return false;
        }
        let has_room = self
            .pool
            .buffers
            .get(self.out.tail as usize)
            .is_some_and(|buffer| buffer.end as usize + len as usize <= self.pool.buffer_bytes);
        if !has_room {
            let id = self.pool.take();
            match self.pool.buffers.get_mut(self.out.tail as usize) {
                Some(tail) => tail.next = id,
                None => self.out.head = id,
            }
            self.out.tail = id;
        }
        let end = self.pool.buffers[self.out.tail as usize].end;
        write(self.pool.space(self.out.tail, end..end + len));
        self.pool.buffers[self.out.tail as usize].end = end + len;
        true
    }
}

impl Outbox for Writer<'_> {
    fn append(&mut self, message: &Message<'_>, correlation: u64) -> bool {
        self.append_with(message.encoded_len(), |space| {
            let written = message.encode(correlation, space);
            debug_assert_eq!(written, Some(message.encoded_len()), "the space was measured");
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{ClientMessageId, Command, FrameView, SendText, UserId, split_frame};

    fn text(body: &[u8]) -> Message<'_> {
        let client_message_id = ClientMessageId(1);
        Message::Command(Command::SendText(SendText { to: UserId(2), client_message_id, body }))
    }

    /// Everything queued, taken in pieces of `step` bytes as short sends would.
    fn drain(pool: &mut SendPool, out: &mut Outgoing, step: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((start, len)) = pool.next(out) {
            let len = len.min(step);
            // SAFETY: as a send would read it.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(start, len as usize) });
            pool.sent(out, len);
        }
        bytes
    }

    #[test]
    fn frames_come_out_in_order_however_short_the_sends_are() {
        let (mut pool, mut out) = (SendPool::new(100), Outgoing::EMPTY);
        for round in 0..40u64 {
            let body = vec![b'a'; (round as usize * 37) % 700];
            assert!(Writer { pool: &mut pool, out: &mut out }.append(&text(&body), round + 1));
        }
        let bytes = drain(&mut pool, &mut out, 77);
        let mut rest = &bytes[..];
        for round in 0..40u64 {
            let (frame, behind) = split_frame(rest).unwrap().unwrap();
            assert_eq!(FrameView::parse(frame).unwrap().correlation(), round + 1);
            rest = behind;
        }
        assert!(rest.is_empty() && out.is_empty());
        assert_eq!(pool.used, 0);
    }

    #[test]
    fn what_is_cleared_is_free_again() {
        let (mut pool, mut out) = (SendPool::new(100), Outgoing::EMPTY);
        for _ in 0..100 {
            assert!(Writer { pool: &mut pool, out: &mut out }.append(&text(&[b'x'; 600]), 1));
        }
        assert!(pool.used >= 50);
        pool.clear(&mut out);
        assert_eq!((pool.used, out.is_empty()), (0, true));
    }

    #[test]
    fn a_frame_that_no_buffer_holds_is_refused() {
        let (mut pool, mut out) = (SendPool::new(100), Outgoing::EMPTY);
        assert!(!Writer { pool: &mut pool, out: &mut out }.append(&text(&[b'x'; 2_000]), 1));
        assert!(out.is_empty());
    }
}
