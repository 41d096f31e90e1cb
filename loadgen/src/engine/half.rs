//! A connection's client half: of the chat protocol, or of the raw one. Which one is chosen once per run; the engine, the
//! ledger and the histograms are the same for both, so that both kinds of server are measured by one instrument.

use client::{Broken, Counters, Follow, SendError, Session};
use wire::{ClientMessageId, ConversationId, RoomId, Seq, UserId};

use super::ear::Ear;
use super::raw::RawSession;
use super::send_pool::Writer;
use crate::plan::Protocol;

/// The client half of one connection. What the raw protocol does not have, it does not do.
#[derive(Debug)]
pub(super) enum Half {
    Chat(Session),
    Raw(RawSession),
}

type Sent = Result<(), SendError>;

impl Half {
    pub(super) fn new(protocol: Protocol, follow: Follow) -> Self {
        match protocol {
            Protocol::Chat => Self::Chat(Session::new(follow)),
            Protocol::Raw => Self::Raw(RawSession::default()),
        }
    }

    /// The session of the chat protocol.
    pub(super) const fn chat(&mut self) -> Option<&mut Session> {
        match self {
            Self::Chat(session) => Some(session),
            Self::Raw(_) => None,
        }
    }

    /// Forgets the connection, before logging in on a new one.
    pub(super) fn reconnect(&mut self) {
        match self {
            Self::Chat(session) => session.reconnect(),
            Self::Raw(session) => *session = RawSession::default(),
        }
    }

    pub(super) fn login(&mut self, now_ms: u64, token: &[u8], writer: &mut Writer<'_>) -> Sent {
        match self {
            Self::Chat(session) => session.login(now_ms, token, writer).map(drop),
            Self::Raw(session) => session.login(token, writer),
        }
    }

    pub(super) fn send_text(
        &mut self,
        now_ms: u64,
        to: UserId,
        id: ClientMessageId,
        body: &[u8],
        writer: &mut Writer<'_>,
    ) -> Sent {
        match self {
            Self::Chat(session) => session.send_text(now_ms, to, id, body, writer).map(drop),
            Self::Raw(_) => RawSession::send(body, writer),
        }
    }

    pub(super) fn send_room(
        &mut self,
        now_ms: u64,
        room: RoomId,
        id: ClientMessageId,
        body: &[u8],
        writer: &mut Writer<'_>,
    ) -> Sent {
        match self {
            Self::Chat(session) => session.send_room(now_ms, room, id, body, writer).map(drop),
            Self::Raw(_) => RawSession::send(body, writer),
        }
    }

    /// Takes bytes as they came; what they say goes to `ear`.
    pub(super) fn receive(
        &mut self,
        now_ms: u64,
        bytes: &[u8],
        writer: &mut Writer<'_>,
        ear: &mut Ear<'_>,
    ) -> Result<(), Broken> {
        match self {
            Self::Chat(session) => {
                session.receive(now_ms, bytes, writer, |notice| ear.hear(notice))
            }
            Self::Raw(session) => session.receive(bytes, |notice| ear.hear_raw(notice)),
        }
    }

    /// Sends what is due.
    pub(super) fn handle_timeout(
        &mut self,
        now_ms: u64,
        writer: &mut Writer<'_>,
        ear: &mut Ear<'_>,
    ) {
        if let Self::Chat(session) = self {
            session.handle_timeout(now_ms, writer, |notice| ear.hear(notice));
        }
    }

    pub(super) fn heartbeat(&mut self, now_ms: u64, writer: &mut Writer<'_>) -> bool {
        self.chat().is_some_and(|session| session.heartbeat(now_ms, writer).is_ok())
    }

    pub(super) fn logout(&mut self, now_ms: u64, writer: &mut Writer<'_>) -> bool {
        self.chat().is_some_and(|session| session.logout(now_ms, writer).is_ok())
    }

    pub(super) fn join(&mut self, now_ms: u64, room: RoomId, writer: &mut Writer<'_>) {
        if let Self::Chat(session) = self {
            // The session is open, so it takes commands.
            let _ = session.join(now_ms, room, writer);
        }
    }

    pub(super) fn conversations(
        &mut self,
        now_ms: u64,
        after: ConversationId,
        limit: u16,
        writer: &mut Writer<'_>,
    ) {
        if let Self::Chat(session) = self {
            // As above.
            let _ = session.conversations(now_ms, after, limit, writer);
        }
    }

    /// Sets the cursor of a conversation that has none.
    pub(super) fn set_cursor(&mut self, conversation: ConversationId) {
        if let Self::Chat(session) = self
            && session.cursors().all(|(known, _)| known != conversation)
        {
            session.resume(conversation, Seq(0));
        }
    }

    pub(super) const fn heartbeat_due_ms(&self) -> Option<u64> {
        match self {
            Self::Chat(session) => session.heartbeat_due_ms(),
            Self::Raw(_) => None,
        }
    }

    pub(super) const fn heartbeat_interval_ms(&self) -> u32 {
        match self {
            Self::Chat(session) => session.heartbeat_interval_ms(),
            Self::Raw(_) => 0,
        }
    }

    pub(super) const fn is_silent(&self, now_ms: u64) -> bool {
        match self {
            Self::Chat(session) => session.is_silent(now_ms),
            Self::Raw(_) => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match self {
            Self::Chat(session) => session.poll_timeout(),
            Self::Raw(_) => None,
        }
    }

    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::Chat(session) => session.counters(),
            Self::Raw(_) => Counters::default(),
        }
    }
}
