//! Sending with epoll: one call per touched connection and turn, vectored, done inline.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use chat::limits::TRANSMIT_SLICES_MAX;
use chat::{ConnKey, Transmit};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use super::Driver;
use super::slots::State;
use crate::host::Host;

/// Rounds of sending in one turn: a connection with more than one send can carry goes on in the next round, and what is
/// left after the last one in the next turn.
const ROUNDS: usize = 4;

/// What became of one send.
#[derive(Debug)]
pub(super) struct Sent {
    key: ConnKey,
    offered: usize,
    result: Result<usize, Errno>,
}

impl Driver {
    /// Empties the lane `flush`.
    pub(super) fn flush(&mut self, host: &mut Host) {
        for _ in 0..ROUNDS {
            if host.fx.flush.is_empty() {
                return;
            }
            self.send_all(host);
            let mut sent = std::mem::take(&mut self.sent);
            for done in sent.drain(..) {
                self.on_sent(host, &done);
            }
            self.sent = sent;
        }
    }

    fn send_all(&mut self, host: &mut Host) {
        let Host { shard, fx, counters, .. } = host;
        for &key in &fx.flush {
            let Some(slot) = self.slots.of(key) else { continue };
            let mut out = Transmit::default();
            if slot.is(State::NO_SEND) || !shard.poll_transmit(key, &mut out) {
                continue;
            }
            slot.set(State::SENT);
            let Some(socket) = self.slots.socket(key) else { continue };
            counters.enters += 1;
            let offered = out.slices().iter().map(|slice| slice.len()).sum();
            let result = send_slices(socket, out.slices());
            self.sent.push(Sent { key, offered, result });
        }
        fx.flush.clear();
    }

    fn on_sent(&mut self, host: &mut Host, sent: &Sent) {
        let &Sent { key, offered, result } = sent;
        let Some(slot) = self.slots.of(key) else { return };
        slot.clear(State::SENT);
        match result {
            Ok(bytes) => {
                host.counters.sends += 1;
                if bytes < offered {
                    host.counters.short_sends += 1;
                    slot.set(State::BLOCKED);
                }
                host.shard.handle_sent(host.now, key, bytes, &mut host.fx);
            }
            Err(error @ (Errno::AGAIN | Errno::INTR)) => {
                if error == Errno::AGAIN {
                    slot.set(State::BLOCKED);
                }
                // The send has ended with nothing: the core offers the same bytes again.
                host.shard.handle_sent(host.now, key, 0, &mut host.fx);
            }
            Err(_) => self.on_broken(host, key),
        }
    }
}

/// NOSIGNAL: a peer that has gone away is an error of its connection, not a signal to the process.
fn send_slices(socket: &OwnedFd, slices: &[&[u8]]) -> Result<usize, Errno> {
    if let [one] = slices {
        return send(socket, one, SendFlags::NOSIGNAL);
    }
    let mut many = [IoSlice::new(&[]); TRANSMIT_SLICES_MAX];
    for (place, slice) in many.iter_mut().zip(slices) {
        *place = IoSlice::new(slice);
    }
    let many = many.get(..slices.len()).unwrap_or_default();
    sendmsg(socket, many, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}
