//! What a connection hears: put into the ledger, the recorder and the queues of the unanswered at once, and the rest left
//! in [`Heard`], since a session cannot be entered while it speaks.

use client::Notice;
use wire::{ConversationsEnd, Kind, Rejected, Text, Welcome};

use super::unanswered::Unanswered;
use crate::fleet::Fleet;
use crate::ledger::{Arrival, Ledger, Verdict};
use crate::recorder::{Acknowledged, ClassKind, Recorder};

/// What is still to be done after an entry into a session.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) welcome: Option<Welcome>,
    pub(super) is_in_room: bool,
    pub(super) page_end: Option<ConversationsEnd>,
    pub(super) refusals: Vec<Rejected>,
    /// The reason's code, and how long to stay away, in milliseconds.
    pub(super) goodbye: Option<(u8, u32)>,
    /// Messages that have all their answers.
    pub(super) settled: u32,
    pub(super) is_answered: bool,
    pub(super) gaps: u32,
}

/// A connection's ear, for one entry.
pub(super) struct Listener<'a> {
    pub(super) now_ns: u64,
    pub(super) index: u32,
    pub(super) run_tag: u32,
    /// Whether deliveries are answers too.
    pub(super) is_closed_loop: bool,
    pub(super) may_be_own: bool,
    pub(super) fleet: &'a Fleet,
    pub(super) ledger: &'a mut Ledger,
    pub(super) recorder: &'a mut Recorder,
    pub(super) unanswered: &'a mut Unanswered,
    pub(super) heard: &'a mut Heard,
}

impl Listener<'_> {
    pub(super) fn notice(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Text(text) => self.text(&text),
            Notice::Acked { acked, .. } => self.acknowledgement(acked.client_message_id.0),
            Notice::Rejected { rejected, .. } => self.heard.refusals.push(rejected),
            Notice::LoggedIn(welcome) => self.heard.welcome = Some(welcome),
            Notice::Joined { .. } => self.heard.is_in_room = true,
            Notice::ConversationsEnd { end, .. } => self.heard.page_end = Some(end),
            Notice::Goodbye { code, reconnect_after_ms, .. } => {
                self.heard.goodbye = Some((code, reconnect_after_ms));
            }
            Notice::GapOpened { .. } => self.heard.gaps += 1,
            // The client half deals with these; what it gives up is missing in the ledger.
            Notice::Duplicate { .. }
            | Notice::GapClosed { .. }
            | Notice::GapLost { .. }
            | Notice::HeartbeatAck { .. }
            | Notice::ConversationHead { .. }
            | Notice::Left { .. }
            | Notice::Page { .. }
            | Notice::PageEnd { .. }
            | Notice::News { .. } => {}
        }
    }

    fn class(&self, stream: u32) -> ClassKind {
        if self.fleet.is_room(stream) { ClassKind::Room } else { ClassKind::Private }
    }

    fn text(&mut self, text: &Text<'_>) {
        let arrival = Arrival {
            receiver: self.index,
            conversation: text.conversation,
            seq: text.seq,
            from: text.from,
            body: text.body,
            at_ns: self.now_ns,
            may_be_own: self.may_be_own,
        };
        let Verdict::Counted(stamp) = self.ledger.arrived(&arrival) else { return };
        self.recorder.delivered(self.class(stamp.stream), stamp.intended_ns, self.now_ns);
        if !self.is_closed_loop {
            return;
        }
        let Some(number) = self.unanswered.number_of(stamp.sender, stamp.stream, stamp.seq) else {
            return;
        };
        if let Some(pending) = self.unanswered.get(stamp.sender, number) {
            pending.owed = pending.owed.saturating_sub(1);
            if pending.is_acked && pending.owed == 0 {
                self.settle(stamp.sender, number);
            }
        }
    }

    fn acknowledgement(&mut self, client_message_id: u64) {
        let (tag, number) = ((client_message_id >> 32) as u32, client_message_id as u32);
        if tag != self.run_tag {
            return;
        }
        let Some(pending) = self.unanswered.get(self.index, number) else { return };
        if std::mem::replace(&mut pending.is_acked, true) {
            return;
        }
        let pending = *pending;
        self.ledger.acked(pending.stream, self.index, pending.seq);
        let times = Acknowledged {
            intended_ns: pending.intended_ns,
            sent_ns: pending.sent_ns.unwrap_or(pending.intended_ns),
            acked_ns: self.now_ns,
        };
        self.recorder.acked(self.class(pending.stream), times);
        self.heard.is_answered = true;
        if pending.owed == 0 {
            self.settle(self.index, number);
        }
    }

    fn settle(&mut self, sender: u32, number: u32) {
        self.unanswered.settle(sender, number);
        self.heard.settled += 1;
    }
}

/// Whether a refusal is about a message.
pub(super) fn is_about_message(rejected: &Rejected) -> bool {
    matches!(Kind::from_code(rejected.kind), Some(Kind::SendText | Kind::SendRoom))
}
