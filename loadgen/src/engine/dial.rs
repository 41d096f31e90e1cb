//! From a grant to a session: socket, options, source address, connection, login, room.
//!
//! Each step is an operation of the ring on a direct descriptor, started by the completion of the one before; no
//! descriptor of the process is used.

use std::io;
use std::net::SocketAddrV4;
use std::ptr::from_ref;

use io_uring::{opcode, squeue, types};
use wire::{ConversationId, Welcome};

use super::Engine;
use super::conn::{Dial, State};
use super::limits::{ARRIVING_MAX, ARRIVING_POLL_NS, ASKED_MAX, GRANT_POLL_NS};
use super::send_pool::Writer;
use super::tally::Reason;
use super::timers::Alarm;
use super::token::{Op, Token};
use crate::plan::Grant;

/// Not in libc's constants for this target: bind an address without taking a port, so that each connection to another
/// destination may have the same port.
const IP_BIND_ADDRESS_NO_PORT: libc::c_int = 24;

/// The value of every option that is switched on. A static: the kernel reads it when it likes.
static ON: libc::c_int = 1;

/// Conversations asked for at a time.
const PAGE: u16 = wire::limits::PAGE_ITEMS_MAX;

impl Engine<'_> {
    /// Asks for the grant of a connection, or soon, if too many are asked for already.
    pub(super) fn ask(&mut self, index: u32, now_ns: u64) {
        let is_crowded = self.arriving >= ARRIVING_MAX;
        if is_crowded || self.asked >= ASKED_MAX {
            let wait_ns = if is_crowded { ARRIVING_POLL_NS } else { GRANT_POLL_NS };
            self.timers.set(now_ns + wait_ns, Alarm::Dial { index });
            return;
        }
        self.conns[index as usize].state = State::Asked;
        self.asked += 1;
        self.arriving += 1;
        self.grants.request(index);
    }

    /// Takes the grants that are there.
    pub(super) fn take_grants(&mut self, now_ns: u64) -> io::Result<()> {
        for _ in 0..super::limits::STARTS_PER_TURN {
            if self.asked == 0 {
                break;
            }
            match self.grants.poll() {
                None => break,
                Some(Ok(grant)) => self.dial(grant)?,
                Some(Err((index, reason))) => {
                    if self.is_asked(index) {
                        self.asked -= 1;
                        self.fail(index, &Reason::Grant(reason), now_ns)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_asked(&self, index: u32) -> bool {
        self.conns.get(index as usize).is_some_and(|conn| conn.state == State::Asked)
    }

    fn dial(&mut self, grant: Grant) -> io::Result<()> {
        let index = grant.index;
        if !self.is_asked(index) {
            return Ok(()); // Nobody asked for it, or the run is closing.
        }
        self.asked -= 1;
        self.ledger.set_user(index, grant.user);
        let sources = &self.plan.sources;
        // Neighbours get different sources, so that each pair of addresses has an equal share.
        let source = sources.get(index as usize % sources.len().max(1));
        let conn = &mut self.conns[index as usize];
        conn.generation = conn.generation.wrapping_add(1);
        conn.state = State::Dialling;
        conn.dial = Some(Box::new(Dial {
            token: grant.token,
            remote: address(grant.address),
            local: address(SocketAddrV4::new(
                source.copied().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
                0,
            )),
        }));
        let slot = types::DestinationSlot::try_from_slot_target(self.rings.slot(index))
            .map_err(|_| io::Error::other("a slot lies within its table"))?;
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP);
        self.start(index, Op::Socket, socket.file_index(Some(slot)).build())
    }

    /// Starts an operation of a connection.
    pub(super) fn start(&mut self, index: u32, op: Op, entry: squeue::Entry) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        let token = Token { op, generation: conn.generation, index };
        conn.ops += 1;
        self.rings.of(index).push(&entry.user_data(token.encode()))
    }

    /// A step of dialling is done: the next.
    pub(super) fn on_dialled(&mut self, op: Op, index: u32, now_ns: u64) -> io::Result<()> {
        let fd = types::Fixed(self.rings.slot(index));
        let has_source = !self.plan.sources.is_empty();
        let option = |level: libc::c_int, name: libc::c_int| {
            let value = from_ref(&ON).cast::<libc::c_void>();
            let size = size_of::<libc::c_int>() as u32;
            opcode::SetSockOpt::new(fd, level as u32, name as u32, value, size).build()
        };
        let Some(dial) = self.conns[index as usize].dial.as_deref() else { return Ok(()) };
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let (local, remote) = (from_ref(&dial.local).cast(), from_ref(&dial.remote).cast());
        match op {
            Op::Socket => {
                self.conns[index as usize].has_socket = true;
                // Messages are small and must not wait for the acknowledgement of the one before.
                self.start(index, Op::NoDelay, option(libc::IPPROTO_TCP, libc::TCP_NODELAY))
            }
            Op::NoDelay if has_source => {
                self.start(index, Op::NoPort, option(libc::IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT))
            }
            Op::NoPort => self.start(index, Op::Bind, opcode::Bind::new(fd, local, size).build()),
            Op::NoDelay | Op::Bind => {
                self.start(index, Op::Connect, opcode::Connect::new(fd, remote, size).build())
            }
            Op::Connect => self.log_in(index, now_ns),
            Op::Recv | Op::Send | Op::Cancel | Op::Close | Op::Poll | Op::Read => Ok(()),
        }
    }

    fn log_in(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        let Some(dial) = conn.dial.take() else { return Ok(()) };
        if conn.generation > 1 {
            conn.session.reconnect();
        }
        conn.state = State::LoggingIn;
        let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
        if conn.session.login(now_ns / 1_000_000, &dial.token, &mut writer).is_err() {
            return self.fail(index, &Reason::Grant("the token is too long".to_owned()), now_ns);
        }
        self.list(index);
        self.arm(index)
    }

    /// The session is open: what else must be known before it is ready.
    pub(super) fn on_welcome(
        &mut self,
        index: u32,
        welcome: &Welcome,
        now_ns: u64,
    ) -> io::Result<()> {
        let is_silent = self.plan.load == crate::plan::Load::None && self.plan.options.prime == 0;
        if !is_silent && self.plan.body_bytes > welcome.body_bytes_max as usize {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the node takes texts of at most {} bytes: use a smaller --size",
                    welcome.body_bytes_max
                ),
            ));
        }
        let room = self.fleet.room_stream_of(index);
        let room = room.and_then(|stream| self.fleet.room_id(self.plan.run_id, stream));
        self.beats.told(welcome.heartbeat_interval_ms);
        let conn = &mut self.conns[index as usize];
        conn.state = State::Settling;
        conn.needs_room = room.is_some();
        conn.needs_list = self.plan.options.reconnect;
        let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
        if let Some(room) = room {
            conn.session.join(now_ns / 1_000_000, room, &mut writer);
        }
        if conn.needs_list {
            let first = ConversationId::default();
            conn.session.conversations(now_ns / 1_000_000, first, PAGE, &mut writer);
        }
        self.list(index);
        self.settle(index, now_ns)
    }

    /// A raw server has taken the login. It knows no rooms: there everybody is in the one room.
    pub(super) fn on_taken(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        self.conns[index as usize].state = State::Settling;
        self.on_joined(index, now_ns)
    }

    pub(super) fn on_joined(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        if let Some(stream) = self.fleet.room_stream_of(index) {
            self.ledger.joined(stream, index);
        }
        self.conns[index as usize].needs_room = false;
        self.settle(index, now_ns)
    }

    /// A page of conversations is over: the next, or all are known.
    pub(super) fn on_page_end(
        &mut self,
        index: u32,
        end: &wire::ConversationsEnd,
        now_ns: u64,
    ) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        if end.is_complete == 0 {
            let mut writer = Writer { pool: &mut self.pool, out: &mut conn.out };
            conn.session.conversations(now_ns / 1_000_000, end.next, PAGE, &mut writer);
            self.list(index);
            return Ok(());
        }
        conn.needs_list = false;
        self.settle(index, now_ns)
    }

    /// Ready, if nothing is missing any more.
    fn settle(&mut self, index: u32, now_ns: u64) -> io::Result<()> {
        let conn = &mut self.conns[index as usize];
        if conn.state != State::Settling || conn.needs_room || conn.needs_list {
            return Ok(());
        }
        conn.state = State::Ready;
        conn.login_attempts = 0;
        self.arriving -= 1;
        self.tally.logins += 1;
        let was_here = std::mem::replace(&mut conn.is_veteran, true);
        self.established += 1;
        if self.is_churning() {
            return self.leave(index, now_ns);
        }
        self.recorder.connections(now_ns, u64::from(self.established));
        self.start_heartbeats(index, now_ns);
        if was_here {
            self.say_again(index, now_ns);
        }
        Ok(())
    }

    /// With every connection ready and nothing said yet: a private conversation that the node does not know begins with
    /// its first message. Otherwise one that is lost before any other is heard would never be missed.
    pub(super) fn set_cursors(&mut self) {
        for stream in 0..self.fleet.pairs() {
            let Some(conversation) = self.ledger.conversation(stream) else { continue };
            for index in self.fleet.members(stream) {
                self.conns[index as usize].session.set_cursor(conversation);
            }
        }
    }
}

fn address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}
