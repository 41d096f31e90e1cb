//! Closing: FIN, abort, and the join of what is in flight. A descriptor is closed only when its receive, send and
//! shutdown have had their last completion, because the kernel keeps a socket alive under a pending operation; and a
//! slot is free only after the close's own completion.

use chat::ConnKey;
use rustix::net::Shutdown;

use super::Driver;
use super::ring::Completion;
use super::slots::State;
use super::token::{Op, Token};
use crate::host::Host;

impl Driver<'_> {
    /// Sends FIN on a connection whose queue is written. The ring's own shutdown would go through a worker thread, so the
    /// socket is borrowed for a moment and shut down by an ordinary call.
    pub(super) fn shutdown(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::SHUTDOWN.with(State::BROKEN).with(State::ABORTED))
        {
            slot.set(State::SHUTDOWN);
            self.ring.borrow(slot.file, Token::conn(Op::Borrow, key), &mut host.counters);
        }
    }

    /// The socket is here: send FIN, and give it back by dropping it. Without it (Linux before 6.8, or no descriptor
    /// free) the ring's own shutdown has to do.
    pub(super) fn on_borrowed(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        let socket = completion.descriptor();
        let Some(slot) = self.slots.of(key) else {
            host.counters.stale += 1;
            return;
        };
        let result = match socket {
            Ok(socket) => rustix::net::shutdown(&socket, Shutdown::Write)
                .map_or_else(|error| -error.raw_os_error(), |()| 0),
            Err(_) if !slot.is(State::ABORTED) => {
                let token = Token::conn(Op::Shutdown, key);
                self.ring.shutdown(slot.file, token, &mut host.counters);
                return;
            }
            Err(error) => -error,
        };
        self.on_fin(host, key, result);
    }

    /// The ring's own shutdown has ended.
    pub(super) fn on_shutdown(&mut self, host: &mut Host, completion: Completion) {
        let key = completion.token.key();
        if self.slots.of(key).is_some() {
            self.on_fin(host, key, completion.result);
        } else {
            host.counters.stale += 1;
        }
    }

    /// FIN is on its way, or could not be sent.
    fn on_fin(&mut self, host: &mut Host, key: ConnKey, result: i32) {
        let Some(slot) = self.slots.of(key) else { return };
        slot.clear(State::SHUTDOWN);
        if slot.is(State::ABORTED) {
            self.close_if_done(host, key);
        } else if result < 0 {
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

    /// By user data, which the kernel finds in a hash; a cancel by descriptor would walk all that is in flight, once per
    /// connection of a mass close.
    fn cancel_in_flight(&mut self, host: &mut Host, key: ConnKey) {
        let Some(slot) = self.slots.of(key) else { return };
        let token = Token::conn(Op::Cancel, key);
        for (state, op) in [(State::RECEIVE, Op::Receive), (State::SEND, Op::Send)] {
            if slot.is(state) {
                host.counters.cancels += 1;
                self.ring.cancel(Token::conn(op, key), token, &mut host.counters);
            }
        }
    }

    /// The cancel is done; whether it hit is told by the target's own completion, which may come before or after. A cancel
    /// that did not find its target is looked at again when that would have come.
    pub(super) fn on_cancelled(&mut self, completion: Completion) {
        let key = completion.token.key();
        if completion.result < 0
            && let Some(slot) = self.slots.of(key)
            && slot.is(State::RECEIVE.with(State::SEND))
        {
            self.missed.push(key);
        }
    }

    /// Repeats cancels that missed although all completions have been seen: the target was between two states when the
    /// first one looked. By descriptor now, which is safe: it is this connection's until the close, which is submitted
    /// later.
    pub(super) fn repeat_missed(&mut self, host: &mut Host) {
        for key in std::mem::take(&mut self.missed) {
            let Some(slot) = self.slots.of(key) else { continue };
            if slot.is(State::ABORTED) && slot.is(State::RECEIVE.with(State::SEND)) {
                host.counters.cancels += 1;
                let token = Token::conn(Op::Cancel, key);
                self.ring.cancel_file(slot.file, token, &mut host.counters);
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
