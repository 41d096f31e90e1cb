//! Bytes in and out: sends, receives, and what their completions mean.

use std::io;

use io_uring::{opcode, types};
use wire::Reject;

use super::Engine;
use super::conn::State;
use super::ear::{Ear, is_of_text};
use super::ring::{BUFFER_GROUP, Completion};
use super::send_pool::Writer;
use super::tally::Reason;
use super::timers::Alarm;
use super::token::{GENERATION_MASK, Op, Token};
use crate::plan::Receive;

/// What a session is entered with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// Bytes in a receive buffer.
    Received { ring: usize, buffer: u16, len: usize },
    /// Its time has come.
    Timeout,
}

impl Engine<'_> {
    /// Lists a connection for sending, if it has something and nothing is in flight.
    pub(super) fn list(&mut self, index: u32) {
        let out = &mut self.conns[index as usize].out;
        if !out.is_empty() && !out.is_sending && !out.is_listed {
            out.is_listed = true;
            self.to_flush.push(index);
        }
    }

    /// Starts the send of every listed connection.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(index) = self.to_flush.pop() {
            let conn = &mut self.conns[index as usize];
            conn.out.is_listed = false;
            if !conn.state.is_open() || conn.out.is_sending {
                continue;
            }
            if let Some((start, len)) = self.pool.next(&conn.out) {
                conn.out.is_sending = true;
                let fd = types::Fixed(self.rings.slot(index));
                let send = opcode::Send::new(fd, start, len);
                // No signal for a broken pipe; the kernel itself goes on after a short write.
                let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
                self.start(index, Op::Send, send.flags(flags).build())?;
            }
        }
        Ok(())
    }

    /// Starts the receive of a connection: it goes on until it is told otherwise.
    pub(super) fn arm(&mut self, index: u32) -> io::Result<()> {
        self.conns[index as usize].is_receiving = true;
        let fd = types::Fixed(self.rings.slot(index));
        match self.plan.options.receive {
            Receive::Armed => {
                self.start(index, Op::Recv, opcode::RecvMulti::new(fd, BUFFER_GROUP).build())
            }
            Receive::Polled => {
                let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
                self.start(index, Op::Poll, opcode::PollAdd::new(fd, events).multi(true).build())
            }
        }
    }

    /// Receives that had no buffer are started again. In each turn as many of a ring as it has buffers: all at once would
    /// mostly run dry again, for each arrival of one of them.
    pub(super) fn feed_starved(&mut self) -> io::Result<()> {
        for at in 0..self.starved.len() {
            // While completions wait, so do the buffers that they fill.
            if self.starved[at].is_empty() || self.rings.ring(at).has_completions() {
                continue;
            }
            let (buffers, _) = self.rings.ring(at).buffers();
            for _ in 0..buffers {
                let Some(index) = self.starved[at].pop_front() else { break };
                let conn = &self.conns[index as usize];
                let (is_open, is_receiving) = (conn.state.is_open(), conn.is_receiving);
                match self.plan.options.receive {
                    Receive::Armed if is_open && !is_receiving => self.arm(index)?,
                    Receive::Polled if is_open => self.read(index)?,
                    Receive::Armed | Receive::Polled => {}
                }
            }
        }
        Ok(())
    }

    /// Handles one completion.
    pub(super) fn on_completion(
        &mut self,
        ring: usize,
        completion: Completion,
        now_ns: u64,
    ) -> io::Result<()> {
        let token = Token::decode(completion.user_data);
        let token = token.filter(|token| {
            let conn = self.conns.get(token.index as usize);
            conn.is_some_and(|conn| conn.generation & GENERATION_MASK == token.generation)
        });
        let Some(Token { op, index, .. }) = token else {
            // Of a life that is over. Its buffer is ours all the same.
            if let Some(buffer) = completion.buffer() {
                self.rings.ring(ring).recycle(buffer);
            }
            return Ok(());
        };
        if !completion.has_more() {
            self.conns[index as usize].ops -= 1;
        }
        match op {
            Op::Recv => self.on_recv(ring, index, completion, now_ns)?,
            Op::Send => self.on_sent(index, completion.result, now_ns)?,
            Op::Poll => self.on_polled(index, completion, now_ns)?,
            Op::Read => self.on_read(ring, index, completion, now_ns)?,
            Op::Socket | Op::NoDelay | Op::NoPort | Op::Bind | Op::Connect => {
                self.on_step(op, index, completion.result, now_ns)?;
            }
            Op::Cancel => self.on_cancelled(index, completion.result)?,
            Op::Close => {}
        }
        self.close_when_quiet(index, now_ns)
    }

    fn on_step(&mut self, op: Op, index: u32, result: i32, now_ns: u64) -> io::Result<()> {
        if result >= 0 {
            if op == Op::Socket {
                self.conns[index as usize].has_socket = true;
            }
            if self.conns[index as usize].state != State::Dialling {
                return Ok(());
            }
            return self.on_dialled(op, index, now_ns);
        }
        let what = match op {
            Op::Socket => "socket",
            Op::Bind | Op::NoPort => "bind",
            Op::NoDelay
            | Op::Connect
            | Op::Recv
            | Op::Send
            | Op::Cancel
            | Op::Close
            | Op::Poll
            | Op::Read => "connect",
        };
        self.fail(index, &Reason::Failed(what, -result), now_ns)
    }

    fn on_sent(&mut self, index: u32, result: i32, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        conn.out.is_sending = false;
        match u32::try_from(result) {
            Ok(bytes) => {
                self.pool.sent(&mut conn.out, bytes);
                self.list(index);
                Ok(())
            }
            Err(_) if result == -libc::ECANCELED => Ok(()),
            Err(_) => self.fail(index, &Reason::Failed("send", -result), now_ns),
        }
    }

    fn on_recv(
        &mut self,
        ring: usize,
        index: u32,
        completion: Completion,
        now_ns: u64,
    ) -> io::Result<()> {
        self.conns[index as usize].is_receiving &= completion.has_more();
        self.hear(ring, index, completion, now_ns)?;
        // Entering may have closed it.
        if !self.conns[index as usize].state.is_open() {
            return Ok(());
        }
        match completion.result {
            0 => self.fail(index, &Reason::Eof, now_ns),
            error if error == -libc::ENOBUFS => {
                self.tally.enobufs += 1;
                self.starved[ring].push_back(index);
                Ok(())
            }
            error if error < 0 => self.fail(index, &Reason::Failed("receive", -error), now_ns),
            _ if completion.has_more() => Ok(()),
            // Any receive may be the last of its kind, good bytes or not.
            _ => self.arm(index),
        }
    }

    /// Lets the session have what is in a completion's buffer, and gives the buffer back.
    pub(super) fn hear(
        &mut self,
        ring: usize,
        index: u32,
        completion: Completion,
        now_ns: u64,
    ) -> io::Result<()> {
        let Some(buffer) = completion.buffer() else { return Ok(()) };
        let is_open = self.conns[index as usize].state.is_open();
        let heard = match usize::try_from(completion.result) {
            Ok(len) if len > 0 && is_open => {
                self.enter(index, Entry::Received { ring, buffer, len }, now_ns)
            }
            Ok(_) | Err(_) => Ok(()),
        };
        self.rings.ring(ring).recycle(buffer);
        heard
    }

    /// Enters a session, and does what it tells.
    pub(super) fn enter(&mut self, index: u32, entry: Entry, now_ns: u64) -> io::Result<()> {
        let is_closed_loop = self.is_closed_loop();
        let conn = &mut self.conns[index as usize];
        self.told.clear();
        let mut ear = Ear {
            now_ns,
            index,
            run_tag: self.run_tag,
            is_closed_loop,
            is_acked_by_delivery: self.plan.options.no_acks,
            may_be_own: conn.generation > 1 || conn.session.counters().gaps > 0,
            fleet: &self.fleet,
            ledger: &mut self.ledger,
            recorder: &mut self.recorder,
            flights: &mut self.flights,
            told: &mut self.told,
        };
        let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
        let now_ms = now_ns / 1_000_000;
        let heard = match entry {
            Entry::Received { ring, buffer, len } => {
                let bytes = self.rings.ring(ring).received(buffer, len);
                conn.session.receive(now_ms, bytes, &mut writer, &mut ear)
            }
            Entry::Timeout => {
                conn.session.handle_timeout(now_ms, &mut writer, &mut ear);
                Ok(())
            }
        };
        self.list(index);
        self.tally.gaps += u64::from(self.told.gaps);
        self.speech.on_completed(self.told.completed);
        self.do_as_told(index, now_ns)?;
        match heard {
            Ok(()) => Ok(()),
            Err(broken) => self.fail(index, &Reason::Broken(broken), now_ns),
        }
    }

    fn do_as_told(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        if let Some(welcome) = self.told.welcome.take() {
            self.on_welcome(index, &welcome, now_ns)?;
        }
        if std::mem::take(&mut self.told.is_taken) {
            self.on_taken(index, now_ns)?;
        }
        if std::mem::take(&mut self.told.has_joined) {
            self.on_joined(index, now_ns)?;
        }
        if let Some(end) = self.told.page_end.take() {
            self.on_page_end(index, &end, now_ns)?;
        }
        let rejected = std::mem::take(&mut self.told.rejected);
        for rejected in &rejected {
            if is_of_text(rejected) {
                self.on_refused(index, rejected, now_ns);
            } else if self.conns[index as usize].state == State::Settling {
                self.fail(index, &Reason::Rejected(rejected.reject), now_ns)?;
            }
        }
        self.told.rejected = rejected;
        if self.told.has_beaten {
            self.on_beat_answered(index, now_ns);
        }
        if self.told.has_acks && self.plan.options.serial {
            self.say_next(index, now_ns);
        }
        self.watch_gaps(index, now_ns);
        // Whoever asked for the goodbye waits for the node's FIN, which is on its way: it ends the receive, where a close
        // of our own would have to cancel it.
        let is_leaving = self.conns[index as usize].state == State::LoggingOut;
        if let Some((code, wait_ms)) = self.told.goodbye.take().filter(|_| !is_leaving) {
            self.fail(index, &Reason::Goodbye(code, wait_ms), now_ns)?;
        }
        Ok(())
    }

    /// A session that is pulling what it misses wants to be entered before its next heartbeat.
    fn watch_gaps(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if conn.has_repair_timer {
            return;
        }
        let (timeout, heartbeat) = (conn.session.poll_timeout(), conn.session.heartbeat_due_ms());
        if let Some(due_ms) = timeout.filter(|due_ms| heartbeat.is_some_and(|beat| *due_ms < beat))
        {
            conn.has_repair_timer = true;
            self.timers.set((due_ms * 1_000_000).max(now_ns), Alarm::Repair { index });
        }
    }

    /// Whether a refused message may be tried again.
    pub(super) fn is_retryable(code: u8) -> bool {
        Reject::from_code(code).is_some_and(Reject::is_retryable)
    }
}
