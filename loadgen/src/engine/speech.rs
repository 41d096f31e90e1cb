//! Who says what when: the open loop's schedule, the closed loop's window, refusals and what is said again.

use wire::{ClientMessageId, Rejected};

use super::Engine;
use super::conn::State;
use super::flights::{Flight, FlightId};
use super::limits::{RETRIES_MAX, RETRY_MS, RETRY_MS_MAX, SENDS_PER_CLOCK, SENDS_PER_TURN};
use super::send_pool::Writer;
use super::timers::Alarm;
use crate::plan::Load;
use crate::recorder::ClassKind;
use crate::schedule::{Schedule, utterance};
use crate::stamp::Stamp;

/// Connections that a closed loop passes over, because they are not there, before it waits for them.
const PASSED_OVER_MAX: u32 = 64;

/// Where the load is.
#[derive(Debug)]
pub(super) struct Speech {
    schedule: Option<Schedule>,
    /// When the load began.
    start_ns: u64,
    /// Up to when messages are due.
    end_ns: u64,
    /// The next message's index, in a closed loop the next burst's.
    index: u64,
    /// Messages that a sender says at once.
    burst: u32,
    /// Closed loop: messages that may be said now.
    credits: u32,
    is_on: bool,
}

impl Speech {
    pub(super) fn new(load: Load, burst: u32) -> Self {
        let (schedule, credits) = match load {
            Load::Open { rate_per_s } => (Schedule::constant(rate_per_s), 0),
            Load::Closed { window } => (None, window),
            Load::None => (None, 0),
        };
        let burst = burst.max(1);
        Self { schedule, start_ns: 0, end_ns: 0, index: 0, burst, credits, is_on: false }
    }

    pub(super) const fn begin(&mut self, start_ns: u64, end_ns: u64) {
        self.start_ns = start_ns;
        self.end_ns = end_ns;
        self.is_on = true;
    }

    pub(super) const fn stop(&mut self) {
        self.is_on = false;
    }

    /// Messages are done. Those from before the load belong to no window.
    pub(super) const fn on_completed(&mut self, count: u32) {
        if self.is_on {
            self.credits += count;
        }
    }

    /// When the next message is due: `None` in a closed loop, or when nothing is due any more.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        // All of a burst is due with its first.
        let first = self.index - self.index % u64::from(self.burst);
        let due_ns = self.start_ns.saturating_add(self.schedule?.due_ns(first));
        (self.is_on && due_ns < self.end_ns).then_some(due_ns)
    }

    /// Whether everything that was due by `now_ns` is said.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        !self.is_on || (now_ns >= self.end_ns && self.next_due_ns().is_none())
    }
}

impl Engine<'_> {
    /// Says what is due, a bounded number of messages. Whether more could be said at once.
    pub(super) fn speak(&mut self) -> bool {
        if !self.speech.is_on {
            return false;
        }
        let mut now_ns = self.clock.now_ns();
        for count in 0..SENDS_PER_TURN {
            if count % SENDS_PER_CLOCK == SENDS_PER_CLOCK - 1 {
                now_ns = self.clock.now_ns();
            }
            let is_said = if self.speech.schedule.is_some() {
                match self.speech.next_due_ns().filter(|due_ns| *due_ns <= now_ns) {
                    Some(due_ns) => self.say(due_ns, now_ns),
                    None => return false,
                }
            } else if self.speech.credits >= self.speech.burst && now_ns < self.speech.end_ns {
                self.say_closed(now_ns)
            } else {
                return false;
            };
            if !is_said {
                return false;
            }
        }
        true
    }

    /// Says the next message of the schedule; `false` if the load had to be ended.
    fn say(&mut self, intended_ns: u64, now_ns: u64) -> bool {
        let index = self.speech.index;
        let burst = index / u64::from(self.speech.burst);
        let Some(said) = utterance(&self.fleet, self.plan.seed, burst) else { return false };
        if self.flights.is_full() || self.pool.is_full() {
            // Sending on would only fill memory, and leaving messages out would hide it: the load ends here.
            self.tally.overflows += 1;
            self.speech.stop();
            return false;
        }
        self.speech.index += 1;
        self.recorder.due(intended_ns);
        match self.conns[said.sender as usize].state {
            State::Ready => {}
            State::Gone => return true, // Due, and never to be sent: the report sees the difference.
            State::Absent
            | State::Asked
            | State::Dialling
            | State::LoggingIn
            | State::Settling
            | State::Closing => {
                if !self.plan.options.reconnect {
                    return true;
                }
            }
            State::LoggingOut => return true,
        }
        self.utter(said.stream, said.sender, intended_ns, now_ns);
        true
    }

    /// Says a burst of the closed loop; `false` if nobody is there to say it.
    fn say_closed(&mut self, now_ns: u64) -> bool {
        for _ in 0..PASSED_OVER_MAX {
            let Some(said) = utterance(&self.fleet, self.plan.seed, self.speech.index) else {
                return false;
            };
            self.speech.index += 1;
            if self.conns[said.sender as usize].state == State::Ready {
                for _ in 0..self.speech.burst {
                    self.speech.credits -= 1;
                    self.recorder.due(now_ns);
                    self.utter(said.stream, said.sender, now_ns, now_ns);
                }
                return true;
            }
        }
        false
    }

    pub(super) fn utter(&mut self, stream: u32, sender: u32, intended_ns: u64, now_ns: u64) {
        let owed = if self.is_closed_loop() { self.ledger.recipients(stream, sender) } else { 0 };
        let seq = self.ledger.sent(stream, sender);
        let conn = &mut self.conns[sender as usize];
        let message = conn.messages;
        conn.messages = message.wrapping_add(1);
        let is_ready = conn.state == State::Ready;
        let must_wait = self.plan.options.serial && self.flights.first(sender).is_some();
        let id = self.flights.add(Flight {
            intended_ns,
            sent_ns: 0,
            sender,
            stream,
            seq,
            message,
            owed,
            is_acked: false,
            is_resting: false,
            retries: 0,
        });
        if must_wait {
            return;
        }
        self.mark_sent(id, now_ns);
        if is_ready {
            self.transmit(id, now_ns);
        }
    }

    /// Serial mode: the connection's next message, now that the one before is acknowledged.
    pub(super) fn say_next(&mut self, sender: u32, now_ns: u64) {
        let Some(id) = self.flights.first(sender) else { return };
        if self.flights.flight(id).sent_ns == 0 && self.conns[sender as usize].state == State::Ready
        {
            self.mark_sent(id, now_ns);
            self.transmit(id, now_ns);
        }
    }

    /// The moment of sending: when the message is handed to its connection's client half. What the connection, or its
    /// absence, does with it is not the generator's lateness.
    fn mark_sent(&mut self, id: FlightId, now_ns: u64) {
        let flight = self.flights.flight(id);
        flight.sent_ns = now_ns.max(1);
        let (intended_ns, stream) = (flight.intended_ns, flight.stream);
        self.recorder.sent(self.kind(stream), intended_ns, now_ns);
    }

    fn kind(&self, stream: u32) -> ClassKind {
        if self.fleet.is_room(stream) { ClassKind::Room } else { ClassKind::Private }
    }

    /// Encodes a message into its connection's buffer. Made from its stamp, so the same however often it is said.
    fn transmit(&mut self, id: FlightId, now_ns: u64) {
        let Flight { intended_ns, sender, stream, seq, message, .. } = *self.flights.flight(id);
        let body = &mut self.body[..self.plan.body_bytes];
        let run_id = self.plan.run_id;
        Stamp { run_id, sender, stream, seq: u64::from(seq), intended_ns }.write(body);
        let client_message_id = ClientMessageId(u64::from(self.run_tag) << 32 | u64::from(message));
        let now_ms = now_ns / 1_000_000;
        let conn = &mut self.conns[sender as usize];
        let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
        let written = match self.fleet.room_id(run_id, stream) {
            Some(room) => {
                conn.session.send_room(now_ms, room, client_message_id, body, &mut writer)
            }
            None => {
                let to = self.ledger.user(sender ^ 1);
                conn.session.send_text(now_ms, to, client_message_id, body, &mut writer)
            }
        };
        // The connection is ready and the body's size was checked at its welcome.
        debug_assert!(written.is_ok(), "a ready session takes a text: {written:?}");
        self.list(sender);
    }

    /// The node refused a message: again later, with the same id, or not at all.
    pub(super) fn on_refused(&mut self, sender: u32, rejected: &Rejected, now_ns: u64) {
        let id = rejected.client_message_id.0;
        if (id >> 32) as u32 != self.run_tag {
            return;
        }
        let message = id as u32;
        let Some(id) = self.flights.find(sender, |flight| flight.message == message) else {
            return;
        };
        let flight = self.flights.flight(id);
        let for_good = !Self::is_retryable(rejected.reject) || flight.retries >= RETRIES_MAX;
        self.ledger.refused(flight.stream, sender, flight.seq, for_good);
        if for_good {
            self.flights.remove(id);
            self.speech.on_completed(1);
            if self.plan.options.serial {
                self.say_next(sender, now_ns);
            }
            return;
        }
        let wait_ms = RETRY_MS.max(u64::from(rejected.retry_after_ms)) << flight.retries;
        flight.retries += 1;
        flight.is_resting = true;
        let due_ns = now_ns + wait_ms.min(RETRY_MS_MAX) * 1_000_000;
        self.timers.set(due_ns, Alarm::Retry { sender, message });
    }

    /// A refused message has rested.
    pub(super) fn retry(&mut self, sender: u32, message: u32, now_ns: u64) {
        let Some(id) = self.flights.find(sender, |flight| flight.message == message) else {
            return;
        };
        let is_ready = self.conns[sender as usize].state == State::Ready;
        let flight = self.flights.flight(id);
        // If its connection was lost meanwhile, it was said again with all the others.
        if is_ready && std::mem::replace(&mut flight.is_resting, false) {
            self.transmit(id, now_ns);
        }
    }

    /// A connection is back: everything without an answer is said again, in order, with the same ids.
    pub(super) fn say_again(&mut self, sender: u32, now_ns: u64) {
        let mut next = self.flights.first(sender);
        while let Some(id) = next {
            next = self.flights.after(id);
            let flight = self.flights.flight(id);
            flight.is_resting = false;
            if !flight.is_acked && flight.sent_ns != 0 {
                self.transmit(id, now_ns);
            }
        }
        if self.plan.options.serial {
            self.say_next(sender, now_ns);
        }
    }
}
