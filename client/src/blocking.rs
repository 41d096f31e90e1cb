//! A small blocking client over one TCP connection: for people, scripts and end-to-end tests. One thread, one session; never
//! for load.
//!
//! The protocol is [`Session`]'s. This file owns the socket and the clock, and waits. While it waits it sends heartbeats, so a
//! client that is called (with [`Client::recv`], say) more often than the node's heartbeat timeout stays logged in.

mod inbox;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use wire::{
    Acked, ClientMessageId, CloseReason, ConversationHead, ConversationId, Joined, News, Reject,
    RoomId, Seq, Service, SignalCall, Texts, UserId, Welcome, limits::PAGE_ITEMS_MAX,
};

use crate::limits::{BACKLOG_MAX, READ_BYTES};
use crate::notice::{Broken, SendError};
use crate::session::{Follow, Session};
use inbox::{Answer, Inbox};
pub use inbox::{Arrival, Received, news_of};

/// Why a call failed. After all but `Rejected`, `NotSent` and `Timeout` the connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("the connection failed ({0}): connect and log in again")]
    Io(#[from] io::Error),
    /// No answer in time; it may still come.
    #[error("no answer within {0:?}: the node is overloaded or unreachable")]
    Timeout(Duration),
    /// The node closed the connection without a goodbye.
    #[error("the node closed the connection without a goodbye: connect and log in again")]
    Closed,
    /// The node said goodbye.
    #[error("the node ended the session ({}): log in again after {reconnect_after_ms} ms",
        reason.map_or("for an unknown reason", CloseReason::label))]
    Goodbye {
        /// Why; `None` for a reason that this version does not know.
        reason: Option<CloseReason>,
        /// How long to wait before the next login.
        reconnect_after_ms: u32,
    },
    /// The node refused the command, which did nothing.
    #[error("the node refused ({}): {}", reject.map_or("unknown", Reject::label),
        if *retry_after_ms > 0 { format!("try again after {retry_after_ms} ms") } else { "do not try again as it is".to_owned() })]
    Rejected {
        /// Why; `None` for a reason that this version does not know.
        reject: Option<Reject>,
        /// When to try again, or zero.
        retry_after_ms: u32,
    },
    /// The command could not be sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// What came is not what a node sends.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Too much came that was not read.
    #[error("more than {BACKLOG_MAX} messages wait unread: call recv more often")]
    Backlog,
}

/// One page of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The messages, in order.
    pub messages: Vec<Received>,
    /// The cursor for the next page.
    pub next: Seq,
    /// Whether there was nothing after this page.
    pub is_complete: bool,
}

/// What a service has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    frames: Vec<Bytes>,
    /// The cursor for the next page, of a service that has pages.
    pub next: ConversationId,
    /// Whether there was nothing after this page.
    pub is_complete: bool,
}

impl Answered {
    /// What it said, in order.
    pub fn news(&self) -> impl Iterator<Item = News<'_>> {
        self.frames.iter().filter_map(|frame| news_of(frame))
    }
}

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    session: Session,
    inbox: Inbox,
    to_send: BytesMut,
    read_buf: Box<[u8]>,
    started: Instant,
    answer_timeout: Duration,
    has_eof: bool,
}

impl Client {
    /// Connects to a node's chat address, trying each address of it. Every later call waits for its answer for at most
    /// `answer_timeout`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn connect(
        address: impl ToSocketAddrs,
        follow: Follow,
        answer_timeout: Duration,
    ) -> Result<Self, Error> {
        Self::over(address, Session::new(follow), answer_timeout)
    }

    /// Connects again, to the same or another node, with the cursors of the session before: log in, ask for the
    /// conversations and join the rooms, and what was missed arrives.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reconnect(self, address: impl ToSocketAddrs) -> Result<Self, Error> {
        let mut session = self.session;
        session.reconnect();
        Self::over(address, session, self.answer_timeout)
    }

    fn over(
        address: impl ToSocketAddrs,
        session: Session,
        answer_timeout: Duration,
    ) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?; // a command waits for its answer: nothing follows that it could be merged with
        stream.set_write_timeout(Some(answer_timeout.max(Duration::from_millis(1))))?;
        Ok(Self {
            stream,
            session,
            inbox: Inbox::default(),
            to_send: BytesMut::new(),
            read_buf: vec![0; READ_BYTES].into_boxed_slice(),
            started: Instant::now(),
            answer_timeout,
            has_eof: false,
        })
    }

    /// The session, for its cursors, counters and state.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Logs in with a token's raw bytes and waits for the welcome.
    ///
    /// # Errors
    /// See [`Error`]; a refused token is a goodbye with the reason `bad_token`.
    pub fn login(&mut self, token: &[u8]) -> Result<Welcome, Error> {
        let sent = self.session.login(self.now_ms(), token, &mut self.to_send)?;
        self.ask(
            sent,
            |answer| if let Answer::Welcome(welcome) = answer { Some(welcome) } else { None },
        )
    }

    /// Sends a text to one user and waits until it is accepted. After any error but `NotSent` and `Rejected` it is unknown
    /// whether it was: send it again with the same `client_message_id`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn send_text(
        &mut self,
        to: UserId,
        client_message_id: ClientMessageId,
        body: &str,
    ) -> Result<Acked, Error> {
        let (now_ms, out) = (self.now_ms(), &mut self.to_send);
        let sent = self.session.send_text(now_ms, to, client_message_id, body.as_bytes(), out)?;
        self.ask_acked(sent)
    }

    /// Sends a text to a room that the session is in; as [`Self::send_text`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn send_room(
        &mut self,
        room: RoomId,
        client_message_id: ClientMessageId,
        body: &str,
    ) -> Result<Acked, Error> {
        let (now_ms, out) = (self.now_ms(), &mut self.to_send);
        let sent = self.session.send_room(now_ms, room, client_message_id, body.as_bytes(), out)?;
        self.ask_acked(sent)
    }

    fn ask_acked(&mut self, sent: u64) -> Result<Acked, Error> {
        self.ask(sent, |answer| if let Answer::Acked(acked) = answer { Some(acked) } else { None })
    }

    /// Enters a room.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn join(&mut self, room: RoomId) -> Result<Joined, Error> {
        let sent = self.session.join(self.now_ms(), room, &mut self.to_send)?;
        self.ask(
            sent,
            |answer| if let Answer::Joined(joined) = answer { Some(joined) } else { None },
        )
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn leave(&mut self, room: RoomId) -> Result<(), Error> {
        let sent = self.session.leave(self.now_ms(), room, &mut self.to_send)?;
        self.ask(sent, |answer| matches!(answer, Answer::Left).then_some(()))
    }

    /// Asks for a service; gives the events of its answer, and its end.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn serve(&mut self, service: Service<'_>) -> Result<Answered, Error> {
        let sent = self.session.serve(self.now_ms(), service, &mut self.to_send)?;
        self.ask_news(sent)
    }

    /// Hands a sign about a call to somebody who is online.
    ///
    /// # Errors
    /// See [`Error`]; `Rejected` with `Offline` if nobody is there.
    pub fn signal_call(&mut self, signal: SignalCall<'_>) -> Result<(), Error> {
        let sent = self.session.signal_call(self.now_ms(), signal, &mut self.to_send)?;
        self.ask_news(sent).map(drop)
    }

    fn ask_news(&mut self, sent: u64) -> Result<Answered, Error> {
        let mut frames = Vec::new();
        let done = self.ask(sent, |answer| {
            if let Answer::News(frame) = answer {
                frames.push(frame);
                return None;
            }
            if let Answer::Done(done) = answer { Some(done) } else { None }
        })?;
        Ok(Answered { frames, next: done.next, is_complete: done.is_complete != 0 })
    }

    /// Sends several texts in one frame, and waits until each is accepted.
    ///
    /// # Errors
    /// See [`Error`]; the first rejection, though others may have been accepted.
    pub fn send_texts(
        &mut self,
        to: UserId,
        texts: &[(ClientMessageId, &str)],
    ) -> Result<Vec<Acked>, Error> {
        let mut bytes = Vec::new();
        for (id, body) in texts {
            Texts::push(&mut bytes, *id, body.as_bytes());
        }
        let sent = self.session.send_texts(self.now_ms(), to, &bytes, &mut self.to_send)?;
        let mut acks = Vec::with_capacity(texts.len());
        self.ask(sent, |answer| {
            if let Answer::Acked(acked) = answer {
                acks.push(acked);
            }
            (acks.len() == texts.len()).then_some(())
        })?;
        Ok(acks)
    }

    /// Sends a heartbeat and waits for its answer: is the node there?
    ///
    /// # Errors
    /// See [`Error`].
    pub fn heartbeat(&mut self) -> Result<(), Error> {
        let sent = self.session.heartbeat(self.now_ms(), &mut self.to_send)?;
        self.ask(sent, |answer| matches!(answer, Answer::Heartbeat).then_some(()))
    }

    /// One page of a conversation, of at most `limit` messages after `after`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn pull(
        &mut self,
        conversation: ConversationId,
        after: Seq,
        limit: u16,
    ) -> Result<Page, Error> {
        let (now_ms, out) = (self.now_ms(), &mut self.to_send);
        let sent = self.session.pull(now_ms, conversation, after, limit, out)?;
        let mut messages = Vec::new();
        let end = self.ask(sent, |answer| {
            if let Answer::Page(message) = answer {
                messages.push(message);
                return None;
            }
            if let Answer::PageEnd(end) = answer { Some(end) } else { None }
        })?;
        Ok(Page { messages, next: end.next, is_complete: end.is_complete != 0 })
    }

    /// Every private conversation of the user with its head. Those that the session follows catch up at once: their messages
    /// come by [`Self::recv`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn conversations(&mut self) -> Result<Vec<ConversationHead>, Error> {
        let mut heads = Vec::new();
        let mut after = ConversationId::default();
        loop {
            let (now_ms, out) = (self.now_ms(), &mut self.to_send);
            let sent = self.session.conversations(now_ms, after, PAGE_ITEMS_MAX, out)?;
            let end = self.ask(sent, |answer| {
                if let Answer::Head(head) = answer {
                    heads.push(head);
                    return None;
                }
                if let Answer::HeadsEnd(end) = answer { Some(end) } else { None }
            })?;
            // A cursor that does not move would page for ever.
            if end.is_complete != 0 || end.next <= after || heads.len() > BACKLOG_MAX {
                return Ok(heads);
            }
            after = end.next;
        }
    }

    /// The next message, or `None` after `timeout` without one.
    ///
    /// # Errors
    /// See [`Error`]; a goodbye comes after the last message.
    pub fn recv(&mut self, timeout: Duration) -> Result<Option<Arrival>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(arrival) = self.inbox.backlog.pop_front() {
                return Ok(Some(arrival));
            }
            self.check_ended()?;
            if !self.pump(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Logs out, reads everything that was still queued, the goodbye and the node's FIN. What came is still there for
    /// [`Self::recv`].
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Goodbye`] if the node ends the session for another reason.
    pub fn logout(&mut self) -> Result<(), Error> {
        let sent = self.session.logout(self.now_ms(), &mut self.to_send)?;
        self.inbox.expect(sent);
        let deadline = Instant::now() + self.answer_timeout;
        while !self.has_eof {
            if !self.pump(deadline)? {
                return Err(Error::Timeout(self.answer_timeout));
            }
        }
        let _ = self.stream.shutdown(Shutdown::Both); // the peer has finished too, so nothing can be lost
        match self.inbox.goodbye {
            None => Err(Error::Closed),
            Some((Some(CloseReason::Logout), _)) => Ok(()),
            Some((reason, reconnect_after_ms)) => {
                Err(Error::Goodbye { reason, reconnect_after_ms })
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn check_ended(&self) -> Result<(), Error> {
        if let Some((reason, reconnect_after_ms)) = self.inbox.goodbye {
            Err(Error::Goodbye { reason, reconnect_after_ms })
        } else if self.has_eof {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// Waits until `pick` has found what it wants among the answers to the command `sent`.
    fn ask<T>(&mut self, sent: u64, mut pick: impl FnMut(Answer) -> Option<T>) -> Result<T, Error> {
        self.inbox.expect(sent);
        let deadline = Instant::now() + self.answer_timeout;
        loop {
            for answer in self.inbox.answers.drain(..) {
                if let Answer::Rejected { reject, retry_after_ms } = answer {
                    return Err(Error::Rejected { reject, retry_after_ms });
                }
                if let Some(found) = pick(answer) {
                    return Ok(found);
                }
            }
            self.check_ended()?;
            if !self.pump(deadline)? {
                return Err(Error::Timeout(self.answer_timeout));
            }
        }
    }

    /// Sends what waits, then reads once; `false` when the deadline has passed.
    fn pump(&mut self, deadline: Instant) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        let inbox = &mut self.inbox;
        self.session.handle_timeout(now_ms, &mut self.to_send, |notice| inbox.take(&notice));
        while self.to_send.has_remaining() {
            match self.stream.write(&self.to_send) {
                Ok(written) => self.to_send.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A node that closes may have said why: what it sent is read first.
                Err(error) if is_cut(&error) => self.to_send.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        let until_deadline = deadline.saturating_duration_since(Instant::now());
        if until_deadline.is_zero() {
            return Ok(false);
        }
        let due_ms = self.session.poll_timeout().map_or(u64::MAX, |due| due.saturating_sub(now_ms));
        let wait = until_deadline.min(Duration::from_millis(due_ms.max(1)));
        self.stream.set_read_timeout(Some(wait))?;
        match self.stream.read(&mut self.read_buf) {
            Ok(0) => self.has_eof = true,
            Ok(read) => {
                let (now_ms, bytes) = (self.now_ms(), &self.read_buf[..read]);
                let inbox = &mut self.inbox;
                let visit = |notice: crate::Notice<'_>| inbox.take(&notice);
                self.session.receive(now_ms, bytes, &mut self.to_send, visit)?;
                if self.inbox.is_overfull() {
                    return Err(Error::Backlog);
                }
            }
            Err(error) if is_cut(&error) => self.has_eof = true,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// The peer is gone.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// Nothing came for now.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
