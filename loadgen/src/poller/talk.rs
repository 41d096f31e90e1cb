//! Who says what when: the open loop's schedule, the closed loop's window, what is refused and what is said again.

use wire::{ClientMessageId, Reject, Rejected};

use super::Poller;
use super::alarms::Alarm;
use super::conn::Stage;
use super::limits::{
    PASSED_OVER_MAX, RETRIES_MAX, RETRY_MS, RETRY_MS_MAX, SAID_PER_TURN, WAITING_BYTES_MAX,
};
use super::unanswered::Pending;
use crate::plan::Load;
use crate::recorder::ClassKind;
use crate::schedule::{Schedule, utterance};
use crate::stamp::Stamp;

/// Where the load is.
#[derive(Debug)]
pub(super) struct Talk {
    /// The open loop's.
    schedule: Option<Schedule>,
    begin_ns: u64,
    /// Up to when messages are due.
    end_ns: u64,
    /// The index of the next message; in a closed loop, of the next burst.
    next: u64,
    /// Messages that a sender says at once, at least one.
    burst: u32,
    /// The closed loop's: messages that may be said now.
    credits: u32,
    is_on: bool,
}

impl Talk {
    pub(super) fn new(load: Load, burst: u32) -> Self {
        let (schedule, credits) = match load {
            Load::None => (None, 0),
            Load::Open { rate_per_s } => (Schedule::constant(rate_per_s), 0),
            Load::Closed { window } => (None, window),
        };
        let burst = burst.max(1);
        Self { schedule, begin_ns: 0, end_ns: 0, next: 0, burst, credits, is_on: false }
    }

    pub(super) const fn begin(&mut self, begin_ns: u64, end_ns: u64) {
        (self.begin_ns, self.end_ns, self.is_on) = (begin_ns, end_ns, true);
    }

    pub(super) const fn end(&mut self) {
        self.is_on = false;
    }

    /// Messages have all their answers. Those of before the load were in no window.
    pub(super) const fn on_settled(&mut self, messages: u32) {
        if self.is_on {
            self.credits += messages;
        }
    }

    /// When the open loop's next message is due; `None` in a closed loop or when nothing is due any more.
    pub(super) fn due_ns(&self) -> Option<u64> {
        // A burst is due with its first message.
        let first = self.next - self.next % u64::from(self.burst);
        let due_ns = self.begin_ns.saturating_add(self.schedule?.due_ns(first));
        (self.is_on && due_ns < self.end_ns).then_some(due_ns)
    }

    /// Whether all that was due by `now_ns` is said.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        !self.is_on || (now_ns >= self.end_ns && self.due_ns().is_none())
    }
}

impl Poller<'_> {
    /// Whether messages need their deliveries as well to be done.
    pub(super) const fn is_closed_loop(&self) -> bool {
        matches!(self.plan.load, Load::Closed { .. })
    }

    /// Says what is due, a bounded number of messages. Whether there is more to be said at once.
    pub(super) fn speak(&mut self) -> bool {
        for _ in 0..SAID_PER_TURN {
            let now_ns = self.clock.now_ns();
            let has_said = match (self.talk.is_on, self.talk.schedule) {
                (false, _) => false,
                (true, Some(_)) => self.speak_on_schedule(now_ns),
                (true, None) => self.speak_in_window(now_ns),
            };
            if !has_said {
                return false;
            }
        }
        true
    }

    /// Says the schedule's next message, if it is due; a bound that is reached ends the load.
    fn speak_on_schedule(&mut self, now_ns: u64) -> bool {
        let Some(due_ns) = self.talk.due_ns().filter(|due_ns| *due_ns <= now_ns) else {
            return false;
        };
        let burst = self.talk.next / u64::from(self.talk.burst);
        let Some(said) = utterance(&self.fleet, self.plan.seed, burst) else { return false };
        if self.unanswered.is_full() || self.waiting_bytes >= WAITING_BYTES_MAX {
            // More would only fill memory, and to leave messages out would hide it.
            self.overflows += 1;
            self.talk.end();
            return false;
        }
        self.talk.next += 1;
        self.recorder.due(due_ns);
        let may_be_said = match self.conns[said.sender as usize].stage {
            Stage::Ready => true,
            // Said when it is back, if it comes back; otherwise due and never sent, which the report shows.
            Stage::Out | Stage::Asked | Stage::Connecting | Stage::LoggingIn | Stage::Settling => {
                self.plan.options.reconnect
            }
            Stage::Leaving | Stage::Gone => false,
        };
        if may_be_said {
            self.say(said.stream, said.sender, due_ns, now_ns);
        }
        true
    }

    /// Says a burst of the closed loop, if its window has room and somebody is there to say it.
    fn speak_in_window(&mut self, now_ns: u64) -> bool {
        if self.talk.credits < self.talk.burst || now_ns >= self.talk.end_ns {
            return false;
        }
        for _ in 0..PASSED_OVER_MAX {
            let Some(said) = utterance(&self.fleet, self.plan.seed, self.talk.next) else {
                return false;
            };
            self.talk.next += 1;
            if self.conns[said.sender as usize].stage == Stage::Ready {
                self.talk.credits -= self.talk.burst;
                for _ in 0..self.talk.burst {
                    self.recorder.due(now_ns);
                    self.say(said.stream, said.sender, now_ns, now_ns);
                }
                return true;
            }
        }
        false
    }

    /// Gives a message its numbers, and sends it unless its sender has to wait.
    pub(super) fn say(&mut self, stream: u32, sender: u32, intended_ns: u64, now_ns: u64) {
        let owed = if self.is_closed_loop() { self.ledger.recipients(stream, sender) } else { 0 };
        let seq = self.ledger.sent(stream, sender);
        let must_wait = self.plan.options.serial && self.unanswered.first(sender).is_some();
        let conn = &mut self.conns[sender as usize];
        let number = conn.messages;
        conn.messages = number.wrapping_add(1);
        let mut pending = Pending::new(intended_ns, stream, seq, number);
        pending.owed = owed;
        self.unanswered.push(sender, pending);
        if !must_wait {
            self.send_first(sender, number, now_ns);
        }
    }

    /// The moment of sending: when a message is handed to its connection's client half. What the connection, or its
    /// absence, does with it is not the generator's lateness.
    fn send_first(&mut self, sender: u32, number: u32, now_ns: u64) {
        let Some(pending) = self.unanswered.get(sender, number) else { return };
        pending.sent_ns = Some(now_ns);
        let is_room = self.fleet.is_room(pending.stream);
        let class = if is_room { ClassKind::Room } else { ClassKind::Private };
        self.recorder.sent(class, pending.intended_ns, now_ns);
        if self.conns[sender as usize].stage == Stage::Ready {
            self.send(sender, number, now_ns);
        }
    }

    /// Serial mode: the connection's next message, now that the one before has its answer.
    pub(super) fn say_next(&mut self, sender: u32, now_ns: u64) {
        let Some(first) = self.unanswered.first(sender) else { return };
        let is_unsent =
            self.unanswered.get(sender, first).is_some_and(|pending| pending.sent_ns.is_none());
        if is_unsent && self.conns[sender as usize].stage == Stage::Ready {
            self.send_first(sender, first, now_ns);
        }
    }

    /// Puts a message's frame behind what its connection has to send. Made from its stamp, so the same every time.
    fn send(&mut self, sender: u32, number: u32, now_ns: u64) {
        let Some(pending) = self.unanswered.get(sender, number) else { return };
        let (stream, seq, intended_ns) =
            (pending.stream, u64::from(pending.seq), pending.intended_ns);
        let run_id = self.plan.run_id;
        let body = &mut self.body[..self.plan.body_bytes];
        Stamp { run_id, sender, stream, seq, intended_ns }.write(body);
        let id = ClientMessageId(u64::from(self.run_tag) << 32 | u64::from(number));
        let now_ms = now_ns / 1_000_000;
        let conn = &mut self.conns[sender as usize];
        let sent = match self.fleet.room_id(run_id, stream) {
            Some(room) => conn.session.send_room(now_ms, room, id, body, &mut conn.out),
            None => {
                let partner = self.ledger.user(sender ^ 1);
                conn.session.send_text(now_ms, partner, id, body, &mut conn.out)
            }
        };
        // The connection is ready, and its welcome allowed bodies of this size.
        debug_assert!(sent.is_ok(), "a ready session takes a message: {sent:?}");
        self.list(sender);
    }

    /// The node refused a message: later again under the same id, or never.
    pub(super) fn on_refused(&mut self, sender: u32, refusal: &Rejected, now_ns: u64) {
        let id = refusal.client_message_id.0;
        let number = id as u32;
        if (id >> 32) as u32 != self.run_tag {
            return;
        }
        let Some(pending) = self.unanswered.get(sender, number) else { return };
        let may_retry = Reject::from_code(refusal.reject).is_some_and(Reject::is_retryable);
        let is_final = !may_retry || pending.retries >= RETRIES_MAX;
        self.ledger.refused(pending.stream, sender, pending.seq, is_final);
        if is_final {
            self.unanswered.settle(sender, number);
            self.talk.on_settled(1);
            if self.plan.options.serial {
                self.say_next(sender, now_ns);
            }
            return;
        }
        let rest_ms = RETRY_MS.max(refusal.retry_after_ms.into()) << pending.retries;
        pending.retries += 1;
        pending.is_resting = true;
        let again_ns = now_ns + rest_ms.min(RETRY_MS_MAX) * 1_000_000;
        self.alarms.set(again_ns, Alarm::Retry { sender, message: number });
    }

    /// A refused message has rested. If its connection was lost meanwhile, it was or will be said with all the others.
    pub(super) fn retry(&mut self, sender: u32, number: u32, now_ns: u64) {
        if self.conns[sender as usize].stage != Stage::Ready {
            return;
        }
        let pending = self.unanswered.get(sender, number);
        if pending.is_some_and(|pending| std::mem::replace(&mut pending.is_resting, false)) {
            self.send(sender, number, now_ns);
        }
    }

    /// A connection is back: all without an answer is said again, in order, under the same ids.
    pub(super) fn say_again(&mut self, sender: u32, now_ns: u64) {
        for number in self.unanswered.numbers(sender) {
            let Some(pending) = self.unanswered.get(sender, number) else { continue };
            pending.is_resting = false;
            if !pending.is_acked && pending.sent_ns.is_some() {
                self.send(sender, number, now_ns);
            }
        }
        if self.plan.options.serial {
            self.say_next(sender, now_ns);
        }
    }
}
