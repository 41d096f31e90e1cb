//! Receiving by readiness: a poll stands on every connection, and a receive is made only when there is something.
//!
//! A receive that waits costs the kernel 864 bytes, a poll 256: with two million connections that is what decides whether
//! they fit. A poll that goes on reports each arrival, not what was left behind, so whoever fetches goes on until a
//! receive brings less than a buffer.

use std::io;
use std::ptr::null_mut;

use io_uring::{opcode, squeue, types};

use super::Engine;
use super::ring::{BUFFER_GROUP, Completion};
use super::tally::Reason;
use super::token::Op;

/// What a poll says besides bytes: the peer has finished, or the connection broke.
const ENDS: i32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;

impl Engine<'_> {
    /// The poll of a connection says that there are bytes, or its end.
    pub(super) fn on_polled(
        &mut self,
        index: u32,
        completion: Completion,
        now_ns: u64,
    ) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        conn.is_receiving &= completion.has_more();
        let (is_open, is_armed) = (conn.state.is_open(), conn.is_receiving);
        if !is_open || completion.result == -libc::ECANCELED {
            return Ok(());
        }
        if completion.result < 0 {
            return self.fail(index, &Reason::Failed("poll", -completion.result), now_ns);
        }
        if !is_armed {
            self.arm(index)?;
        }
        self.read(index)?;
        // The end came together with the last bytes, and will not be reported again.
        let has_ended = completion.result & ENDS != 0;
        self.conns[index as usize].is_readable |= has_ended;
        Ok(())
    }

    /// Fetches what is there, without waiting.
    pub(super) fn read(&mut self, index: u32) -> io::Result<()> {
        let (_, buffer_bytes) = self.rings.of(index).buffers();
        let conn = &mut self.conns[index as usize];
        if std::mem::replace(&mut conn.is_reading, true) {
            conn.is_readable = true;
            return Ok(());
        }
        let fd = types::Fixed(self.rings.slot(index));
        let receive = opcode::Recv::new(fd, null_mut(), buffer_bytes as u32);
        let receive = receive.buf_group(BUFFER_GROUP).flags(libc::MSG_DONTWAIT).build();
        self.start(index, Op::Read, receive.flags(squeue::Flags::BUFFER_SELECT))
    }

    /// Bytes were fetched, or none were there.
    pub(super) fn on_read(
        &mut self,
        ring: usize,
        index: u32,
        completion: Completion,
        now_ns: u64,
    ) -> io::Result<()> {
        self.conns[index as usize].is_reading = false;
        self.hear(ring, index, completion, now_ns)?;
        let (_, buffer_bytes) = self.rings.ring(ring).buffers();
        let conn = &mut self.conns[index as usize];
        if !conn.state.is_open() {
            return Ok(());
        }
        let has_read = completion.result != -libc::ENOBUFS;
        let is_readable = has_read && std::mem::take(&mut conn.is_readable);
        match completion.result {
            0 => self.fail(index, &Reason::Eof, now_ns),
            error if error == -libc::ENOBUFS => {
                self.tally.enobufs += 1;
                self.starved[ring].push_back(index);
                Ok(())
            }
            error if error < 0 && error != -libc::EAGAIN => {
                self.fail(index, &Reason::Failed("receive", -error), now_ns)
            }
            bytes if is_readable || bytes == buffer_bytes as i32 => self.read(index),
            _ => Ok(()),
        }
    }
}
