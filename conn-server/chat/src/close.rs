//! The end of a connection: one state machine for all reasons.
//!
//! `Closing`: what is queued and what is still unanswered goes out, then the goodbye. `Lingering`: FIN is sent, the
//! peer's FIN is awaited. `Aborted`: the driver closes. The flush and linger deadlines bound the first two.

use wire::{CloseReason, Event, Goodbye, Message};

use crate::conn::{ConnKey, Opening, Phase};
use crate::effects::Effects;
use crate::shard::Shard;
use crate::time::Now;
use crate::timers::{tick_of, ticks_in};

impl Shard {
    /// Begins to close a connection; does nothing to one that is closing.
    pub(crate) fn close(&mut self, now: Now, key: ConnKey, reason: CloseReason, fx: &mut Effects) {
        if !self.detach(now, key, reason, fx) {
            return;
        }
        let deadline = tick_of(now.mono) + ticks_in(self.config.flush_timeout);
        self.timers.arm(&mut self.conns, key.index(), deadline);
        // The driver must see the peer's FIN, so it receives again; what it receives is dropped.
        self.resume(key, fx);
        self.advance_close(now, key, fx);
    }

    /// The session ends: its user is free for another, its rooms are left. `false` if the connection was closing.
    fn detach(&mut self, now: Now, key: ConnKey, reason: CloseReason, fx: &mut Effects) -> bool {
        self.end_round(now, fx);
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.is_open()) else {
            return false;
        };
        let phase = core::mem::replace(&mut conn.phase, Phase::Closing);
        conn.reason = Some(reason);
        let user = conn.user;
        self.spills.free(&mut conn.spill);
        if phase == Phase::Online {
            self.sessions -= 1;
            self.leave_all(now, key, fx);
        }
        if phase != Phase::Fresh {
            let cut = if reason == CloseReason::Slow { reason.code() } else { 0 };
            self.release_user(now, user, key, cut, fx);
        }
        true
    }

    /// The reader is too slow: what is in flight is finished, the rest is dropped (the store has it).
    pub(crate) fn close_slow(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        // What it was sent before belongs to what is dropped.
        self.end_round(now, fx);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if matches!(conn.phase, Phase::Lingering | Phase::Aborted) || conn.is_goodbye_queued {
            return;
        }
        self.counters.slow_closed += 1;
        conn.awaiting = 0;
        let before = conn.queue.bytes;
        self.counters.dropped_frames += self.nodes.cut(&mut conn.queue, &mut self.pool);
        self.queued_bytes -= u64::from(before - conn.queue.bytes);
        if conn.phase == Phase::Closing {
            // It was closing for another reason already, and is too slow even for that.
            conn.reason = Some(CloseReason::Slow);
            self.advance_close(now, key, fx);
        } else {
            self.close(now, key, CloseReason::Slow, fx);
        }
    }

    /// Takes a closing connection as far as it can go.
    pub(crate) fn advance_close(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.phase != Phase::Closing || conn.awaiting > 0 {
            return;
        }
        if !conn.is_goodbye_queued {
            self.queue_goodbye(now, key, fx);
        }
        let Some(conn) = self.conns.get_mut(key) else { return };
        if !conn.queue.is_empty() || conn.phase != Phase::Closing {
            return;
        }
        if conn.is_eof {
            self.abort(now, key, fx);
            return;
        }
        conn.phase = Phase::Lingering;
        let deadline = tick_of(now.mono) + ticks_in(self.config.linger_timeout);
        self.timers.arm(&mut self.conns, key.index(), deadline);
        fx.shutdown.push(key);
    }

    fn queue_goodbye(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        let reason = self.conns.get(key).and_then(|conn| conn.reason);
        let Some(reason) = reason else { return };
        let window = u64::try_from(self.config.reconnect_window.as_millis()).unwrap_or(0);
        let delay = match reason {
            CloseReason::Shutdown => self.next_random() % (window + 1),
            CloseReason::Logout
            | CloseReason::Replaced
            | CloseReason::Expired
            | CloseReason::Slow
            | CloseReason::Violation
            | CloseReason::BadToken
            | CloseReason::PeerClosed
            | CloseReason::LoginTimeout
            | CloseReason::Full
            | CloseReason::Revoked => 0,
        };
        let goodbye = Goodbye {
            reason: reason.code(),
            reconnect_after_ms: u32::try_from(delay).unwrap_or(u32::MAX),
        };
        if let Some(frame) = self.pool.encode(&Message::Event(Event::Goodbye(goodbye)), 0) {
            self.push(now, key, frame, fx);
        }
        if let Some(conn) = self.conns.get_mut(key) {
            conn.is_goodbye_queued = true;
        }
    }

    /// The peer has finished sending (FIN). It may still read.
    pub fn handle_eof(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.is_eof = true;
        if conn.is_open() && conn.is_held() {
            // What it said before its FIN still waits to be handled.
            return;
        }
        match conn.phase {
            Phase::Lingering => self.abort(now, key, fx),
            Phase::Fresh | Phase::Claiming | Phase::Online => {
                self.close(now, key, CloseReason::PeerClosed, fx);
            }
            Phase::Closing | Phase::Aborted | Phase::Free => {}
        }
    }

    /// The connection broke (reset, or any other error of a receive or a send). An `abort` follows unless there was one.
    pub fn handle_reset(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        self.abort(now, key, fx);
    }

    /// Has the driver close a connection at once.
    pub(crate) fn abort(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        self.detach(now, key, CloseReason::PeerClosed, fx);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.phase == Phase::Aborted {
            return;
        }
        conn.phase = Phase::Aborted;
        conn.is_paused = false;
        self.timers.disarm(&mut self.conns, key.index());
        fx.abort.push(key);
    }

    /// No operation is in flight any more and the socket is closed: the key is dead after this. Follows an `abort`.
    pub fn handle_closed(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        self.detach(now, key, CloseReason::PeerClosed, fx);
        self.timers.disarm(&mut self.conns, key.index());
        let Some(conn) = self.conns.get_mut(key) else { return };
        self.queued_bytes -= u64::from(conn.queue.bytes);
        self.counters.dropped_frames += self.nodes.clear(&mut conn.queue, &mut self.pool);
        let is_shed = conn.opening == Opening::Shed;
        self.counters.closed += u64::from(!is_shed);
        self.shedding -= u32::from(is_shed);
        self.conns.remove(key);
    }
}
