//! Bytes from the node: cutting them into frames, and what each event means for the session.

use wire::{
    CloseReason, ConversationId, Event, FrameView, HEADER_BYTES, Header, Message, Seq, Text,
    UserId, Welcome, limits, split_frame,
};

use crate::book::Book;
use crate::notice::{Broken, Notice};
use crate::outbox::Outbox;
use crate::session::{Follow, Session, State};
use crate::turn::{REPAIR_BIT, Turn};

impl Session {
    /// Takes bytes as they came from the node, cut anywhere, and tells what they say. What the session must answer by itself
    /// (pulls for what is missing) is appended to `out`.
    ///
    /// # Errors
    /// [`Broken`] at the first frame that a node would not send; the same again for everything after it. What came whole
    /// before it has been told.
    pub fn receive<O: Outbox>(
        &mut self,
        now_ms: u64,
        bytes: &[u8],
        out: &mut O,
        mut visit: impl FnMut(Notice<'_>),
    ) -> Result<(), Broken> {
        if let State::Broken(broken) = self.state {
            return Err(broken);
        }
        if !bytes.is_empty() {
            self.heard_ms = now_ms;
        }
        let taken = self.take_frames(now_ms, bytes, out, &mut visit);
        if let Err(broken) = taken {
            self.state = State::Broken(broken);
            self.tail = Vec::new();
        }
        taken
    }

    fn take_frames<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        now_ms: u64,
        bytes: &[u8],
        out: &mut O,
        visit: &mut V,
    ) -> Result<(), Broken> {
        let mut rest = bytes;
        if !self.tail.is_empty() {
            let Some(behind) = self.complete_tail(rest)? else { return Ok(()) };
            rest = behind;
            let frame = core::mem::take(&mut self.tail);
            self.on_frame(now_ms, &frame, out, visit)?;
        }
        while let Some((frame, behind)) = split_frame(rest).map_err(Broken::Frame)? {
            self.on_frame(now_ms, frame, out, visit)?;
            rest = behind;
        }
        if !rest.is_empty() {
            self.tail = rest.to_vec();
        }
        Ok(())
    }

    /// Moves bytes to the incomplete frame until it is whole, and returns what is behind it; `None` while it is not.
    fn complete_tail<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<&'b [u8]>, Broken> {
        let (more, rest) =
            bytes.split_at(HEADER_BYTES.saturating_sub(self.tail.len()).min(bytes.len()));
        self.tail.extend_from_slice(more);
        let Some(header) = Header::parse(&self.tail).map_err(Broken::Frame)? else {
            return Ok(None);
        };
        // The header bounds the frame, and so what is kept here.
        debug_assert!(header.frame_len() <= limits::FRAME_BYTES_MAX);
        let missing = header.frame_len().saturating_sub(self.tail.len());
        let (more, rest) = rest.split_at(missing.min(rest.len()));
        self.tail.reserve_exact(missing);
        self.tail.extend_from_slice(more);
        Ok((more.len() == missing).then_some(rest))
    }

    fn on_frame<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        now_ms: u64,
        frame: &[u8],
        out: &mut O,
        visit: &mut V,
    ) -> Result<(), Broken> {
        let view = FrameView::parse(frame).map_err(Broken::Frame)?;
        let event = match view.message() {
            Message::Event(event) => event,
            Message::Command(command) => return Err(Broken::Command(command.kind())),
        };
        if self.has_ended() {
            return Err(Broken::AfterGoodbye);
        }
        match event {
            Event::Welcome(welcome) => self.on_welcome(welcome)?,
            Event::Goodbye(_) => self.state = State::Ended,
            Event::Acked(_)
            | Event::Text(_)
            | Event::Joined(_)
            | Event::Left(_)
            | Event::Pulled(_)
            | Event::HeartbeatAck
            | Event::Rejected(_)
            | Event::ConversationHead(_)
            | Event::ConversationsEnd(_)
            | Event::News(_) => {}
        }
        let mut turn = Turn {
            now_ms,
            is_open: self.state == State::Open,
            out,
            visit,
            correlation: &mut self.correlation,
            sent_ms: &mut self.sent_ms,
        };
        if let Event::Text(text) = event {
            check_place(&text)?;
            if self.follow == Follow::Raw && !is_page(view.correlation()) {
                turn.tell(Notice::Text(text)); // the shortest way, for instruments
                return Ok(());
            }
        }
        tell(&mut turn, view.correlation(), &event);
        if self.follow != Follow::Raw {
            let order = Order { follow: self.follow, user: self.user, book: &mut self.book };
            order.on_event(&mut turn, view.correlation(), &event);
        }
        Ok(())
    }

    fn on_welcome(&mut self, welcome: Welcome) -> Result<(), Broken> {
        if self.state != State::LoggingIn {
            return Err(Broken::SecondWelcome);
        }
        self.state = State::Open;
        self.user = welcome.user;
        self.heartbeat_interval_ms = welcome.heartbeat_interval_ms;
        self.heartbeat_timeout_ms = welcome.heartbeat_timeout_ms;
        self.body_bytes_max = welcome.body_bytes_max.min(limits::BODY_BYTES_MAX as u32);
        Ok(())
    }
}

/// Whether a text or a page's end answers a pull of the owner.
const fn is_page(correlation: u64) -> bool {
    correlation != 0 && correlation & REPAIR_BIT == 0
}

/// Passes on what the owner is told at once, whatever it means for order.
fn tell<O: Outbox, V: FnMut(Notice<'_>)>(
    turn: &mut Turn<'_, O, V>,
    correlation: u64,
    event: &Event<'_>,
) {
    let is_repair = correlation & REPAIR_BIT != 0;
    turn.tell(match *event {
        Event::Welcome(welcome) => Notice::LoggedIn(welcome),
        Event::Acked(acked) => Notice::Acked { correlation, acked },
        Event::Text(text) if is_page(correlation) => Notice::Page { correlation, text },
        Event::Pulled(pulled) if !is_repair => Notice::PageEnd { correlation, pulled },
        Event::Rejected(rejected) if !is_repair => Notice::Rejected { correlation, rejected },
        Event::Text(_) | Event::Pulled(_) | Event::Rejected(_) => return,
        Event::Joined(joined) => Notice::Joined { correlation, joined },
        Event::Left(left) => Notice::Left { correlation, left },
        Event::ConversationHead(head) => Notice::ConversationHead { correlation, head },
        Event::ConversationsEnd(end) => Notice::ConversationsEnd { correlation, end },
        Event::News(news) => Notice::News { correlation, news },
        Event::HeartbeatAck => Notice::HeartbeatAck { correlation },
        Event::Goodbye(goodbye) => Notice::Goodbye {
            reason: CloseReason::from_code(goodbye.reason),
            code: goodbye.reason,
            reconnect_after_ms: goodbye.reconnect_after_ms,
        },
    });
}

/// What an event means for a session that follows conversations.
struct Order<'s> {
    follow: Follow,
    user: UserId,
    book: &'s mut Option<Box<Book>>,
}

impl Order<'_> {
    fn on_event<O: Outbox, V: FnMut(Notice<'_>)>(
        self,
        turn: &mut Turn<'_, O, V>,
        correlation: u64,
        event: &Event<'_>,
    ) {
        let Self { follow, user, book } = self;
        let is_repair = correlation & REPAIR_BIT != 0;
        let is_place = |conversation: ConversationId, seq: Seq| {
            conversation.is_valid() && seq.0 > 0 // what a node never sends is not worth a cursor
        };
        match event {
            Event::Text(text) if !is_page(correlation) => {
                let counts_as_push = !is_repair && text.from != user;
                book.get_or_insert_default().on_text(turn, follow, text, counts_as_push);
            }
            Event::Acked(acked) if is_place(acked.conversation, acked.seq) => {
                book.get_or_insert_default().on_acked(turn, follow, acked);
            }
            Event::Joined(joined) if joined.room.0 != 0 => {
                book.get_or_insert_default().on_joined(turn, joined);
            }
            Event::ConversationHead(head) if is_place(head.conversation, head.head) => {
                book.get_or_insert_default().on_head(turn, follow, head);
            }
            Event::Acked(_) | Event::Joined(_) | Event::ConversationHead(_) | Event::Text(_) => {}
            Event::Welcome(_) => {
                if let Some(book) = book {
                    book.start_pulls(turn); // those of the connection before
                }
            }
            Event::Pulled(pulled) if is_repair => {
                if let Some(book) = book {
                    book.on_pulled(turn, correlation, pulled);
                }
            }
            Event::Rejected(rejected) if is_repair => {
                if let Some(book) = book {
                    book.on_pull_rejected(turn, correlation, rejected);
                }
            }
            Event::Left(left) => {
                if let Some(book) = book {
                    book.on_left(turn, left.room);
                }
            }
            Event::Pulled(_) | Event::Rejected(_) => {} // the owner's own
            Event::HeartbeatAck
            | Event::Goodbye(_)
            | Event::ConversationsEnd(_)
            | Event::News(_) => {}
        }
    }
}

fn check_place(text: &Text<'_>) -> Result<(), Broken> {
    if text.conversation.is_valid() && text.seq.0 > 0 { Ok(()) } else { Err(Broken::Place) }
}
