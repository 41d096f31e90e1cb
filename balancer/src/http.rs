//! A bounded HTTP/1.1 front for an axum router: so many connections, in all and of one client, so long for a request's
//! head, and so long a head; a shutdown that lets open requests finish.
//!
//! Never lets a slow client hold a connection for longer than its bounds, and never ends on an accept error.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Page;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{
    ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, HTTP_DRAIN_TIMEOUT, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_TIMEOUT, LISTEN_BACKLOG,
};
use crate::peers::Peers;
use crate::tls::{Acceptor, Transport};

/// The bounds of one front.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections open at one time; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Of these, connections of one client network ([`crate::peers::network`]); more are closed at once.
    pub peer_connections_max: usize,
    /// Bytes of a request's head: its line and its headers. A longer one, or one of more than 100 headers, is answered
    /// with 431.
    pub head_bytes_max: usize,
    /// Time for the head of a request, which is also the longest idle time between two requests.
    pub head_timeout: Duration,
    /// Time for open requests to finish at shutdown.
    pub drain_timeout: Duration,
    /// Where it is counted that a bound was hit, if anywhere.
    pub tally: Option<Tally>,
}

impl Bounds {
    /// For an admin port.
    pub const ADMIN: Self = Self {
        connections_max: ADMIN_CONNECTIONS_MAX,
        peer_connections_max: ADMIN_CONNECTIONS_MAX,
        head_bytes_max: HTTP_HEAD_BYTES_MAX,
        head_timeout: HTTP_HEAD_TIMEOUT,
        drain_timeout: HTTP_DRAIN_TIMEOUT,
        tally: None,
    };
}

/// Counts how often each bound of a front was hit.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    full: Counter,
    peer_full: Counter,
    head_slow: Counter,
    head_long: Counter,
}

impl Tally {
    /// Shows the counts on a page.
    pub fn register(&self, page: &mut Page) {
        for (name, about, counter) in [
            (
                "http_full",
                "Times that no connection was accepted because as many as may be were open",
                &self.full,
            ),
            (
                "http_peer_full",
                "Connections closed at once because their client network had as many as it may",
                &self.peer_full,
            ),
            (
                "http_head_slow",
                "Connections closed because no whole request head came in time, idle ones included",
                &self.head_slow,
            ),
            (
                "http_head_long",
                "Connections closed because a request head was longer than it may be",
                &self.head_long,
            ),
        ] {
            page.register(name, about, counter.clone());
        }
    }
}

/// Who sent a request: an extension of each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Opens a listening socket with a backlog for login bursts.
///
/// # Errors
/// The address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server must get its port back although old connections linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves `router` until `shutdown` ends, then lets open requests finish within the drain bound. Each request has a
/// [`Peer`] among its extensions.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    serve_inside(listener, None, router, bounds, shutdown).await;
}

/// The same, inside TLS if there is an acceptor.
pub async fn serve_inside(
    listener: TcpListener,
    tls: Option<Acceptor>,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(bounds.head_bytes_max);
    let service = TowerToHyperService::new(router);
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let peers = Peers::new(bounds.peer_connections_max);
    let tally = bounds.tally.unwrap_or_default();
    let open = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        if slots.available_permits() == 0 {
            tally.full.inc();
        }
        let (stream, peer, slot) = tokio::select! {
            next = accept(&listener, &slots) => next,
            () = &mut shutdown => break,
        };
        let Some(place) = peers.enter(peer.ip()) else {
            tally.peer_full.inc();
            continue;
        };
        let _ = stream.set_nodelay(true); // A refusal costs latency only.
        let (http, watcher, tls) = (http.clone(), open.watcher(), tls.clone());
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            service.call(request)
        });
        let (tally, head_timeout) = (tally.clone(), bounds.head_timeout);
        tokio::spawn(async move {
            let _held = (slot, place);
            // The peer's fault, here and below: a reset, a timeout, not TLS, not HTTP.
            let Ok(stream) = Transport::open(stream, tls.as_ref(), head_timeout).await else {
                return;
            };
            let conn = http.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(conn).await {
                tally.head_slow.inc_by(error.is_timeout().into());
                tally.head_long.inc_by(error.is_parse_too_large().into());
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(bounds.drain_timeout, open.shutdown()).await.is_err() {
        tracing::warn!("some HTTP requests were cut at shutdown: the drain time is over");
    }
}

/// Waits for a free slot first, so that a flood waits in the kernel's queue and not in memory.
pub(crate) async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            std::future::pending().await // The semaphore is never closed.
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection: raise the descriptor limit?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
