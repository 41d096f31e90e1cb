//! What the engine keeps of one connection: the client half, its place in life, what is in flight.

use client::Follow;

use super::half::Half;
use super::send_pool::Outgoing;
use crate::plan::Protocol;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not begun, or between two lives.
    Absent,
    /// A grant was asked for.
    Asked,
    /// From the socket to the connection.
    Dialling,
    /// The login is sent.
    LoggingIn,
    /// Welcome; entering its room, learning its conversations.
    Settling,
    /// Says and hears.
    Ready,
    /// The logout is sent.
    LoggingOut,
    /// Waiting for its operations to end.
    Closing,
    /// Will not come back.
    Gone,
}

impl State {
    /// Whether the connection exists, so that bytes from it mean something.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::LoggingIn | Self::Settling | Self::Ready | Self::LoggingOut)
    }
}

/// What is needed until the login is sent. In a box: the kernel reads the addresses from it.
pub(super) struct Dial {
    pub(super) token: Vec<u8>,
    pub(super) remote: libc::sockaddr_in,
    pub(super) local: libc::sockaddr_in,
}

/// One connection.
pub(super) struct Conn {
    pub(super) session: Half,
    pub(super) dial: Option<Box<Dial>>,
    pub(super) out: Outgoing,
    /// Messages said so far: numbers the next.
    pub(super) messages: u32,
    pub(super) generation: u32,
    /// Milliseconds until it is dialled again, once it is closed.
    pub(super) again_ms: Option<u32>,
    pub(super) state: State,
    /// Operations that will still complete.
    pub(super) ops: u8,
    pub(super) login_attempts: u8,
    /// When its last heartbeat was due, or its first is, in milliseconds.
    pub(super) beat_due_ms: u32,
    /// When its last heartbeat was sent.
    pub(super) beat_sent_ms: u32,
    /// Whether that heartbeat is sent and not answered.
    pub(super) is_beating: bool,
    /// Whether a receive is in flight, or a poll for bytes.
    pub(super) is_receiving: bool,
    /// Whether polled bytes are being fetched.
    pub(super) is_reading: bool,
    /// Whether more came meanwhile.
    pub(super) is_readable: bool,
    /// Whether everything on its socket was cancelled, however long that takes to find.
    pub(super) is_swept: bool,
    /// Whether its place in the ring's table holds a socket.
    pub(super) has_socket: bool,
    /// Whether it was established before.
    pub(super) is_veteran: bool,
    pub(super) needs_room: bool,
    pub(super) needs_list: bool,
    /// Whether its first heartbeat, which spreads the others, is sent.
    pub(super) has_beaten: bool,
    pub(super) has_repair_timer: bool,
}

impl Conn {
    pub(super) fn new(protocol: Protocol, follow: Follow) -> Self {
        Self {
            session: Half::new(protocol, follow),
            dial: None,
            out: Outgoing::EMPTY,
            messages: 0,
            generation: 0,
            again_ms: None,
            state: State::Absent,
            ops: 0,
            login_attempts: 0,
            beat_due_ms: 0,
            beat_sent_ms: 0,
            is_beating: false,
            is_receiving: false,
            is_reading: false,
            is_readable: false,
            is_swept: false,
            has_socket: false,
            is_veteran: false,
            needs_room: false,
            needs_list: false,
            has_beaten: false,
            has_repair_timer: false,
        }
    }
}

// A hundred thousand idle connections fit in 20 MiB.
const _: () = assert!(size_of::<Conn>() <= 208);
