//! Bytes from one side to the other, until the first has finished, which the other is told.
//!
//! What is read goes through one buffer of the thread and is written at once. A connection has memory of its own only while
//! its writer does not take everything, and at most one buffer's worth: it reads no further until that is gone.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::FRONT_BUFFER_BYTES;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; FRONT_BUFFER_BYTES]);
}

/// Copies until the reader's end, then shuts the writer down.
///
/// # Errors
/// Either side's.
pub(super) async fn copy(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut copy = Copy { reader, writer, kept: Vec::new(), written: 0, is_flushed: true };
    poll_fn(|cx| copy.poll(cx)).await
}

struct Copy<R, W> {
    reader: R,
    writer: W,
    /// Read and not taken by the writer.
    kept: Vec<u8>,
    /// How much of it is.
    written: usize,
    is_flushed: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Copy<R, W> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A busy connection lets the others of its thread have their turn: each read asks the scheduler for its consent.
        loop {
            ready!(self.poll_kept(cx))?;
            let read = BUFFER.with_borrow_mut(|buffer| self.poll_step(cx, buffer));
            match read {
                Poll::Ready(Ok(0)) => {
                    ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
                    return Pin::new(&mut self.writer).poll_shutdown(cx);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // TLS may hold a record that the socket did not take: nobody else would push it.
                    if !self.is_flushed && Pin::new(&mut self.writer).poll_flush(cx)?.is_ready() {
                        self.is_flushed = true;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes what the writer did not take before.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.kept.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.written += ready!(write(&mut self.writer, cx, rest))?;
        }
        if !self.kept.is_empty() {
            // Freed: who was slow once may be idle for hours.
            self.kept = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes what it can; the bytes read.
    fn poll_step(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.reader).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        let mut written = 0;
        self.is_flushed = false;
        while written < bytes.len() {
            match write(&mut self.writer, cx, &bytes[written..]) {
                Poll::Ready(done) => written += done?,
                Poll::Pending => {
                    self.kept = bytes[written..].to_vec();
                    break;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(writer).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        done => Poll::Ready(done),
    }
}
