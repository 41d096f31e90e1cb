//! What a receive leads to: a login's answer, a forward, an acknowledgement, a fan-out.

use std::io;

use super::args::Mode;
use super::ring::{Completion, Op};
use super::{Speaker, Turn};

/// A message: `M` and its body.
pub(super) const FRAME_BYTES: usize = 129;
/// A login: `L` and its number.
const LOGIN_BYTES: usize = 5;
/// An acknowledgement, and the answer to a login.
const ANSWER_BYTES: usize = 16;
/// Acknowledgements that one send carries, and so the messages that one receive may bring.
pub(super) const ACKS_MAX: usize = 64;

static READY: [u8; ANSWER_BYTES] = *b"R...............";
static ACKS: [u8; ANSWER_BYTES * ACKS_MAX] = acks();

const fn acks() -> [u8; ANSWER_BYTES * ACKS_MAX] {
    let mut acks = [b'.'; ANSWER_BYTES * ACKS_MAX];
    let mut at = 0;
    while at < acks.len() {
        acks[at] = b'A';
        at += ANSWER_BYTES;
    }
    acks
}

/// How a message goes on.
#[derive(Clone, Copy)]
enum To {
    Sender,
    Partner,
    All,
}

impl Turn<'_> {
    /// A receive has delivered, ended, or both.
    pub(super) fn on_receive(&mut self, completion: Completion) -> io::Result<()> {
        let slot = completion.index;
        match usize::try_from(completion.result) {
            Ok(len) if len > 0 => {
                let is_welcome = self.take(slot, completion.buffer, len)?;
                match (is_welcome, completion.has_more) {
                    (true, true) => Ok(()),
                    (true, false) => self.ring.receive(slot),
                    // Its last completion is an error, and ends it.
                    (false, true) => self.ring.cancel(slot),
                    (false, false) => self.leave(slot),
                }
            }
            Err(_) if completion.result == -libc::ENOBUFS => {
                self.starved.push(slot);
                Ok(())
            }
            Ok(_) | Err(_) => self.leave(slot),
        }
    }

    /// The connection is over, and nothing is received from it any more.
    fn leave(&mut self, slot: u32) -> io::Result<()> {
        self.peers.close(slot);
        self.ring.close(slot)
    }

    /// Takes what was received; `false` if it is not of this wire. The buffer is given back here or after its send.
    fn take(&mut self, slot: u32, buffer: u16, len: usize) -> io::Result<bool> {
        if !self.peers.is_logged_in(slot) {
            let is_welcome = self.log_in(slot, buffer, len)?;
            self.buffers.recycle(buffer);
            return Ok(is_welcome);
        }
        let to = match self.mode {
            Mode::Echo => To::Sender,
            Mode::Forward | Mode::Acked => To::Partner,
            Mode::Fanout => To::All,
            Mode::Login | Mode::Idle => {
                self.buffers.recycle(buffer);
                return Ok(false);
            }
        };
        let total = self.peers.torn(slot) + len;
        let whole = total / FRAME_BYTES;
        if total == whole * FRAME_BYTES && total == len {
            self.pass_on(slot, to, buffer, len)?;
        } else {
            self.pass_on_torn(slot, to, buffer, len)?;
        }
        if matches!(self.mode, Mode::Acked | Mode::Fanout) && whole > 0 {
            let acks = &ACKS[..ANSWER_BYTES * whole.min(ACKS_MAX)];
            self.ring.send(slot, acks, Op::SendStatic, 0)?;
        }
        Ok(true)
    }

    fn log_in(&mut self, slot: u32, buffer: u16, len: usize) -> io::Result<bool> {
        let bytes = self.buffers.bytes(buffer, len);
        if self.peers.torn(slot) + len > LOGIN_BYTES {
            return Ok(false);
        }
        self.peers.keep(slot, bytes);
        let &[b'L', a, b, c, d] = self.peers.tail(slot) else {
            return Ok(self.peers.torn(slot) < LOGIN_BYTES);
        };
        self.peers.forget_tail(slot);
        if !self.peers.log_in(slot, u32::from_le_bytes([a, b, c, d])) {
            return Ok(false);
        }
        self.ring.send(slot, &READY, Op::SendStatic, 0)?;
        Ok(true)
    }

    /// Sends whole frames on from the buffer that they were received in.
    fn pass_on(&mut self, slot: u32, to: To, buffer: u16, len: usize) -> io::Result<()> {
        let bytes = self.buffers.bytes(buffer, len);
        let receiver = match to {
            To::Sender => Some(slot),
            To::Partner => self.peers.partner(slot),
            To::All => {
                self.said.extend_from_slice(bytes);
                self.speaker = self.speaker.and(slot);
                None
            }
        };
        match receiver {
            Some(receiver) => self.ring.send(receiver, bytes, Op::SendBuffer, buffer.into()),
            None => {
                self.buffers.recycle(buffer);
                Ok(())
            }
        }
    }

    /// The same where a frame was torn: whole frames go on from a copy, or an acknowledgement could come between the
    /// halves of one; the rest is kept.
    fn pass_on_torn(&mut self, slot: u32, to: To, buffer: u16, len: usize) -> io::Result<()> {
        let bytes = self.buffers.bytes(buffer, len);
        let rest = (self.peers.torn(slot) + len) % FRAME_BYTES;
        if rest < len {
            let (whole, behind) = bytes.split_at(len - rest);
            let receiver = match to {
                To::Sender => Some(slot),
                To::Partner => self.peers.partner(slot),
                To::All => {
                    self.said.extend_from_slice(self.peers.tail(slot));
                    self.said.extend_from_slice(whole);
                    self.speaker = self.speaker.and(slot);
                    None
                }
            };
            if let Some(receiver) = receiver {
                let copy = self.held.keep(&[self.peers.tail(slot), whole], 1);
                self.ring.send(receiver, self.held.bytes(copy), Op::SendHeld, copy)?;
            }
            self.peers.forget_tail(slot);
            self.peers.keep(slot, behind);
        } else {
            self.peers.keep(slot, bytes);
        }
        self.buffers.recycle(buffer);
        Ok(())
    }

    /// Sends what was said this turn to everybody but, where there was only one, its speaker.
    pub(super) fn fan_out(&mut self) -> io::Result<()> {
        let except = match std::mem::replace(&mut self.speaker, Speaker::Nobody) {
            Speaker::Nobody => return Ok(()),
            Speaker::One(slot) => Some(slot),
            Speaker::Several => None,
        };
        let receivers = self.peers.present().iter().filter(|slot| Some(**slot) != except);
        let count = receivers.clone().count() as u32;
        if count > 0 {
            let copy = self.held.keep(&[&self.said], count);
            for &slot in receivers {
                self.ring.send(slot, self.held.bytes(copy), Op::SendHeld, copy)?;
            }
        }
        self.said.clear();
        Ok(())
    }
}

impl Speaker {
    const fn and(self, slot: u32) -> Self {
        match self {
            Self::Nobody => Self::One(slot),
            Self::One(first) if first == slot => Self::One(slot),
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}
