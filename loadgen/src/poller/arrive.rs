//! From leave to log in to a session that says and hears.

use std::io;
use std::os::fd::AsFd;

use wire::{ConversationId, ConversationsEnd, Seq, Welcome};

use super::Poller;
use super::alarms::Alarm;
use super::conn::Stage;
use super::limits::{GRANT_LOOK_NS, GRANTS_ASKED_MAX, STARTED_PER_TURN};
use super::reason::Reason;
use super::sockets::{self, Interest};
use crate::plan::{Grant, Load};
use crate::schedule::mix;

/// Conversations asked for at a time.
const PAGE: u16 = wire::limits::PAGE_ITEMS_MAX;

impl Poller<'_> {
    /// Asks for a connection's leave to log in, or a moment later if too many have asked.
    pub(super) fn ask(&mut self, index: u32, now_ns: u64) {
        if self.asked >= GRANTS_ASKED_MAX {
            self.alarms.set(now_ns + GRANT_LOOK_NS, Alarm::Ask { index });
            return;
        }
        self.conns[index as usize].stage = Stage::Asked;
        self.asked += 1;
        self.grants.request(index);
    }

    /// Uses the grants that are there.
    pub(super) fn take_grants(&mut self, now_ns: u64) {
        for _ in 0..STARTED_PER_TURN {
            if self.asked == 0 {
                return;
            }
            match self.grants.poll() {
                None => return,
                Some(Ok(grant)) if self.has_asked(grant.index) => {
                    self.asked -= 1;
                    self.dial(grant, now_ns);
                }
                Some(Err((index, why))) if self.has_asked(index) => {
                    self.asked -= 1;
                    self.fail(index, &Reason::NoGrant(why), now_ns);
                }
                Some(Ok(_) | Err(_)) => {} // Nobody waits for it any more.
            }
        }
    }

    fn has_asked(&self, index: u32) -> bool {
        self.conns.get(index as usize).is_some_and(|conn| conn.stage == Stage::Asked)
    }

    fn dial(&mut self, grant: Grant, now_ns: u64) {
        let Grant { index, user, address, token } = grant;
        self.ledger.set_user(index, user);
        // Neighbours have different sources, so that each pair of addresses has an equal share.
        let sources = &self.plan.sources;
        let source = sources.get(index as usize % sources.len().max(1)).copied();
        let conn = &mut self.conns[index as usize];
        conn.stage = Stage::Connecting;
        match self.sockets.dial(address, source, conn.tag(index)) {
            Ok(socket) => {
                conn.socket = Some(socket);
                conn.token = token;
            }
            Err((call, errno)) => self.fail(index, &Reason::Call(call, errno), now_ns),
        }
    }

    /// The socket is connected, or cannot be: in the first case the login goes out.
    pub(super) fn on_connected(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        let Some(socket) = &conn.socket else { return };
        let watched = sockets::connected(socket.as_fd())
            .and_then(|()| self.sockets.watch(socket.as_fd(), conn.tag(index), Interest::Bytes));
        if let Err((call, errno)) = watched {
            return self.fail(index, &Reason::Call(call, errno), now_ns);
        }
        if conn.life > 0 {
            conn.session.reconnect();
        }
        conn.stage = Stage::LoggingIn;
        let token = std::mem::take(&mut conn.token);
        if conn.session.login(now_ns / 1_000_000, &token, &mut conn.out).is_err() {
            let why = "the token is too long".to_owned();
            return self.fail(index, &Reason::NoGrant(why), now_ns);
        }
        self.list(index);
    }

    /// The session is open: what else must be known before it is ready.
    pub(super) fn on_welcome(
        &mut self,
        index: u32,
        welcome: &Welcome,
        now_ns: u64,
    ) -> io::Result<()> {
        let most = welcome.body_bytes_max as usize;
        let is_silent = self.plan.load == Load::None && self.plan.options.prime == 0;
        if !is_silent && self.plan.body_bytes > most {
            let why = format!("the node takes texts of at most {most} bytes: use a smaller --size");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let stream = self.fleet.room_stream_of(index);
        let room = stream.and_then(|stream| self.fleet.room_id(self.plan.run_id, stream));
        let now_ms = now_ns / 1_000_000;
        let conn = &mut self.conns[index as usize];
        conn.stage = Stage::Settling;
        conn.needs_room = room.is_some();
        conn.needs_list = self.plan.options.reconnect;
        if let Some(room) = room {
            let _ = conn.session.join(now_ms, room, &mut conn.out); // An open session takes commands.
        }
        if conn.needs_list {
            let first = ConversationId::default();
            let _ = conn.session.conversations(now_ms, first, PAGE, &mut conn.out); // As above.
        }
        self.list(index);
        self.settle_in(index, now_ns);
        Ok(())
    }

    pub(super) fn on_joined(&mut self, index: u32, now_ns: u64) {
        if let Some(stream) = self.fleet.room_stream_of(index) {
            self.ledger.joined(stream, index);
        }
        self.conns[index as usize].needs_room = false;
        self.settle_in(index, now_ns);
    }

    /// A page of conversations is over: the next one, or all are known.
    pub(super) fn on_page_end(&mut self, index: u32, end: &ConversationsEnd, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        conn.needs_list = end.is_complete == 0;
        if conn.needs_list {
            let now_ms = now_ns / 1_000_000;
            let _ = conn.session.conversations(now_ms, end.next, PAGE, &mut conn.out); // It is open.
            self.list(index);
        }
        self.settle_in(index, now_ns);
    }

    /// Ready, unless something is still missing.
    fn settle_in(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        if conn.stage != Stage::Settling || conn.needs_room || conn.needs_list {
            return;
        }
        conn.stage = Stage::Ready;
        conn.attempts = 0;
        self.logins += 1;
        let is_back = std::mem::replace(&mut conn.was_ready, true);
        self.established += 1;
        self.recorder.connections(now_ns, u64::from(self.established));
        if self.is_churning() {
            return self.come_again(index, now_ns);
        }
        self.set_first_beat(index, now_ns);
        if is_back {
            self.say_again(index, now_ns);
        }
    }

    /// The first heartbeat comes at a random moment of the first interval, so that a ramp makes no waves.
    fn set_first_beat(&mut self, index: u32, now_ns: u64) {
        let conn = &mut self.conns[index as usize];
        conn.has_beaten = false;
        let Some(due_ms) = conn.session.heartbeat_due_ms() else { return };
        let interval_ns = (due_ms * 1_000_000).saturating_sub(now_ns).max(1);
        let first_ns = now_ns + mix(self.plan.seed ^ u64::from(index)) % interval_ns;
        self.alarms.set(first_ns, Alarm::Beat { index, life: conn.life });
    }

    /// Everybody is ready and nothing is said yet: a private conversation that the node does not know begins with its
    /// first message. Without this, one that is lost before any other is heard would never be missed.
    pub(super) fn follow_from_the_start(&mut self) {
        for stream in 0..self.fleet.pairs() {
            let Some(conversation) = self.ledger.conversation(stream) else { continue };
            for index in self.fleet.members(stream) {
                let session = &mut self.conns[index as usize].session;
                if !session.cursors().any(|(known, _)| known == conversation) {
                    session.resume(conversation, Seq(0));
                }
            }
        }
    }
}
