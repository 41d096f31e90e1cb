//! Receiving: one multishot receive per connection into the shared buffers, armed again whenever the kernel ends it,
//! held back while the core pauses the connection or the buffers have run out.
//!
//! A multishot receive that is armed on a full socket never waits for a poll, so a cancel does not find it before the
//! socket is empty, however much that is. Until a socket has been seen empty it is received from buffer by buffer: then
//! what comes between a pause and its effect is bounded.

use std::collections::VecDeque;

use chat::ConnKey;

use super::Driver;
use super::ring::Completion;
use super::slots::State;
use super::token::{Op, Token};
use crate::host::Host;

/// Connections whose receive ended because no buffer was left, in the order in which that happened.
#[derive(Debug, Default)]
pub(super) struct Starved {
    keys: VecDeque<ConnKey>,
    /// Buffers that came back since the last time one ran short.
    returned: usize,
}

impl Starved {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Driver<'_> {
    /// Arms a connection's receive unless something speaks against it.
    pub(super) fn arm_receive(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::NO_RECEIVE)
        {
            slot.set(State::RECEIVE);
            let token = Token::conn(Op::Receive, key);
            if slot.is(State::CAREFUL) {
                self.ring.receive_once(slot.file, token, &mut host.counters);
            } else {
                self.ring.receive(slot.file, token, &mut host.counters);
            }
        }
    }

    /// A receive has delivered, ended, or both.
    pub(super) fn on_receive(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        let mut was_single = false;
        let state = match self.slots.of(key) {
            Some(slot) => {
                if !completion.has_more() {
                    slot.clear(State::RECEIVE);
                }
                was_single = slot.is(State::CAREFUL);
                if completion.has_emptied() {
                    slot.clear(State::CAREFUL);
                }
                Some(*slot)
            }
            None => {
                host.counters.stale += 1;
                None
            }
        };
        let is_wanted = state.is_some_and(|slot| !slot.is(State::FINISHED.with(State::ABORTED)));
        if let Some(buffer) = completion.buffer() {
            let len = usize::try_from(completion.result).unwrap_or(0);
            if is_wanted && len > 0 {
                host.counters.receives += 1;
                let bytes = self.buffers.bytes(buffer, len);
                host.shard.handle_receive(host.now, key, bytes, &mut host.fx);
            }
            // Given back on every path, also of a connection that is gone: else the pool leaks.
            self.buffers.recycle(buffer);
            self.starved.returned += 1;
        }
        if completion.result <= 0 && is_wanted {
            self.on_receive_end(host, key, completion.result);
        }
        if !completion.has_more() && state.is_some() {
            // A cancel that a resume has overtaken is no fault of the kernel's, nor is the end of a receive of one buffer.
            let was_ended = completion.result != -libc::ECANCELED && !was_single;
            self.after_receive(host, key, was_ended);
        }
    }

    fn on_receive_end(&mut self, host: &mut Host, key: ConnKey, result: i32) {
        match -result {
            0 => {
                if let Some(slot) = self.slots.of(key) {
                    slot.set(State::FINISHED);
                    host.shard.handle_eof(host.now, key, &mut host.fx);
                }
            }
            libc::ENOBUFS => {
                host.counters.enobufs += 1;
                if let Some(slot) = self.slots.of(key)
                    && !slot.is(State::STARVED)
                {
                    slot.set(State::STARVED);
                    if self.starved.keys.is_empty() {
                        self.starved.returned = 0;
                    }
                    self.starved.keys.push_back(key);
                }
            }
            // Cancelled to pause it, or interrupted: whether to arm it again is decided after this.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            _ => self.on_broken(host, key),
        }
    }

    /// The receive is over, whatever its result: go on with the close, or arm it again.
    fn after_receive(&mut self, host: &mut Host, key: ConnKey, was_ended: bool) {
        let Some(slot) = self.slots.of(key) else { return };
        if slot.is(State::ABORTED) {
            self.close_if_done(host, key);
        } else if !slot.is(State::NO_RECEIVE) {
            host.counters.rearms += u64::from(was_ended);
            self.arm_receive(host, key);
        }
    }

    /// Arms starved connections again, once a quarter of the buffers is back or all completions are reaped: earlier
    /// they would run dry at once. At most one connection per returned buffer, the longest waiting first.
    pub(super) fn feed_starved(&mut self, host: &mut Host) {
        if self.starved.is_empty() {
            return;
        }
        let count = usize::from(self.buffers.count());
        let is_all_back = !self.ring.has_completions();
        if self.starved.returned < count.div_ceil(4) && !is_all_back {
            return;
        }
        // What is armed now finds its buffers already published.
        self.buffers.publish();
        let mut room = if is_all_back { count } else { self.starved.returned };
        self.starved.returned = 0;
        while room > 0
            && let Some(key) = self.starved.keys.pop_front()
        {
            let Some(slot) = self.slots.of(key) else { continue };
            slot.clear(State::STARVED);
            if !slot.is(State::NO_RECEIVE) {
                room -= 1;
                host.counters.rearms += 1;
                self.arm_receive(host, key);
            }
        }
    }

    /// The core wants no more bytes of a connection for now.
    pub(super) fn pause(&mut self, host: &mut Host, key: ConnKey) {
        let Some(slot) = self.slots.of(key) else { return };
        slot.set(State::PAUSED.with(State::CAREFUL));
        if slot.is(State::RECEIVE) && !slot.is(State::ABORTED) {
            host.counters.cancels += 1;
            let (target, token) = (Token::conn(Op::Receive, key), Token::conn(Op::Pause, key));
            self.ring.cancel(target, token, &mut host.counters);
        }
    }

    /// The core wants bytes again. If the pause's cancel has not taken effect yet, the receive's last completion arms
    /// it again.
    pub(super) fn resume(&mut self, host: &mut Host, key: ConnKey) {
        let Some(slot) = self.slots.of(key) else { return };
        slot.clear(State::PAUSED);
        self.arm_receive(host, key);
    }

    /// The cancel of a pause is done. If it missed its target, it is repeated after the next completions.
    pub(super) fn on_paused(&mut self, completion: Completion) {
        let key = completion.token.key();
        if completion.result < 0
            && let Some(slot) = self.slots.of(key)
            && slot.is(State::PAUSED)
            && slot.is(State::RECEIVE)
        {
            self.missed.push(key);
        }
    }
}
