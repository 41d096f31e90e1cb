//! The end of a connection's life, and whether there is another: cancel, wait for what is in flight, close, dial again.

use std::io;

use io_uring::{opcode, types};

use super::Engine;
use super::conn::State;
use super::limits::{
    CLOSE_STALL_NS_MAX, LOGIN_ATTEMPTS_MAX, LOGIN_BACKOFF_MS, LOGIN_BACKOFF_MS_MAX, STARTS_PER_TURN,
};
use super::tally::{Reason, count};
use super::timers::Alarm;
use super::token::{Op, Token};
use crate::plan::{Phase, Receive};
use crate::schedule::mix;

impl Engine<'_> {
    /// A connection ends, for a reason that is counted.
    pub(super) fn fail(&mut self, index: u32, reason: &Reason, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        let was = conn.state;
        match was {
            State::Absent | State::Closing | State::Gone => return Ok(()),
            State::LoggingOut => self.leaving -= 1, // What it asked for.
            State::Ready => {
                self.established -= 1;
                self.recorder.connections(now_ns, u64::from(self.established));
                count(&mut self.tally.disconnects, reason);
            }
            State::Asked | State::Dialling | State::LoggingIn | State::Settling => {
                self.arriving -= 1;
                count(&mut self.tally.login_failures, reason);
            }
        }
        let told_ms =
            if let Reason::Goodbye(_, wait_ms) = reason { u64::from(*wait_ms) } else { 0 };
        self.conns[index as usize].again_ms = self.again_ms(index, was, told_ms);
        self.close(index, now_ns)
    }

    /// How long to wait before this connection is dialled again; `None` if it is not.
    fn again_ms(&mut self, index: u32, was: State, told_ms: u64) -> Option<u32> {
        let is_closing = matches!(self.phase, Phase::Close | Phase::Done);
        let may_return = self.plan.options.reconnect;
        let conn = &mut self.conns[index as usize];
        if is_closing || (conn.is_veteran && !may_return) {
            return None;
        }
        conn.login_attempts = conn.login_attempts.saturating_add(1);
        // A ramp gives up; whoever was here before comes back as soon as the node does.
        if !conn.is_veteran && conn.login_attempts >= LOGIN_ATTEMPTS_MAX {
            return None;
        }
        let doublings = u32::from(conn.login_attempts.saturating_sub(1)).min(16);
        let backoff_ms = (LOGIN_BACKOFF_MS << doublings).min(LOGIN_BACKOFF_MS_MAX);
        // The first return is spread too: all of a node's clients lose it at the same moment.
        let spread =
            mix(u64::from(index) << 32 | u64::from(conn.generation)) % (backoff_ms / 2 + 1);
        let wait_ms = if was == State::Ready { spread } else { backoff_ms / 2 + spread };
        u32::try_from(wait_ms.max(told_ms)).ok()
    }

    /// Ends what is in flight, then closes.
    pub(super) fn close(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        conn.state = State::Closing;
        conn.dial = None;
        conn.is_swept = false;
        let generation = conn.generation;
        let receive = match self.plan.options.receive {
            Receive::Armed => Op::Recv,
            Receive::Polled => Op::Poll,
        };
        // A read of polled bytes never waits, so it needs no cancel.
        let flying = [(conn.is_receiving, receive), (conn.out.is_sending, Op::Send)];
        for (_, op) in flying.into_iter().filter(|(is_flying, _)| *is_flying) {
            // By its token: the kernel finds that at once, but looks for a socket's operations among those of all.
            let token = Token { op, generation, index }.encode();
            self.start(index, Op::Cancel, opcode::AsyncCancel::new(token).build())?;
        }
        self.close_when_quiet(index, now_ns)
    }

    /// A cancel is done. If it found nothing although something is in flight, the socket itself is searched for.
    pub(super) fn on_cancelled(&mut self, index: u32, result: i32) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        let is_lost = result == -libc::ENOENT && conn.ops > 0 && conn.has_socket;
        if !is_lost || std::mem::replace(&mut conn.is_swept, true) {
            return Ok(());
        }
        let fd = types::Fixed(self.rings.slot(index));
        let all = types::CancelBuilder::fd(fd).all();
        self.start(index, Op::Cancel, opcode::AsyncCancel2::new(all).build())
    }

    /// A closing connection has nothing in flight: close its socket, or it is closed.
    pub(super) fn close_when_quiet(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        if conn.state != State::Closing || conn.ops > 0 {
            return Ok(());
        }
        if std::mem::replace(&mut conn.has_socket, false) {
            let fd = types::Fixed(self.rings.slot(index));
            return self.start(index, Op::Close, opcode::Close::new(fd).build());
        }
        self.on_closed(index, now_ns);
        Ok(())
    }

    fn on_closed(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        self.pool.clear(&mut conn.out);
        match conn.again_ms.take() {
            Some(wait_ms) if self.phase != Phase::Close => {
                conn.state = State::Absent;
                let due_ns = now_ns + u64::from(wait_ms) * 1_000_000;
                self.timers.set(due_ns, Alarm::Dial { index });
            }
            Some(_) | None => self.on_gone(index),
        }
    }

    /// Nothing more can be expected of this connection, and nothing is owed to it.
    fn on_gone(&mut self, index: u32) {
        self.conns[index as usize].state = State::Gone;
        self.gone += 1;
        if self.phase == Phase::Close {
            return;
        }
        let streams = [self.fleet.pair_stream_of(index), self.fleet.room_stream_of(index)];
        for stream in streams.into_iter().flatten() {
            self.ledger.left(stream, index);
        }
        while let Some(id) = self.flights.first(index) {
            self.flights.remove(id);
            self.speech.on_completed(1);
        }
    }

    /// Closes every connection without a goodbye, and waits until its socket is closed: when the run is over, nothing of it
    /// is left at the server's other end, or of its operations in the kernel, which finds many of them one by one only by
    /// their tokens.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        let end_ns = self.clock.now_ns() + CLOSE_STALL_NS_MAX;
        let mut next = 0;
        while self.gone < self.plan.connections {
            let now_ns = self.clock.now_ns();
            if now_ns >= end_ns {
                break;
            }
            for _ in 0..STARTS_PER_TURN {
                let index = next;
                let Some(conn) = self.conns.get_mut(index as usize) else { break };
                next += 1;
                conn.again_ms = None;
                match conn.state {
                    State::Closing | State::Gone => {}
                    State::Absent | State::Asked => self.on_gone(index),
                    State::Dialling
                    | State::LoggingIn
                    | State::Settling
                    | State::Ready
                    | State::LoggingOut => self.close(index, now_ns)?,
                }
            }
            let has_more = (next as usize) < self.conns.len();
            self.turn(if has_more { now_ns } else { end_ns })?;
        }
        Ok(())
    }
}
