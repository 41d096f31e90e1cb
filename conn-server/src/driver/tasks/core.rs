//! One shard's host among tasks: whoever has news for it begins its turn, and the turn's task, which stands in line behind
//! everything that was ready by then, ends it.

use std::os::fd::BorrowedFd;
use std::task::{Poll, Waker};

use chat::{ConnKey, Effects, Transmit};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::accept::Accepts;
use super::lent::{Lent, Spare};
use super::slots::{Slot, Slots, State};
use crate::host::{End, Host, Phase, Wait};
use crate::limits::EPOLL_READ_BYTES;

/// What all tasks of a shard share. Borrowed for one call at a time, never across a wait.
pub(super) struct Core {
    pub(super) host: Host,
    pub(super) slots: Slots,
    pub(super) accepts: Accepts,
    read_buffer: Box<[u8]>,
    spare: Spare,
    /// The turn's task.
    pub(super) turn: Option<Waker>,
    /// A turn has begun and is to be ended.
    pub(super) is_in_turn: bool,
}

/// What follows a turn.
pub(super) enum Next {
    /// Nothing: the shard has ended.
    Over(End),
    /// Another one, as soon as the kernel has been looked at.
    Soon,
    /// An event, or the host's next deadline.
    Event,
}

impl Core {
    pub(super) fn new(host: Host, accepts: Accepts) -> Self {
        Self {
            host,
            slots: Slots::default(),
            accepts,
            read_buffer: vec![0; EPOLL_READ_BYTES].into_boxed_slice(),
            spare: Spare::default(),
            turn: None,
            is_in_turn: false,
        }
    }

    /// Begins a turn, unless one has begun. To be called before the core is told anything.
    pub(super) fn begin_turn(&mut self) {
        if !self.is_in_turn {
            self.is_in_turn = true;
            self.host.begin_turn();
            if let Some(turn) = &self.turn {
                turn.wake_by_ref();
            }
        }
    }

    /// Ends the turn: does what the core asked for, or has the connections' tasks do it.
    pub(super) fn end_turn(&mut self, enters: u64) -> Next {
        self.begin_turn();
        self.host.counters.enters += enters;
        self.host.finish_inputs();
        self.drain_lanes();
        self.host.end_turn();
        self.accepts.arrange(&mut self.host);
        self.is_in_turn = false;
        if let Phase::Over(end) = self.host.phase {
            return Next::Over(end);
        }
        match self.host.wait(false, self.accepts.gate.retry_at()) {
            Wait::Poll => Next::Soon,
            Wait::Sleep(_) => Next::Event,
        }
    }

    /// The core is not called here, so the lanes do not grow meanwhile.
    fn drain_lanes(&mut self) {
        self.each(|fx| &mut fx.flush, |slot| slot.set(State::FLUSH));
        self.each(|fx| &mut fx.pause, |slot| slot.set(State::PAUSED));
        self.each(|fx| &mut fx.resume, |slot| slot.clear(State::PAUSED));
        self.each(|fx| &mut fx.shutdown, |slot| slot.set(State::FIN));
        self.each(|fx| &mut fx.abort, |slot| slot.set(State::ABORTED));
    }

    fn each(&mut self, lane: fn(&mut Effects) -> &mut Vec<ConnKey>, mark: fn(&mut Slot)) {
        for key in lane(&mut self.host.fx).drain(..) {
            if let Some(slot) = self.slots.of(key) {
                mark(slot);
                slot.wake();
            }
        }
    }

    /// Whether a connection's task may receive; `Ready(false)` if it never may again.
    pub(super) fn poll_receive(&mut self, key: ConnKey) -> Poll<bool> {
        match self.slots.of(key) {
            Some(slot) if slot.is(State::NO_MORE) => Poll::Ready(false),
            Some(slot) if slot.is(State::PAUSED) => Poll::Pending,
            Some(_) => Poll::Ready(true),
            None => Poll::Ready(false),
        }
    }

    /// Takes what a socket has. What is more than a bufferful makes the socket readable again, after the others.
    pub(super) fn receive(&mut self, key: ConnKey, socket: BorrowedFd<'_>) {
        self.host.counters.cqes += 1;
        let is_wanted = |slot: &mut Slot| !slot.is(State::NO_MORE.with(State::PAUSED));
        if !self.slots.of(key).is_some_and(is_wanted) {
            return;
        }
        self.begin_turn();
        let Self { host, slots, read_buffer, .. } = self;
        host.counters.enters += 1;
        match recv(socket, &mut **read_buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                if let Some(slot) = slots.of(key) {
                    slot.set(State::FINISHED);
                }
                host.shard.handle_eof(host.now, key, &mut host.fx);
            }
            Ok((len, _)) => {
                host.counters.receives += 1;
                let bytes = &mut read_buffer[..len];
                host.shard.handle_receive(host.now, key, bytes, &mut host.fx);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.on_broken(key),
        }
    }

    /// What a connection's task is to send; `Ready(None)` if it never will again.
    pub(super) fn poll_send(&mut self, key: ConnKey) -> Poll<Option<Lent>> {
        let Some(slot) = self.slots.of(key) else { return Poll::Ready(None) };
        if slot.is(State::ABORTED) {
            return Poll::Ready(None);
        }
        if slot.is(State::BROKEN) || !slot.is(State::FLUSH) {
            return Poll::Pending;
        }
        slot.clear(State::FLUSH);
        let mut out = Transmit::default();
        if !self.host.shard.poll_transmit(key, &mut out) {
            return Poll::Pending;
        }
        Poll::Ready(Some(self.spare.lend(out.slices())))
    }

    /// A send has ended.
    pub(super) fn on_sent(&mut self, key: ConnKey, lent: Lent, result: std::io::Result<usize>) {
        let offered = lent.bytes();
        self.spare.give_back(lent);
        self.host.counters.cqes += 1;
        let is_over = |slot: &mut Slot| slot.is(State::BROKEN.with(State::ABORTED));
        if self.slots.of(key).is_none_or(is_over) {
            return;
        }
        self.begin_turn();
        let host = &mut self.host;
        match result {
            Ok(sent @ 1..) => {
                host.counters.sends += 1;
                host.counters.short_sends += u64::from(sent < offered);
                host.shard.handle_sent(host.now, key, sent, &mut host.fx);
            }
            // Interrupted before the first byte: the same bytes again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {
                host.shard.handle_sent(host.now, key, 0, &mut host.fx);
            }
            Ok(0) | Err(_) => self.on_broken(key),
        }
    }

    /// A connection's task was woken: perhaps to send FIN, or to end what is in flight.
    pub(super) fn on_woken(&mut self, key: ConnKey, socket: BorrowedFd<'_>) {
        let Some(slot) = self.slots.of(key) else { return };
        if slot.is(State::ABORTED) {
            if !slot.is(State::CUT) {
                slot.set(State::CUT);
                self.host.counters.enters += 1;
                // Fails if the connection is gone already, and then nothing waits for it either.
                let _ = shutdown(socket, Shutdown::Both);
            }
        } else if slot.is(State::FIN) {
            slot.clear(State::FIN);
            self.host.counters.enters += 1;
            if shutdown(socket, Shutdown::Write).is_err() {
                self.begin_turn();
                self.on_broken(key);
            }
        }
    }

    /// A receive, send or shutdown failed: the core hears of it once, and answers with an abort.
    fn on_broken(&mut self, key: ConnKey) {
        if let Some(slot) = self.slots.of(key)
            && !slot.is(State::BROKEN.with(State::ABORTED))
        {
            slot.set(State::BROKEN.with(State::FINISHED));
            let host = &mut self.host;
            host.counters.broken += 1;
            host.shard.handle_reset(host.now, key, &mut host.fx);
        }
    }

    /// A connection's task has ended and its socket is closed.
    pub(super) fn on_closed(&mut self, key: ConnKey) {
        self.begin_turn();
        self.slots.close(key);
        let host = &mut self.host;
        host.open -= 1;
        host.shard.handle_closed(host.now, key, &mut host.fx);
        self.accepts.gate.on_file_free(host);
    }
}
