//! Closing: FIN, abort, and the join of what is in flight. A descriptor is closed only when its receive, send and
//! shutdown have had their last completion, because the kernel keeps a socket alive under a pending operation; and a
//! slot is free only after the close's own completion.

use chat::ConnKey;

use super::Driver;
use super::ring::Completion;
use super::slots::State;
use super::token::{Op, Token};
use crate::host::Host;

impl Driver<'_> {
    /// Sends FIN on a connection whose queue is written.
    pub(super) fn shutdown(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::SHUTDOWN.with(State::BROKEN).with(State::ABORTED))
        {
            slot.set(State::SHUTDOWN);
            self.ring.shutdown(slot.file, Token::conn(Op::Shutdown, key), &mut host.counters);
        }
    }

    /// FIN is on its way, or could not be sent.
    pub(super) fn on_shutdown(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        let Some(slot) = self.slots.of(key) else {
            host.counters.stale += 1;
            return;
        };
        slot.clear(State::SHUTDOWN);
        if slot.is(State::ABORTED) {
            self.close_if_done(host, key);
        } else if completion.result < 0 {
            self.on_broken(host, key);
        }
    }

    /// A receive, send or shutdown failed: the core hears of it once, and answers with an abort.
    pub(super) fn on_broken(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::BROKEN.with(State::ABORTED))
        {
            slot.set(State::BROKEN.with(State::FINISHED));
            host.counters.broken += 1;
            host.shard.handle_reset(host.now, key, &mut host.fx);
        }
    }

    /// Cancels what a connection has in flight, and closes it when that has ended.
    pub(super) fn abort(&mut self, host: &mut Host, key: ConnKey) {
        let Some(slot) = self.slots.of(key) else { return };
        slot.set(State::ABORTED);
        self.cancel_in_flight(host, key);
        self.close_if_done(host, key);
    }

    /// Cancel by descriptor is safe here: it is this connection's until the close, which is submitted later.
    fn cancel_in_flight(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && slot.is(State::RECEIVE.with(State::SEND))
            && !slot.is(State::CANCEL)
        {
            slot.set(State::CANCEL);
            host.counters.cancels += 1;
            let token = Token::conn(Op::Cancel, key);
            self.ring.cancel_file(slot.file, token, &mut host.counters);
        }
    }

    /// The cancel is done; whether it hit is told by the targets' own completions, in any order. What is still in flight
    /// after the next ones was missed.
    pub(super) fn on_cancelled(&mut self, completion: Completion) {
        let key = completion.token.key();
        if let Some(slot) = self.slots.of(key) {
            slot.clear(State::CANCEL);
            if slot.is(State::RECEIVE.with(State::SEND)) {
                self.missed.push(key);
            }
        }
    }

    /// Repeats cancels that missed: the target may have been between two states when the first one looked.
    pub(super) fn repeat_missed(&mut self, host: &mut Host) {
        for key in std::mem::take(&mut self.missed) {
            let Some(slot) = self.slots.of(key) else { continue };
            if slot.is(State::ABORTED) {
                self.cancel_in_flight(host, key);
            } else if slot.is(State::PAUSED) && slot.is(State::RECEIVE) {
                self.pause(host, key);
            }
        }
    }

    /// Closes an aborted connection with nothing in flight.
    pub(super) fn close_if_done(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && slot.is(State::ABORTED)
            && !slot.is(State::IN_FLIGHT.with(State::CLOSE))
        {
            slot.set(State::CLOSE);
            self.ring.close(slot.file, Token::conn(Op::Close, key), &mut host.counters);
        }
    }

    /// The descriptor is free: so is the slot.
    pub(super) fn on_closed(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        if self.slots.of(key).is_none() {
            host.counters.stale += 1;
            return;
        }
        self.slots.close(key);
        host.open -= 1;
        host.shard.handle_closed(host.now, key, &mut host.fx);
        self.accepting.gate.on_file_free(host);
    }
}
