//! Accepting with epoll: level-triggered and exclusive, so that one waiting shard is woken per connection and not all.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::{Driver, Source};
use crate::driver::gate::{COMMON, Gate};
use crate::host::{Host, Phase};
use crate::limits::EPOLL_ACCEPTS_PER_TURN;
use crate::listener::ShardListeners;

/// The shard's gate, and what epoll watches of it.
#[derive(Debug)]
pub(super) struct Accepting {
    pub(super) gate: Gate,
    is_watched: [bool; 2],
}

impl Accepting {
    pub(super) fn new(listeners: ShardListeners) -> Self {
        Self { gate: Gate::new(listeners), is_watched: [false; 2] }
    }
}

impl Driver {
    /// Watches listeners, and stops, as the gate wants it.
    pub(super) fn arrange_accepts(&mut self, host: &mut Host) -> io::Result<()> {
        self.accepting.gate.follow(host);
        for index in [COMMON, 1] {
            let is_wanted = self.accepting.gate.is_wanted(host, index);
            let is_watched = self.accepting.is_watched[index];
            let Some(socket) = self.accepting.gate.socket(index) else { continue };
            if is_wanted && !is_watched {
                let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
                epoll::add(&self.epoll, socket, Source::Listener(index).data(), flags)?;
                self.accepting.is_watched[index] = true;
                host.counters.enters += 1;
            } else if !is_wanted && is_watched {
                epoll::delete(&self.epoll, socket)?;
                self.accepting.is_watched[index] = false;
                host.counters.enters += 1;
            } else if !is_watched && matches!(host.phase, Phase::Draining { .. }) {
                self.accepting.gate.drop_socket(index);
            }
        }
        Ok(())
    }

    /// Takes what waits at a listener, up to a turn's worth.
    pub(super) fn accept(&mut self, host: &mut Host, index: usize) {
        for _ in 0..EPOLL_ACCEPTS_PER_TURN {
            if !self.accepting.gate.is_wanted(host, index) {
                return;
            }
            let Some(listener) = self.accepting.gate.socket(index) else { return };
            host.counters.enters += 1;
            match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => self.take_socket(host, socket),
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    self.accepting.gate.on_error(host, error.raw_os_error());
                    return;
                }
            }
            if self.accepting.gate.on_taken(host, index) {
                self.stand_at_the_end(host, index);
                return;
            }
        }
    }

    fn take_socket(&mut self, host: &mut Host, socket: OwnedFd) {
        use epoll::EventFlags as Flags;
        host.counters.accepts += 1;
        // Without a key the socket is dropped here, which closes it: shed.
        let Some(key) = host.shard.handle_accept(host.now, &mut host.fx) else { return };
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        host.counters.enters += 1;
        let watched = epoll::add(&self.epoll, &socket, Source::Conn(key).data(), flags);
        self.slots.open(key, socket);
        host.open += 1;
        if watched.is_err() {
            // Out of kernel memory or of watches: this connection cannot be served.
            host.counters.accept_errors += 1;
            self.on_broken(host, key);
        }
    }

    /// Watching anew puts this shard behind the others.
    fn stand_at_the_end(&mut self, host: &mut Host, index: usize) {
        if let Some(socket) = self.accepting.gate.socket(index) {
            host.counters.enters += 1;
            // If it fails the shard keeps its place in the line: unfair, not wrong.
            self.accepting.is_watched[index] = epoll::delete(&self.epoll, socket).is_err();
        }
    }
}
