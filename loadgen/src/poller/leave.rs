//! The end of a connection's life, and whether there is another.

use super::Poller;
use super::alarms::Alarm;
use super::conn::Stage;
use super::limits::{LOGIN_ATTEMPTS_MAX, LOGIN_WAIT_MS, LOGIN_WAIT_MS_MAX};
use super::reason::Reason;
use crate::plan::{Phase, Preset};
use crate::schedule::mix;

impl Poller<'_> {
    /// A connection ends, for a reason that is counted.
    pub(super) fn fail(&mut self, index: u32, reason: &Reason, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        let was = conn.stage;
        match was {
            Stage::Out | Stage::Gone => return,
            Stage::Asked | Stage::Connecting | Stage::LoggingIn | Stage::Settling => {
                self.login_failures.count(reason);
            }
            Stage::Ready => {
                self.established -= 1;
                self.recorder.connections(now_ns, u64::from(self.established));
                self.disconnects.count(reason);
            }
            Stage::Leaving => self.leaving -= 1, // It asked for that.
        }
        conn.hang_up();
        conn.count_bytes(&mut self.waiting_bytes);
        conn.stage = Stage::Out;
        let told_ms = if let Reason::Goodbye(_, wait_ms) = reason { *wait_ms } else { 0 };
        match self.wait_ms(index, was == Stage::Ready) {
            Some(wait_ms) => {
                let wait_ns = wait_ms.max(told_ms.into()) * 1_000_000;
                self.alarms.set(now_ns + wait_ns, Alarm::Ask { index });
            }
            None => self.on_gone(index),
        }
    }

    /// How long a connection that was lost stays away, in milliseconds; `None` if it does not return.
    fn wait_ms(&mut self, index: u32, was_ready: bool) -> Option<u64> {
        let is_closing = matches!(self.phase, Phase::Close | Phase::Done);
        let conn = &mut self.conns[index as usize];
        if is_closing || (conn.was_ready && !self.plan.options.reconnect) {
            return None;
        }
        conn.attempts = conn.attempts.saturating_add(1);
        // A ramp gives up; whoever was ready before comes back as soon as the node does.
        if conn.attempts >= LOGIN_ATTEMPTS_MAX && !conn.was_ready {
            return None;
        }
        let doublings = u32::from(conn.attempts - 1).min(16);
        let whole_ms = (LOGIN_WAIT_MS << doublings).min(LOGIN_WAIT_MS_MAX);
        // The first return is spread too: a node loses all of its clients at the same moment.
        let draw = mix(u64::from(conn.life) << 32 | u64::from(index));
        let spread_ms = draw % (whole_ms / 2 + 1);
        Some(if was_ready { spread_ms } else { whole_ms / 2 + spread_ms })
    }

    /// Whether whoever has come goes again, to measure logins: while the load is on.
    pub(super) fn is_churning(&self) -> bool {
        self.plan.preset == Preset::Churn && matches!(self.phase, Phase::Warmup | Phase::Measured)
    }

    /// A ready connection closes its socket, as a client does that is switched off, and comes again at once.
    pub(super) fn come_again(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if conn.stage == Stage::Ready {
            conn.hang_up();
            conn.stage = Stage::Out;
            self.established -= 1;
            self.alarms.set(now_ns, Alarm::Ask { index });
        }
    }

    /// Nothing more can be expected of this connection, and nothing is owed to it.
    fn on_gone(&mut self, index: u32) {
        self.conns[index as usize].stage = Stage::Gone;
        self.gone += 1;
        if self.phase == Phase::Close {
            return;
        }
        let streams = [self.fleet.pair_stream_of(index), self.fleet.room_stream_of(index)];
        for stream in streams.into_iter().flatten() {
            self.ledger.left(stream, index);
        }
        let forgotten = self.unanswered.forget(index);
        self.talk.on_settled(forgotten);
    }
}
