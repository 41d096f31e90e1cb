//! A bounded HTTP/1.1 front for an axum router: so many connections, so long for a request's head, a shutdown that
//! lets open requests finish.
//!
//! Never lets a slow client hold a connection for longer than its bounds, and never ends on an accept error.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{
    ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, HTTP_DRAIN_TIMEOUT, HTTP_HEAD_TIMEOUT, LISTEN_BACKLOG,
};
use crate::tls::{Acceptor, Transport};

/// The bounds of one front.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at one time; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Time for the head of a request, which is also the longest idle time between two requests.
    pub head_timeout: Duration,
    /// Time for open requests to finish at shutdown.
    pub drain_timeout: Duration,
}

impl Bounds {
    /// For an admin port.
    pub const ADMIN: Self = Self {
        connections_max: ADMIN_CONNECTIONS_MAX,
        head_timeout: HTTP_HEAD_TIMEOUT,
        drain_timeout: HTTP_DRAIN_TIMEOUT,
    };
}

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

/// Serves `router` until `shutdown` ends, then lets open requests finish within the drain bound.
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
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_timeout);
    let service = TowerToHyperService::new(router);
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let open = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, slot) = tokio::select! {
            next = accept(&listener, &slots) => next,
            () = &mut shutdown => break,
        };
        let _ = stream.set_nodelay(true); // A refusal costs latency only.
        let (http, service, watcher) = (http.clone(), service.clone(), open.watcher());
        let tls = tls.clone();
        tokio::spawn(async move {
            // The peer's fault, here and below: a reset, a timeout, not TLS, not HTTP.
            let Ok(stream) = Transport::open(stream, tls.as_ref(), bounds.head_timeout).await
            else {
                return;
            };
            let conn = http.serve_connection(TokioIo::new(stream), service);
            let _ = watcher.watch(conn).await;
            drop(slot);
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
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            std::future::pending().await // The semaphore is never closed.
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection: raise the descriptor limit?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
