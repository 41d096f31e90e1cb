//! What the readiness engine keeps of one connection: the client half, its socket, what waits to be sent.

use std::os::fd::{AsFd, OwnedFd};

use client::{Follow, Session};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::limits::SEND_BUFFER_BYTES_KEPT;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not begun, or between two lives.
    Out,
    /// Leave to log in was asked for.
    Asked,
    /// The socket connects.
    Connecting,
    /// The login is said.
    LoggingIn,
    /// Welcome; entering its room, learning its conversations.
    Settling,
    /// Says and hears.
    Ready,
    /// The logout is said.
    Leaving,
    /// Will not come back.
    Gone,
}

impl Stage {
    /// Whether frames may go both ways.
    pub(super) const fn is_connected(self) -> bool {
        matches!(self, Self::LoggingIn | Self::Settling | Self::Ready | Self::Leaving)
    }
}

/// One connection.
pub(super) struct Conn {
    pub(super) session: Session,
    pub(super) socket: Option<OwnedFd>,
    /// What to log in with, until that is said.
    pub(super) token: Vec<u8>,
    /// Frames to be sent, from `written` on.
    pub(super) out: Vec<u8>,
    written: usize,
    /// Bytes of `out` that the engine's sum has.
    counted: usize,
    pub(super) stage: Stage,
    /// Raised with each dialling, so that what belongs to an earlier socket is known.
    pub(super) life: u32,
    /// Messages said so far: numbers the next.
    pub(super) messages: u32,
    pub(super) attempts: u8,
    /// Whether it stands in the list of those that have something to send.
    pub(super) is_listed: bool,
    /// Whether its socket had no room and is watched for it.
    pub(super) is_blocked: bool,
    /// Whether it was ready before.
    pub(super) was_ready: bool,
    pub(super) needs_room: bool,
    pub(super) needs_list: bool,
    /// Whether its first heartbeat, which spreads the others, is sent.
    pub(super) has_beaten: bool,
    pub(super) has_repair_alarm: bool,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing is left.
    All,
    /// The socket has no room.
    Blocked,
}

impl Conn {
    pub(super) const fn new(follow: Follow) -> Self {
        Self {
            session: Session::new(follow),
            socket: None,
            token: Vec::new(),
            out: Vec::new(),
            written: 0,
            counted: 0,
            stage: Stage::Out,
            life: 0,
            messages: 0,
            attempts: 0,
            is_listed: false,
            is_blocked: false,
            was_ready: false,
            needs_room: false,
            needs_list: false,
            has_beaten: false,
            has_repair_alarm: false,
        }
    }

    /// Names this life of the connection in the set of watched sockets.
    pub(super) const fn tag(&self, index: u32) -> u64 {
        (self.life as u64) << 32 | index as u64
    }

    /// Whether something waits to be sent.
    pub(super) const fn has_bytes(&self) -> bool {
        self.written < self.out.len()
    }

    /// Brings the engine's sum of waiting bytes up to date with this connection.
    pub(super) const fn count_bytes(&mut self, sum: &mut usize) {
        let waiting = self.out.len() - self.written;
        *sum = *sum + waiting - self.counted;
        self.counted = waiting;
    }

    /// Sends as much as the socket takes.
    pub(super) fn send(&mut self) -> Result<Sent, Errno> {
        let Some(socket) = &self.socket else { return Ok(Sent::All) };
        while let Some(bytes) = self.out.get(self.written..).filter(|bytes| !bytes.is_empty()) {
            // No signal for a broken pipe.
            match send(socket.as_fd(), bytes, SendFlags::NOSIGNAL) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => {
                    // What is sent need not be carried along.
                    self.out.drain(..self.written);
                    self.written = 0;
                    return Ok(Sent::Blocked);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.clear_out();
        Ok(Sent::All)
    }

    fn clear_out(&mut self) {
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(SEND_BUFFER_BYTES_KEPT);
    }

    /// Ends this life: closes the socket and drops what was not sent.
    pub(super) fn hang_up(&mut self) {
        self.socket = None;
        self.token = Vec::new();
        self.clear_out();
        self.is_blocked = false;
        self.life = self.life.wrapping_add(1);
    }
}
