//! The driver on tokio-uring 0.5: tokio's single-threaded runtime, with a ring beside it whose completions tokio's epoll
//! announces.
//!
//! Here for an honest comparison. What the runtime has and has not:
//! - its own receives own a buffer for as long as they wait, and cannot be taken back. But operations can be put together
//!   by hand (`UnsubmittedOneshot`): connections wait with a one-shot poll, armed again after every receive, and receive
//!   with an ordinary call that does not wait: one system call per receive, no buffer;
//! - only one-shot operations, no direct descriptors: every connection is a descriptor of the process;
//! - it sleeps in epoll and never enters the ring for completions: so `COOP_TASKRUN`, since `DEFER_TASKRUN` would never
//!   complete anything. A turn costs at least an `epoll_wait` and an `io_uring_enter`;
//! - a panic of a task is caught: the shard's main future looks for it.
//!
//! What an idle connection keeps, measured as growth of the process over 10,000 logged-in ones (`loadgen local --preset idle
//! --connections 10000 --login direct --store memory --io tokio_uring`): 830 bytes, where `uring` keeps 250. The other 580
//! are its task, its entry in the runtime's table of operations, which doubles as it grows, and its slot. No byte of it is
//! a buffer.

#![allow(unsafe_code, reason = "an accepted descriptor comes as a number")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::time::Instant;

use ::tokio::time::{self, Sleep};
use ::tokio_uring as runtime;
use io_uring_06::types::{CancelBuilder, Fd};
use io_uring_06::{cqueue, opcode, squeue};
use runtime::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

use super::tasks::{self, Runtime, Slice, Tasks, Vector};
use super::uring::explain;
use crate::host::{End, Host};
use crate::limits::RUNTIME_SUBMISSIONS;
use crate::listener::ShardListeners;

/// The set-up, for reports.
const FLAGS: &str = "single_issuer,coop_taskrun,submit_all,cqsize";

/// Starts the runtime once, small, and ends it.
///
/// # Errors
/// Why it does not start, in words.
pub fn probe() -> Result<String, String> {
    runtime::Runtime::new(&builder(1)).map_err(|error| explain(&error))?;
    Ok(FLAGS.to_owned())
}

/// Runs one shard until it is over. `ready` is called when everything is set up.
///
/// # Errors
/// If the runtime does not start, or the listeners cannot be taken over.
pub(crate) fn run(host: Host, listeners: ShardListeners, ready: impl FnOnce()) -> io::Result<End> {
    let connections = host.connections_max;
    // Outlives the runtime, on every way out: that one cancels what is in flight, and waits for it.
    let tasks = Tasks::new(host, listeners.clone());
    let runtime = runtime::Runtime::new(&builder(connections))?;
    runtime.block_on(tasks::run::<TokioUring>(&tasks, listeners, ready))
}

fn builder(connections: u32) -> runtime::Builder {
    let mut ring = runtime::uring_builder();
    ring.setup_single_issuer()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_cqsize(tasks::completions(connections));
    let mut builder = runtime::builder();
    builder.entries(RUNTIME_SUBMISSIONS).uring_builder(&ring);
    builder
}

struct TokioUring;

/// Turns the result of an operation and what was stored with it into what is wanted of it.
struct Outcome<D, O> {
    of: fn(io::Result<u32>, D) -> O,
}

impl<D, O> OneshotOutputTransform for Outcome<D, O> {
    type Output = O;
    type StoredData = D;

    fn transform_oneshot_output(self, data: D, entry: cqueue::Entry) -> O {
        let result = entry.result();
        (self.of)(u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)), data)
    }
}

fn submit<D, O>(
    entry: squeue::Entry,
    data: D,
    of: fn(io::Result<u32>, D) -> O,
) -> InFlightOneshot<D, Outcome<D, O>> {
    UnsubmittedOneshot::new(data, Outcome { of }, entry).submit()
}

fn sent<D>(result: io::Result<u32>, data: D) -> (io::Result<usize>, D) {
    (result.map(|bytes| bytes as usize), data)
}

impl Runtime for TokioUring {
    /// It submits, and waits in epoll.
    const ENTERS_PER_TURN: u64 = 2;

    type Stream = OwnedFd;
    type Listener = OwnedFd;
    type Sleep = Sleep;

    fn spawn(task: impl Future<Output = ()> + 'static) {
        drop(runtime::spawn(task));
    }

    fn stream(file: OwnedFd) -> io::Result<OwnedFd> {
        Ok(file)
    }

    fn listener(file: OwnedFd) -> io::Result<OwnedFd> {
        Ok(file)
    }

    fn file(stream: &OwnedFd) -> BorrowedFd<'_> {
        stream.as_fd()
    }

    fn readable(stream: &OwnedFd) -> impl Future<Output = io::Result<()>> {
        let entry = opcode::PollAdd::new(fd(stream), POLLIN).build();
        submit(entry, (), |result, ()| result.map(drop))
    }

    fn send(stream: &OwnedFd, slice: Slice) -> impl Future<Output = (io::Result<usize>, Slice)> {
        let len = u32::try_from(slice.len).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(fd(stream), slice.start, len).flags(libc::MSG_NOSIGNAL);
        submit(entry.build(), slice, sent)
    }

    fn send_vectored(
        stream: &OwnedFd,
        vector: Box<Vector>,
    ) -> impl Future<Output = (io::Result<usize>, Box<Vector>)> {
        let count = u32::try_from(vector.count()).unwrap_or(u32::MAX);
        let entry = opcode::Writev::new(fd(stream), vector.start(), count);
        submit(entry.build(), vector, sent)
    }

    fn accept(listener: &OwnedFd) -> impl Future<Output = io::Result<OwnedFd>> {
        let nobody = std::ptr::null_mut();
        let entry = opcode::Accept::new(fd(listener), nobody, nobody.cast());
        submit(entry.flags(libc::SOCK_CLOEXEC).build(), (), |result, ()| {
            // SAFETY: the kernel has just opened it for this accept, and nobody else knows of it.
            result.map(|file| unsafe { OwnedFd::from_raw_fd(file.cast_signed()) })
        })
    }

    fn cancel_accept(listener: &OwnedFd) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(fd(listener))).build();
        // The accept itself tells what became of it.
        drop(submit(entry, (), |_, ()| ()));
    }

    fn sleep(until: Instant) -> Sleep {
        time::sleep_until(until.into())
    }

    fn reset(sleep: Pin<&mut Sleep>, until: Instant) {
        sleep.reset(until.into());
    }
}

#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "one small bit")]
const POLLIN: u32 = libc::POLLIN as u32;

fn fd(file: &OwnedFd) -> Fd {
    Fd(file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_starts_where_the_ring_driver_does() {
        assert_eq!(probe().is_ok(), crate::driver::uring::probe().is_ok());
    }
}
