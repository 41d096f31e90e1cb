//! Sockets and the set of those that are watched: plain non-blocking TCP, level-triggered.
//!
//! Knows nothing of chat. A socket leaves the set by being closed: there is no second descriptor of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::limits::EVENTS_PER_WAIT;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// The end of the connecting.
    Connected,
    /// Bytes.
    Bytes,
    /// Bytes, or room for what waits to be sent.
    BytesAndRoom,
}

impl Interest {
    const fn flags(self) -> EventFlags {
        match self {
            Self::Connected => EventFlags::OUT,
            Self::Bytes => EventFlags::IN,
            Self::BytesAndRoom => EventFlags::IN.union(EventFlags::OUT),
        }
    }
}

/// Something that happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// As given to [`Sockets::dial`].
    pub(super) tag: u64,
    /// There are bytes, or their end, or an error to be read.
    pub(super) is_readable: bool,
    /// It is connected, or could not be, or has room again.
    pub(super) is_writable: bool,
}

/// A call that failed, by its name.
pub(super) type Failed = (&'static str, Errno);

pub(super) struct Sockets {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Sockets {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_PER_WAIT) })
    }

    /// Begins to connect, from `source` if there is one, and watches for the end of it.
    pub(super) fn dial(
        &self,
        remote: SocketAddrV4,
        source: Option<Ipv4Addr>,
        tag: u64,
    ) -> Result<OwnedFd, Failed> {
        let named = |name| move |errno| (name, errno);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .map_err(named("socket"))?;
        // Messages are small and must not wait for the acknowledgement of the one before.
        sockopt::set_tcp_nodelay(&socket, true).map_err(named("connect"))?;
        if let Some(source) = source {
            bind_without_port(&socket).map_err(named("bind"))?;
            net::bind(&socket, &SocketAddrV4::new(source, 0)).map_err(named("bind"))?;
        }
        match net::connect(&socket, &remote) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(errno) => return Err(("connect", errno)),
        }
        let flags = Interest::Connected.flags();
        epoll::add(&self.epoll, &socket, EventData::new_u64(tag), flags).map_err(named("epoll"))?;
        Ok(socket)
    }

    /// Waits for something else from now on.
    pub(super) fn watch(
        &self,
        socket: BorrowedFd<'_>,
        tag: u64,
        interest: Interest,
    ) -> Result<(), Failed> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(tag), interest.flags())
            .map_err(|errno| ("epoll", errno))
    }

    /// Sleeps until something happens, or for `nanoseconds`.
    ///
    /// `poll` on the set: its timeout has nanoseconds, that of the set itself has milliseconds before Linux 5.11.
    pub(super) fn sleep(&self, nanoseconds: u64) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
            tv_nsec: (nanoseconds % 1_000_000_000).cast_signed(),
        };
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts what has happened into `ready`, which is emptied first; does not wait.
    pub(super) fn look(&mut self, ready: &mut Vec<Ready>) -> io::Result<()> {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        ready.clear();
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&NOW))
        {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            let is_over = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            Ready {
                tag: event.data.u64(),
                is_readable: is_over || flags.contains(EventFlags::IN),
                is_writable: is_over || flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

/// Whether a socket that was dialled is connected now.
pub(super) fn connected(socket: BorrowedFd<'_>) -> Result<(), Failed> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(errno)) | Err(errno) => Err(("connect", errno)),
    }
}

/// Binds an address and leaves the port to `connect`, so that connections to different ports of the node may share one.
fn bind_without_port(socket: &OwnedFd) -> Result<(), Errno> {
    /// Not in libc's constants for every target.
    const IP_BIND_ADDRESS_NO_PORT: libc::c_int = 24;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the value is a `c_int` that outlives the call and whose size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
