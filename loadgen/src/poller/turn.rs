//! One turn of the loop: what is due, what is to be sent, then what the sockets have.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Poller;
use super::alarms::Alarm;
use super::conn::{Sent, Stage};
use super::limits::{GRANT_LOOK_NS, SLEEP_NS_MAX, SPIN_NS, STARTED_PER_TURN};
use super::listen::{Heard, Listener, is_about_message};
use super::reason::Reason;
use super::sockets::{Interest, Ready};

/// Why a session is entered.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// So many bytes of the read buffer have come.
    Bytes(usize),
    /// Its own time has come.
    Alarm,
}

impl Poller<'_> {
    /// One turn; sleeps until `wake_ns` at the latest.
    pub(super) fn turn(&mut self, wake_ns: u64) -> io::Result<()> {
        let now_ns = self.clock.now_ns();
        self.ring(now_ns)?;
        self.take_grants(now_ns);
        let has_more_to_say = self.speak();
        self.flush();
        self.await_sockets(has_more_to_say, wake_ns)?;
        self.handle_ready()?;
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let totals = self.ledger.totals();
        self.watch.established.store(self.established, Relaxed);
        self.watch.sent.store(totals.sent, Relaxed);
        self.watch.acked.store(totals.acked, Relaxed);
        self.watch.delivered.store(totals.delivered, Relaxed);
    }

    /// Does what the alarms say whose time has come.
    fn ring(&mut self, now_ns: u64) -> io::Result<()> {
        for _ in 0..STARTED_PER_TURN {
            let Some(alarm) = self.alarms.ring(now_ns) else { break };
            match alarm {
                Alarm::Ask { index } => {
                    if self.conns[index as usize].stage == Stage::Out {
                        self.ask(index, now_ns);
                    }
                }
                Alarm::Beat { index, life } => self.beat(index, life, now_ns),
                Alarm::Retry { sender, message } => self.retry(sender, message, now_ns),
                Alarm::Repair { index } => {
                    let conn = &mut self.conns[index as usize];
                    conn.has_repair_alarm = false;
                    if conn.stage == Stage::Ready {
                        self.enter(index, Entry::Alarm, now_ns)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a connection's heartbeat if it is due, and sets the alarm for the next.
    fn beat(&mut self, index: u32, life: u32, now_ns: u64) {
        let now_ms = now_ns / 1_000_000;
        let conn = &mut self.conns[index as usize];
        if conn.stage != Stage::Ready || conn.life != life {
            return;
        }
        if conn.session.is_silent(now_ms) {
            return self.fail(index, &Reason::Silent, now_ns);
        }
        let is_first = !std::mem::replace(&mut conn.has_beaten, true);
        let is_due = conn.session.heartbeat_due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if is_first || is_due {
            let is_sent = conn.session.heartbeat(now_ms, &mut conn.out).is_ok();
            self.heartbeats += u64::from(is_sent);
        }
        if let Some(due_ms) = conn.session.heartbeat_due_ms() {
            self.alarms.set(due_ms * 1_000_000, Alarm::Beat { index, life });
        }
        self.list(index);
    }

    /// Lists a connection that has something to send, unless its socket has no room.
    pub(super) fn list(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        conn.count_bytes(&mut self.waiting_bytes);
        if conn.has_bytes() && !conn.is_blocked && !conn.is_listed {
            conn.is_listed = true;
            self.to_send.push(index);
        }
    }

    /// Sends what every listed connection has.
    fn flush(&mut self) {
        let mut to_send = std::mem::take(&mut self.to_send);
        for index in to_send.drain(..) {
            self.conns[index as usize].is_listed = false;
            self.send_waiting(index);
        }
        // A failed send lists nobody.
        self.to_send = to_send;
    }

    fn send_waiting(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        if !conn.stage.is_connected() {
            return;
        }
        let sent = conn.send();
        conn.count_bytes(&mut self.waiting_bytes);
        let watched = match sent {
            Err(errno) => Err(("send", errno)),
            Ok(sent) => {
                let was_blocked = std::mem::replace(&mut conn.is_blocked, sent == Sent::Blocked);
                let interest =
                    if conn.is_blocked { Interest::BytesAndRoom } else { Interest::Bytes };
                match &conn.socket {
                    Some(socket) if was_blocked != conn.is_blocked => {
                        self.sockets.watch(socket.as_fd(), conn.tag(index), interest)
                    }
                    Some(_) | None => Ok(()),
                }
            }
        };
        if let Err((call, errno)) = watched {
            self.fail(index, &Reason::Call(call, errno), self.clock.now_ns());
        }
    }

    /// Waits until something is ready or due. In front of a due send it does not sleep but looks again and again, since
    /// waking up takes longer than what is left.
    fn await_sockets(&mut self, is_urgent: bool, wake_ns: u64) -> io::Result<()> {
        self.sockets.look(&mut self.ready)?;
        if is_urgent || !self.ready.is_empty() {
            return Ok(());
        }
        let now_ns = self.clock.now_ns();
        let due_ns = self.talk.due_ns().unwrap_or(u64::MAX);
        let until_ns = self.sleep_until_ns(now_ns, wake_ns).min(due_ns.saturating_sub(SPIN_NS));
        if until_ns > now_ns {
            self.sockets.sleep(until_ns - now_ns)?;
            return self.sockets.look(&mut self.ready);
        }
        if due_ns.saturating_sub(SPIN_NS) > now_ns {
            return Ok(()); // An alarm is what is due.
        }
        let mut at_ns = now_ns;
        while at_ns < due_ns && self.ready.is_empty() {
            self.sockets.look(&mut self.ready)?;
            at_ns = self.clock.now_ns();
        }
        self.spin_ns += at_ns - now_ns;
        Ok(())
    }

    fn sleep_until_ns(&self, now_ns: u64, wake_ns: u64) -> u64 {
        let alarm_ns = self.alarms.first_ns().unwrap_or(u64::MAX);
        let most_ns = if self.asked > 0 { GRANT_LOOK_NS } else { SLEEP_NS_MAX };
        wake_ns.min(alarm_ns).min(now_ns + most_ns)
    }

    /// Handles what is ready; messages that become due meanwhile are said between two sockets.
    fn handle_ready(&mut self) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        for event in ready.drain(..) {
            let now_ns = self.on_ready(event)?;
            if self.talk.due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                self.speak();
                self.flush();
            }
        }
        self.ready = ready;
        Ok(())
    }

    /// Handles one socket and returns the time at its end.
    fn on_ready(&mut self, event: Ready) -> io::Result<u64> {
        let index = event.tag as u32;
        let now_ns = self.clock.now_ns();
        let Some(conn) = self.conns.get(index as usize).filter(|conn| conn.tag(index) == event.tag)
        else {
            return Ok(now_ns); // Of a life that is over.
        };
        if conn.stage == Stage::Connecting {
            self.on_connected(index, now_ns);
            return Ok(now_ns);
        }
        if event.is_writable {
            self.send_waiting(index);
        }
        if event.is_readable { self.read(index) } else { Ok(now_ns) }
    }

    fn read(&mut self, index: u32) -> io::Result<u64> {
        let Some(socket) = &self.conns[index as usize].socket else {
            return Ok(self.clock.now_ns());
        };
        let read = recv(socket.as_fd(), &mut self.read_buffer[..], RecvFlags::empty());
        let now_ns = self.clock.now_ns();
        match read {
            Ok((0, _)) => self.fail(index, &Reason::Eof, now_ns),
            Ok((count, _)) => self.enter(index, Entry::Bytes(count), now_ns)?,
            Err(Errno::AGAIN | Errno::INTR) => {} // It is ready again when there is something.
            Err(errno) => self.fail(index, &Reason::Call("receive", errno), now_ns),
        }
        Ok(now_ns)
    }

    /// Enters a session and does what came of it.
    fn enter(&mut self, index: u32, entry: Entry, now_ns: u64) -> io::Result<()> {
        let is_closed_loop = self.is_closed_loop();
        let conn = &mut self.conns[index as usize];
        let mut heard = Heard::default();
        let mut listener = Listener {
            now_ns,
            index,
            run_tag: self.run_tag,
            is_closed_loop,
            may_be_own: conn.life > 0 || conn.session.counters().gaps > 0,
            fleet: &self.fleet,
            ledger: &mut self.ledger,
            recorder: &mut self.recorder,
            unanswered: &mut self.unanswered,
            heard: &mut heard,
        };
        let now_ms = now_ns / 1_000_000;
        let (session, out) = (&mut conn.session, &mut conn.out);
        let taken = match entry {
            Entry::Bytes(count) => {
                let bytes = &self.read_buffer[..count];
                session.receive(now_ms, bytes, out, |notice| listener.notice(notice))
            }
            Entry::Alarm => {
                session.handle_timeout(now_ms, out, |notice| listener.notice(notice));
                Ok(())
            }
        };
        self.list(index);
        self.gaps += u64::from(heard.gaps);
        self.talk.on_settled(heard.settled);
        self.follow_up(index, &heard, now_ns)?;
        if let Err(broken) = taken {
            self.fail(index, &Reason::Broken(broken), now_ns);
        }
        Ok(())
    }

    fn follow_up(&mut self, index: u32, heard: &Heard, now_ns: u64) -> io::Result<()> {
        if let Some(welcome) = &heard.welcome {
            self.on_welcome(index, welcome, now_ns)?;
        }
        if heard.is_in_room {
            self.on_joined(index, now_ns);
        }
        if let Some(end) = &heard.page_end {
            self.on_page_end(index, end, now_ns);
        }
        for refusal in &heard.refusals {
            if is_about_message(refusal) {
                self.on_refused(index, refusal, now_ns);
            } else if self.conns[index as usize].stage == Stage::Settling {
                self.fail(index, &Reason::Rejected(refusal.reject), now_ns);
            }
        }
        if heard.is_answered && self.plan.options.serial {
            self.say_next(index, now_ns);
        }
        self.set_repair_alarm(index, now_ns);
        if let Some((code, wait_ms)) = heard.goodbye {
            self.fail(index, &Reason::Goodbye(code, wait_ms), now_ns);
        }
        Ok(())
    }

    /// A session that misses messages wants to be entered before its next heartbeat.
    fn set_repair_alarm(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        let (wanted, beat) = (conn.session.poll_timeout(), conn.session.heartbeat_due_ms());
        if conn.has_repair_alarm || wanted >= beat {
            return;
        }
        if let Some(at_ms) = wanted {
            conn.has_repair_alarm = true;
            self.alarms.set((at_ms * 1_000_000).max(now_ns), Alarm::Repair { index });
        }
    }
}
