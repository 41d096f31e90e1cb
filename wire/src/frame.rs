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
use crate::news::News;
use crate::service::{SendTexts, Service, SignalCall};

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

/// Bytes of a kind's archived root.
#[allow(clippy::wildcard_enum_match_arm, reason = "services and their news know their own kinds")]
fn root_len(kind: Kind) -> usize {
    match kind {
        Kind::Login => root_bytes::<Login<'_>>(),
        Kind::SendText => root_bytes::<SendText<'_>>(),
        Kind::JoinRoom => root_bytes::<JoinRoom>(),
        Kind::LeaveRoom => root_bytes::<LeaveRoom>(),
        Kind::SendRoom => root_bytes::<SendRoom<'_>>(),
        Kind::Pull => root_bytes::<Pull>(),
        Kind::Conversations => root_bytes::<ConversationsQuery>(),
        Kind::Welcome => root_bytes::<Welcome>(),
        Kind::Acked => root_bytes::<Acked>(),
        Kind::Text => root_bytes::<Text<'_>>(),
        Kind::Joined => root_bytes::<Joined>(),
        Kind::Left => root_bytes::<Left>(),
        Kind::Pulled => root_bytes::<Pulled>(),
        Kind::Rejected => root_bytes::<Rejected>(),
        Kind::Goodbye => root_bytes::<Goodbye>(),
        Kind::ConversationHead => root_bytes::<ConversationHead>(),
        Kind::ConversationsEnd => root_bytes::<ConversationsEnd>(),
        Kind::SendTexts => root_bytes::<SendTexts<'_>>(),
        Kind::SignalCall => root_bytes::<SignalCall<'_>>(),
        Kind::Logout | Kind::Heartbeat | Kind::HeartbeatAck => 0,
        other => Service::root_len(other).or_else(|| News::root_len(other)).unwrap_or(0),
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
            Kind::SendTexts => C(Command::SendTexts(read::<SendTexts<'a>>(payload)?)),
            Kind::SignalCall => C(Command::SignalCall(read::<SignalCall<'a>>(payload)?)),
            other => match Service::parse(other, payload)? {
                Some(service) => C(Command::Service(service)),
                None => News::parse(other, payload)?
                    .map(|news| E(Event::News(news)))
                    .ok_or(FrameError::Kind)?,
            },
        })
    }

    /// The kind of frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Command(command) => command.kind(),
            Self::Event(event) => event.kind(),
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Self::Command(Command::Login(login)) => login.token.len(),
            Self::Command(Command::SendText(text)) => text.body.len(),
            Self::Command(Command::SendRoom(text)) => text.body.len(),
            Self::Command(Command::SendTexts(texts)) => texts.texts.len(),
            Self::Command(Command::SignalCall(signal)) => signal.body.len(),
            Self::Command(Command::Service(service)) => service.body_len(),
            Self::Event(Event::Text(text)) => text.body.len(),
            Self::Event(Event::News(news)) => news.body_len(),
            Self::Command(_) | Self::Event(_) => 0,
        }
    }

    /// The encoded frame's length, exactly: a root's size depends on its kind alone.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + root_len(self.kind()) + self.body_len()
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
                Command::Service(service) => service.write_payload(out),
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
                Event::News(news) => news.write_payload(out),
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
