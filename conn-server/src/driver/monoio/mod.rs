//! The driver on monoio 0.2: a thread-per-core runtime with a ring of its own, which it submits and waits on in one call.
//!
//! Here for an honest comparison. What the runtime has and has not:
//! - its receives own a buffer for as long as they wait, so connections wait for `readable` (a one-shot poll, armed again
//!   after every receive) and receive with an ordinary call that does not wait: one system call per receive, no buffer;
//! - no multishot, no buffer ring, no direct descriptors: every connection is a descriptor of the process;
//! - `DEFER_TASKRUN` works, since it always waits for at least one completion; the ring is built on the shard's thread;
//! - it ignores errors of that wait, and a full completion queue would be one: so the queue has a place for everything
//!   that can be in flight.
//!
//! What an idle connection keeps, measured as growth of the process over 10,000 logged-in ones (`loadgen local --preset idle
//! --connections 10000 --login direct --store memory --io monoio`): 860 bytes, where `uring` keeps 250. The other 600 are
//! its task (about 450 with its header), the counted descriptor, its entry in the runtime's table of operations, which doubles as
//! it grows, and its slot. No byte of it is a buffer.

#![allow(unsafe_code, reason = "monoio wants to be promised that buffers stay where they are")]

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::net;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix;
use std::pin::Pin;
use std::time::Instant;

use ::monoio::buf::{IoBuf, IoVecBuf};
use ::monoio::io::{AsyncWriteRent, Canceller};
use ::monoio::net::{TcpListener, UnixStream};
use ::monoio::time::{self, Sleep};
use ::monoio::{Buildable, Driver, IoUringDriver, RuntimeBuilder};

use super::tasks::{self, Runtime, Slice, Tasks, Vector};
use super::uring::explain;
use crate::host::{End, Host};
use crate::limits::RUNTIME_SUBMISSIONS;
use crate::listener::ShardListeners;

/// The set-up, for reports.
const FLAGS: &str = "single_issuer,defer_taskrun,submit_all,cqsize";

/// Starts the runtime once, small, and ends it.
///
/// # Errors
/// Why it does not start, in words: it has another driver, without io_uring, which is not compiled in.
pub fn probe() -> Result<String, String> {
    builder::<IoUringDriver>(1).build().map_err(|error| explain(&error))?;
    Ok(FLAGS.to_owned())
}

/// Runs one shard until it is over. `ready` is called when everything is set up.
///
/// # Errors
/// If the runtime does not start, or the listeners cannot be taken over.
pub(crate) fn run(host: Host, listeners: ShardListeners, ready: impl FnOnce()) -> io::Result<End> {
    let connections = host.connections_max;
    // Outlives the runtime, on every way out.
    let tasks = Tasks::new(host, listeners.clone());
    let mut runtime = builder::<IoUringDriver>(connections).enable_timer().build()?;
    runtime.block_on(tasks::run::<Monoio>(&tasks, listeners, ready))
}

fn builder<D: Buildable + Driver>(connections: u32) -> RuntimeBuilder<D> {
    let mut ring = io_uring_06::IoUring::builder();
    ring.setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(tasks::completions(connections));
    RuntimeBuilder::new().with_entries(RUNTIME_SUBMISSIONS).uring_builder(ring)
}

struct Monoio;

/// A stream whose two halves are used by one task. Under the type that is nothing but a descriptor: monoio's type for TCP
/// keeps room for addresses in every connection.
struct Stream(UnsafeCell<UnixStream>);

/// A listener, and what cancels its accept.
struct Listener {
    socket: TcpListener,
    canceller: Cell<Option<Canceller>>,
}

impl Runtime for Monoio {
    /// It submits and waits in one call.
    const ENTERS_PER_TURN: u64 = 1;

    type Stream = Stream;
    type Listener = Listener;
    type Sleep = Sleep;

    fn spawn(task: impl Future<Output = ()> + 'static) {
        drop(::monoio::spawn(task));
    }

    fn stream(file: OwnedFd) -> io::Result<Stream> {
        let stream = unix::net::UnixStream::from(file);
        UnixStream::from_std(stream).map(|stream| Stream(stream.into()))
    }

    fn listener(file: OwnedFd) -> io::Result<Listener> {
        let socket = TcpListener::from_std(net::TcpListener::from(file))?;
        Ok(Listener { socket, canceller: Cell::new(None) })
    }

    fn file(stream: &Stream) -> BorrowedFd<'_> {
        let file = stream.whole().as_raw_fd();
        // SAFETY: the stream keeps it open, and is borrowed for as long.
        unsafe { BorrowedFd::borrow_raw(file) }
    }

    fn readable(stream: &Stream) -> impl Future<Output = io::Result<()>> {
        stream.whole().readable(true)
    }

    fn send(stream: &Stream, slice: Slice) -> impl Future<Output = (io::Result<usize>, Slice)> {
        stream.writer().write(slice)
    }

    fn send_vectored(
        stream: &Stream,
        vector: Box<Vector>,
    ) -> impl Future<Output = (io::Result<usize>, Box<Vector>)> {
        stream.writer().writev(vector)
    }

    async fn accept(listener: &Listener) -> io::Result<Stream> {
        let canceller = Canceller::new();
        let handle = canceller.handle();
        listener.canceller.set(Some(canceller));
        let (stream, _) = listener.socket.cancelable_accept(handle).await?;
        let file = stream.into_raw_fd();
        // SAFETY: the stream has just given it away.
        Self::stream(unsafe { OwnedFd::from_raw_fd(file) })
    }

    fn cancel_accept(listener: &Listener) {
        if let Some(canceller) = listener.canceller.take() {
            canceller.cancel();
        }
    }

    fn sleep(until: Instant) -> Sleep {
        time::sleep_until(until.into())
    }

    fn reset(sleep: Pin<&mut Sleep>, until: Instant) {
        sleep.reset(until.into());
    }
}

impl Stream {
    fn whole(&self) -> &UnixStream {
        // SAFETY: nothing ever changes the stream: see `writer`.
        unsafe { &*self.0.get() }
    }

    #[allow(clippy::mut_from_ref, reason = "what monoio's own halves do, without their allocation")]
    fn writer(&self) -> &mut UnixStream {
        // SAFETY: monoio declares that halves of a stream may be used side by side (`Split`), and hands out the same
        // reference for that: a write takes a share of the descriptor when it is called, and then needs the stream no
        // more, which it leaves as it was.
        unsafe { &mut *self.0.get() }
    }
}

// SAFETY: the bytes stay where they are until the send has ended: see `tasks::lent`.
unsafe impl IoBuf for Slice {
    fn read_ptr(&self) -> *const u8 {
        self.start
    }

    fn bytes_init(&self) -> usize {
        self.len
    }
}

// SAFETY: as above, and the slices stand in a box, which does not move.
unsafe impl IoVecBuf for Box<Vector> {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.start()
    }

    fn read_iovec_len(&self) -> usize {
        self.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_starts_where_the_ring_driver_does() {
        assert_eq!(probe().is_ok(), crate::driver::uring::probe().is_ok());
    }
}
