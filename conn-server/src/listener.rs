//! Listening sockets: the common port and one port per shard after it.
//!
//! Every socket listens from the moment it is bound: with SO_REUSEADDR a bound port belongs to nobody until then. What
//! connects before the shards accept waits in the backlog. No SO_REUSEPORT anywhere: it would tie a connection to one
//! shard's backlog when it arrives, and hang it there if that shard is full.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use socket2::SockRef;

use crate::limits::{BACKLOG, PORT_SEARCH_MAX};
use crate::networks::Networks;

/// Options of the listening sockets; accepted sockets inherit them.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// Who may connect; `None`: everybody. Every packet of a connection is looked at, which costs some ten instructions.
    pub admitted: Option<Networks>,
    /// Fixes SO_SNDBUF, in bytes; without it the kernel tunes it per connection.
    pub send_buffer_bytes: Option<usize>,
    /// Fixes SO_RCVBUF, in bytes; without it the kernel tunes it per connection.
    pub receive_buffer_bytes: Option<usize>,
}

/// All listening sockets of a node. A shard's share is the common one and its own. They close when this and every share
/// is dropped: from then on new clients are refused instead of left waiting.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    common: Arc<OwnedFd>,
    own: Vec<Arc<OwnedFd>>,
}

/// One shard's share of the listening sockets.
#[derive(Clone, Debug)]
pub struct ShardListeners {
    /// The port that all shards share.
    pub common: Arc<OwnedFd>,
    /// The shard's own port.
    pub own: Arc<OwnedFd>,
}

impl Listeners {
    /// Binds `listen` and the `shards` ports after it. With port 0 it looks for a base where all of them are free.
    /// `is_nonblocking` is for drivers that accept by themselves: a ring must not have it, or its accepts would fail
    /// instead of waiting.
    ///
    /// # Errors
    /// The error of the first port that could not be bound, with its address.
    pub fn bind(
        listen: SocketAddr,
        shards: u16,
        options: SocketOptions,
        is_nonblocking: bool,
    ) -> io::Result<Self> {
        let bind = |address| bind_one(address, &options, is_nonblocking);
        if listen.port() != 0 {
            let common = bind(listen)?;
            return Self::bind_rest(listen, common, shards, bind);
        }
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for attempt in 0..PORT_SEARCH_MAX {
            let mut at = listen;
            // The kernel's own choice first. It hands out odd ports and keeps the even ones for outgoing connections: after
            // very many of those no odd port has a free neighbour. So then below its range, where it hands out nothing.
            if attempt > 0 {
                at.set_port(random_port());
            }
            let found = bind(at).and_then(|common| {
                let address = local_address(&common)?;
                Self::bind_rest(address, common, shards, bind)
            });
            match found {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    fn bind_rest(
        address: SocketAddr,
        common: OwnedFd,
        shards: u16,
        bind: impl Fn(SocketAddr) -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let own = (0..shards)
            .map(|shard| {
                let mut at = address;
                at.set_port(shard_port(address.port(), shard)?);
                Ok(Arc::new(bind(at)?))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { address, common: Arc::new(common), own })
    }

    /// The common address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A shard's share.
    #[must_use]
    pub fn of(&self, shard: u16) -> Option<ShardListeners> {
        let own = Arc::clone(self.own.get(usize::from(shard))?);
        Some(ShardListeners { common: Arc::clone(&self.common), own })
    }
}

/// The port of a shard.
///
/// # Errors
/// If it would be above 65,535.
pub fn shard_port(base: u16, shard: u16) -> io::Result<u16> {
    base.checked_add(shard).and_then(|port| port.checked_add(1)).ok_or_else(|| {
        // Counts as "in use" so that the search for a base goes on.
        let text = format!("base port {base} leaves no room for shard {shard}: choose a lower one");
        io::Error::new(io::ErrorKind::AddrInUse, text)
    })
}

/// A port below those that Linux hands out by default, and above those of well-known services.
fn random_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 10_000..32_000;
    let random = RandomState::new().build_hasher().finish();
    RANGE.start + (random % u64::from(RANGE.end - RANGE.start)) as u16
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = net::getsockname(socket)?;
    SocketAddr::try_from(address).map_err(io::Error::from)
}

fn bind_one(
    address: SocketAddr,
    options: &SocketOptions,
    is_nonblocking: bool,
) -> io::Result<OwnedFd> {
    let with_address = |error: rustix::io::Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let blocking = if is_nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    let flags = SocketFlags::CLOEXEC | blocking;
    let tcp = Some(ipproto::TCP);
    let socket = net::socket_with(family, SocketType::STREAM, flags, tcp).map_err(with_address)?;
    // A restarted node must not wait for its predecessor's connections in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Events are small and sent as soon as they exist; set here because accepted sockets inherit it, which saves a
    // system call per connection (and a direct descriptor has no cheap setsockopt).
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        sockopt::set_socket_send_buffer_size(&socket, bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let Some(networks) = &options.admitted {
        // Before it listens: whoever connects in between would be in the backlog already.
        SockRef::from(&socket).attach_filter(&networks.filter())?;
    }
    net::bind(&socket, &address).map_err(with_address)?;
    net::listen(&socket, BACKLOG).map_err(with_address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn a_base_is_found_where_every_port_is_free() {
        let listeners = Listeners::bind(any(), 3, SocketOptions::default(), false).unwrap();
        let address = listeners.address();
        let shares: Vec<_> = (0..3).map(|shard| listeners.of(shard).unwrap()).collect();
        drop(listeners);
        for port in address.port()..=address.port() + 3 {
            TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
        drop(shares);
        assert!(TcpStream::connect(address).is_err(), "closed with the last share");
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let first = Listeners::bind(any(), 1, SocketOptions::default(), false).unwrap();
        let again = Listeners::bind(first.address(), 1, SocketOptions::default(), false);
        assert!(again.unwrap_err().to_string().contains(&first.address().to_string()));
    }

    #[test]
    fn ports_end_at_65535() {
        assert_eq!(shard_port(65_533, 1).unwrap(), 65_535);
        assert!(shard_port(65_533, 2).is_err());
    }
}
