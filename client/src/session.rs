//! One login on one connection: its state, and the commands that it sends. Never does I/O, never reads a clock.

use wire::limits::{BODY_BYTES_MAX, PAYLOAD_BYTES_MAX, TOKEN_BYTES_MAX};
use wire::{
    ClientMessageId, Command, ConversationId, ConversationsQuery, JoinRoom, LeaveRoom, Login, Pull,
    RoomId, SendRoom, SendText, SendTexts, Seq, Service, SignalCall, UserId,
};

use crate::book::{Book, Counters};
use crate::notice::{Broken, Notice, SendError};
use crate::outbox::Outbox;
use crate::turn::Turn;

/// What a session does about the order of the messages of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// Nothing: each message is delivered as it comes, and nothing is kept. For instruments that judge the node's order.
    Raw,
    /// In order and once, from the first `seq` that is seen of a conversation.
    #[default]
    Now,
    /// In order and once, from `seq` 1.
    Beginning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    LoggingIn,
    Open,
    LoggingOut,
    Ended,
    Broken(Broken),
}

/// The client half of one login. See the crate's page for what it costs.
///
/// Times are milliseconds of any clock of the caller that never goes back. Bytes to send are appended to the caller's
/// buffer; the caller sends them and keeps them if it must send again.
#[derive(Debug)]
pub struct Session {
    /// An incomplete frame; without capacity while there is none.
    pub(crate) tail: Vec<u8>,
    /// Cursors and gaps; allocated with the first followed conversation.
    pub(crate) book: Option<Box<Book>>,
    pub(crate) user: UserId,
    pub(crate) correlation: u64,
    pub(crate) sent_ms: u64,
    pub(crate) heard_ms: u64,
    pub(crate) heartbeat_interval_ms: u32,
    pub(crate) heartbeat_timeout_ms: u32,
    pub(crate) body_bytes_max: u32,
    pub(crate) follow: Follow,
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Session>() <= 128, "a million sessions fit in 128 MB");

impl Session {
    /// A session that has not logged in.
    #[must_use]
    pub const fn new(follow: Follow) -> Self {
        Self {
            tail: Vec::new(),
            book: None,
            user: UserId(0),
            correlation: 0,
            sent_ms: 0,
            heard_ms: 0,
            heartbeat_interval_ms: 0,
            heartbeat_timeout_ms: 0,
            body_bytes_max: BODY_BYTES_MAX as u32,
            follow,
            state: State::Fresh,
        }
    }

    /// Forgets the connection and keeps the cursors: call it before logging in on a new one. Messages held back behind a
    /// gap are forgotten too, and pulled again after the login. What was said meanwhile is found by [`Self::conversations`]
    /// and by joining the rooms again.
    pub fn reconnect(&mut self) {
        self.tail = Vec::new();
        self.state = State::Fresh;
        if let Some(book) = &mut self.book {
            book.reconnect();
        }
    }

    /// Sets a conversation's cursor: the next message delivered is the one after `seq`. For clients that keep their cursors.
    /// Does nothing under [`Follow::Raw`] or when there are [`crate::limits::CURSORS_MAX`] cursors.
    pub fn resume(&mut self, conversation: ConversationId, seq: Seq) {
        if self.follow != Follow::Raw && conversation.is_valid() {
            self.book.get_or_insert_default().set_cursor(conversation, seq.0);
        }
    }

    /// Every conversation's cursor: the last `seq` delivered.
    pub fn cursors(&self) -> impl Iterator<Item = (ConversationId, Seq)> + '_ {
        self.book.iter().flat_map(|book| book.cursors())
    }

    /// Whether the welcome came and nothing has ended the session since.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the goodbye came.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whose session it is; zero before the welcome.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Bytes that the session holds beyond its own size: none while no frame is torn and no conversation is followed.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let book = self.book.as_ref().map_or(0, |book| size_of::<Book>() + book.heap_bytes());
        self.tail.capacity() + book
    }

    /// What was counted about order; all zero while no conversation is followed.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.book.as_ref().map(|book| book.counters).unwrap_or_default()
    }

    /// How often the node wants a heartbeat, as the welcome told; zero before it, or if the node wants none.
    #[must_use]
    pub const fn heartbeat_interval_ms(&self) -> u32 {
        self.heartbeat_interval_ms
    }

    /// When the next heartbeat is due: an interval after the last command. `None` unless the session is open.
    #[must_use]
    pub const fn heartbeat_due_ms(&self) -> Option<u64> {
        match self.state {
            State::Open if self.heartbeat_interval_ms > 0 => {
                Some(self.sent_ms.saturating_add(self.heartbeat_interval_ms as u64))
            }
            State::Open
            | State::Fresh
            | State::LoggingIn
            | State::LoggingOut
            | State::Ended
            | State::Broken(_) => None,
        }
    }

    /// Whether the node has said nothing for the heartbeat timeout although it must have answered: it is dead or cut off.
    #[must_use]
    pub const fn is_silent(&self, now_ms: u64) -> bool {
        matches!(self.state, State::Open)
            && self.heartbeat_timeout_ms > 0
            && now_ms.saturating_sub(self.heard_ms) >= self.heartbeat_timeout_ms as u64
    }

    /// When [`Self::handle_timeout`] should be called at the latest; `None` if nothing waits for time to pass.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let heartbeat = self.heartbeat_due_ms()?; // nothing is sent unless the session is open
        let retry = self.book.as_ref().and_then(|book| book.poll_retry());
        Some(retry.map_or(heartbeat, |retry| retry.min(heartbeat)))
    }

    /// Sends what is due: the heartbeat, and pulls that are tried again. May be called at any time.
    pub fn handle_timeout<O: Outbox>(
        &mut self,
        now_ms: u64,
        out: &mut O,
        mut visit: impl FnMut(Notice<'_>),
    ) {
        if self.heartbeat_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            let _ = self.heartbeat(now_ms, out); // it can only fail if the session is not open, and it is
        }
        if let (State::Open, Some(book)) = (self.state, &mut self.book) {
            let (correlation, sent_ms) = (&mut self.correlation, &mut self.sent_ms);
            let visit = &mut visit;
            let turn = &mut Turn { now_ms, is_open: true, out, visit, correlation, sent_ms };
            book.start_pulls(turn);
        }
    }
}

/// Commands. Each appends one frame to `out` and returns its correlation id, which is never zero; or does nothing and
/// returns a [`SendError`].
#[allow(clippy::missing_errors_doc, reason = "said once, above, for all of them")]
impl Session {
    /// The first command of a connection. `token` is what the gateway gave, decoded to raw bytes.
    pub fn login<O: Outbox>(
        &mut self,
        now_ms: u64,
        token: &[u8],
        out: &mut O,
    ) -> Result<u64, SendError> {
        if self.state == State::Fresh && token.len() > TOKEN_BYTES_MAX {
            return Err(SendError::TooLong(TOKEN_BYTES_MAX as u32));
        }
        match self.state {
            State::Fresh => self.state = State::LoggingIn,
            State::LoggingIn | State::Open => return Err(SendError::AlreadyLoggedIn),
            State::LoggingOut | State::Ended | State::Broken(_) => return Err(SendError::Ended),
        }
        self.heard_ms = now_ms;
        self.append(now_ms, Command::Login(Login { token }), out)
    }

    /// A text of UTF-8 to one user. A retry after a lost connection repeats `client_message_id`.
    pub fn send_text<O: Outbox>(
        &mut self,
        now_ms: u64,
        to: UserId,
        client_message_id: ClientMessageId,
        body: &[u8],
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.check_body(body)?;
        self.send(now_ms, Command::SendText(SendText { to, client_message_id, body }), out)
    }

    /// A text of UTF-8 to a room that the session is in.
    pub fn send_room<O: Outbox>(
        &mut self,
        now_ms: u64,
        room: RoomId,
        client_message_id: ClientMessageId,
        body: &[u8],
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.check_body(body)?;
        self.send(now_ms, Command::SendRoom(SendRoom { room, client_message_id, body }), out)
    }

    /// Enter a room.
    pub fn join<O: Outbox>(
        &mut self,
        now_ms: u64,
        room: RoomId,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::JoinRoom(JoinRoom { room }), out)
    }

    /// Leave a room.
    pub fn leave<O: Outbox>(
        &mut self,
        now_ms: u64,
        room: RoomId,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::LeaveRoom(LeaveRoom { room }), out)
    }

    /// One page of a conversation, as [`Notice::Page`]s: for reading what is old. Gaps are pulled without being asked.
    pub fn pull<O: Outbox>(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        after: Seq,
        limit: u16,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::Pull(Pull { conversation, after, limit }), out)
    }

    /// One page of the user's private conversations; those that the session follows catch up by themselves.
    pub fn conversations<O: Outbox>(
        &mut self,
        now_ms: u64,
        after: ConversationId,
        limit: u16,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::Conversations(ConversationsQuery { after, limit }), out)
    }

    /// A service: answered by [`Notice::News`], the last of which is a `Done`, or by a rejection.
    pub fn serve<O: Outbox>(
        &mut self,
        now_ms: u64,
        service: Service<'_>,
        out: &mut O,
    ) -> Result<u64, SendError> {
        let mut payload = Vec::new();
        let too_long = SendError::TooLong(PAYLOAD_BYTES_MAX as u32);
        let service = service.encode(&mut payload).ok_or(too_long)?;
        self.send(now_ms, Command::Service(service), out)
    }

    /// A sign about a call: answered by a `Done` when it is handed on, or by a rejection.
    pub fn signal_call<O: Outbox>(
        &mut self,
        now_ms: u64,
        signal: SignalCall<'_>,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::SignalCall(signal), out)
    }

    /// Several texts to one user in one frame, as [`wire::Texts::push`] puts them together. Each is acknowledged or rejected
    /// by itself.
    pub fn send_texts<O: Outbox>(
        &mut self,
        now_ms: u64,
        to: UserId,
        texts: &[u8],
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.send(now_ms, Command::SendTexts(SendTexts { to, texts }), out)
    }

    /// Still here. [`Self::handle_timeout`] sends it when it is due.
    pub fn heartbeat<O: Outbox>(&mut self, now_ms: u64, out: &mut O) -> Result<u64, SendError> {
        self.send(now_ms, Command::Heartbeat, out)
    }

    /// The last command: everything queued still comes, then the goodbye.
    pub fn logout<O: Outbox>(&mut self, now_ms: u64, out: &mut O) -> Result<u64, SendError> {
        let correlation = self.send(now_ms, Command::Logout, out)?;
        self.state = State::LoggingOut;
        Ok(correlation)
    }

    const fn check_body(&self, body: &[u8]) -> Result<(), SendError> {
        if body.len() > self.body_bytes_max as usize {
            return Err(SendError::TooLong(self.body_bytes_max));
        }
        Ok(())
    }

    fn send<O: Outbox>(
        &mut self,
        now_ms: u64,
        command: Command<'_>,
        out: &mut O,
    ) -> Result<u64, SendError> {
        match self.state {
            State::Open => self.append(now_ms, command, out),
            State::Fresh | State::LoggingIn => Err(SendError::NotLoggedIn),
            State::LoggingOut | State::Ended | State::Broken(_) => Err(SendError::Ended),
        }
    }

    fn append<O: Outbox>(
        &mut self,
        now_ms: u64,
        command: Command<'_>,
        out: &mut O,
    ) -> Result<u64, SendError> {
        self.correlation += 1;
        if !out.append(&command.into(), self.correlation) {
            return Err(SendError::TooLong(BODY_BYTES_MAX as u32));
        }
        self.sent_ms = now_ms;
        Ok(self.correlation)
    }
}
