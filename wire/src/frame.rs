//! Frames: cutting them out of a byte stream, the one checked parse, and encoding.

use alloc::vec::Vec;

use crate::command::{
    Command, ConversationsQuery, JoinRoom, LeaveRoom, Login, Pull, SendRoom, SendText,
};
use crate::encode::{read, root_bytes, write};
use crate::error::FrameError;
use crate::event::{
    Acked, ConversationHead, ConversationsEnd, Event, Goodbye, Joined, Left, Pulled, Rejected,
    Text, Welcome,
};
use crate::header::{HEADER_BYTES, Header, Kind};
use crate::news::NewsFrame;
use crate::payload;
use crate::service::{SendTexts, ServiceFrame, SignalCall};

/// Cuts the first whole frame off `bytes`: `Ok(None)` while it is incomplete.
///
/// # Errors
/// The [`FrameError`] of the header, as soon as a byte of it is wrong.
pub fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>, FrameError> {
    match Header::parse(bytes)? {
        Some(header) => Ok(bytes.split_at_checked(header.frame_len())),
        None => Ok(None),
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// From a client.
    Command(Command<'a>),
    /// From a node.
    Event(Event<'a>),
}

/// One checked frame, borrowed from the bytes it came in: holding it is the proof that they are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameView<'a> {
    correlation: u64,
    message: Message<'a>,
}

impl<'a> FrameView<'a> {
    /// Checks one whole frame, as [`split_frame`] cuts it.
    ///
    /// # Errors
    /// The [`FrameError`] that says what is wrong with it; a length that differs from the header's is `Payload`.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let header = Header::parse(frame)?.ok_or(FrameError::Payload)?;
        let payload = frame.get(HEADER_BYTES..).unwrap_or_default();
        if payload.len() != header.payload_len as usize {
            return Err(FrameError::Payload);
        }
        let message = Message::parse(header.kind, payload)?;
        Ok(Self { correlation: header.correlation, message })
    }

    /// The correlation id.
    #[must_use]
    pub const fn correlation(&self) -> u64 {
        self.correlation
    }

    /// What it says.
    #[must_use]
    pub const fn message(&self) -> Message<'a> {
        self.message
    }
}

/// A kind without a payload must have none.
const fn empty<T: Copy>(payload: &[u8], value: T) -> Result<T, FrameError> {
    if payload.is_empty() { Ok(value) } else { Err(FrameError::Payload) }
}

impl<'a> Message<'a> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "services and their news know their own kinds"
    )]
    fn parse(kind: Kind, payload: &'a [u8]) -> Result<Self, FrameError> {
        use Message::{Command as C, Event as E};
        Ok(match kind {
            Kind::Login => C(Command::Login(read::<Login<'a>>(payload)?)),
            Kind::Logout => empty(payload, C(Command::Logout))?,
            Kind::Heartbeat => empty(payload, C(Command::Heartbeat))?,
            Kind::SendText => C(Command::SendText(read::<SendText<'a>>(payload)?)),
            Kind::JoinRoom => C(Command::JoinRoom(read::<JoinRoom>(payload)?)),
            Kind::LeaveRoom => C(Command::LeaveRoom(read::<LeaveRoom>(payload)?)),
            Kind::SendRoom => C(Command::SendRoom(read::<SendRoom<'a>>(payload)?)),
            Kind::Pull => C(Command::Pull(read::<Pull>(payload)?)),
            Kind::Conversations => C(Command::Conversations(read::<ConversationsQuery>(payload)?)),
            Kind::Welcome => E(Event::Welcome(read::<Welcome>(payload)?)),
            Kind::Acked => E(Event::Acked(read::<Acked>(payload)?)),
            Kind::Text => E(Event::Text(read::<Text<'a>>(payload)?)),
            Kind::Joined => E(Event::Joined(read::<Joined>(payload)?)),
            Kind::Left => E(Event::Left(read::<Left>(payload)?)),
            Kind::Pulled => E(Event::Pulled(read::<Pulled>(payload)?)),
            Kind::HeartbeatAck => empty(payload, E(Event::HeartbeatAck))?,
            Kind::Rejected => E(Event::Rejected(read::<Rejected>(payload)?)),
            Kind::Goodbye => E(Event::Goodbye(read::<Goodbye>(payload)?)),
            Kind::ConversationHead => {
                E(Event::ConversationHead(read::<ConversationHead>(payload)?))
            }
            Kind::ConversationsEnd => {
                E(Event::ConversationsEnd(read::<ConversationsEnd>(payload)?))
            }
            other => Self::parse_service(other, payload)?,
        })
    }

    /// Kinds that are not of the message path, kept out of its way.
    #[cold]
    #[inline(never)]
    fn parse_service(kind: Kind, payload: &'a [u8]) -> Result<Self, FrameError> {
        if kind == Kind::SendTexts {
            return Ok(Self::Command(Command::SendTexts(read::<SendTexts<'a>>(payload)?)));
        }
        if kind == Kind::SignalCall {
            return Ok(Self::Command(Command::SignalCall(read::<SignalCall<'a>>(payload)?)));
        }
        if let Some(service) = ServiceFrame::parse(kind, payload)? {
            return Ok(Self::Command(Command::Service(service)));
        }
        let news = NewsFrame::parse(kind, payload)?.ok_or(FrameError::Kind)?;
        Ok(Self::Event(Event::News(news)))
    }

    /// The kind of frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Command(command) => command.kind(),
            Self::Event(event) => event.kind(),
        }
    }

    /// Bytes behind the header, exactly: a root's size depends on its kind alone.
    const fn payload_len(&self) -> usize {
        match self {
            Self::Command(command) => match command {
                Command::Login(login) => root_bytes::<Login<'_>>() + login.token.len(),
                Command::Logout | Command::Heartbeat => 0,
                Command::SendText(text) => root_bytes::<SendText<'_>>() + text.body.len(),
                Command::JoinRoom(_) => root_bytes::<JoinRoom>(),
                Command::LeaveRoom(_) => root_bytes::<LeaveRoom>(),
                Command::SendRoom(text) => root_bytes::<SendRoom<'_>>() + text.body.len(),
                Command::Pull(_) => root_bytes::<Pull>(),
                Command::Conversations(_) => root_bytes::<ConversationsQuery>(),
                Command::SendTexts(texts) => root_bytes::<SendTexts<'_>>() + texts.texts.len(),
                Command::SignalCall(signal) => root_bytes::<SignalCall<'_>>() + signal.body.len(),
                Command::Service(service) => service.payload().len(),
            },
            Self::Event(event) => match event {
                Event::Welcome(_) => root_bytes::<Welcome>(),
                Event::Acked(_) => root_bytes::<Acked>(),
                Event::Text(text) => root_bytes::<Text<'_>>() + text.body.len(),
                Event::Joined(_) => root_bytes::<Joined>(),
                Event::Left(_) => root_bytes::<Left>(),
                Event::Pulled(_) => root_bytes::<Pulled>(),
                Event::HeartbeatAck => 0,
                Event::Rejected(_) => root_bytes::<Rejected>(),
                Event::Goodbye(_) => root_bytes::<Goodbye>(),
                Event::ConversationHead(_) => root_bytes::<ConversationHead>(),
                Event::ConversationsEnd(_) => root_bytes::<ConversationsEnd>(),
                Event::News(news) => news.payload().len(),
            },
        }
    }

    /// The encoded frame's length, exactly.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.payload_len()
    }

    fn write_payload(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Command(command) => match command {
                Command::Login(payload) => write(payload, out),
                Command::Logout | Command::Heartbeat => Some(0),
                Command::SendText(payload) => write(payload, out),
                Command::JoinRoom(payload) => write(payload, out),
                Command::LeaveRoom(payload) => write(payload, out),
                Command::SendRoom(payload) => write(payload, out),
                Command::Pull(payload) => write(payload, out),
                Command::Conversations(payload) => write(payload, out),
                Command::SendTexts(payload) => write(payload, out),
                Command::SignalCall(payload) => write(payload, out),
                Command::Service(service) => payload::copy(service.payload(), out),
            },
            Self::Event(event) => match event {
                Event::Welcome(payload) => write(payload, out),
                Event::Acked(payload) => write(payload, out),
                Event::Text(payload) => write(payload, out),
                Event::Joined(payload) => write(payload, out),
                Event::Left(payload) => write(payload, out),
                Event::Pulled(payload) => write(payload, out),
                Event::HeartbeatAck => Some(0),
                Event::Rejected(payload) => write(payload, out),
                Event::Goodbye(payload) => write(payload, out),
                Event::ConversationHead(payload) => write(payload, out),
                Event::ConversationsEnd(payload) => write(payload, out),
                Event::News(news) => payload::copy(news.payload(), out),
            },
        }
    }

    /// Writes the whole frame at the start of `out` and returns its length, or `None` if `out` is too short or a body
    /// is longer than a frame can carry.
    #[must_use]
    pub fn encode(&self, correlation: u64, out: &mut [u8]) -> Option<usize> {
        let (header, payload) = out.split_first_chunk_mut::<HEADER_BYTES>()?;
        let payload_len = self.write_payload(payload)?;
        if payload_len > crate::limits::PAYLOAD_BYTES_MAX {
            return None;
        }
        let payload_len = u32::try_from(payload_len).ok()?;
        *header = Header { kind: self.kind(), payload_len, correlation }.encode();
        Some(HEADER_BYTES + payload_len as usize)
    }

    /// Appends the whole frame to `out`; `false`, with `out` unchanged, if a body is longer than a frame can carry.
    #[must_use]
    pub fn append_to(&self, correlation: u64, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + self.encoded_len(), 0);
        let written = out.get_mut(start..).and_then(|room| self.encode(correlation, room));
        out.truncate(start + written.unwrap_or(0));
        written.is_some()
    }
}

impl<'a> From<Command<'a>> for Message<'a> {
    fn from(command: Command<'a>) -> Self {
        Self::Command(command)
    }
}

impl<'a> From<Event<'a>> for Message<'a> {
    fn from(event: Event<'a>) -> Self {
        Self::Event(event)
    }
}
