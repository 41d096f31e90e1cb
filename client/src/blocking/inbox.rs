//! What has come for the blocking client: answers to the command that it waits for, and everything else for later.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::{
    Acked, CloseReason, ConversationHead, ConversationId, ConversationsEnd, Done, Event, FrameView,
    Joined, Message, MessageId, News, NewsFrame, Pulled, Reject, Seq, Text, UserId, Welcome,
};

use crate::limits::BACKLOG_MAX;
use crate::notice::Notice;

/// A message, with a body of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it was said.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// When the node took it, in milliseconds since 1970.
    pub unix_ms: u64,
    /// UTF-8, as far as the node is to be trusted.
    pub body: Bytes,
}

impl From<&Text<'_>> for Received {
    fn from(text: &Text<'_>) -> Self {
        Self {
            conversation: text.conversation,
            seq: text.seq,
            message_id: text.message_id,
            from: text.from,
            unix_ms: text.unix_ms,
            body: Bytes::copy_from_slice(text.body),
        }
    }
}

/// What arrives without having been asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A message: in order and once, unless the session does not follow conversations.
    Text(Received),
    /// The node does not have these messages any more: the conversation goes on behind them.
    Lost {
        /// Where.
        conversation: ConversationId,
        /// The first one.
        first: Seq,
        /// The last one.
        last: Seq,
    },
    /// What others did that concerns the user, as one encoded frame: [`news_of`] reads it.
    News(Bytes),
}

/// The news of a frame that was kept whole.
#[must_use]
pub fn news_of(frame: &[u8]) -> Option<News<'_>> {
    match FrameView::parse(frame).ok()?.message() {
        Message::Event(Event::News(news)) => news.read().ok(),
        Message::Event(_) | Message::Command(_) => None,
    }
}

/// An event as a frame of its own.
fn kept(correlation: u64, news: NewsFrame<'_>) -> Bytes {
    let mut frame = Vec::new();
    // What came in a frame fits one.
    let _ = Message::Event(Event::News(news)).append_to(correlation, &mut frame);
    frame.into()
}

/// An answer to a command.
#[derive(Debug)]
pub(crate) enum Answer {
    Welcome(Welcome),
    Acked(Acked),
    Joined(Joined),
    Left,
    Heartbeat,
    Page(Received),
    PageEnd(Pulled),
    Head(ConversationHead),
    HeadsEnd(ConversationsEnd),
    News(Bytes),
    Done(Done),
    Rejected { reject: Option<Reject>, retry_after_ms: u32 },
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting_for: u64,
    pub(crate) answers: Vec<Answer>,
    pub(crate) backlog: VecDeque<Arrival>,
    pub(crate) goodbye: Option<(Option<CloseReason>, u32)>,
}

impl Inbox {
    /// From now on the answers to this command are kept, and those to others (which came too late) are not.
    pub(crate) fn expect(&mut self, correlation: u64) {
        self.waiting_for = correlation;
        self.answers.clear();
    }

    /// Whether the bound is passed; a single read cannot pass it by much.
    pub(crate) fn is_overfull(&self) -> bool {
        self.backlog.len() > BACKLOG_MAX || self.answers.len() > BACKLOG_MAX
    }

    fn answer(&mut self, correlation: u64, answer: Answer) {
        if correlation == self.waiting_for {
            self.answers.push(answer);
        }
    }

    pub(crate) fn take(&mut self, notice: &Notice<'_>) {
        match *notice {
            Notice::Text(text) => self.backlog.push_back(Arrival::Text((&text).into())),
            Notice::GapLost { conversation, first, last } => {
                self.backlog.push_back(Arrival::Lost { conversation, first, last });
            }
            Notice::LoggedIn(welcome) => self.answers.push(Answer::Welcome(welcome)),
            Notice::Acked { correlation, acked } => {
                self.answer(correlation, Answer::Acked(acked));
            }
            Notice::Page { correlation, text } => {
                self.answer(correlation, Answer::Page((&text).into()));
            }
            Notice::PageEnd { correlation, pulled } => {
                self.answer(correlation, Answer::PageEnd(pulled));
            }
            Notice::Joined { correlation, joined } => {
                self.answer(correlation, Answer::Joined(joined));
            }
            Notice::Left { correlation, .. } => self.answer(correlation, Answer::Left),
            Notice::Rejected { correlation, rejected } => {
                let reject = Reject::from_code(rejected.reject);
                let retry_after_ms = rejected.retry_after_ms;
                self.answer(correlation, Answer::Rejected { reject, retry_after_ms });
            }
            Notice::HeartbeatAck { correlation } => self.answer(correlation, Answer::Heartbeat),
            Notice::ConversationHead { correlation, head } => {
                self.answer(correlation, Answer::Head(head));
            }
            Notice::ConversationsEnd { correlation, end } => {
                self.answer(correlation, Answer::HeadsEnd(end));
            }
            Notice::News { correlation: 0, news } => {
                self.backlog.push_back(Arrival::News(kept(0, news)));
            }
            Notice::News { correlation, news } => {
                let answer = match news.read() {
                    Ok(News::Done(done)) => Answer::Done(done),
                    _ => Answer::News(kept(correlation, news)),
                };
                self.answer(correlation, answer);
            }
            Notice::Goodbye { reason, reconnect_after_ms, .. } => {
                self.goodbye = Some((reason, reconnect_after_ms));
            }
            // The session counts these.
            Notice::Duplicate { .. } | Notice::GapOpened { .. } | Notice::GapClosed { .. } => {}
        }
    }
}
