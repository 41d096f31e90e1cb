//! Accepting: one task per listener, which has one accept in flight while the gate wants connections.
//!
//! Waiting accepts are woken in the order in which they began to wait, and each begins anew after every connection: so
//! shards take turns at the common port without being told.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use rustix::net::{Shutdown, shutdown};

use super::connection::serve;
use super::{Running, Runtime, Tasks};
use crate::driver::gate::{COMMON, Gate};
use crate::host::{Host, Phase};
use crate::listener::ShardListeners;

/// One listener's task.
#[derive(Debug, Default)]
struct Accept {
    task: Option<Waker>,
    is_wanted: bool,
    /// An accept is in flight.
    is_armed: bool,
    /// No more, ever.
    is_over: bool,
}

/// The shard's gate, and what its two tasks make of it.
#[derive(Debug)]
pub(super) struct Accepts {
    pub(super) gate: Gate,
    each: [Accept; 2],
}

impl Accepts {
    pub(super) fn new(listeners: ShardListeners) -> Self {
        Self { gate: Gate::new(listeners), each: <[Accept; 2]>::default() }
    }

    /// Has the tasks begin and end accepts as the gate wants it.
    pub(super) fn arrange(&mut self, host: &mut Host) {
        self.gate.follow(host);
        for (index, accept) in self.each.iter_mut().enumerate() {
            accept.is_wanted = self.gate.is_wanted(host, index);
            let is_draining = matches!(host.phase, Phase::Draining { .. });
            if is_draining && !accept.is_armed && !accept.is_over {
                accept.is_over = true;
                self.gate.drop_socket(index);
                accept.wake();
            } else if accept.is_wanted != accept.is_armed {
                accept.wake();
            }
        }
    }

    /// The shard is over: ends both tasks. The node is, too, so the sockets may end for everybody: that ends an accept
    /// whose cancel missed it.
    pub(super) fn end(&mut self) {
        for (index, accept) in self.each.iter_mut().enumerate() {
            accept.is_wanted = false;
            accept.is_over = true;
            accept.wake();
            if accept.is_armed
                && let Some(socket) = self.gate.socket(index)
            {
                // Fails if another shard has done it.
                let _ = shutdown(socket, Shutdown::Both);
            }
        }
    }

    fn poll_wanted(&mut self, index: usize, task: &Waker) -> Poll<bool> {
        let Some(accept) = self.each.get_mut(index) else { return Poll::Ready(false) };
        accept.task.get_or_insert_with(|| task.clone());
        if accept.is_over {
            return Poll::Ready(false);
        }
        accept.is_armed = accept.is_wanted;
        if accept.is_wanted { Poll::Ready(true) } else { Poll::Pending }
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.each.get(index).is_some_and(|accept| accept.is_wanted)
    }

    fn on_ended(&mut self, index: usize) {
        if let Some(accept) = self.each.get_mut(index) {
            accept.is_armed = false;
        }
    }
}

impl Accept {
    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

/// A listener's task.
pub(super) async fn accept<R: Runtime>(tasks: Rc<Tasks>, index: usize, listener: R::Listener) {
    let _running = Running::new(&tasks);
    let wanted = || poll_fn(|cx| tasks.core.borrow_mut().accepts.poll_wanted(index, cx.waker()));
    while wanted().await {
        let mut accepting = pin!(R::accept(&listener));
        let accepted = poll_fn(|cx| {
            let result = accepting.as_mut().poll(cx);
            if result.is_pending() && !tasks.core.borrow().accepts.is_wanted(index) {
                R::cancel_accept(&listener);
            }
            result
        });
        let accepted = accepted.await;
        take::<R>(&tasks, index, accepted);
    }
}

/// Gives an accepted socket to the core, which may refuse it: then it is closed here.
fn take<R: Runtime>(tasks: &Rc<Tasks>, index: usize, accepted: io::Result<R::Stream>) {
    let mut core = tasks.core.borrow_mut();
    let core = &mut *core;
    core.begin_turn();
    let host = &mut core.host;
    host.counters.cqes += 1;
    core.accepts.on_ended(index);
    match accepted {
        Ok(stream) => {
            host.counters.accepts += 1;
            if let Some(key) = host.shard.handle_accept(host.now, &mut host.fx) {
                core.slots.open(key);
                host.open += 1;
                R::spawn(serve::<R>(Rc::clone(tasks), key, stream));
            }
            // Whose turn it is at the common port settles itself, as said above.
            core.accepts.gate.on_taken(host, index);
        }
        Err(error) => {
            host.counters.cancels += u64::from(error.raw_os_error() == Some(libc::ECANCELED));
            core.accepts.gate.on_error(host, error.raw_os_error().unwrap_or(libc::EIO));
        }
    }
}

/// The sockets that the two tasks accept from.
pub(super) fn listeners<R: Runtime>(from: &ShardListeners) -> io::Result<[R::Listener; 2]> {
    // The runtimes want to own what they listen on; the socket closes with its last descriptor.
    let own = |socket: &OwnedFd| R::listener(socket.try_clone()?);
    // In the gate's order.
    const _: () = assert!(COMMON == 0);
    Ok([own(&from.common)?, own(&from.own)?])
}
