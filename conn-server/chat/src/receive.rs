//! Bytes in: frames are cut out and parsed in place; what must wait is put aside.

use wire::{Command, FrameError, FrameView, HEADER_BYTES, Header, Message, Reject, split_frame};

use crate::conn::{ConnKey, NONE, Phase};
use crate::effects::Effects;
use crate::limits::LOGIN_FRAME_BYTES_MAX;
use crate::shard::Shard;
use crate::time::Now;
use crate::timers::tick_of;

impl Shard {
    /// Bytes arrived. All are taken: what is not a whole frame yet, or may not be handled yet, is put aside.
    pub fn handle_receive(&mut self, now: Now, key: ConnKey, bytes: &mut [u8], fx: &mut Effects) {
        self.counters.bytes_in += bytes.len() as u64;
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.heard = tick_of(now.mono);
        let mut rest = &*bytes;
        if conn.spill != NONE {
            rest = self.complete_torn(now, key, rest, fx);
        }
        let Some(conn) = self.conns.get(key).filter(|conn| conn.is_open()) else { return };
        let used = if conn.spill == NONE && !conn.is_held() {
            self.consume(now, key, rest, 0, fx)
        } else {
            0
        };
        self.put_aside(now, key, rest.get(used..).unwrap_or_default(), fx);
    }

    /// Finishes the frame that was torn by the end of the receive before, and gives what is behind it: only the torn frame
    /// is copied.
    fn complete_torn<'a>(
        &mut self,
        now: Now,
        key: ConnKey,
        bytes: &'a [u8],
        fx: &mut Effects,
    ) -> &'a [u8] {
        let mut rest = bytes;
        while let Some(conn) = self.conns.get(key).filter(|conn| conn.is_open())
            && conn.spill != NONE
            && !conn.is_held()
            && !rest.is_empty()
        {
            let missing = missing_of(self.spills.bytes_of(conn.spill)).min(rest.len());
            let (torn, behind) = rest.split_at(missing);
            rest = behind;
            self.put_aside(now, key, torn, fx);
            self.consume_aside(now, key, rest.len(), fx);
        }
        rest
    }

    /// Handles whole frames until none is left, or the connection must wait or is closed; returns the bytes handled.
    /// `beyond`: bytes known to lie behind these.
    fn consume(
        &mut self,
        now: Now,
        key: ConnKey,
        bytes: &[u8],
        beyond: usize,
        fx: &mut Effects,
    ) -> usize {
        let Some(mut rest) = self.behind_proxy_header(now, key, bytes, fx) else { return 0 };
        while self.conns.get(key).is_some_and(|conn| conn.is_open() && !conn.is_held()) {
            let parsed = match split_frame(rest) {
                Ok(None) if self.is_too_long_for_a_stranger(key, rest) => {
                    Err(FrameError::Oversized)
                }
                Ok(None) => break,
                Ok(Some((frame, after))) => FrameView::parse(frame).map(|view| (view, after)),
                Err(error) => Err(error),
            };
            match parsed.map(|(view, after)| (view.correlation(), view.message(), after)) {
                Ok((correlation, Message::Command(command), after)) => {
                    if let Some(hold) = self.must_wait(key, &command) {
                        self.pause(key, hold, fx);
                        break;
                    }
                    self.behind = (after.len() + beyond) / (rest.len() - after.len());
                    rest = after;
                    self.handle_command(now, key, correlation, command, fx);
                }
                // An event is for a node to send.
                Ok((_, Message::Event(_), _)) => self.violate(now, key, FrameError::Kind, fx),
                Err(error) => self.violate(now, key, error, fx),
            }
        }
        self.behind = 0;
        bytes.len() - rest.len()
    }

    /// Whether somebody who has not logged in has begun a frame that is no login.
    fn is_too_long_for_a_stranger(&self, key: ConnKey, bytes: &[u8]) -> bool {
        let is_stranger = self.conns.get(key).is_some_and(|conn| conn.phase == Phase::Fresh);
        is_stranger
            && matches!(Header::parse(bytes), Ok(Some(header))
                if header.frame_len() > LOGIN_FRAME_BYTES_MAX)
    }

    /// Goes on with what was put aside, and with the peer's FIN if it came behind it.
    pub(crate) fn consume_spill(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        self.consume_aside(now, key, 0, fx);
        let conn = self.conns.get(key).filter(|conn| conn.is_open() && conn.is_eof);
        if conn.is_some_and(|conn| !conn.is_held()) {
            self.close(now, key, wire::CloseReason::PeerClosed, fx);
        }
    }

    fn consume_aside(&mut self, now: Now, key: ConnKey, beyond: usize, fx: &mut Effects) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.is_held() || conn.spill == NONE {
            return;
        }
        let bytes = self.spills.take(conn.spill);
        let mut used = self.consume(now, key, &bytes, beyond, fx);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if !conn.is_open() {
            used = bytes.len();
        }
        self.spills.put_back(&mut conn.spill, bytes, used);
    }

    fn put_aside(&mut self, now: Now, key: ConnKey, bytes: &[u8], fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if bytes.is_empty() || !conn.is_open() {
            return;
        }
        self.counters.spills += 1;
        let is_claiming = conn.phase == Phase::Claiming;
        if !self.spills.append(&mut conn.spill, bytes) {
            self.counters.spill_refused += 1;
            self.close(now, key, wire::CloseReason::Full, fx);
        } else if is_claiming {
            // More can only be handled when the login's answer has come from the user's home.
            self.stop_receiving(key, fx);
        }
    }

    /// A command, parsed: called by `handle_receive`, and by the codecs of the other dialects.
    pub fn handle_command(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        command: Command<'_>,
        fx: &mut Effects,
    ) {
        self.counters.commands += 1;
        let Some(phase) = self.conns.get(key).map(|conn| conn.phase) else { return };
        match (phase, command) {
            (Phase::Fresh, Command::Login(login)) => {
                self.on_login(now, key, correlation, login, fx);
            }
            (Phase::Fresh, command) => {
                // Nothing but login is served before login; one mistake is told, then the connection ends.
                self.reject(now, key, correlation, command.kind(), Reject::NotLoggedIn, fx);
                self.counters.violations += 1;
                self.close(now, key, wire::CloseReason::Violation, fx);
            }
            (Phase::Online, command) => self.on_command(now, key, correlation, command, fx),
            (
                Phase::Free | Phase::Claiming | Phase::Closing | Phase::Lingering | Phase::Aborted,
                _,
            ) => {}
        }
    }

    fn on_command(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        command: Command<'_>,
        fx: &mut Effects,
    ) {
        match command {
            Command::Heartbeat => self.on_heartbeat(now, key, correlation, fx),
            Command::SendText(text) => self.on_send_text(now, key, correlation, text, fx),
            Command::SendRoom(text) => self.on_send_room(now, key, correlation, text, fx),
            Command::Pull(pull) => self.on_pull(now, key, correlation, pull, fx),
            Command::Conversations(query) => {
                self.on_conversations(now, key, correlation, query, fx);
            }
            Command::SendTexts(texts) => self.on_send_texts(now, key, correlation, texts, fx),
            Command::SignalCall(signal) => self.on_signal(now, key, correlation, signal, fx),
            Command::Service(service) => self.on_service(now, key, correlation, service, fx),
            Command::JoinRoom(join) => self.on_join(now, key, correlation, join.room, fx),
            Command::LeaveRoom(leave) => self.on_leave(now, key, correlation, leave.room, fx),
            Command::Logout => self.close(now, key, wire::CloseReason::Logout, fx),
            Command::Login(_) => {
                let kind = command.kind();
                self.reject(now, key, correlation, kind, Reject::AlreadyLoggedIn, fx);
            }
        }
    }

    /// The peer broke the protocol.
    fn violate(&mut self, now: Now, key: ConnKey, error: FrameError, fx: &mut Effects) {
        self.counters.violations += 1;
        self.counters.count_violation(error);
        self.close(now, key, wire::CloseReason::Violation, fx);
    }
}

/// How many bytes the frame that begins here lacks, as far as can be seen: of its header first, then of the rest. At least
/// one: a frame that lacks nothing waits for no bytes, and a wrong one is told so by its next.
fn missing_of(torn: &[u8]) -> usize {
    match Header::parse(torn) {
        Ok(Some(header)) => header.frame_len().saturating_sub(torn.len()).max(1),
        Ok(None) => HEADER_BYTES.saturating_sub(torn.len()).max(1),
        Err(_) => 1,
    }
}
