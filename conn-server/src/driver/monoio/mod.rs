//! The driver on monoio 0.2: a thread-per-core runtime with a ring of its own, which it submits and waits on in one call.
//!
//! Here for an honest comparison. What the runtime has and has not:
//! - its receives own a buffer for as long as they wait, so connections wait for `readable` (a one-shot poll, armed again
//!   after every receive) and receive with an ordinary call that does not wait: one system call per receive, no buffer;
//! - no multishot, no buffer ring, no direct descriptors: every connection is a descriptor of the process;
//! - `DEFER_TASKRUN` works, since it always waits for at least one completion; the ring is built on the shard's thread;
//! - it ignores errors of that wait, and a full completion queue would be one: so the queue has a place for everything
//!   that can be in flight.

#![allow(unsafe_code, reason = "monoio wants to be promised that buffers stay where they are")]

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::net;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::time::Instant;

use ::monoio::buf::{IoBuf, IoVecBuf};
use ::monoio::io::{AsyncWriteRent, Canceller};
use ::monoio::net::{TcpListener, TcpStream};
use ::monoio::time::{self, Sleep};
use ::monoio::{Buildable, Driver, IoUringDriver, RuntimeBuilder};

use super::tasks::{self, Lent, Runtime, Slice, Tasks, Vector};
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

/// A stream whose two halves are used by one task.
struct Stream(UnsafeCell<TcpStream>);

/// A listener, and what cancels its accept.
struct Listener {
    socket: TcpListener,
    canceller: Cell<Option<Canceller>>,
}

impl Runtime for Monoio {
    type Stream = Stream;
    type Listener = Listener;
    type Sleep = Sleep;

    fn spawn(task: impl Future<Output = ()> + 'static) {
        drop(::monoio::spawn(task));
    }

    fn stream(file: OwnedFd) -> io::Result<Stream> {
        TcpStream::from_std(net::TcpStream::from(file)).map(|stream| Stream(stream.into()))
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

    async fn send(stream: &Stream, lent: Lent) -> (io::Result<usize>, Lent) {
        // SAFETY: monoio declares that a stream may be split into halves that are used side by side (`Split`), and its own
        // halves do this: `write` takes a share of the descriptor and leaves the stream as it was.
        let writer = unsafe { &mut *stream.0.get() };
        match lent {
            Lent::One(slice) => {
                let (result, Bytes(slice)) = writer.write(Bytes(slice)).await;
                (result, Lent::One(slice))
            }
            Lent::Many(vector) => {
                let (result, Vectored(vector)) = writer.writev(Vectored(vector)).await;
                (result, Lent::Many(vector))
            }
        }
    }

    async fn accept(listener: &Listener) -> io::Result<Stream> {
        let canceller = Canceller::new();
        let handle = canceller.handle();
        listener.canceller.set(Some(canceller));
        let (stream, _) = listener.socket.cancelable_accept(handle).await?;
        Ok(Stream(stream.into()))
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
    fn whole(&self) -> &TcpStream {
        // SAFETY: nothing ever changes the stream: the one place that has it as mutable only takes a share of the
        // descriptor, which is counted in a cell.
        unsafe { &*self.0.get() }
    }
}

struct Bytes(Slice);

// SAFETY: the bytes stay where they are until the send has ended: see `tasks::lent`.
unsafe impl IoBuf for Bytes {
    fn read_ptr(&self) -> *const u8 {
        self.0.start
    }

    fn bytes_init(&self) -> usize {
        self.0.len
    }
}

struct Vectored(Box<Vector>);

// SAFETY: as above, and the slices stand in a box, which does not move.
unsafe impl IoVecBuf for Vectored {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.0.start()
    }

    fn read_iovec_len(&self) -> usize {
        self.0.count()
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
