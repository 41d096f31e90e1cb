//! The listening socket, with the options of the node's.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use anyhow::Context;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Listens on loopback. Accepted sockets inherit TCP_NODELAY.
pub(super) fn open(port: u16) -> anyhow::Result<TcpListener> {
    let family = AddressFamily::INET;
    let tcp = Some(ipproto::TCP);
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, tcp)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("binding 127.0.0.1:{port}"))?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}
