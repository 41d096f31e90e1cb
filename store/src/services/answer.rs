//! What a service says: frames for whoever asked, frames for others, and who must leave a room.

use wire::limits::PAGE_ITEMS_MAX;
use wire::{ConversationId, Done, Event, Message, News, RoomId, Text, UserId};

use crate::limits::ANSWER_PAGE_BYTES_MAX;

/// Who is told something, if online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One user.
    User(UserId),
    /// Whoever has entered a room.
    Room(RoomId),
    /// One user of a private conversation, behind all that was said in it before.
    Behind(ConversationId, UserId),
}

/// Something for others to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// Who.
    pub to: Audience,
    /// Whole frames with correlation id zero.
    pub frames: Vec<u8>,
}

/// What a service says, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    correlation: u64,
    /// Whole frames for whoever asked, in order.
    pub frames: Vec<u8>,
    /// For others, in order. Empty unless something changed.
    pub tells: Vec<Tell>,
    /// Whose sessions must leave a room, after the tells.
    pub evicted: Vec<(RoomId, UserId)>,
}

impl Answer {
    pub(super) fn new(correlation: u64) -> Self {
        Self { correlation, ..Self::default() }
    }

    /// Says something to whoever asked.
    pub(super) fn reply<'a>(&mut self, news: impl Into<News<'a>>) {
        // What came from the store was within its bounds when it was written, so it always fits a frame.
        let fits = news.into().append_to(self.correlation, &mut self.frames);
        debug_assert!(fits, "an event of the store is longer than a frame");
    }

    /// Says something to others.
    pub(super) fn tell<'a>(&mut self, to: Audience, news: impl Into<News<'a>>) {
        let news = news.into();
        self.tell_with(to, |frames| news.append_to(0, frames));
    }

    /// Says to others what somebody has said.
    pub(super) fn tell_text(&mut self, to: Audience, text: Text<'_>) {
        let message = Message::Event(Event::Text(text));
        self.tell_with(to, |frames| message.append_to(0, frames));
    }

    fn tell_with(&mut self, to: Audience, append: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut fresh = Vec::new();
        let frames = match self.tells.last_mut() {
            Some(tell) if tell.to == to => &mut tell.frames,
            Some(_) | None => &mut fresh,
        };
        let fits = append(frames);
        debug_assert!(fits, "an event of the store is longer than a frame");
        if !fresh.is_empty() {
            self.tells.push(Tell { to, frames: fresh });
        }
    }

    pub(super) fn evict(&mut self, room: RoomId, user: UserId) {
        self.evicted.push((room, user));
    }
}

/// Goes through the rows of a page until it is full, by count or by bytes.
pub(super) struct Pager {
    left: u16,
    bytes_from: usize,
    next: ConversationId,
    is_complete: bool,
}

impl Pager {
    /// For at most `limit` items behind `after`.
    pub(super) fn new(answer: &Answer, after: ConversationId, limit: u16) -> Self {
        let left = limit.clamp(1, PAGE_ITEMS_MAX);
        Self { left, bytes_from: answer.frames.len(), next: after, is_complete: true }
    }

    /// The same, where a cursor is a user.
    pub(super) fn of_users(answer: &Answer, after: UserId, limit: u16) -> Self {
        Self::new(answer, ConversationId { first: after.0, second: 0 }, limit)
    }

    /// How many rows to ask for: one more than wanted tells whether there is more.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.left) + 1
    }

    /// Whether the next row still belongs to the page; moves its cursor there.
    pub(super) fn takes(&mut self, answer: &Answer, item: ConversationId) -> bool {
        let is_full = self.left == 0
            || answer.frames.len() - self.bytes_from >= ANSWER_PAGE_BYTES_MAX
            || !self.is_complete;
        if is_full {
            self.is_complete = false;
            return false;
        }
        self.left -= 1;
        self.next = item;
        true
    }

    pub(super) fn takes_user(&mut self, answer: &Answer, user: u64) -> bool {
        self.takes(answer, ConversationId { first: user, second: 0 })
    }

    /// The page's end.
    pub(super) fn done(&self) -> Done {
        Done { next: self.next, is_complete: self.is_complete.into() }
    }
}
