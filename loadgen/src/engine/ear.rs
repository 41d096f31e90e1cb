//! What a connection hears, put where it belongs: the ledger, the recorder, the flights. What must be done about it is
//! left in [`Told`] for the engine, since a session cannot be entered while it is telling.

use client::Notice;
use wire::{ConversationsEnd, Kind, Rejected, Text, Welcome};

use super::flights::{FlightId, Flights};
use super::raw::RawNotice;
use crate::fleet::Fleet;
use crate::ledger::{Arrival, Ledger, Verdict};
use crate::recorder::{Acknowledged, ClassKind, Recorder};
use crate::stamp::Stamp;

/// What one entry into a session left to be done.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) welcome: Option<Welcome>,
    pub(super) has_joined: bool,
    /// A raw server has taken the login.
    pub(super) is_taken: bool,
    pub(super) page_end: Option<ConversationsEnd>,
    /// Code of the reason, and how long to wait before the next login.
    pub(super) goodbye: Option<(u8, u32)>,
    pub(super) rejected: Vec<Rejected>,
    /// Messages that are done: acknowledged and, in a closed loop, delivered.
    pub(super) completed: u32,
    pub(super) has_acks: bool,
    /// A heartbeat is answered.
    pub(super) has_beaten: bool,
    /// Gaps that were opened.
    pub(super) gaps: u32,
}

impl Told {
    pub(super) fn clear(&mut self) {
        let mut rejected = std::mem::take(&mut self.rejected);
        rejected.clear();
        *self = Self { rejected, ..Self::default() };
    }
}

pub(super) struct Ear<'a> {
    pub(super) now_ns: u64,
    pub(super) index: u32,
    /// The upper half of this run's client message ids.
    pub(super) run_tag: u32,
    pub(super) is_closed_loop: bool,
    /// Whether the server acknowledges nothing else.
    pub(super) is_acked_by_delivery: bool,
    pub(super) may_be_own: bool,
    pub(super) fleet: &'a Fleet,
    pub(super) ledger: &'a mut Ledger,
    pub(super) recorder: &'a mut Recorder,
    pub(super) flights: &'a mut Flights,
    pub(super) told: &'a mut Told,
}

impl Ear<'_> {
    pub(super) fn hear(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Text(text) => self.on_text(&text),
            Notice::Acked { acked, .. } => self.on_acked(acked.client_message_id.0),
            Notice::LoggedIn(welcome) => self.told.welcome = Some(welcome),
            Notice::Joined { .. } => self.told.has_joined = true,
            Notice::ConversationsEnd { end, .. } => self.told.page_end = Some(end),
            Notice::Rejected { rejected, .. } => self.told.rejected.push(rejected),
            Notice::Goodbye { code, reconnect_after_ms, .. } => {
                self.told.goodbye = Some((code, reconnect_after_ms));
            }
            Notice::GapOpened { .. } => self.told.gaps += 1,
            Notice::HeartbeatAck { .. } => self.told.has_beaten = true,
            // Repeats are the client half's business, and what it gives up the ledger will miss by itself.
            Notice::Duplicate { .. }
            | Notice::GapClosed { .. }
            | Notice::GapLost { .. }
            | Notice::ConversationHead { .. }
            | Notice::Left { .. }
            | Notice::Page { .. }
            | Notice::PageEnd { .. }
            | Notice::News { .. } => {}
        }
    }

    pub(super) fn hear_raw(&mut self, notice: RawNotice<'_>) {
        match notice {
            RawNotice::LoggedIn => self.told.is_taken = true,
            RawNotice::Acked(message) => self.on_acked_message(message),
            RawNotice::Message(body) => {
                let verdict = self.ledger.arrived_raw(self.index, body, self.now_ns);
                self.on_judged(verdict);
            }
        }
    }

    fn kind(&self, stream: u32) -> ClassKind {
        if self.fleet.is_room(stream) { ClassKind::Room } else { ClassKind::Private }
    }

    fn on_text(&mut self, text: &Text<'_>) {
        let verdict = self.ledger.arrived(&Arrival {
            receiver: self.index,
            conversation: text.conversation,
            seq: text.seq,
            from: text.from,
            body: text.body,
            at_ns: self.now_ns,
            may_be_own: self.may_be_own,
        });
        self.on_judged(verdict);
    }

    fn on_judged(&mut self, verdict: Verdict) {
        let stamp = match verdict {
            Verdict::Counted(stamp) => stamp,
            Verdict::Neutral | Verdict::Bad => return,
        };
        self.recorder.delivered(self.kind(stamp.stream), stamp.intended_ns, self.now_ns);
        if self.is_acked_by_delivery
            && let Some(id) = self.flight_of(&stamp)
        {
            self.acknowledge(id);
        }
        if self.is_closed_loop {
            self.on_received(&stamp);
        }
    }

    fn flight_of(&self, stamp: &Stamp) -> Option<FlightId> {
        self.flights.find(stamp.sender, |flight| {
            flight.stream == stamp.stream && u64::from(flight.seq) == stamp.seq
        })
    }

    /// In a closed loop a message is done when all of its recipients have it.
    fn on_received(&mut self, stamp: &Stamp) {
        let Some(id) = self.flight_of(stamp) else { return };
        let flight = self.flights.flight(id);
        flight.owed = flight.owed.saturating_sub(1);
        if flight.is_acked && flight.owed == 0 {
            self.flights.remove(id);
            self.told.completed += 1;
        }
    }

    fn on_acked(&mut self, client_message_id: u64) {
        if (client_message_id >> 32) as u32 == self.run_tag {
            self.on_acked_message(client_message_id as u32);
        }
    }

    fn on_acked_message(&mut self, message: u32) {
        let id = self.flights.find(self.index, |flight| flight.message == message);
        if let Some(id) = id {
            self.acknowledge(id);
        }
    }

    fn acknowledge(&mut self, id: FlightId) {
        let flight = *self.flights.flight(id);
        if flight.is_acked {
            return;
        }
        self.ledger.acked(flight.stream, flight.sender, flight.seq);
        let times = Acknowledged {
            intended_ns: flight.intended_ns,
            sent_ns: flight.sent_ns,
            acked_ns: self.now_ns,
        };
        self.recorder.acked(self.kind(flight.stream), times);
        self.told.has_acks = true;
        if flight.owed == 0 {
            self.flights.remove(id);
            self.told.completed += 1;
        } else {
            self.flights.flight(id).is_acked = true;
        }
    }
}

/// Whether a reject is about a text.
pub(super) fn is_of_text(rejected: &Rejected) -> bool {
    matches!(Kind::from_code(rejected.kind), Some(Kind::SendText | Kind::SendRoom))
}
