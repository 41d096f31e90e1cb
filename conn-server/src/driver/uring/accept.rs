//! Accepting: one multishot accept per listener, straight into the ring's descriptor table.

use std::os::fd::AsRawFd;

use super::Driver;
use super::ring::Completion;
use super::token::{Op, Token};
use crate::driver::gate::{COMMON, Gate};
use crate::host::{Host, Phase};
use crate::listener::ShardListeners;

/// The shard's gate, and what the ring has of it.
#[derive(Debug)]
pub(super) struct Accepting {
    pub(super) gate: Gate,
    is_armed: [bool; 2],
    is_cancelling: [bool; 2],
}

impl Accepting {
    pub(super) fn new(listeners: ShardListeners) -> Self {
        Self { gate: Gate::new(listeners), is_armed: [false; 2], is_cancelling: [false; 2] }
    }
}

impl Driver<'_> {
    /// Arms and cancels accepts as the gate wants it.
    pub(super) fn arrange_accepts(&mut self, host: &mut Host) {
        self.accepting.gate.follow(host);
        for (index, token_index) in [(COMMON, 0), (1, 1)] {
            let is_wanted = self.accepting.gate.is_wanted(host, index);
            let is_armed = self.accepting.is_armed[index];
            match self.accepting.gate.socket(index) {
                Some(socket) if is_wanted && !is_armed => {
                    self.accepting.is_armed[index] = true;
                    self.ring.accept(socket.as_raw_fd(), token_index, &mut host.counters);
                }
                Some(_) if !is_wanted && is_armed => self.cancel_accept(host, index, token_index),
                Some(_) if !is_armed && matches!(host.phase, Phase::Draining { .. }) => {
                    self.accepting.gate.drop_socket(index);
                }
                Some(_) | None => {}
            }
        }
    }

    fn cancel_accept(&mut self, host: &mut Host, index: usize, token_index: u32) {
        if !std::mem::replace(&mut self.accepting.is_cancelling[index], true) {
            host.counters.cancels += 1;
            self.ring.cancel_accept(token_index, &mut host.counters);
        }
    }

    /// The cancel of an accept is done; if it missed and is still wanted, the next turn asks again.
    pub(super) fn on_accept_cancelled(&mut self, completion: Completion) {
        let index = completion.token.index() as usize;
        if completion.result < 0
            && let Some(is_cancelling) = self.accepting.is_cancelling.get_mut(index)
        {
            *is_cancelling = false;
        }
    }

    /// A socket was accepted, or accepting has ended, or both.
    pub(super) fn on_accept(&mut self, host: &mut Host, completion: Completion) {
        let token_index = completion.token.index();
        let index = token_index as usize;
        if !completion.has_more() {
            self.accepting.is_armed[index] = false;
            self.accepting.is_cancelling[index] = false;
        }
        let Ok(file) = u32::try_from(completion.result) else {
            self.accepting.gate.on_error(host, -completion.result);
            return;
        };
        self.take_socket(host, file);
        let is_enough = self.accepting.gate.on_taken(host, index);
        if is_enough && self.accepting.is_armed[index] {
            self.cancel_accept(host, index, token_index);
        }
    }

    fn take_socket(&mut self, host: &mut Host, file: u32) {
        host.counters.accepts += 1;
        match host.shard.handle_accept(host.now, &mut host.fx) {
            Some(key) => {
                self.slots.open(key, file);
                host.open += 1;
                self.arm_receive(host, key);
            }
            None => self.ring.close(file, Token::shard(Op::Shed, file), &mut host.counters),
        }
    }
}
