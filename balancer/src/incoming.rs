//! Connections for the gRPC server, bounded: a flood waits in the kernel's queue, a silent peer is let go.
//!
//! The gRPC library's own listener takes whatever comes and spins when descriptors run out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::http::accept;
use crate::limits::{GRPC_CONNECTIONS_MAX, HTTP_HEAD_TIMEOUT};
use crate::tls::{Acceptor, Transport};

/// One connection and its place among those that may be open.
#[derive(Debug)]
pub(crate) struct GrpcConn {
    stream: Transport,
    _slot: OwnedSemaphorePermit,
}

/// The connections that have begun to speak. Must be made within a tokio runtime; accepting ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Incoming(mpsc::Receiver<GrpcConn>);

impl Incoming {
    pub(crate) fn new(listener: TcpListener, tls: Option<Acceptor>) -> Self {
        let (conns, taken) = mpsc::channel(1);
        tokio::spawn(accept_all(listener, tls, conns));
        Self(taken)
    }
}

async fn accept_all(listener: TcpListener, tls: Option<Acceptor>, conns: mpsc::Sender<GrpcConn>) {
    let slots = Arc::new(Semaphore::new(GRPC_CONNECTIONS_MAX));
    loop {
        let (stream, _, slot) = tokio::select! {
            next = accept(&listener, &slots) => next,
            () = conns.closed() => return,
        };
        let (conns, tls) = (conns.clone(), tls.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true); // A refusal costs latency only.
            // A peer that says nothing must not hold a place: every client begins by itself.
            let Ok(Ok(())) = tokio::time::timeout(HTTP_HEAD_TIMEOUT, stream.readable()).await
            else {
                return;
            };
            if let Ok(stream) = Transport::open(stream, tls.as_ref(), HTTP_HEAD_TIMEOUT).await {
                let _ = conns.send(GrpcConn { stream, _slot: slot }).await; // The server is ending.
            }
        });
    }
}

impl Stream for Incoming {
    type Item = io::Result<GrpcConn>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|conn| conn.map(Ok))
    }
}

impl Connected for GrpcConn {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for GrpcConn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for GrpcConn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
