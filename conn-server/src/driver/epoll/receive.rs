//! Receiving with epoll: into one buffer that stays hot, until the socket is empty or has had its share of the turn.

use chat::ConnKey;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Driver;
use super::slots::State;
use crate::host::Host;
use crate::limits::EPOLL_READS_PER_TURN;

impl Driver {
    /// Reads what is there.
    pub(super) fn receive(&mut self, host: &mut Host, key: ConnKey) {
        for _ in 0..EPOLL_READS_PER_TURN {
            let is_ending = match self.slots.of(key) {
                Some(slot) if !slot.is(State::NO_RECEIVE) => slot.is(State::ENDING),
                Some(_) | None => return,
            };
            let Some(socket) = self.slots.socket(key) else { return };
            host.counters.enters += 1;
            match recv(socket, &mut *self.read_buffer, RecvFlags::empty()).map(|(len, _)| len) {
                Ok(0) => {
                    self.on_eof(host, key);
                    return;
                }
                Ok(len) => {
                    host.counters.receives += 1;
                    let bytes = &mut self.read_buffer[..len];
                    host.shard.handle_receive(host.now, key, bytes, &mut host.fx);
                    if !host.fx.pause.is_empty() {
                        // At once: the next read of this turn would be more than the core puts aside.
                        self.each(host, |fx| &mut fx.pause, Self::pause);
                    }
                    // A short read has emptied the socket: the next bytes make a new edge.
                    if len < self.read_buffer.len() && !is_ending {
                        return;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.on_broken(host, key);
                    return;
                }
            }
        }
        self.read_later(key);
    }

    fn on_eof(&mut self, host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key) {
            slot.set(State::FINISHED);
            host.shard.handle_eof(host.now, key, &mut host.fx);
        }
    }

    fn read_later(&mut self, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::READY)
        {
            slot.set(State::READY);
            self.ready.push(key);
        }
    }

    /// Reads from connections that made no event but may have bytes.
    pub(super) fn read_ready(&mut self, host: &mut Host) {
        let mut ready = std::mem::take(&mut self.ready);
        for key in ready.drain(..) {
            if let Some(slot) = self.slots.of(key) {
                slot.clear(State::READY);
                self.receive(host, key);
            }
        }
        // Those that are not done by their share come again in the next turn, after the others.
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// The core wants no more bytes of a connection for now: they wait in the socket.
    pub(super) fn pause(&mut self, _host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key) {
            slot.set(State::PAUSED);
        }
    }

    /// The core wants bytes again; edges that came meanwhile were not followed.
    pub(super) fn resume(&mut self, _host: &mut Host, key: ConnKey) {
        if let Some(slot) = self.slots.of(key) {
            slot.clear(State::PAUSED);
            self.read_later(key);
        }
    }
}
